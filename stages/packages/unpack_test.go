package packages

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

const testEpoch = 1_700_000_000

// entry is one member of a data archive.
type entry struct {
	name, body, link string
	kind             byte
	mode             int64
	when             int64
}

func dir(name string) entry { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func file(name, body string) entry {
	return entry{name: name, body: body, kind: tar.TypeReg, mode: 0o644}
}
func link(name, to string) entry {
	return entry{name: name, link: to, kind: tar.TypeSymlink, mode: 0o777}
}
func hard(name, to string) entry { return entry{name: name, link: to, kind: tar.TypeLink, mode: 0o644} }

func tarOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if e.when == 0 {
			e.when = 1_600_000_000
		}
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.body)), Linkname: e.link, ModTime: time.Unix(e.when, 0)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// testDeb is a package to be made for a test.
type testDeb struct {
	name  string
	extra string // further fields of the control file
	info  []entry
	data  []entry
}

func (d testDeb) bytes(t testing.TB) []byte {
	t.Helper()
	control := "Package: " + d.name + "\nVersion: 1\nArchitecture: amd64\n" + d.extra + "Description: test\n"
	out := []byte("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar", tarOf(t, append([]entry{file("./control", control)}, d.info...))},
		{"data.tar", tarOf(t, d.data)},
	} {
		out = append(out, fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))...)
		out = append(out, m.data...)
		if len(m.data)%2 == 1 {
			out = append(out, '\n')
		}
	}
	return out
}

