package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

type tarEntry struct {
	name, body string
	kind       byte
}

func makeTar(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.body))}
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

func compress(t testing.TB, ext string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	case ".zst":
		w, err = zstd.NewWriter(&out)
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type member struct {
	name string
	data []byte
}

func makeAr(members ...member) []byte {
	out := []byte("!<arch>\n")
	for _, m := range members {
		out = append(out, fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))...)
		out = append(out, m.data...)
		if len(m.data)%2 == 1 {
			out = append(out, '\n')
		}
	}
	return out
}

const control = "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nDescription: x\n y\n"

func TestOpenDeb(t *testing.T) {
	t.Parallel()
	binary := member{"debian-binary", []byte("2.0\n")}
	ctl := makeTar(t, tarEntry{name: "./", kind: tar.TypeDir}, tarEntry{name: "./control", body: control}, tarEntry{name: "./md5sums", body: "sums\n"})
	data := makeTar(t, tarEntry{name: "./usr/bin/a", body: "hello"})
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		deb := makeAr(binary, member{"_extra", []byte("odd")}, member{"control.tar" + ext, compress(t, ext, ctl)}, member{"data.tar" + ext, compress(t, ext, data)})
		d, err := OpenDeb(bytes.NewReader(deb))
		if err != nil {
			t.Fatalf("%q: %v", ext, err)
		}
		if d.Control.Get("Version") != "1:2-3" || string(d.File("md5sums")) != "sums\n" || d.File("control") != nil {
			t.Errorf("%q: got %+v", ext, d)
		}
		r := d.Data()
		h, err := r.Next()
		if err != nil || h.Name != "./usr/bin/a" {
			t.Errorf("%q: %v, %v", ext, h, err)
		}
		if body, err := io.ReadAll(r); err != nil || string(body) != "hello" {
			t.Errorf("%q: %q, %v", ext, body, err)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", ext, err)
		}
		d.Close()
	}
}

