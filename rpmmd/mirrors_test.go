package rpmmd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	repomdOld  = "<repomd>old</repomd>"
	repomdNew  = "<repomd>new</repomd>"
	metalinkOK = `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" pubdate="Wed, 01 Jan 2025 00:00:00 GMT" generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>200</mm0:timestamp>
   <size>20</size>
   <verification>
    <hash type="md5">0123456789abcdef0123456789abcdef</hash>
    <hash type="sha1">0123456789abcdef0123456789abcdef01234567</hash>
    <hash type="sha256">NEW256</hash>
    <hash type="sha512">NEW512</hash>
   </verification>
   <mm0:alternates>
    <mm0:alternate>
     <mm0:timestamp>100</mm0:timestamp>
     <size>20</size>
     <verification><hash type="md5">0</hash><hash type="sha256">OLD256</hash></verification>
    </mm0:alternate>
    <mm0:alternate>
     <size>20</size>
     <verification><hash type="md5">0</hash></verification>
    </mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="rsync" type="rsync" location="US" preference="100">rsync://one.example.org/f/os/repodata/repomd.xml</url>
    <url protocol="http" type="http" location="DE" preference="99">http://two.example.org/f/os/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="DE" preference="99">https://two.example.org/f/os/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="DE" preference="99">https://two.example.org/f/os/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="US" preference="100">https://one.example.org/f/os/repodata/repomd.xml</url>
    <url protocol="file" type="file" preference="100">file:///etc/repodata/repomd.xml</url>
    <url protocol="https" type="https" preference="x">https://a.example.org/repodata/repomd.xml</url>
    <url protocol="https" type="https" preference="98">https://a.example.org/other.xml</url>
   </resources>
  </file>
 </files>
</metalink>
`
)

