package llb

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// The key that signs what no checksum names must be valid now: whoever has an
// old key can sign with any date. What is pinned is judged at the time of the
// signature, so that it can be built for ever.
func TestExpiredRepomdKey(t *testing.T) {
	t.Parallel()
	when := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return when }, KeyLifetimeSecs: 3 * 365 * 86400}
	e, err := openpgp.NewEntity("Old", "", "old@example.org", config)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(public.String())
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork()
	n.serve(t, "http://one")
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, e, strings.NewReader(n.files["http://one/repodata/repomd.xml"]), config); err != nil {
		t.Fatal(err)
	}
	n.files["http://one/repodata/repomd.xml.asc"] = sig.String()
	for _, c := range []struct {
		name, pin, err string
		now            time.Time
	}{
		{name: "valid", now: when.AddDate(1, 0, 0)},
		{name: "expired", now: when.AddDate(4, 0, 0), err: "expired on 2024-01-01; give a newer key"},
		{name: "expired and pinned", pin: `, "checksum": "` + rpmmd.RepomdChecksum([]byte(n.files["http://one/repodata/repomd.xml"])) + `"`, now: when.AddDate(4, 0, 0)},
	} {
		opt := rpmOptions(t, n)
		opt.Now = func() time.Time { return c.now }
		m, err := manifest.Load("image.json", []byte(`{"stages": [{"name": "org.osbuild.dnf", "options": {"releasever": "9", "basearch": "x86_64", "packages": ["a"],
			"repos": [{"baseurl": "http://one", "repo_gpgcheck": true, "gpgkey": `+string(key)+c.pin+`}]}}]}`), catalog.Builtin())
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(m, opt).Pipeline(t.Context(), "tree")
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.err)
		}
	}
}
