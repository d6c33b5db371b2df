//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
)

// entry is one entry of a tree's archive.
type entry struct {
	*tar.Header
	// SHA256 is the checksum of a regular file's content in hex.
	SHA256 string
	// Data is the content of a small regular file.
	Data []byte
}

// keepData is the size in bytes up to which the content of a file is kept.
const keepData = 8 << 20

// maxTreeFile bounds a file of a tree.
const maxTreeFile = 1 << 30

// readTree reads the archive of a tree; names are relative and clean. The
// function visit, if there is one, sees the content of each file.
func readTree(t testing.TB, file string, visit func(name string, data []byte)) map[string]entry {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree := map[string]entry{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tree
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		e := entry{Header: h}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag == tar.TypeReg {
			if h.Size > maxTreeFile {
				t.Fatalf("%s has %d bytes", name, h.Size)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, name, err)
			}
			sum := sha256.Sum256(data)
			e.SHA256 = hex.EncodeToString(sum[:])
			if len(data) <= keepData && (strings.HasPrefix(name, "etc/") || strings.HasPrefix(name, "var/lib/")) {
				e.Data = data
			}
			if visit != nil {
				visit(name, data)
			}
		}
		if _, ok := tree[name]; ok {
			t.Errorf("%s stands in the archive twice", name)
		}
		tree[name] = e
	}
}

// describe writes down all of an entry that has to be the same in two builds.
// The tree gives the content behind a hard link.
func describe(tree map[string]entry, name string, times bool) string {
	e := tree[name]
	sum := e.SHA256
	if e.Typeflag == tar.TypeLink {
		sum = "as " + strings.TrimPrefix(path.Clean("/"+e.Linkname), "/")
	}
	s := fmt.Sprintf("type %c mode %05o owner %d:%d size %d link %q device %d,%d %s", e.Typeflag, e.Mode&0o7777, e.Uid, e.Gid, e.Size, e.Linkname, e.Devmajor, e.Devminor, sum)
	for _, k := range slices.Sorted(maps.Keys(e.PAXRecords)) {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			s += fmt.Sprintf(" %s=%x", k, e.PAXRecords[k])
		}
	}
	if times {
		s += " " + e.ModTime.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// differences lists what differs between two trees, by name.
func differences(a, b map[string]entry, times bool) []string {
	var out []string
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		_, inA := a[n]
		_, inB := b[n]
		switch {
		case !inA:
			out = append(out, n+": only in the second: "+describe(b, n, times))
		case !inB:
			out = append(out, n+": only in the first: "+describe(a, n, times))
		default:
			if x, y := describe(a, n, times), describe(b, n, times); x != y {
				out = append(out, n+":\n  "+x+"\n  "+y)
			}
		}
	}
	return out
}