// writeDebs makes the packages and their list.
func writeDebs(t testing.TB, dir string, debs ...testDeb) *debian.PackageList {
	t.Helper()
	list := &debian.PackageList{}
	for _, d := range debs {
		data := d.bytes(t)
		sum := sha256.Sum256(data)
		p := debian.Package{Name: d.name, Version: "1", Architecture: "amd64", Path: d.name + ".deb", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
		p.File = p.DefaultFile()
		if err := os.WriteFile(filepath.Join(dir, p.File), data, 0o644); err != nil {
			t.Fatal(err)
		}
		list.Packages = append(list.Packages, p)
	}
	list.Sort()
	return list
}

func testOptions() unpackOptions {
	return unpackOptions{epoch: testEpoch, ignoreOwners: true, workers: 3}
}

func unpackTest(t testing.TB, opts unpackOptions, debs ...testDeb) (string, error) {
	t.Helper()
	files, tree := t.TempDir(), t.TempDir()
	list := writeDebs(t, files, debs...)
	return tree, unpack(context.Background(), &module.Input{Tree: tree}, files, list, opts)
}

func read(t testing.TB, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	base := testDeb{name: "base-files", data: []entry{
		{name: "./", kind: tar.TypeDir, mode: 0o755}, link("./bin", "usr/bin"),
		dir("./etc/"), {name: "./tmp/", kind: tar.TypeDir, mode: 0o1777}, dir("./usr/"),
	}}
	tool := testDeb{
		name: "a-tool", extra: "Multi-Arch: same\n",
		info: []entry{file("./conffiles", "/etc/a.conf\nremove-on-upgrade /etc/old.conf\n"), {name: "./postinst", body: "#!/bin/sh\n", kind: tar.TypeReg, mode: 0o755}},
		data: []entry{
			dir("./"), dir("./bin/"), {name: "./bin/a", body: "program", kind: tar.TypeReg, mode: 0o4755, when: testEpoch + 5},
			hard("./bin/b", "./bin/a"), link("./bin/c", "/usr/bin/a"), dir("./etc/"), file("./etc/a.conf", "x=1\n"),
			dir("./usr/share/"), dir("./usr/share/doc/"), file("./usr/share/doc/a", "text"), file("./usr/share/doc/copyright", "free"),
			{name: "./tmp/", kind: tar.TypeDir, mode: 0o755},
		},
	}
	opts := testOptions()
	opts.filter = pathFilter{excludes: []string{"/usr/share/doc/*"}, includes: []string{"/usr/share/doc/copyright"}}
	root, err := unpackTest(t, opts, tool, base)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(filepath.Join(root, "usr/bin/a"))
	if err != nil || st.Mode() != 0o755|os.ModeSetuid || st.ModTime().Unix() != testEpoch {
		t.Errorf("usr/bin/a: %v, %v", st, err)
	}
	other, err := os.Lstat(filepath.Join(root, "usr/bin/b"))
	if err != nil || !os.SameFile(st, other) {
		t.Error("usr/bin/b is no hard link", err)
	}
	if st, err := os.Lstat(filepath.Join(root, "etc/a.conf")); err != nil || st.ModTime().Unix() != 1_600_000_000 {
		t.Errorf("etc/a.conf: %v, %v", st, err)
	}
	if st, err := os.Lstat(filepath.Join(root, "tmp")); err != nil || st.Mode().Perm() != 0o777 || st.Mode()&os.ModeSticky == 0 {
		t.Errorf("the first package does not decide on /tmp: %v, %v", st.Mode(), err)
	}
	if target, err := os.Readlink(filepath.Join(root, "bin")); err != nil || target != "usr/bin" {
		t.Errorf("bin: %q, %v", target, err)
	}
	if _, err := os.Lstat(filepath.Join(root, "usr/share/doc/a")); err == nil {
		t.Error("an excluded file is there")
	}
	if got := read(t, root, "usr/share/doc/copyright"); got != "free" {
		t.Errorf("an included file holds %q", got)
	}
	if got := read(t, root, filterFile); got != "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/copyright\n" {
		t.Errorf("dpkg is told %q", got)
	}
	const dpkg = "var/lib/dpkg"
	wantList := "/.\n/bin\n/bin/a\n/bin/b\n/bin/c\n/etc\n/etc/a.conf\n/usr/share\n/usr/share/doc\n/usr/share/doc/a\n/usr/share/doc/copyright\n/tmp\n"
	if got := read(t, root, dpkg, "info/a-tool:amd64.list"); got != wantList {
		t.Errorf("list: %q", got)
	}
	wantStatus := "Package: a-tool\nStatus: install ok unpacked\nVersion: 1\nArchitecture: amd64\nMulti-Arch: same\n" +
		"Conffiles:\n /etc/a.conf 64d05f44c8cf41be9321f7ccabccc5b3\nDescription: test\n\n" +
		"Package: base-files\nStatus: install ok unpacked\nVersion: 1\nArchitecture: amd64\nDescription: test\n\n"
	if got := read(t, root, dpkg, "status"); !strings.Contains(md5Masked(got), md5Masked(wantStatus)) {
		t.Errorf("status: %q", got)
	}
	if st, err := os.Stat(filepath.Join(root, dpkg, "info/a-tool:amd64.postinst")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("postinst: %v, %v", st, err)
	}
	if read(t, root, dpkg, "info/format") != "1\n" || read(t, root, dpkg, "available") != "" {
		t.Error("format or available are wrong")
	}
}

// md5Masked leaves the text as it is; the checksum in it is computed by hand
// in TestConffileSum.
func md5Masked(s string) string {
	i := strings.Index(s, "/etc/a.conf ")
	if i < 0 {
		return s
	}
	i += len("/etc/a.conf ")
	return s[:i] + s[min(len(s), i+32):]
}

func TestConffileSum(t *testing.T) {
	t.Parallel()
	root, err := unpackTest(t, testOptions(), testDeb{name: "a", info: []entry{file("./conffiles", "/etc/c\n/etc/gone\n")}, data: []entry{dir("./etc/"), file("./etc/c", "")}})
	if err != nil {
		t.Fatal(err)
	}
	// The MD5 checksum of nothing.
	if got := read(t, root, "var/lib/dpkg/status"); !strings.Contains(got, "\n /etc/c d41d8cd98f00b204e9800998ecf8427e\n /etc/gone newconffile\n") {
		t.Errorf("got %s", got)
	}
}

func TestUnpackHostile(t *testing.T) {
	t.Parallel()
	one := func(entries ...entry) []testDeb { return []testDeb{{name: "a", data: entries}} }
	tests := []struct {
		name string
		debs []testDeb
		want string
	}{
		{"name out of the tree", one(file("../evil", "")), `not a relative name without ".."`},
		{"name out in the middle", one(file("./usr/../../evil", "")), `not a relative name`},
		{"absolute name", one(file("/evil", "")), `not a relative name`},
		{"name with a newline", one(file("./a\nb", "")), "not a valid name"},
		{"doubled slash", one(file("./usr//x", "")), "not a relative name"},
		{"device", one(entry{name: "./dev/sda", kind: tar.TypeBlock}), "files, directories and links only"},
		{"fifo", one(entry{name: "./pipe", kind: tar.TypeFifo}), "files, directories and links only"},
		{"hard link to a file of nobody", one(hard("./x", "./etc/passwd")), "no file of this package"},
		{"hard link out", one(hard("./x", "../../../etc/passwd")), "not a relative name"},
		{"hard link to another's file", []testDeb{{name: "a", data: []entry{file("./x", "")}}, {name: "b", data: []entry{hard("./y", "./x")}}}, "no file of this package"},
		{"hard link to a link", one(link("./l", "/etc/passwd"), hard("./x", "./l")), "no regular file"},
		{"the same file twice", one(file("./x", ""), file("./x", "")), "holds this file twice"},
		{"file in the place of a directory", one(dir("./d/"), file("./d", "")), "there is a directory of this name"},
		{"link in the place of a directory", one(dir("./d/"), link("./d", "/etc")), "there is a directory of this name"},
		{"directory in the place of a file", one(file("./d", ""), dir("./d/")), "there is a file of this name"},
		{"directory in the place of a dangling link", one(link("./d", "nowhere"), dir("./d/")), "leads to no directory"},
		{"two packages, one file", []testDeb{{name: "a", data: []entry{file("./x", "1")}}, {name: "b", data: []entry{file("./x", "2")}}}, "package b 1: \"./x\": package a holds this file too"},
		{"merged link is turned round", one(link("./bin", "/tmp")), "belongs to no package"},
		{"database is written to", one(dir("./var/"), dir("./var/lib/"), dir("./var/lib/dpkg/"), link("./var/lib/dpkg/info", "nowhere")), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := unpackTest(t, testOptions(), tt.debs...)
			if tt.want == "" {
				return // it must not get out, whatever it does: see below
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Links that lead out of the tree are unpacked, but never followed out.
func TestUnpackLinksOut(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	for _, target := range []string{outside, "../../../../../../../.." + outside} {
		root, err := unpackTest(t, testOptions(),
			testDeb{name: "a", data: []entry{link("./out", target), link("./var", target)}},
			testDeb{name: "b", data: []entry{file("./out/evil", "x")}})
		entries, readErr := os.ReadDir(outside)
		if readErr != nil || len(entries) > 0 {
			t.Fatalf("%s: something was written outside: %v, %v", target, entries, readErr)
		}
		if err != nil {
			continue
		}
		if got := read(t, root, outside, "evil"); got != "x" {
			t.Errorf("%s: the file is not where the link leads inside the tree", target)
		}
	}
}

func TestUnpackReplaces(t *testing.T) {
	t.Parallel()
	for _, debs := range [][]testDeb{
		{{name: "a", data: []entry{file("./x", "old")}}, {name: "b", extra: "Replaces: a (<< 2)\n", data: []entry{file("./x", "new")}}},
		{{name: "b", data: []entry{file("./x", "old")}}, {name: "a", extra: "Replaces: b\n", data: []entry{file("./x", "new")}}},
	} {
		root, err := unpackTest(t, testOptions(), debs...)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, root, "x"); got != "new" {
			t.Errorf("got %q", got)
		}
		old, replacing := debs[0].name, debs[1].name
		if got := read(t, root, "var/lib/dpkg/info", old+".list"); got != "/.\n" {
			t.Errorf("the replaced file is still listed: %q", got)
		}
		if got := read(t, root, "var/lib/dpkg/info", replacing+".list"); got != "/.\n/x\n" {
			t.Errorf("got %q", got)
		}
	}
}

func TestUnpackErrors(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	list := writeDebs(t, files, testDeb{name: "a", data: []entry{file("./x", "y")}})
	try := func(tree string, change func(p *debian.Package)) error {
		l := &debian.PackageList{Packages: []debian.Package{list.Packages[0]}}
		change(&l.Packages[0])
		return unpack(context.Background(), &module.Input{Tree: tree}, files, l, testOptions())
	}
	full := t.TempDir()
	if err := os.Mkdir(filepath.Join(full, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		tree   string
		change func(p *debian.Package)
		want   string
	}{
		{"checksum", t.TempDir(), func(p *debian.Package) { p.SHA256 = strings.Repeat("0", 64) }, "is not the one in the list"},
		{"other package", t.TempDir(), func(p *debian.Package) { p.Name = "b" }, "the file holds a 1 for amd64"},
		{"missing file", t.TempDir(), func(p *debian.Package) { p.File = "none.deb" }, "no such file"},
		{"larger than listed", t.TempDir(), func(p *debian.Package) { p.Size -= 600 }, "package a 1"},
		{"tree not empty", full, func(*debian.Package) {}, "the tree is not empty"},
	}
	for _, tt := range tests {
		if err := try(tt.tree, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := unpack(ctx, &module.Input{Tree: t.TempDir()}, files, list, testOptions()); err == nil {
		t.Error("a cancelled run succeeds")
	}
}

// However many packages are decompressed at a time, the tree is the same.
func TestUnpackDeterministic(t *testing.T) {
	t.Parallel()
	var debs []testDeb
	for i := range 30 {
		name := fmt.Sprintf("p%02d", i)
		debs = append(debs, testDeb{name: name, data: []entry{
			dir("./usr/"), {name: "./usr/share/", kind: tar.TypeDir, mode: 0o700 + int64(i), when: 1_600_000_000 + int64(i)},
			file("./usr/share/"+name, strings.Repeat(name, 10_000*(i%4))),
		}})
	}
	var want map[string]string
	for _, workers := range []int{1, 2, 8, 0} {
		opts := testOptions()
		opts.workers = workers
		root, err := unpackTest(t, opts, debs...)
		if err != nil {
			t.Fatal(err)
		}
		got := snapshot(t, root)
		// Directories that belong to no package have the time of the run.
		for name := range got {
			if strings.HasPrefix(name, "/var") || name == "" || name == "/lib" {
				delete(got, name)
			}
		}
		for name, s := range got {
			if want != nil && want[name] != s && !strings.HasPrefix(s, "d") {
				t.Errorf("%d workers: %s is %s, not %s", workers, name, s, want[name])
			}
		}
		if want == nil {
			want = got
		}
		if len(got) != len(want) || got["/usr/share"] != want["/usr/share"] {
			t.Errorf("%d workers: %s, not %s", workers, got["/usr/share"], want["/usr/share"])
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	f := pathFilter{
		excludes: []string{"/usr/share/doc/*", "/usr/share/locale/*", "/opt/[!a]?.txt"},
		includes: []string{"/usr/share/doc/*/copyright", "/usr/share/locale/de*"},
	}
	tests := []struct {
		name string
		kind byte
		want bool
	}{
		{"/usr/share/doc/a/changelog.gz", tar.TypeReg, true},
		{"/usr/share/doc/a/copyright", tar.TypeReg, false},
		{"/usr/share/doc/a", tar.TypeDir, false},
		{"/usr/share/doc/a", tar.TypeSymlink, false},
		{"/usr/share/doc", tar.TypeDir, false},
		{"/usr/share/locale/fr/x", tar.TypeReg, true},
		{"/usr/share/locale/fr", tar.TypeDir, true},
		{"/usr/share/locale/de/x", tar.TypeReg, false},
		{"/opt/bc.txt", tar.TypeReg, true},
		{"/opt/ac.txt", tar.TypeReg, false},
		{"/opt/b/.txt", tar.TypeReg, true},
		{"/bin/sh", tar.TypeReg, false},
	}
	for _, tt := range tests {
		if got := f.skips(tt.name, tt.kind); got != tt.want {
			t.Errorf("%s (%c): %v, want %v", tt.name, tt.kind, got, tt.want)
		}
	}
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"", "", true}, {"", "a", false}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false},
		{`\*`, "*", true}, {`\*`, "a", false}, {"[", "[", true}, {"a[bc]d", "acd", true}, {"[]a]x", "]x", true}, {"[^a]", "b", true},
		{strings.Repeat("*a", 50), strings.Repeat("a", 49), false},
	} {
		if got := matchGlob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func FuzzUnpackDeb(f *testing.F) {
	f.Add(testDeb{name: "a", info: []entry{file("./conffiles", "/x\n")}, data: []entry{dir("./"), file("./x", "y"), hard("./z", "./x"), link("./l", "/etc")}}.bytes(f))
	f.Add(testDeb{name: "a", data: []entry{link("./l", "../../.."), file("./l/x", "y")}}.bytes(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		files, tree := filepath.Join(top, "debs"), filepath.Join(top, "tree")
		for _, d := range []string{files, tree} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		sum := sha256.Sum256(data)
		p := debian.Package{Name: "a", Version: "1", Architecture: "amd64", Path: "a.deb", File: "a.deb", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
		if err := os.WriteFile(filepath.Join(files, p.File), data, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = unpack(context.Background(), &module.Input{Tree: tree}, files, &debian.PackageList{Packages: []debian.Package{p}}, testOptions())
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Fatalf("something was written beside the tree: %v, %v", entries, err)
		}
	})
}
