package frontend

import (
	"errors"
	"testing"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		`the named context "toolbox": failed to do request: Head "http://127.0.0.1:9/v2/toolbox/manifests/1": dial tcp 127.0.0.1:9: connect: connection refused`://
		`the named context "toolbox": the builder cannot reach the registry 127.0.0.1:9: connection refused`,
		`failed to do request: Head "https://nosuch.invalid/v2/toolbox/manifests/1": dial tcp: lookup nosuch.invalid on 192.0.2.53:53: no such host`://
		`the builder cannot reach the registry nosuch.invalid: lookup nosuch.invalid on 192.0.2.53:53: no such host`,
		`exporting cache to registry failed: failed to solve: error writing layer blob: failed to do request: Put "https://r.example:5000/v2/c/blobs/sha256:00": net/http: TLS handshake timeout`://
		`exporting cache to registry failed: failed to solve: error writing layer blob: the builder cannot reach the registry r.example:5000: net/http: TLS handshake timeout`,
		`failed to do request: Head "https://r.example/v2/c/manifests/1": tls: failed to verify certificate: x509: certificate signed by unknown authority`://
		`the builder cannot reach the registry r.example: tls: failed to verify certificate: x509: certificate signed by unknown authority`,
		`Get "http://deb.example/dists/trixie/InRelease": dial tcp: no route`:                             `Get "http://deb.example/dists/trixie/InRelease": dial tcp: no route`,
		`failed to solve: granting entitlement network.host is not allowed by build daemon configuration`: `the builder does not give steps the network of its machine: start it with --allow-insecure-entitlement network.host, or build without --allow network.host`,
		`r.example/a:1: not found`: `r.example/a:1: not found`,
	} {
		err := errors.New(got)
		explained := Explain(err)
		if explained.Error() != want || !errors.Is(explained, err) {
			t.Errorf("got  %s\nwant %s", explained, want)
		}
	}
	if Explain(nil) != nil {
		t.Error("an error out of nothing")
	}
}