func metalink() string {
	sum512 := func(s string) string {
		h := (Checksum{Algorithm: "sha512"}).Hash()
		h.Write([]byte(s))
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	return strings.NewReplacer("NEW256", hexSum([]byte(repomdNew)), "NEW512", sum512(repomdNew), "OLD256", hexSum([]byte(repomdOld))).Replace(metalinkOK)
}

var testVariables = Variables{ReleaseVer: "9.4", BaseArch: "x86_64"}

func TestParseMetalink(t *testing.T) {
	t.Parallel()
	m, err := ParseMetalink([]byte(metalink()), testVariables)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mirror{
		{"https://one.example.org/f/os", 100, "US"},
		{"https://two.example.org/f/os", 99, "DE"},
		{"http://two.example.org/f/os", 99, "DE"},
		{"https://a.example.org", 0, ""},
	}
	if diff := cmp.Diff(want, m.Mirrors); diff != "" {
		t.Error(diff)
	}
	if len(m.Expected) != 2 || m.Expected[0].Timestamp != 200 || m.Expected[0].Checksums[0].Algorithm != "sha512" {
		t.Errorf("got %+v", m.Expected)
	}
	for text, ok := range map[string]bool{repomdNew: true, repomdOld: true, repomdNew + " ": false, "<repomd>bad</repomd>": false, "": false} {
		if err := m.Check([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	for pin, ok := range map[string]bool{hexSum([]byte(repomdOld)): true, hexSum([]byte("gone")): false} {
		if m.Allows(Checksum{"sha256", pin}) != ok {
			t.Errorf("pin %s: not %v", pin, ok)
		}
	}
	if !m.Allows(Checksum{"sha384", strings.Repeat("0", 96)}) {
		t.Error("a pin that nothing can be said of is refused")
	}
}

// Both checksums must be right where there are two.
func TestMetalinkAllChecksums(t *testing.T) {
	t.Parallel()
	text := strings.Replace(metalink(), hexSum([]byte(repomdNew)), hexSum([]byte("other")), 1)
	m, err := ParseMetalink([]byte(text), testVariables)
	if err != nil {
		t.Fatal(err)
	}
	if m.Check([]byte(repomdNew)) == nil {
		t.Error("one of two checksums is wrong and the file is accepted")
	}
}

// A metalink need not say the size, its addresses may have variables and
// queries, and alternates count as the newest state does.
func TestMetalinkForms(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("<size>20</size>", "", "http://two.example.org/f/os/repodata/repomd.xml", "http://two.example.org/$releasever/os/repodata/repomd.xml?a=b").Replace(metalink())
	m, err := ParseMetalink([]byte(text), testVariables)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Mirrors[2].URL; got != "http://two.example.org/9.4/os?a=b" {
		t.Errorf("got %s", got)
	}
	for text, ok := range map[string]bool{repomdNew: true, repomdOld: true, repomdNew + " ": false, "": false} {
		if err := m.Check([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseMetalinkErrors(t *testing.T) {
	t.Parallel()
	good := metalink()
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for name, tt := range map[string]struct{ text, want string }{
		"page":            {"<html><body>login</body></html>", "expected element type <metalink>"},
		"server says":     {"# Bad Request: unknown repo", "the server says \"# Bad Request"},
		"empty":           {"", "cut off"},
		"cut off":         {good[:len(good)/2], "the metalink"},
		"another file":    {strings.Replace(good, "name=\"repomd.xml\"", "name=\"x.iso\"", 1), "one file repomd.xml"},
		"two sizes":       {strings.Replace(good, "<size>20</size>", "<size>20</size><size>3</size>", 1), "the size of repomd.xml once"},
		"negative size":   {strings.Replace(good, "<size>20</size>", "<size>-20</size>", 1), "no valid size"},
		"weak checksums":  {strings.NewReplacer("sha256", "sha1", "sha512", "md5").Replace(good), "no SHA-256"},
		"broken checksum": {strings.Replace(good, hexSum([]byte(repomdNew)), "xyz", 1), "no sha256 checksum"},
		"no mirror":       {strings.NewReplacer("https:", "ftp:", "http:", "ftp:").Replace(good), "no mirror with http"},
		"deep":            {deep, "nested deeper"},
		"large":           {strings.Repeat(" ", MaxMirrorFile+1), "larger than"},
		"entities":        {`<!DOCTYPE x [<!ENTITY a "b">]><metalink>&a;</metalink>`, "entity"},
	} {
		if _, err := ParseMetalink([]byte(tt.text), testVariables); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func TestParseMirrorlist(t *testing.T) {
	t.Parallel()
	got, err := ParseMirrorlist([]byte("# repo = fedora-30 arch = x86_64\r\nhttp://two.example.org/os/\r\n\n https://one.example.org/os/repodata/repomd.xml\nrsync://x/y\nftp://x/y\nhttp://two.example.org/os\n"+
		"https://x//?a=b\nhttps://x/os/repodata/repomd.xml?a=b\nhttps://x/#a\nhttps://$releasever.example.org/${basearch}/os/\nhttps://x/$contentdir/\n"), testVariables)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Mirror{{URL: "http://two.example.org/os"}, {URL: "https://one.example.org/os"}, {URL: "https://x?a=b"}, {URL: "https://x/os?a=b"},
		{URL: "https://9.4.example.org/x86_64/os"}}, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		metalink():                         "use the option \"metalink\"",
		"<html></html>":                    "a web page",
		"# Bad Request":                    "the server says",
		"":                                 "no mirror with http",
		"http://x/$contentdir/\n":          "no mirror that can be used: there is no variable $contentdir",
		strings.Repeat("http://x\n", 2000): "more than 1000 mirrors",
	} {
		if _, err := ParseMirrorlist([]byte(text), testVariables); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	v := Variables{ReleaseVer: "9.4", BaseArch: "i386"}
	for in, want := range map[string]string{
		"https://x/metalink?repo=f-$releasever&arch=$basearch": "https://x/metalink?repo=f-9.4&arch=i386",
		"$releasever_major-${releasever_minor}/$arch":          "9-4/i686",
		"plain": "plain", "": "",
	} {
		if got, err := v.Expand(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	if got, err := (Variables{BaseArch: "x86_64"}).Expand("$arch"); err != nil || got != "x86_64" {
		t.Errorf("got %q, %v", got, err)
	}
	for in, want := range map[string]string{
		"$contentdir/x": "no variable $contentdir", "${releasever": "is not closed", "a$": "no variable $", "$$releasever": "no variable $",
		strings.Repeat("x", 3000): "3000 characters", strings.Repeat("$releasever/", 150) + strings.Repeat("x", 2000): "characters",
	} {
		if _, err := v.Expand(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: error %v, want one with %q", in, err, want)
		}
	}
	if _, err := (Variables{}).Expand("$releasever"); err == nil || !strings.Contains(err.Error(), "the option \"releasever\" does not say it") {
		t.Errorf("got %v", err)
	}
	if _, err := (Variables{ReleaseVer: "../30"}).Expand("$releasever"); err == nil || !strings.Contains(err.Error(), "no valid value") {
		t.Errorf("got %v", err)
	}
}

func FuzzMetalink(f *testing.F) {
	f.Add(metalink())
	f.Add("<metalink><files><file name=\"repomd.xml\"/></files></metalink>")
	f.Add(strings.NewReplacer("<size>20</size>", "", "/f/os", "/$releasever/${basearch}/?$arch").Replace(metalink()))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMetalink([]byte(text), testVariables)
		if err != nil {
			return
		}
		checkMirrors(t, m.Mirrors)
		if len(m.Expected) == 0 || len(m.Expected[0].Checksums) == 0 {
			t.Error("nothing is expected of repomd.xml")
		}
		if m.Check(nil) == nil {
			t.Error("an empty repomd.xml is expected")
		}
	})
}

func FuzzMirrorlist(f *testing.F) {
	f.Add("# comment\nhttp://two.example.org/os/\n")
	f.Add("http://x/$releasever/$basearch/repodata/repomd.xml?a=$arch\nftp://x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseMirrorlist([]byte(text), testVariables); err == nil {
			checkMirrors(t, m)
		}
	})
}

func checkMirrors(t *testing.T, mirrors []Mirror) {
	t.Helper()
	if len(mirrors) == 0 || len(mirrors) > maxMirrors {
		t.Errorf("%d mirrors and no error", len(mirrors))
	}
	for _, m := range mirrors {
		u, err := JoinURL(m.URL, repomdPath)
		if err != nil && !strings.Contains(err.Error(), "characters, more than") {
			t.Error(err)
		}
		if err == nil && sameServer(m.URL, u) != nil {
			t.Errorf("%s is of another server than %s", u, m.URL)
		}
	}
}

func FuzzVariables(f *testing.F) {
	f.Add("https://x/$releasever/${basearch}", "9.4", "i386")
	f.Add("$releasever_major$releasever_minor$arch", "30", "x86_64")
	f.Add("$", "", "")
	f.Fuzz(func(t *testing.T, address, release, arch string) {
		out, err := Variables{ReleaseVer: release, BaseArch: arch}.Expand(address)
		if err != nil {
			return
		}
		if len(out) > maxURL || strings.Contains(out, "$") {
			t.Errorf("%q becomes %q", address, out)
		}
		if !strings.Contains(address, "$") && out != address {
			t.Errorf("%q has no variable and becomes %q", address, out)
		}
	})
}
