package packages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

func sum512(data []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(data)) }

func TestCheckFiles(t *testing.T) {
	t.Parallel()
	content := []byte(`<?xml version="1.0"?><metadata></metadata>`)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const encoded = `the server sends the file with "Content-Encoding: gzip", so that it arrives without its compression, and its checksum`
	const other = "the mirror returned another file, or an error page: "
	for name, c := range map[string]struct {
		data []byte
		file CheckFile
		want Checked
	}{
		"good":                   {packed.Bytes(), CheckFile{Checksum: sum512(packed.Bytes()), Size: int64(packed.Len())}, Checked{}},
		"no size":                {packed.Bytes(), CheckFile{Checksum: sum512(packed.Bytes())}, Checked{}},
		"another size":           {packed.Bytes(), CheckFile{Checksum: sum512(packed.Bytes()), Size: 5}, Checked{Problem: other}},
		"another file":           {packed.Bytes(), CheckFile{Checksum: sum512(content), Packed: true}, Checked{Problem: other}},
		"opened":                 {content, CheckFile{Checksum: sum512(packed.Bytes()), Opened: sum512(content), Packed: true, Size: int64(packed.Len())}, Checked{Opened: true}},
		"opened, unknown":        {content, CheckFile{Checksum: sum512(packed.Bytes()), Packed: true}, Checked{Problem: encoded}},
		"opened, another":        {content, CheckFile{Checksum: sum512(packed.Bytes()), Opened: sum512(nil), Packed: true}, Checked{Problem: encoded}},
		"not to be packed":       {content, CheckFile{Checksum: sum512(packed.Bytes())}, Checked{Problem: other}},
		"page":                   {[]byte(`<?xml version="1.0"?><html/>`), CheckFile{Checksum: sum512(packed.Bytes()), Opened: sum512(content), Packed: true}, Checked{Problem: other}},
		"nothing":                {nil, CheckFile{Checksum: sum512(packed.Bytes()), Packed: true}, Checked{Problem: other}},
		"modules without gzip":   {[]byte("---\ndocument: modulemd"), CheckFile{Checksum: sum512(packed.Bytes()), Packed: true}, Checked{Problem: encoded}},
		"more than is looked at": {bytes.Repeat([]byte("x"), 5000), CheckFile{Checksum: sum512(bytes.Repeat([]byte("x"), 5000)), Size: 5000}, Checked{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, out := t.TempDir(), t.TempDir()
			c.file.Name = "repodata/a"
			if err := os.MkdirAll(filepath.Join(dir, "repodata"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, c.file.Name), c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			options, err := json.Marshal(CheckOptions{Files: []CheckFile{c.file}})
			if err != nil {
				t.Fatal(err)
			}
			if err := checkFiles(t.Context(), &module.Input{Options: options, OutputDir: out, Inputs: map[string]string{"files": dir}}); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(out, CheckedFile))
			if err != nil {
				t.Fatal(err)
			}
			var got []Checked
			if err := json.Unmarshal(data, &got); err != nil || len(got) != 1 {
				t.Fatal(string(data), err)
			}
			if got[0].SHA256 != fmt.Sprintf("%x", sha256.Sum256(c.data)) {
				t.Errorf("the SHA256 is %s", got[0].SHA256)
			}
			if got[0].Opened != c.want.Opened || !strings.HasPrefix(got[0].Problem, c.want.Problem) || (got[0].Problem == "") != (c.want.Problem == "") {
				t.Errorf("got %+v, want %+v", got[0], c.want)
			}
		})
	}
	for name, f := range map[string]CheckFile{
		"outside":      {Name: "../etc/passwd", Checksum: sum512(nil)},
		"missing":      {Name: "missing", Checksum: sum512(nil)},
		"weak":         {Name: "a", Checksum: "sha1:" + strings.Repeat("0", 40)},
		"weak, opened": {Name: "a", Checksum: sum512(nil), Opened: "md5:" + strings.Repeat("0", 32)},
	} {
		options, err := json.Marshal(CheckOptions{Files: []CheckFile{f}})
		if err != nil {
			t.Fatal(err)
		}
		if err := checkFiles(t.Context(), &module.Input{Options: options, OutputDir: t.TempDir(), Inputs: map[string]string{"files": t.TempDir()}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// formPrimary lists one package; FORM stands for its location and SUM for its
// checksum.
const formPrimary = `<?xml version="1.0"?><metadata><package type="rpm"><name>a</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>SUM<size package="5"/>FORM</package></metadata>`

// layOut writes a repository with the one file primary.xml and reads it.
func layOut(t *testing.T, primary, data string) *rpmRepository {
	t.Helper()
	dir := t.TempDir()
	sum := fmt.Sprintf("%x", sha512.Sum512([]byte(primary)))
	if err := writeRepomd(dir, []byte(strings.ReplaceAll(`<repomd><data type="primary">`+data+`</data></repomd>`, "SUM", sum))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "repodata", "primary"), []byte(primary), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &rpmRepository{dir: dir}
	if err := r.read(); err != nil {
		t.Fatal(err)
	}
	return r
}

// What the part apply sees of a repository is below the repository, wherever its
// files lie, and lists each package once.
func TestReducedForms(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("a", 128)
	checksum := `<checksum type="sha512" pkgid="YES">` + sum + `</checksum>`
	for name, c := range map[string]struct {
		primary string
		p       rpmmd.Package
		want    string
	}{
		"plain": {strings.NewReplacer("SUM", checksum, "FORM", `<location href="P/a.rpm"/>`).Replace(formPrimary), rpmmd.Package{Location: "P/a.rpm"}, "P/a.rpm"},
		"above": {strings.NewReplacer("SUM", checksum, "FORM", `<location href="../../b/a+.rpm"/>`).Replace(formPrimary), rpmmd.Package{Location: "../../b/a+.rpm"}, "a-1-1.noarch.rpm"},
		"base": {strings.NewReplacer("SUM", checksum, "FORM", `<location xml:base="http://x/" href="a.rpm"/>`).Replace(formPrimary),
			rpmmd.Package{Location: "a.rpm", Base: "http://x/"}, "a-1-1.noarch.rpm"},
		"two places": {strings.Replace(strings.NewReplacer("SUM", checksum, "FORM", `<location href="b.rpm"/>`).Replace(formPrimary), "</metadata>",
			strings.TrimPrefix(strings.NewReplacer("SUM", checksum, "FORM", `<location href="c.rpm"/>`).Replace(formPrimary), `<?xml version="1.0"?><metadata>`), 1), rpmmd.Package{Location: "c.rpm"}, "c.rpm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := layOut(t, c.primary, `<checksum type="sha512">SUM</checksum><location href="../primary"/>`)
			c.p.Sum, c.p.File = "sha512:"+sum, "a-1-1.noarch.rpm"
			list := &rpmmd.PackageList{Packages: []rpmmd.Package{c.p}}
			dir := t.TempDir()
			if err := r.reduce(dir, 0, list, false); err != nil {
				t.Fatal(err)
			}
			reduced := &rpmRepository{dir: dir}
			if err := reduced.read(); err != nil {
				t.Fatal(err)
			}
			content, err := reduced.open(reduced.files[0])
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			var got []string
			if err := rpmmd.ReadPrimary(content, func(p *rpmmd.PrimaryPackage) error {
				got = append(got, p.Base+p.Location)
				return p.Problem
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{c.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A form of the location that is not found in the text of the metadata, but is to
// a program that reads it, must not lead out of the repository.
func TestHiddenLocation(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("a", 128)
	primary := strings.NewReplacer("SUM", `<checksum type="sha512" pkgid="YES">`+sum+`</checksum>`, "FORM", `<location href="a.rpm"/><location x1="" href="../../etc/b.rpm"/>`).Replace(formPrimary)
	r := layOut(t, primary, `<checksum type="sha512">SUM</checksum><location href="../primary"/>`)
	list := &rpmmd.PackageList{Packages: []rpmmd.Package{{Location: "a.rpm", Sum: "sha512:" + sum, File: "a-1-1.noarch.rpm"}}}
	if err := r.reduce(t.TempDir(), 0, list, false); err == nil || !strings.Contains(err.Error(), "is not where package") {
		t.Errorf("got %v", err)
	}
}

// What a server has unpacked on the way is taken as what it is.
func TestOpenedRepository(t *testing.T) {
	t.Parallel()
	primary := strings.NewReplacer("SUM", "", "FORM", "").Replace(formPrimary)
	const data = `<checksum type="sha512">OTHER</checksum><open-checksum type="sha512">SUM</open-checksum><location href="../p.xml.gz"/>`
	r := layOut(t, primary, strings.Replace(data, "OTHER", strings.Repeat("0", 128), 1))
	if got := r.files[0].Location; got != "repodata/primary" {
		t.Fatalf("the file is %s", got)
	}
	seen := filepath.Join(t.TempDir(), "seen")
	if err := r.link(seen); err != nil {
		t.Fatal(err)
	}
	again := &rpmRepository{dir: seen}
	if err := again.read(); err != nil || again.files[0].Location != "repodata/primary" {
		t.Errorf("got %+v, %v", again.files, err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "repodata", "primary"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.link(filepath.Join(t.TempDir(), "seen")); err == nil || !strings.Contains(err.Error(), "repodata/primary") {
		t.Errorf("another file: %v", err)
	}
}