// privateKey is a whole private key, and not the text that programs which
// handle keys hold.
var privateKey = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----\r?\n[A-Za-z0-9+/=:,. -]{16,}`)

// TestDemoTree looks at the tree of the example for what must not be in it.
func TestDemoTree(t *testing.T) {
	need(t)
	needDemo(t)
	file, _ := demo(t)
	p := build(t, "-o", treeOutput(), "--target", "tree", file)
	if ran := p.ran(); len(ran) > 0 {
		t.Errorf("the tree is in the cache, and these ran: %q", ran)
	}
	t.Logf("tree.tar written in %.1f s", p.took.Seconds())
	secrets := []string{"buildkitsandbox", strings.TrimPrefix(shared.mirror.URL(), "http://")}
	if host, err := os.Hostname(); err == nil && len(host) >= 8 {
		secrets = append(secrets, host)
	}
	tree := readTree(t, filepath.Join(treeOutput(), "tree.tar"), func(name string, data []byte) {
		for _, s := range secrets {
			if bytes.Contains(data, []byte(s)) {
				t.Errorf("/%s holds %q", name, s)
			}
		}
		if m := privateKey.Find(data); m != nil {
			t.Errorf("/%s holds a private key: %.60q", name, m)
		}
	})
	list := packageList(t, demoOutput())
	epoch := list.Repositories[0].Date
	for _, r := range list.Repositories {
		if r.Date.After(epoch) {
			epoch = r.Date
		}
	}
	for name, e := range tree {
		if e.ModTime.After(epoch) {
			t.Errorf("/%s is of %s, newer than the epoch %s", name, e.ModTime.UTC().Format(time.RFC3339), epoch.Format(time.RFC3339))
		}
		if strings.HasPrefix(e.Linkname, "/run/osbuild") || strings.HasPrefix(e.Linkname, "run/osbuild") {
			t.Errorf("/%s is a link to %s", name, e.Linkname)
		}
		if ok, _ := path.Match("etc/ssh/ssh_host_*", name); ok {
			t.Errorf("/%s must be made by the machine that boots", name)
		}
	}
	for name, mode := range map[string]int64{"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777, "root": 0o700} {
		if e, ok := tree[name]; !ok || e.Typeflag != tar.TypeDir || e.Mode&0o7777 != mode || e.Uid != 0 || e.Gid != 0 {
			t.Errorf("/%s is %s, want a directory of root with mode %04o", name, describe(tree, name, false), mode)
		}
	}
	for name := range tree {
		for _, empty := range []string{"proc/", "sys/", "dev/", "run/", "tmp/", "var/cache/apt/archives/partial/"} {
			if strings.HasPrefix(name, empty) {
				t.Errorf("/%s is left", name)
			}
		}
	}
	if e, ok := tree["etc/machine-id"]; !ok || e.Size != 0 {
		t.Errorf("/etc/machine-id is %s, want an empty file", describe(tree, "etc/machine-id", false))
	}
	if e := tree["etc/hostname"]; string(e.Data) != "debian-nginx\n" {
		t.Errorf("/etc/hostname holds %q", e.Data)
	}
	if e := tree["etc/hosts"]; !strings.HasPrefix(string(e.Data), "127.0.0.1\tlocalhost\n127.0.1.1\tdebian-nginx\n") {
		t.Errorf("/etc/hosts holds %q", e.Data)
	}
	if got := describe(tree, "etc/resolv.conf", false); !strings.Contains(got, "run/systemd/resolve/stub-resolv.conf") {
		t.Errorf("/etc/resolv.conf is %s, want the link of systemd-resolved", got)
	}
	checkStatus(t, tree, list)
	checkSources(t, tree)
}

// treeOutput is the directory of the demo's tree.
func treeOutput() string { return filepath.Join(shared.store, "demo-tree") }

// checkStatus compares dpkg's database with the list of packages.
func checkStatus(t *testing.T, tree map[string]entry, list *debian.PackageList) {
	t.Helper()
	stanzas, err := debian.ParseControl(tree["var/lib/dpkg/status"].Data)
	if err != nil {
		t.Fatal(err)
	}
	installed := map[string]string{}
	for _, s := range stanzas {
		if got := s.Get("Status"); got != "install ok installed" {
			t.Errorf("package %s: status %q", s.Get("Package"), got)
		}
		installed[s.Get("Package")] = s.Get("Version")
	}
	listed := map[string]string{}
	for _, p := range list.Packages {
		listed[p.Name] = p.Version
	}
	if !maps.Equal(installed, listed) {
		t.Errorf("dpkg knows %d packages, packages.json names %d, and they are not the same", len(installed), len(listed))
	}
}

var liveSource = regexp.MustCompile(`^https?://[a-z]+\.debian\.org/debian(-security)?/?$`)

// checkSources sees to it that the tree's sources are the archive's.
func checkSources(t *testing.T, tree map[string]entry) {
	t.Helper()
	found := 0
	for name, e := range tree {
		if name != "etc/apt/sources.list" && !strings.HasPrefix(name, "etc/apt/sources.list.d/") || e.Typeflag != tar.TypeReg {
			continue
		}
		for _, u := range regexp.MustCompile(`https?://\S+`).FindAllString(string(e.Data), -1) {
			if found++; !liveSource.MatchString(u) {
				t.Errorf("/%s has the source %s", name, u)
			}
		}
	}
	if found == 0 {
		t.Error("the tree has no package sources")
	}
}

// TestReproducible builds the demo's tree and image again, with no step from
// the cache.
func TestReproducible(t *testing.T) {
	need(t)
	image := needDemo(t)
	file, _ := demo(t)
	dir := t.TempDir()
	p := build(t, "-o", dir, "--no-cache=tree,assembler", file)
	if ran := p.ran(); len(ran) < 12 {
		t.Errorf("only these ran: %q", ran)
	}
	t.Logf("built again in %.1f s", p.took.Seconds())
	if sha256File(t, filepath.Join(dir, demoImage)) == sha256File(t, image) {
		return
	}
	t.Error("the two images are not the same")
	first := filepath.Join(treeOutput(), "tree.tar")
	if _, err := os.Stat(first); err != nil {
		t.Fatalf("there is no tree of the first build to compare with: %v", err)
	}
	build(t, "-o", dir, "--target", "tree", file)
	diff := differences(readTree(t, first, nil), readTree(t, filepath.Join(dir, "tree.tar"), nil), true)
	if len(diff) == 0 {
		t.Error("the trees are the same: the assembler makes the difference")
		return
	}
	t.Errorf("%d differences between the trees:\n%s", len(diff), strings.Join(diff[:min(20, len(diff))], "\n"))
}