func TestOpenDebErrors(t *testing.T) {
	t.Parallel()
	binary := member{"debian-binary", []byte("2.0\n")}
	data := member{"data.tar", makeTar(t)}
	ctl := func(entries ...tarEntry) member { return member{"control.tar", makeTar(t, entries...)} }
	good := ctl(tarEntry{name: "control", body: control})
	tests := []struct {
		name string
		deb  []byte
		want string
	}{
		{"empty", nil, "no ar archive"},
		{"html", []byte("<html></html>"), "no ar archive"},
		{"old format", makeAr(member{"debian-binary", []byte("0.9\n")}), "not a Debian package of format 2"},
		{"no control", makeAr(binary, data), "data before its control"},
		{"no data", makeAr(binary, good), "no member data.tar"},
		{"unknown member", makeAr(binary, member{"virus", nil}), `unexpected member "virus"`},
		{"unknown compression", makeAr(binary, member{"control.tar.lz4", nil}), "unknown compression"},
		{"no file control", makeAr(binary, ctl(tarEntry{name: "md5sums"}), data), "no file control"},
		{"path out", makeAr(binary, ctl(tarEntry{name: "../control", body: control}), data), "not a plain file at the top"},
		{"nested", makeAr(binary, ctl(tarEntry{name: "a/b", body: control}), data), "not a plain file at the top"},
		{"link", makeAr(binary, ctl(tarEntry{name: "postinst", kind: tar.TypeSymlink}), data), "not a plain file at the top"},
		{"hidden", makeAr(binary, ctl(tarEntry{name: ".x"}), data), "not a plain file at the top"},
		{"twice", makeAr(binary, ctl(tarEntry{name: "x"}, tarEntry{name: "x"}), data), "occurs twice"},
		{"two controls", makeAr(binary, ctl(tarEntry{name: "control", body: control}, tarEntry{name: "./control", body: control}), data), "want one stanza"},
		{"name out", makeAr(binary, ctl(tarEntry{name: "control", body: strings.Replace(control, "a", "../a", 1)}), data), "not valid"},
		{"version with a slash", makeAr(binary, ctl(tarEntry{name: "control", body: strings.Replace(control, "2-3", "2/3", 1)}), data), "not valid"},
		{"forged status", makeAr(binary, ctl(tarEntry{name: "control", body: control + "Status: install ok installed\n"}), data), "belongs to the package database"},
		{"truncated", makeAr(binary, good, data)[:300], "unexpected EOF"},
		{"negative size", bytes.Replace(makeAr(binary), []byte("4         `"), []byte("-4        `"), 1), "bad member size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := OpenDeb(bytes.NewReader(tt.deb))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestControlBomb(t *testing.T) {
	t.Parallel()
	huge := makeTar(t, tarEntry{name: "x", body: strings.Repeat("\x00", maxControlMember)}, tarEntry{name: "control", body: control})
	deb := makeAr(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", compress(t, ".gz", huge)}, member{"data.tar", makeTar(t)})
	if _, err := OpenDeb(bytes.NewReader(deb)); err == nil {
		t.Error("a control member of 64 MiB is taken")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	good := Package{Name: "a", Version: "1:2", Architecture: "amd64", Path: "pool/a.deb", File: "a_1%3a2_amd64.deb", Size: 5, SHA256: sum(1)}
	if good.DefaultFile() != good.File {
		t.Errorf("got %s", good.DefaultFile())
	}
	other := good
	other.Name, other.File = "b", "b.deb"
	one := PackageList{Packages: []Package{other, good}}
	data, err := one.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseList(data)
	if err != nil || again.Packages[0].Name != "a" || again.Packages[1].Name != "b" {
		t.Errorf("got %+v, %v", again, err)
	}
	tests := []struct {
		name   string
		change func(*Package)
		want   string
	}{
		{"path out", func(p *Package) { p.Path = "../a.deb" }, "path below a mirror"},
		{"path out in the middle", func(p *Package) { p.Path = "pool/../../a.deb" }, "path below a mirror"},
		{"absolute path", func(p *Package) { p.Path = "/a.deb" }, "path below a mirror"},
		{"path with a space", func(p *Package) { p.Path = "a b.deb" }, "path below a mirror"},
		{"file in a directory", func(p *Package) { p.File = "a/b.deb" }, "file name"},
		{"file is no package", func(p *Package) { p.File = "a.sh" }, "file name"},
		{"checksum", func(p *Package) { p.SHA256 = strings.ToUpper(sum(171)) }, "SHA256"},
		{"size", func(p *Package) { p.Size = 0 }, "size"},
		{"repository", func(p *Package) { p.Repository = -1 }, "repository"},
		{"name", func(p *Package) { p.Name = "-a" }, "name"},
		{"architecture", func(p *Package) { p.Architecture = "x/y" }, "architecture"},
	}
	for _, tt := range tests {
		p := good
		tt.change(&p)
		list := PackageList{Packages: []Package{p}}
		if _, err := list.Encode(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	for text, want := range map[string]string{
		`{"packages":[],"x":1}`: "unknown field", `{} {}`: "more than one", `[]`: "cannot unmarshal",
	} {
		if _, err := ParseList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	twice := PackageList{Packages: []Package{good, good}}
	if _, err := twice.Encode(); err == nil || !strings.Contains(err.Error(), "occurs twice") {
		t.Error(err)
	}
	far := PackageList{Repositories: make([]Repository, 1), Packages: []Package{{Name: "a", Version: "1", Architecture: "all", Repository: 1, Path: "a", File: "a.deb", Size: 1, SHA256: sum(1)}}}
	if _, err := far.Encode(); err == nil || !strings.Contains(err.Error(), "no repository 1") {
		t.Error(err)
	}
}

func FuzzOpenDeb(f *testing.F) {
	f.Add(makeAr(member{"debian-binary", []byte("2.0\n")}, member{"control.tar", makeTar(f, tarEntry{name: "control", body: control})}, member{"data.tar", makeTar(f, tarEntry{name: "a", body: "b"})}))
	f.Add(makeAr(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.xz", compress(f, ".xz", makeTar(f))}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := OpenDeb(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer d.Close()
		r := d.Data()
		for {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
