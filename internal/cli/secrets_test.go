package cli

import (
	"encoding/json"
	"testing"

	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// TestServeLines serves what BuildKit sends as a header without the end of a
// line, and everything else as it is.
func TestServeLines(t *testing.T) {
	t.Parallel()
	given := map[string][]byte{}
	want := map[string]string{
		"mirror": "Basic x", "HTTP_AUTH_HEADER_a.example": "Basic x", "HTTP_AUTH_TOKEN_a.example": "Basic x", "GIT_AUTH_TOKEN": "Basic x", "GIT_AUTH_HEADER.a.example": "Basic x",
		"other": "Basic x\n", "passphrase": "Basic x\n",
	}
	for id := range want {
		given[id] = []byte("Basic x\n")
	}
	given["PEM"], want["PEM"] = []byte("a\nb\n"), "a\nb\n"
	m := &manifest.Manifest{Pipelines: []*manifest.Pipeline{{Stages: []*manifest.Stage{
		{Type: "org.osbuildkit.apt", Options: json.RawMessage(`{"packages": ["a"], "auth": "mirror"}`)},
		{Type: "org.osbuildkit.apt", Options: json.RawMessage(`{"packages": ["a"]}`)},
		{Type: "org.example.mine", Options: json.RawMessage(`{"auth": "other"}`)},
	}}}}
	server, ok := serveLines(secretsprovider.FromMap(given), m).(secrets.SecretsServer)
	if !ok {
		t.Fatal("no secrets are served")
	}
	for id, value := range want {
		resp, err := server.GetSecret(t.Context(), &secrets.GetSecretRequest{ID: id})
		if err != nil || string(resp.Data) != value {
			t.Errorf("%s: %v, %v", id, resp, err)
		}
	}
	if _, err := server.GetSecret(t.Context(), &secrets.GetSecretRequest{ID: "missing"}); err == nil {
		t.Error("a secret that was not given is served")
	}
}
