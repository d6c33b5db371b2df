package llb

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// clientSteps returns for each address that a step downloads from the ids of
// the secrets that it has, and whether the step is run in each build.
func clientSteps(t *testing.T, def *llb.Definition) map[string]string {
	t.Helper()
	ops := map[string]*pb.Op{}
	for _, op := range parse(t, def) {
		ops[op.digest.String()] = op.op
	}
	out := map[string]string{}
	for digest, op := range ops {
		e := op.GetExec()
		if e == nil || !isClient(e) {
			continue
		}
		if e.Network != pb.NetMode_UNSET || e.Security != pb.SecurityMode_SANDBOX {
			t.Errorf("network %v, security %v", e.Network, e.Security)
		}
		var what, url string
		for _, in := range op.Inputs {
			if o := clientFetch(ops[in.Digest]); o != nil {
				url = o.URL
			}
		}
		for _, m := range e.Mounts {
			if s := m.SecretOpt; s != nil {
				what += m.Dest + "=" + s.ID
				if s.Optional {
					what += "?"
				}
				what += " "
			}
		}
		out[url] = strings.TrimSpace(what)
		for d, meta := range def.Metadata {
			if d.String() == digest && meta.IgnoreCache {
				out[url] += " always"
			}
		}
	}
	return out
}

// A repository that asks for a certificate is downloaded from by steps.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	const base = "https://cdn.example/9"
	n := newNetwork()
	n.serve(t, base)
	n.secrets = []string{"ca", "me.cert", "me.key"}
	repo := `"baseurl": "` + base + `", "sslcacert": "ca", "sslclientcert": "me.cert", "sslclientkey": "me.key"`
	got := clientSteps(t, define(t, dnfManifest(t, repo, ""), rpmOptions(t, n), "tree"))
	const all = "/run/osbuild/secrets/ca=ca /run/osbuild/secrets/cert=me.cert /run/osbuild/secrets/key=me.key"
	// The metadata are in the cache of the solve step alone.
	want := map[string]string{base + "/Packages/a.rpm": all, base + "/Packages/b.rpm": all}
	for u := range maps.Clone(got) {
		if strings.Contains(u, "/repodata/") {
			if got[u] != all {
				t.Errorf("%s: %s", u, got[u])
			}
			delete(got, u)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, id := range slices.Clone(n.secrets) {
		n.secrets = slices.DeleteFunc([]string{"ca", "me.cert", "me.key"}, func(s string) bool { return s == id })
		_, err := New(dnfManifest(t, repo, ""), rpmOptions(t, n)).Pipeline(t.Context(), "tree")
		option := map[string]string{"ca": "sslcacert", "me.cert": "sslclientcert", "me.key": "sslclientkey"}[id]
		if want := `repository repo0: "` + option + `" names the secret "` + id + `" of the build, which was not given: add --secret id=` + id + `,src=FILE`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// The keys of the steps have addresses and checksums and no secret.
func TestUnpinnedMetadataAreAlwaysRead(t *testing.T) {
	t.Parallel()
	opt := rpmOptions(t, newNetwork())
	at := place{pipeline: dnfManifest(t, `"baseurl": "https://a.example"`, "").Pipelines[0], number: 1}
	at.stage = at.pipeline.Stages[0]
	g := New(&manifest.Manifest{}, opt)
	for sum, always := range map[string]bool{"": true, strings.Repeat("a", 64): false} {
		c := sourceClient("x", false)
		c.at = at
		st, name, err := g.download(t.Context(), download{url: "https://a.example/repomd.xml", name: "0/repomd.xml", sha256: sum, client: c})
		if err != nil || name != "/repomd.xml" {
			t.Fatal(name, err)
		}
		def, err := st.Marshal(t.Context(), llb.Platform(amd64))
		if err != nil {
			t.Fatal(err)
		}
		got := clientSteps(t, def)["https://a.example/repomd.xml"]
		want := "/run/osbuild/secrets/cert=x.cert /run/osbuild/secrets/key=x.key /run/osbuild/secrets/ca=x.ca?"
		if always {
			want += " always"
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Sources of the manifest may need secrets, whatever stage they are for.
func TestSourcesWithSecrets(t *testing.T) {
	t.Parallel()
	sum, sum512 := "sha256:"+strings.Repeat("a", 64), "sha512:"+strings.Repeat("b", 128)
	text := `{"sources": {"org.osbuild.curl": {"urls": {"` + sum + `": {"url": "https://one.example/a.rpm", "secrets": {"name": "org.osbuild.mtls"}},
 "` + sum512 + `": {"url": "https://one.example/b.rpm", "insecure": true}}}},
 "pipeline": {"stages": [{"name": "org.osbuild.rpm", "options": {"packages": ["` + sum + `", "` + sum512 + `"]}}]}}`
	n := newNetwork()
	n.files["https://one.example/a.rpm"], n.files["https://one.example/b.rpm"] = anything, anything
	n.secrets = []string{"org.osbuild.mtls.cert", "org.osbuild.mtls.key"}
	m, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	got := clientSteps(t, define(t, m, rpmOptions(t, n), "tree"))
	want := map[string]string{
		"https://one.example/a.rpm": "/run/osbuild/secrets/cert=org.osbuild.mtls.cert /run/osbuild/secrets/key=org.osbuild.mtls.key /run/osbuild/secrets/ca=org.osbuild.mtls.ca?",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	n.secrets = nil
	_, err = New(m, rpmOptions(t, n)).Pipeline(t.Context(), "tree")
	if err == nil || !strings.Contains(err.Error(), `the source https://one.example/a.rpm: "secrets" names the secret "org.osbuild.mtls.cert" of the build, which was not given: add --secret id=org.osbuild.mtls.cert,src=FILE`) {
		t.Error(err)
	}
}

// TestReports has a step report only where somebody reads what it says: else the
// file would be missing later, without a reason.
func TestReports(t *testing.T) {
	t.Parallel()
	open, sealed := &stepClient{open: true}, &stepClient{checksum: "sha512:00"}
	for _, tt := range []struct {
		d    download
		want bool
	}{
		{download{url: "https://a.example/x", mayMiss: true, client: &stepClient{}}, true},
		{download{url: "http://a.example/x", mayMiss: true, client: open}, true},
		{download{url: "http://a.example/x", mayMiss: true, client: &stepClient{}}, false},
		{download{url: "https://a.example/x", mayMiss: true}, false},
		{download{url: "https://a.example/x", client: open}, false},
		{download{url: "https://a.example/x", mayMiss: true, client: open, sha256: "00"}, false},
		{download{url: "https://a.example/x", mayMiss: true, client: sealed}, false},
	} {
		if got := tt.d.reports(); got != tt.want {
			t.Errorf("%+v: %v", tt.d, got)
		}
	}
}
