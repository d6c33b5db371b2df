//go:build e2e

package test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/testca"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// certificates are an authority, the files of a client that it knows, and the
// distribution behind a server that asks for the client's certificate.
type certificates struct {
	url  string
	dir  string
	pair testca.Pair
}

// serveWithCertificates serves on loopback, so that the steps that download must have
// this machine's network.
func serveWithCertificates(t *testing.T, s *RPMServer) *certificates {
	t.Helper()
	a, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	if server.TLS, err = a.Server(); err != nil {
		t.Fatal(err)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	c := &certificates{url: server.URL, dir: t.TempDir()}
	if c.pair, err = a.Client(); err != nil {
		t.Fatal(err)
	}
	other, err := testca.New()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := other.Client()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"ca": a.Certificate, "cert": c.pair.Certificate, "key": c.pair.Key, "other-cert": stranger.Certificate, "other-key": stranger.Key,
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// secret are the arguments that give a file under an id.
func (c *certificates) secret(id, file string) []string {
	return []string{"--secret", "id=" + id + ",src=" + filepath.Join(c.dir, file)}
}

// repository asks for the client's certificate.
func (c *certificates) repository(t *testing.T) object {
	t.Helper()
	return object{
		"baseurl": c.url + "/m1/" + rpmdistro.Base, "gpgkey": publicKey(t, rpmdistro.PublicKey),
		"sslcacert": "authority", "sslclientcert": "client", "sslclientkey": "/etc/pki/client.key",
	}
}

// TestRPMCertificates installs from a repository that asks for a client's
// certificate: it comes from secrets of the build, and is neither in the tree nor
// in what is shown. The steps that download are in the cache, so that the
// second build needs no certificate but for what may have changed.
func TestRPMCertificates(t *testing.T) {
	s := needDistribution(t)
	c := serveWithCertificates(t, s)
	secrets := append(append(c.secret("authority", "ca"), c.secret("client", "cert")...), c.secret("/etc/pki/client.key", "key")...)
	repo := c.repository(t)
	install := func(change object, args ...string) (*process, string) {
		t.Helper()
		for k, v := range change {
			repo[k] = v
		}
		dir := filepath.Join(t.TempDir(), "out")
		file := manifestFile(t, "image.json", object{"stages": []any{dnf(repo, nil, "example-words")}})
		return startBuild(t, append(append([]string{"--allow", "network.host", "-o", dir, "--target", "tree"}, args...), file)...).wait(), dir
	}
	p, dir := install(nil, secrets...)
	if p.code() != 0 {
		t.Fatalf("exit code %d\n%s", p.code(), p.text())
	}
	leaks := 0
	key := bytes.Split(c.pair.Key, []byte("\n"))[1]
	tree := readTree(t, filepath.Join(dir, "tree.tar"), func(_ string, data []byte) {
		if bytes.Contains(data, key) {
			leaks++
		}
	})
	if _, ok := tree["usr/share/example-words/words"]; !ok {
		t.Error("the package is not installed")
	}
	if text := p.text() + p.stdout.String(); leaks > 0 || strings.Contains(text, string(key)) {
		t.Errorf("the key is in %d files, or in what is shown", leaks)
	}
	// Pinned, nothing has to be asked for again.
	before := downloads(s)
	if p, _ := install(object{"checksum": pin(t, rpmdistro.Base)}, secrets...); p.code() != 0 || downloads(s) != before {
		t.Errorf("the second time: exit code %d, %d packages are fetched\n%s", p.code(), downloads(s)-before, p.text())
	}
	if p, _ := install(nil); p.code() != 0 {
		t.Errorf("with all in the cache: exit code %d\n%s", p.code(), p.text())
	}
}

// TestRPMCertificateErrors checks what is said where certificates are missing or
// are not the right ones.
func TestRPMCertificateErrors(t *testing.T) {
	s := needDistribution(t)
	c := serveWithCertificates(t, s)
	ca, cert, key := c.secret("authority", "ca"), c.secret("client", "cert"), c.secret("/etc/pki/client.key", "key")
	tests := []struct {
		name    string
		secrets [][]string
		change  object
		want    string
	}{
		{name: "no secret", want: atStage + "org.osbuild.dnf: repository repo0: \"sslcacert\" names the secret \"authority\" of the build, which was not given: add --secret id=authority,src=FILE with a file in PEM form\n" + marked},
		{name: "no key", secrets: [][]string{ca, cert}, want: atStage + "org.osbuild.dnf: repository repo0: \"sslclientkey\" names the secret \"/etc/pki/client.key\" of the build, which was not given: add --secret id=/etc/pki/client.key,src=FILE with a file in PEM form\n" + marked},
		{name: "a stranger", secrets: [][]string{ca, c.secret("client", "other-cert"), c.secret("/etc/pki/client.key", "other-key")}, want: "FILE:3:5: org.osbuild.dnf: repository repo0: SERVER/m1/base: the download failed: …unknown ca…\n" + marked},
		{name: "the authority is not known", secrets: [][]string{cert, key}, change: object{"sslcacert": nil}, want: "FILE:3:5: org.osbuild.dnf: repository repo0: SERVER/m1/base: the download failed: …no authority that the build root trusts vouches for the server…\n" + marked},
		{name: "no such repository", secrets: [][]string{ca, cert, key}, change: object{"baseurl": c.url + "/m1/none"}, want: "FILE:3:5: org.osbuild.dnf: repository repo0: SERVER/m1/none: the server does not send the file: the server answers 404 Not Found\n" + marked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := c.repository(t)
			for k, v := range tt.change {
				if repo[k] = v; v == nil {
					delete(repo, k)
				}
			}
			file := manifestFile(t, "image.json", object{"stages": []any{dnf(repo, nil, "example-words")}})
			dir := filepath.Join(t.TempDir(), "out")
			args := []string{"--allow", "network.host", "-o", dir, "--target", "tree"}
			for _, secret := range tt.secrets {
				args = append(args, secret...)
			}
			p := startBuild(t, append(args, file)...).wait()
			got := strings.NewReplacer(file, "FILE", c.url, "SERVER").Replace(p.text())
			if p.code() != 1 || !matchText(tt.want, got) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), got, tt.want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left in the output directory: %q", left)
			}
		})
	}
}

