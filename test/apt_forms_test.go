//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// debFile returns a Debian package with one file, which no build has fetched yet.
func debFile(t *testing.T, name string) []byte {
	t.Helper()
	archive := func(file, text string) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		w := tar.NewWriter(z)
		err := addFile(w, file, text)
		if err := errors.Join(err, w.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	control := archive("control", debControl(name)+"Description: made up\n")
	return arFile([]arMember{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", control}, {"data.tar.gz", archive("usr/share/"+name, time.Now().String()+"\n")}})
}

func debControl(name string) string {
	return "Package: " + name + "\nVersion: 1:1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nInstalled-Size: 1\n"
}

// aptForm is a repository with one package, which is called as the form.
type aptForm struct {
	name, suite string
	// dir has the release file, and index is the index of packages below it.
	dir, index string
	// file is the path of the package below the repository, as the index has it.
	file string
	// detached has Release and Release.gpg in the place of InRelease.
	detached bool
}

var aptForms = []aptForm{
	{name: "made-suite", suite: "made", dir: "dists/made", index: "main/binary-all/Packages.gz", file: "pool/m.deb"},
	{name: "made-detached", suite: "made", dir: "dists/made", index: "main/binary-amd64/Packages", file: "pool/m.deb", detached: true},
	{name: "made-updates", suite: "made/updates", dir: "dists/made/updates", index: "main/binary-amd64/Packages.gz", file: "pool/m.deb"},
	{name: "made-dot", suite: "./", dir: ".", index: "Packages.gz", file: "./made-dot_1.0_all.deb"},
	{name: "made-slash", suite: "/", dir: ".", index: "Packages", file: "all/made.deb", detached: true},
	{name: "made-binary", suite: "binary/", dir: "binary", index: "Packages.gz", file: "binary/made+plus.deb"},
	{name: "made-deep", suite: "./a/b/", dir: "a/b", index: "Packages", file: "./a/made.deb"},
}

// files lists the files of the repository.
func (f aptForm) files(t *testing.T, key *testkey.Signer) map[string][]byte {
	t.Helper()
	deb := debFile(t, f.name)
	index := []byte(debControl(f.name) + poolFields(f.file, deb) + "Description: made up\n\n")
	sums := ""
	if plain, ok := strings.CutSuffix(f.index, ".gz"); ok {
		// apt wants to know it, though it is not there.
		sums = fmt.Sprintf(" %x %d %s\n", sha256.Sum256(index), len(index), plain)
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, err := z.Write(index)
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		index = out.Bytes()
	}
	release := "Date: " + time.Now().UTC().Format(time.RFC1123) + "\n"
	if strings.Contains(f.index, "/") {
		release = "Codename: made\nSuite: made\nArchitectures: all amd64\nComponents: main\n" + release
	}
	release += fmt.Sprintf("SHA256:\n %x %d %s\n%s", sha256.Sum256(index), len(index), f.index, sums)
	if strings.Contains(f.index, "binary-all") {
		// There is no package of this architecture alone.
		release += fmt.Sprintf(" %x 0 main/binary-amd64/Packages\n", sha256.Sum256(nil))
	}
	out := map[string][]byte{path.Clean(f.file): deb, path.Join(f.dir, f.index): index}
	if strings.Contains(f.index, "binary-all") {
		out[path.Join(f.dir, "main/binary-amd64/Packages")] = nil
	}
	if f.detached {
		out[path.Join(f.dir, "Release")], out[path.Join(f.dir, "Release.gpg")] = []byte(release), []byte(key.Detached(release))
		return out
	}
	out[path.Join(f.dir, "InRelease")] = []byte(key.Clear(release))
	return out
}

// aptServer serves the repositories, and remembers which packages were asked for.
type aptServer struct {
	files map[string][]byte
	// credentials must be sent, if they are not empty.
	credentials string

	mu    sync.Mutex
	asked []string
}

func (s *aptServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[strings.TrimPrefix(path.Clean(r.URL.Path), "/")]
	switch {
	case s.credentials != "" && r.Header.Get("Authorization") != s.credentials:
		w.WriteHeader(http.StatusUnauthorized)
	case !ok:
		http.NotFound(w, r)
	default:
		if strings.HasSuffix(r.URL.Path, ".deb") {
			s.asked = append(s.asked, path.Clean(r.URL.Path))
		}
		http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(data))
	}
}

// taken returns the packages that were asked for since the last time.
func (s *aptServer) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Compact(slices.Sorted(slices.Values(s.asked)))
	s.asked = nil
	return out
}

var printedURI = regexp.MustCompile(`(?m)^'http://[^/]*(/[^']*)'`)

// plainApt asks this machine's apt which packages it would download.
func plainApt(t *testing.T, server, key string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	var names []string
	for i, f := range aptForms {
		components := ""
		if !strings.HasSuffix(f.suite, "/") {
			components = "main"
		}
		fmt.Fprintf(&sources, "deb [arch=amd64 signed-by=%s/key.asc] %s/%d %s %s\n", dir, server, i, f.suite, components)
		names = append(names, f.name)
	}
	for name, text := range map[string]string{
		"key.asc": key, "sources.list": sources.String(), "status": "", "state/lists/partial/.keep": "", "cache/archives/partial/.keep": "",
		"apt.conf": fmt.Sprintf("Dir::State \"%[1]s/state\";\nDir::State::status \"%[1]s/status\";\nDir::Cache \"%[1]s/cache\";\nDir::Etc::sourcelist \"%[1]s/sources.list\";\n"+
			"Dir::Etc::sourceparts \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\nAPT::Sandbox::User \"root\";\nAPT::Architecture \"amd64\";\nAcquire::Languages \"none\";\n", dir),
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	apt := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "apt-get", args...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+dir+"/apt.conf", "LC_ALL=C", "http_proxy=", "no_proxy=127.0.0.1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("apt-get %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	t.Log(apt("update"))
	var out []string
	for _, m := range printedURI.FindAllStringSubmatch(apt(append([]string{"--print-uris", "-y", "install"}, names...)...), -1) {
		name, err := url.PathUnescape(m[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, path.Clean(name))
	}
	slices.Sort(out)
	return out
}

// TestAptForms installs from made-up repositories in all forms that apt accepts,
// what plain apt would: without credentials, and with credentials from a file
// with a line end, which the command line takes off and buildx does not.
func TestAptForms(t *testing.T) {
	need(t, "apt-get")
	key := testkey.NewSigner(t, nil)
	public := key.Keyring()
	s := &aptServer{files: map[string][]byte{}}
	server := httptest.NewServer(s)
	defer server.Close()
	var repos []any
	var names, wanted []string
	for i, f := range aptForms {
		for name, data := range f.files(t, key) {
			s.files[fmt.Sprintf("%d/%s", i, name)] = data
		}
		repos = append(repos, object{"mirror": fmt.Sprintf("%s/%d", server.URL, i), "suite": f.suite, "keyring": public})
		names = append(names, f.name)
		wanted = append(wanted, "usr/share/"+f.name)
	}
	plain := plainApt(t, server.URL, public)
	if len(plain) != len(aptForms) {
		t.Fatalf("plain apt takes %q", plain)
	}
	secret := textFile(t, "credentials", "Basic bWFkZTp1cA==\n")
	for _, auth := range []bool{false, true} {
		t.Run(fmt.Sprint("credentials: ", auth), func(t *testing.T) {
			out := t.TempDir()
			options := object{"packages": names, "repos": repos}
			args := []string{"-o", out, "--target", "tree"}
			if auth {
				s.credentials = "Basic bWFkZTp1cA=="
				options["auth"] = "mirror"
				args = append(args, "--secret", "id=mirror,src="+secret)
			}
			p := build(t, append(args, manifestFile(t, "image.json", object{"stages": []any{bootstrap(), stage("org.osbuildkit.apt", options)}}))...)
			tree := readTree(t, filepath.Join(out, "tree.tar"), nil)
			for _, w := range wanted {
				if _, ok := tree[w]; !ok {
					t.Errorf("/%s is missing", w)
				}
			}
			if diff := cmp.Diff(plain, s.taken()); diff != "" {
				t.Errorf("packages (-apt +ours):\n%s", diff)
			}
			if strings.Contains(p.text()+p.stdout.String(), "bWFkZTp1cA") {
				t.Error("the credentials are shown")
			}
		})
	}
	t.Run("buildx", func(t *testing.T) {
		needFrontend(t)
		file := filepath.Join(t.TempDir(), "tree.tar")
		dir := buildDir(t, syntax(object{"stages": []any{bootstrap(), stage("org.osbuildkit.apt", object{"packages": names, "repos": repos, "auth": "mirror"})}}))
		p := buildxBuild(t, frontend.daemon, "--target", "tree", "--secret", "id=mirror,src="+secret,
			"-o", tarOf(file), "-f", filepath.Join(dir, "image.json"), dir)
		tree := readTree(t, file, nil)
		for _, w := range wanted {
			if _, ok := tree[w]; !ok {
				t.Errorf("/%s is missing", w)
			}
		}
		if strings.Contains(p.text()+p.stdout.String(), "bWFkZTp1cA") {
			t.Error("the credentials are shown")
		}
	})
}
