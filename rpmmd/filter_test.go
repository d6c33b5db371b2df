package rpmmd

import (
	"bytes"
	"strings"
	"testing"
)

const filterPrimary = `<?xml version="1.0"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm"><name>a</name><checksum type="sha256" pkgid="YES">aa11</checksum><url>x>y</url></package>
<package type="rpm"><name>b</name><checksum pkgid='YES' type="sha256"> bb22 </checksum></package>
</metadata>
`

func TestFilterPackages(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, in, keep, place, want, err string }{
		{name: "primary", in: filterPrimary, keep: "bb22", want: `<?xml version="1.0"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm"><name>b</name><checksum pkgid='YES' type="sha256"> bb22 </checksum></package>

</metadata>
`},
		{name: "file lists", in: `<filelists packages="2"><package pkgid="aa11" name="a"><file>/a</file></package><package pkgid="bb22"/></package></filelists>`, keep: "aa11",
			want: `<filelists packages="2"><package pkgid="aa11" name="a"><file>/a</file></package>` + "\n</filelists>"},
		{name: "capitals", in: `<m><package pkgid="BB22"/></package></m>`, keep: "bb22", want: `<m><package pkgid="BB22"/></package>` + "\n</m>"},
		{name: "the place stays", in: `<m><package pkgid="a"><location href="P/a&amp;b.rpm"/></package></m>`, keep: "a", place: "P/a&b.rpm",
			want: `<m><package pkgid="a"><location href="P/a&amp;b.rpm"/></package>` + "\n</m>"},
		{name: "another place", in: `<m><package pkgid="a"><location xml:base="http://x/>" ` + "\n" + `href='../a.rpm' ></location><location href="b"/></package></m>`, keep: "a", place: "a<b.rpm",
			want: `<m><package pkgid="a"><location href="a&lt;b.rpm"></location><location href="a&lt;b.rpm"/></package>` + "\n</m>"},
		{name: "the place with another base", in: `<m><package pkgid="a"><location xml:base="http://x/" href="a.rpm"/></package></m>`, keep: "a", place: "a.rpm",
			want: `<m><package pkgid="a"><location href="a.rpm"/></package>` + "\n</m>"},
		{name: "no plain place", in: `<m><package pkgid="a"></package></m>`, keep: "a", place: "../a", err: `"../a" is no plain path`},
		{name: "none", in: `<metadata></metadata>`, want: `<metadata></metadata>`},
		{name: "cut off", in: `<metadata><package><name>`, err: "the list of packages ends in the middle of one"},
		{name: "damaged", in: `<metadata></package>`, err: "the list of packages is damaged: one ends that has not begun"},
		{name: "no checksum", in: `<m><package><name>a</name></package></m>`, keep: "", want: `<m></m>`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := FilterPackages(&out, strings.NewReader(c.in), func(sum string) (string, bool) { return c.place, sum == c.keep })
			if got := errorText(err); got != c.err {
				t.Fatalf("error %q, want %q", got, c.err)
			}
			if err == nil && out.String() != c.want {
				t.Errorf("got  %q\nwant %q", out.String(), c.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzFilterPackages(f *testing.F) {
	f.Add(filterPrimary, "Packages/a.rpm")
	f.Add("<package pkgid='a'>", "a")
	f.Add(`<m><package pkgid="a"><location xml:base="x" href="../../b"/></package></m>`, "a&b")
	f.Fuzz(func(t *testing.T, in, place string) {
		var none, all, again bytes.Buffer
		if err := FilterPackages(&none, strings.NewReader(in), func(string) (string, bool) { return place, false }); err != nil {
			return
		}
		if strings.Contains(none.String(), "</package>") {
			t.Errorf("a package that nobody wants is there: %q", none.String())
		}
		keep := func(string) (string, bool) { return place, true }
		if err := FilterPackages(&all, strings.NewReader(in), keep); err != nil {
			return
		}
		if err := FilterPackages(&again, bytes.NewReader(all.Bytes()), keep); err != nil || strings.Count(all.String(), "<location") != strings.Count(again.String(), "<location") {
			t.Errorf("not the same twice: %v\n%q\n%q", err, all.String(), again.String())
		}
	})
}