// TestRPMFilesCertificates installs a package file, a source of the manifest,
// that needs a client's certificate.
func TestRPMFilesCertificates(t *testing.T) {
	s := needDistribution(t)
	c := serveWithCertificates(t, s)
	from := rpmSources{t: t, server: s, urls: object{}}
	sums := []string{from.add("example-words", "sha256"), from.add(rpmdistro.Plain(0), "sha512")}
	for sum, u := range from.urls {
		_, rest, _ := strings.Cut(strings.TrimPrefix(u.(string), "http://"), "/")
		from.urls[sum] = object{"url": c.url + "/" + rest, "secrets": object{"name": "org.osbuild.mtls"}}
	}
	file := manifestFile(t, "image.json", firstFormat(object{"org.osbuild.curl": object{"urls": from.urls}},
		stage("org.osbuild.rpm", object{"packages": sums, "nodeps": true})))
	args := []string{"-o", t.TempDir(), "--target", "tree", "--allow", "network.host"}
	p := startBuild(t, append(args, file)...).wait()
	if want := "…names the secret \"org.osbuild.mtls.cert\" of the build, which was not given: add --secret id=org.osbuild.mtls.cert,src=FILE with a file in PEM form\n…"; p.code() != 1 || !matchText(want, p.text()) {
		t.Errorf("without secrets: exit code %d\n%s", p.code(), p.text())
	}
	for _, name := range []string{"ca", "cert", "key"} {
		args = append(args, c.secret("org.osbuild.mtls."+name, name)...)
	}
	build(t, append(args, file)...)
	tree := readTree(t, filepath.Join(args[1], "tree.tar"), nil)
	for _, name := range []string{"usr/share/example-words/words", "usr/share/example/" + rpmdistro.Plain(0)} {
		if _, ok := tree[name]; !ok {
			t.Errorf("/%s is missing", name)
		}
	}
}
