package stages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// copyArchive is an archive with a bit of everything.
var copyArchive = tarOf(
	tar.Header{Name: "pkg-1.0/", Typeflag: tar.TypeDir, Mode: 0o700},
	tar.Header{Name: "pkg-1.0/etc/", Typeflag: tar.TypeDir, Mode: 0o750},
	tar.Header{Name: "pkg-1.0/etc/app.conf", Typeflag: tar.TypeReg, Mode: 0o640, PAXRecords: map[string]string{"test.data": "conf"}},
	tar.Header{Name: "pkg-1.0/./bin/app", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: map[string]string{"test.data": "app"}},
	tar.Header{Name: "pkg-1.0/bin/alias", Typeflag: tar.TypeLink, Linkname: "pkg-1.0/bin/app"},
	tar.Header{Name: "pkg-1.0/lib/again", Typeflag: tar.TypeLink, Linkname: "pkg-1.0/bin/app"},
	tar.Header{Name: "pkg-1.0/lib/third", Typeflag: tar.TypeLink, Linkname: "pkg-1.0/bin/alias"},
	tar.Header{Name: "pkg-1.0/current", Typeflag: tar.TypeSymlink, Linkname: "/etc/app.conf"},
	tar.Header{Name: "pkg-1.0/pipe", Typeflag: tar.TypeFifo, Mode: 0o600},
)

