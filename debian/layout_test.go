package debian

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestReleaseDir(t *testing.T) {
	t.Parallel()
	for suite, want := range map[string]string{
		"trixie": "dists/trixie", "stable/updates": "dists/stable/updates",
		"./": ".", "/": ".", "binary/": "binary", "./a/b/": "a/b", "/a/": "a", "a/./b/": "a/b",
	} {
		if got := ReleaseDir(suite); got != want {
			t.Errorf("%s: %s, want %s", suite, got, want)
		}
		if got := IsFlat(suite); got != strings.HasSuffix(suite, "/") {
			t.Errorf("%s: %v", suite, got)
		}
	}
	for name, want := range map[string]string{
		"./a.deb": "a.deb", "././b/a.deb": "b/a.deb", "pool/a.deb": "pool/a.deb", "./../a.deb": "./../a.deb", "../a.deb": "../a.deb", "a//b.deb": "a//b.deb",
	} {
		if got := CleanPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestIndexes looks for the index of a repository without suites, in all that it
// may be compressed with.
func TestIndexes(t *testing.T) {
	t.Parallel()
	key := newKey(t, 0)
	parse := func(lines string) *Release {
		t.Helper()
		// Neither architectures nor components need to be named.
		rel, err := ParseInRelease(sign(t, "Date: Sat, 31 May 2025 08:00:00 UTC\nAcquire-By-Hash: yes\nSHA256:\n"+lines, key), armored(t, key))
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	for _, ending := range []string{"", ".gz", ".xz", ".zst", ".bz2"} {
		got, err := parse(" "+sum(1)+" 10 Packages"+ending+"\n").Indexes("./", nil, "amd64")
		if err != nil || len(got) != 1 || got[0].Path != "Packages"+ending || got[0].ByHashPath != "by-hash/SHA256/"+sum(1) {
			t.Errorf("%q: %+v, %v", ending, got, err)
		}
	}
	several := parse(" " + sum(1) + " 10 Packages\n " + sum(2) + " 5 Packages.bz2\n " + sum(3) + " 5 Packages.gz\n")
	if got, err := several.Indexes("x/", nil, "amd64"); err != nil || got[0].Path != "Packages.gz" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parse(" "+sum(1)+" 10 Sources.gz\n").Indexes("./", nil, "amd64"); err == nil || !strings.Contains(err.Error(), "lists no file Packages") {
		t.Error(err)
	}
}

func TestDecompress(t *testing.T) {
	t.Parallel()
	var zst, gz bytes.Buffer
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	g := gzip.NewWriter(&gz)
	for _, w := range []io.WriteCloser{z, g} {
		if _, err := w.Write([]byte("text\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// "text\n", by bzip2.
	bz2 := "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xc0\x6f\xe0\x65\x00\x00\x01\xc1\x80\x00\x10\x02\x00\x04\x40\x20\x00\x21\x8c\x83\x34\xd0\x88\xf1\x77\x24\x53\x85\x09\x0c\x06\xfe\x06\x50"
	for name, data := range map[string]string{"a": "text\n", "a.gz": gz.String(), "a.zst": zst.String(), "a.bz2": bz2} {
		r, err := Decompress(name, strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "text\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
