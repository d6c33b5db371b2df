//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// olderSuite is a release of Debian whose rpm judges keys itself, where that of
// the toolbox has Sequoia do it.
const olderSuite = "bookworm"

// newerKey returns a public key of a kind that no rpm of a build root reads.
func newerKey(t *testing.T) *rpmmd.Keys {
	t.Helper()
	e, err := openpgp.NewEntity("New", "", "new@example.org", &packet.Config{V6Keys: true, Algorithm: packet.PubKeyAlgoMldsa87Ed448})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	keys, err := rpmmd.ReadKeys(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// keyTree serves an archive with a file of the tree, for org.osbuild.copy, and
// returns its checksum and address.
func keyTree(t *testing.T, name string, data []byte) (sum, url string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "top/" + name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive.Bytes()) // the client notices
	}))
	t.Cleanup(server.Close)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(archive.Bytes())), server.URL + "/keys.tar"
}

// TestRPMOldKeys installs packages whose key certifies itself with SHA-1, and
// was renewed after it had signed them, in the forms in which people have keys,
// and beside a post-quantum key: with the toolbox, whose rpm refuses such keys
// by itself. With OSBUILDKIT_KEYS=all also with build roots whose rpm has other
// rules.
func TestRPMOldKeys(t *testing.T) {
	s := needDistribution(t)
	old := publicKey(t, rpmdistro.OldKey)
	keys, err := rpmmd.ParseKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	print := keys.Fingerprints()[0]
	pq := newerKey(t)
	warning := "warning: the build root's rpm does not read keys of version 6 (ML-DSA-87+Ed448), so the system's rpm will not know key " + pq.Fingerprints()[0]
	oneLine := strings.ReplaceAll(strings.TrimSpace(old), "\n", " ")
	repo := repository(t, rpmdistro.Base)
	// The key of another kind stands before the one that has signed.
	repo["gpgkey"] = string(pq.Armor()) + oneLine
	yum := object{"id": "base", "baseurl": s.BaseURL("m2", rpmdistro.Base), "checksum": pin(t, rpmdistro.Base), "gpgkey": print}
	options := object{"releasever": "30", "basearch": "x86_64", "repos": []any{yum}, "packages": []string{"example-data"}, "gpgkeys": []string{"   " + strings.ReplaceAll(old, "\n", "\r\n   ")}}
	from := rpmSources{t: t, server: s, urls: object{}}
	sum := from.add("example-words", "sha256")
	const file = "etc/pki/rpm-gpg/RPM-GPG-KEY-example"
	copied, url := keyTree(t, file, rpmmd.MergeKeys(pq, keys).Packets())
	from.urls[copied] = object{"url": url}
	unpack := stage("org.osbuild.copy", object{"source": object{"type": "archive", "checksum": copied}})
	sources := object{"org.osbuild.files": object{"urls": from.urls}}
	rpm := func(options object) object {
		options["nodeps"], options["dbpath"] = true, "/var/lib/rpm"
		options["packages"] = []any{object{"checksum": sum, "check_gpg": options["gpgkeys"] != nil}}
		return stage("org.osbuild.rpm", options)
	}
	build1 := func(stages ...any) object { return object{"pipeline": object{"stages": stages}, "sources": sources} }
	tests := []struct {
		name     string
		manifest object
		log      string
	}{
		{"dnf", build1(dnf(repo, nil, "example-data")), ""},
		{"yum", build1(stage("org.osbuild.yum", options)), ""},
		{"rpm", build1(unpack, rpm(object{"gpgkeys": []string{old, string(pq.Armor())}})), warning},
		{"rpm, key of the tree", build1(unpack, rpm(object{"gpgkeys.fromtree": []string{"/" + file}})), warning},
	}
	if os.Getenv("OSBUILDKIT_KEYS") == "all" {
		for _, tt := range slices.Clone(tests) {
			tt.name += " of " + olderSuite
			pipeline := object{"stages": tt.manifest["pipeline"].(object)["stages"], "build": object{"runner": "org.osbuild.linux", "pipeline": object{"stages": []any{
				stage("org.osbuildkit.debootstrap", object{"suite": olderSuite}),
				stage("org.osbuildkit.apt", object{"packages": []string{"dnf", "rpm"}}),
			}}}}
			tt.manifest = object{"pipeline": pipeline, "sources": sources}
			tests = append(tests, tt)
		}
		five := tests[0]
		five.name, five.manifest = "dnf of "+dnf5Suite, dnf5Manifest(t, dnf(repo, nil, "example-data"))
		tests = append(tests, five)
	}
	box := toolbox(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			p := build(t, "-o", out, "--target", "tree", "--progress", "plain", manifestFile(t, "image.json", tt.manifest))
			t.Logf("%.1f s", p.took.Seconds())
			if tt.log != "" && !strings.Contains(p.text(), tt.log) {
				t.Errorf("the log has no %q:\n%s", tt.log, p.text())
			}
			dir := fmt.Sprintf("keys-%d", i)
			extract(t, filepath.Join(out, "tree.tar"), filepath.Join(box, "trees", dir))
			database := ""
			for _, name := range []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"} {
				if _, err := os.Stat(filepath.Join(box, "trees", dir, name, "rpmdb.sqlite")); err == nil {
					database = name
				}
			}
			rows := strings.Fields(output(t, "chroot", box, "rpm", "--root", "/trees/"+dir, "--dbpath", database, "-q", "gpg-pubkey", "--qf", "%{VERSION}\n"))
			// rpm 6 has the whole fingerprint, others its end.
			if len(rows) != 1 || !strings.HasSuffix(print, rows[0]) {
				t.Errorf("the system's rpm knows the keys %q, want %s", rows, print)
			}
		})
	}
}
