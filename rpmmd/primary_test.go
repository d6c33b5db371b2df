package rpmmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testPrimary(t testing.TB) string {
	t.Helper()
	r, err := ParseRepomd(testdata(t, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := r.Lookup("primary").Open(bytes.NewReader(testdata(t, "repodata/primary.xml.gz")))
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadPrimary(t *testing.T) {
	t.Parallel()
	var got []PrimaryPackage
	err := ReadPrimary(strings.NewReader(testPrimary(t)), func(p *PrimaryPackage) error { got = append(got, *p); return nil })
	if err != nil {
		t.Fatal(err)
	}
	sum := hexSum(testdata(t, "rsa.rpm"))
	want := []PrimaryPackage{{
		Package: Package{
			Name: "hello", Epoch: 1, Version: "2.10", Release: "3~rc1", Arch: "noarch", Size: 6401, SHA256: sum,
			Location: "Packages/h/hello-2.10-3~rc1.noarch.rpm",
		},
		Provides: []string{"greeting", "hello"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stop := errors.New("stop")
	if err := ReadPrimary(strings.NewReader(testPrimary(t)), func(*PrimaryPackage) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestReadPrimaryVariants(t *testing.T) {
	t.Parallel()
	good := testPrimary(t)
	sum := hexSum(testdata(t, "rsa.rpm"))
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("there is no %q", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	location := `<location href="Packages/h/hello-2.10-3~rc1.noarch.rpm"/>`
	for name, tt := range map[string]struct {
		text, want string
		packages   int
	}{
		"source packages":  {change("<arch>noarch", "<arch>src"), "", 0},
		"another base":     {change("<location ", `<location xml:base="https://x.example.org/os" `), "", 1},
		"SHA-512":          {change(`type="sha256" pkgid="YES">`+sum, `type="sha512" pkgid="YES">`+sum+sum), "", 1},
		"no epoch":         {change(`epoch="1" ver`, `ver`), "", 1},
		"no packages":      {"<metadata></metadata>", "", 0},
		"a comment":        {change("<name>hel", "<name>hel<!-- x -->"), "", 1},
		"SHA-1":            {change(`type="sha256" pkgid="YES">`+sum, `type="sha" pkgid="YES">`+sum[:40]), "\"hello\": the checksum is of kind \"sha\"", 0},
		"above":            {change(location, `<location href="../../x.rpm"/>`), "", 1},
		"page":             {"<html></html>", "not with <metadata>", 0},
		"nothing":          {"", "cut off", 0},
		"cut off":          {strings.TrimSuffix(strings.TrimSpace(good), "</metadata>"), "cut off", 0},
		"no file":          {change(location, `<location href="../.."/>`), "no valid location", 0},
		"base in a file":   {change("<location ", `<location xml:base="file:///etc" `), "no valid base", 0},
		"bad epoch":        {change(`epoch="1"`, `epoch="-1"`), "no valid epoch", 0},
		"bad size":         {change(`package="6401"`, `package="x"`), "no valid size", 0},
		"no size":          {change(`package="6401"`, `package="0"`), "no valid size", 0},
		"name":             {change("<name>hello", "<name>-rf"), "no valid name", 0},
		"deep":             {change("<name>", strings.Repeat("<a>", 30)), "nested deeper", 0},
		"a long text":      {change("<summary>", "<summary>"+strings.Repeat("x", maxToken+1<<16)), "more than 4 MiB", 0},
		"a name in pieces": {change("<name>hello", "<name>"+strings.Repeat("xxxx<!-- -->", 300)), "more than 1000 characters", 0},
		"a long attribute": {change(`ver="2.10"`, `ver="`+strings.Repeat("x", maxToken+1<<16)+`"`), "more than 4 MiB", 0},
		"ends too often":   {"<metadata></metadata></x>", "that has not begun", 0},
	} {
		count := 0
		err := ReadPrimary(strings.NewReader(tt.text), func(p *PrimaryPackage) error {
			count++
			return p.Problem
		})
		switch {
		case tt.want == "" && (err != nil || count != tt.packages):
			t.Errorf("%s: %d packages, %v", name, count, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %.300v, want one with %q", name, err, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	var primary strings.Builder
	primary.WriteString("<metadata>")
	for _, name := range []string{"httpd", "httpd-tools", "grub2-pc", "kernel"} {
		fmt.Fprintf(&primary, `<package type="rpm"><name>%s</name><arch>x86_64</arch><version epoch="0" ver="1" rel="1"/><checksum type="sha256">%s</checksum>
<size package="5"/><location href="%[1]s.rpm"/><format><provides><entry name="%[1]s"/><entry name="webserver-of-%[1]s"/></provides><requires><entry name="needed"/></requires></format></package>`, name, strings.Repeat("0", 64))
	}
	primary.WriteString("</metadata>")
	n := NewNames()
	if err := n.ReadPrimary(strings.NewReader(primary.String())); err != nil {
		t.Fatal(err)
	}
	if err := n.ReadGroups(bytes.NewReader(testdata(t, "repodata/comps.xml"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"httpd": true, "webserver-of-httpd": true, "needed": false, "http": false, "": false,
		"@core": true, "@Core": true, "@CORE": true, "@Fedora Server Edition": true, "@server-product-environment": true, "@Kern": false, "@hello": false, "@": false,
	} {
		if n.Has(name) != want {
			t.Errorf("%q: not %v", name, want)
		}
	}
	for name, want := range map[string]string{
		"htpd":               "there is no package \"htpd\" in the repositories; did you mean httpd?",
		"grub2-pcs":          "did you mean grub2-pc?",
		"webserver-of-httpx": "did you mean webserver-of-httpd?",
		"zzzzzz":             "there is no package \"zzzzzz\" in the repositories",
		"@corr":              "there is no group \"corr\" in the repositories; did you mean core",
	} {
		if got := n.NotFound(name).Error(); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %q", name, got, want)
		}
	}
	if err := n.ReadGroups(strings.NewReader("<comps><group>")); err == nil {
		t.Error("a list of groups that is cut off is accepted")
	}
}

// What is wrong with one package is its own problem.
func TestReadPrimaryProblems(t *testing.T) {
	t.Parallel()
	one := func(name, checksum, location string) string {
		return fmt.Sprintf(`<package type="rpm"><name>%s</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>%s<size package="5"/>%s</package>`, name, checksum, location)
	}
	good, place := `<checksum type="sha512" pkgid="YES">`+strings.Repeat("A", 128)+`</checksum>`, `<location href="a.rpm"/>`
	text := "<metadata>" + one("weak", `<checksum type="sha" pkgid="YES">`+strings.Repeat("0", 40)+`</checksum>`, place) +
		one("none", "", place) + one("file", good, `<location xml:base="file:///etc" href="shadow"/>`) + one("good", good, place) + "</metadata>"
	var got []string
	err := ReadPrimary(strings.NewReader(text), func(p *PrimaryPackage) error {
		got = append(got, fmt.Sprint(p.Name, " ", p.Problem == nil))
		if p.Name == "good" && p.Sum != "sha512:"+strings.Repeat("a", 128) {
			t.Errorf("the checksum is %s", p.Sum)
		}
		return nil
	})
	if want := []string{"weak false", "none false", "file false", "good true"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func FuzzPrimary(f *testing.F) {
	f.Add(testPrimary(f))
	f.Add("<metadata><package><name>a</name></package></metadata>")
	f.Fuzz(func(t *testing.T, text string) {
		err := ReadPrimary(strings.NewReader(text), func(p *PrimaryPackage) error {
			if p.Problem != nil {
				return nil
			}
			if p.Name == "" || p.Checksum().Hex == "" {
				t.Errorf("got %+v", p)
			}
			p.File = "x.rpm"
			checkAddress(t, &p.Package)
			return nil
		})
		n := NewNames()
		if again := n.ReadPrimary(strings.NewReader(text)); (again == nil) != (err == nil) {
			t.Errorf("got %v and then %v", err, again)
		}
	})
}

func FuzzComps(f *testing.F) {
	f.Add(string(testdata(f, "repodata/comps.xml")))
	f.Add("<comps><group><id>a</id><name>b</name><name xml:lang='de'>c</name></group></comps>")
	f.Fuzz(func(t *testing.T, text string) {
		n := NewNames()
		if err := n.ReadGroups(strings.NewReader(text)); err != nil {
			return
		}
		for g := range n.groups {
			if !n.Has("@" + g) {
				t.Errorf("there is no %q", g)
			}
		}
		if n.NotFound("@core") == nil {
			t.Error("no error")
		}
	})
}