// tarOf writes an archive; the record "test.data" is the content of a file.
func tarOf(headers ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		data := h.PAXRecords["test.data"]
		h.PAXRecords, h.Size, h.Uid, h.Gid = nil, int64(len(data)), os.Geteuid(), os.Getegid()
		if h.ModTime.IsZero() {
			h.ModTime = treetest.OldTime
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func sha256Of(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// copyInput writes an archive as the input of the stage.
func copyInput(t *testing.T, data []byte) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0123"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"source": dir}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	file, link, dir := treetest.File, treetest.Link, treetest.Dir
	source := `"source": {"type": "archive", "checksum": "` + sha256Of(copyArchive) + `"}`
	app, conf := file("app").Perm(0o755|os.ModeSetuid), file("conf").Perm(0o640)
	all := treetest.Tree{
		"etc": dir(0o750), "etc/app.conf": conf, "bin/app": app, "bin/alias": app, "lib/again": app, "lib/third": app,
		"current": link("/etc/app.conf"), "pipe": treetest.Fifo().Perm(0o600),
	}
	var below treetest.Tree = treetest.Tree{}
	for name, n := range all {
		below["opt/app/"+name] = n
	}
	runCases(t, "org.osbuild.copy", withInputs(copyInput(t, copyArchive), []treeCase{
		{name: "all of it", before: treetest.Tree{"srv/x": file("x")}, options: `{` + source + `}`, after: all},
		{name: "an empty entry is all of it", options: `{` + source + `, "paths": [{}]}`, after: all},
		{name: "to a directory that is not there", options: `{` + source + `, "paths": [{"to": "/opt/app"}]}`, after: below},
		{name: "a file, under its name", before: treetest.Tree{"usr/bin": dir(0o755)}, options: `{` + source + `, "paths": [{"from": "/bin/app", "to": "/usr/bin"}]}`,
			after: treetest.Tree{"usr/bin/app": app}},
		{name: "a file, under another name", before: treetest.Tree{"usr/bin/old": file("old")}, options: `{` + source + `, "paths": [{"from": "/bin/app", "to": "/usr/bin/old"}]}`,
			after: treetest.Tree{"usr/bin/old": app}},
		{name: "a directory", before: treetest.Tree{"srv": dir(0o700)}, options: `{` + source + `, "paths": [{"from": "/etc", "to": "/srv"}]}`,
			after: treetest.Tree{"srv/etc": dir(0o750), "srv/etc/app.conf": conf}},
		{name: "what is in a directory", before: treetest.Tree{"srv": dir(0o700)}, options: `{` + source + `, "paths": [{"from": "/etc/", "to": "/srv"}]}`,
			after: treetest.Tree{"srv/app.conf": conf}},
		{name: "two, and the content of a hard link outside", options: `{` + source + `, "paths": [{"from": "/lib/", "to": "/a/"}, {"from": "/etc/app.conf", "to": "/b/c"}]}`,
			after: treetest.Tree{"a/again": app, "a/third": app, "b/c": conf}},
		{name: "nothing taken off", options: `{"source": {"type": "archive", "checksum": "` + sha256Of(copyArchive) + `", "strip-components": 0}, "paths": [{"from": "/pkg-1.0/etc/", "to": "/x"}]}`,
			after: treetest.Tree{"x/app.conf": conf}},
		{name: "through a link to a directory, and over a link to a file", before: treetest.Tree{
			"etc": link("usr/etc"), "usr/etc/app.conf": link("../../srv/kept"), "srv/kept": file("kept"), "usr/etc/other": file("o"), "bin": link("usr/bin"), "usr/bin": dir(0o755),
		}, options: `{` + source + `}`, after: treetest.Tree{
			"usr/etc": dir(0o750), "usr/etc/app.conf": conf, "usr/bin/app": app, "usr/bin/alias": app, "lib/again": app, "lib/third": app,
			"current": link("/etc/app.conf"), "pipe": treetest.Fifo().Perm(0o600),
		}},
		{name: "what is not there", before: treetest.Tree{"x": file("x")}, options: `{` + source + `, "paths": [{}, {"from": "/usr"}]}`, err: "paths: 1: the archive holds no /usr"},
		{name: "what is in a file", before: treetest.Tree{"x": file("x")}, options: `{` + source + `, "paths": [{"from": "/bin/app/"}]}`, err: "is not a directory, although"},
		{name: "into a file", before: treetest.Tree{"x": file("x")}, options: `{` + source + `, "paths": [{"from": "/etc/", "to": "/x"}]}`, err: "is not a directory"},
		{name: "another file", before: treetest.Tree{"x": file("x")}, options: `{"source": {"type": "archive", "checksum": "sha256:` + strings.Repeat("0", 64) + `"}}`,
			err: "the file is not the one that the manifest names"},
	}))
}

func TestCopyTimesAndLinks(t *testing.T) {
	t.Parallel()
	late := time.Unix(testEpoch+5, 0)
	data := tarOf(
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "d/old", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "d/again", Typeflag: tar.TypeLink, Linkname: "d/old"},
		tar.Header{Name: "d/late", Typeflag: tar.TypeReg, Mode: 0o644, ModTime: late},
		tar.Header{Name: "d/link", Typeflag: tar.TypeSymlink, Linkname: "old", ModTime: late},
	)
	dir := t.TempDir()
	if _, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sha256Of(data)+`", "strip-components": 0}}`); err != nil {
		t.Fatal(err)
	}
	after := treetest.Read(t, dir)
	for name, want := range map[string]int64{"d": treetest.OldTime.Unix(), "d/old": treetest.OldTime.Unix(), "d/late": testEpoch, "d/link": testEpoch} {
		if got := after[name].ModTime.Unix(); got != want {
			t.Errorf("%s has the time %d, want %d", name, got, want)
		}
	}
	a, err := os.Stat(filepath.Join(dir, "d/old"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(filepath.Join(dir, "d/again")); err != nil || !os.SameFile(a, b) {
		t.Errorf("two names are two files: %v", err)
	}
}

func TestCopyCompressed(t *testing.T) {
	t.Parallel()
	plain := tarOf(tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{"test.data": "x"}})
	var gz, zs bytes.Buffer
	w := gzip.NewWriter(&gz)
	z, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.WriteCloser{w, z} {
		if _, err := c.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range [][]byte{plain, gz.Bytes(), zs.Bytes()} {
		dir := t.TempDir()
		sum := fmt.Sprintf("sha512:%x", sha512.Sum512(data))
		if _, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sum+`"}}`); err != nil {
			t.Error(err)
		}
		if diff := treetest.Diff(treetest.Tree{"b": treetest.File("x")}, treetest.Read(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestCopyHostileArchives wants archives that mean harm to change nothing.
func TestCopyHostileArchives(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	cut := copyArchive[:len(copyArchive)/2+700]
	for what, data := range map[string][]byte{
		"up":               tarOf(tar.Header{Name: "a/../../etc/passwd", Typeflag: tar.TypeReg}),
		"a link as parent": tarOf(tar.Header{Name: "a/l", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "a/l/x", Typeflag: tar.TypeReg}),
		"twice":            tarOf(tar.Header{Name: "a/d/", Typeflag: tar.TypeDir}, tar.Header{Name: "a/d", Typeflag: tar.TypeSymlink, Linkname: outside}),
		"a link to nothing": tarOf(tar.Header{Name: "a/x", Typeflag: tar.TypeReg},
			tar.Header{Name: "a/l", Typeflag: tar.TypeLink, Linkname: "a/etc/passwd"}),
		"a link to a directory": tarOf(tar.Header{Name: "a/d/", Typeflag: tar.TypeDir}, tar.Header{Name: "a/l", Typeflag: tar.TypeLink, Linkname: "a/d"}),
		"a name of 5000 bytes":  tarOf(tar.Header{Name: "a/" + strings.Repeat("long/", 1000) + "x", Typeflag: tar.TypeReg}),
		"a link of 5000 bytes":  tarOf(tar.Header{Name: "a/x", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("long/", 1000)}),
		"cut off":               cut,
		"no archive":            []byte("hello"),
		"garbage in gzip":       []byte("\x1f\x8bhello"),
		"garbage in xz":         []byte("\xfd7zXZ\x00hello"),
	} {
		dir := treetest.New(t, treetest.Tree{"etc/passwd": treetest.File("p")})
		before := treetest.Read(t, dir)
		_, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sha256Of(data)+`"}}`)
		if err == nil {
			t.Errorf("%s: no error", what)
		}
		if diff := treetest.Unchanged(before, treetest.Read(t, dir)); diff != "" {
			t.Errorf("%s: the tree has changed:\n%s", what, diff)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

func TestCopyCheck(t *testing.T) {
	t.Parallel()
	sum := "sha256:" + strings.Repeat("a", 64)
	source := func(s string) string { return `{"source": {"type": "archive", "checksum": "` + s + `"}` }
	runChecks(t, "org.osbuild.copy", []checkCase{
		{source(sum) + `}`, nil},
		{source("md5:"+strings.Repeat("a", 32)) + `, "paths": []}`, nil},
		{source("sha256:abc") + `}`, []string{"/source/checksum: has 3 digits, and sha256 has 64"}},
		{source("crc:abc") + `}`, []string{"/source/checksum: is not a checksum"}},
		{source(sum) + `, "paths": [{}, {"from": "etc", "to": "x"}]}`, []string{"/paths/1/from: is not an absolute", "/paths/1/to: is not an absolute"}},
		{`{"source": {"type": "file", "checksum": "` + sum + `", "strip-components": -1}}`, []string{`/source/type: "file" is not known`}},
		{source(sum)[:len(source(sum))-1] + `, "strip-components": -1}}`, []string{"/source/strip-components: cannot be taken off"}},
		{`{}`, []string{"/source/type: "}},
	})
}
