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
	cases := []struct{ name, in, keep, want, err string }{
		{name: "primary", in: filterPrimary, keep: "bb22", want: `<?xml version="1.0"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm"><name>b</name><checksum pkgid='YES' type="sha256"> bb22 </checksum></package>

</metadata>
`},
		{name: "file lists", in: `<filelists packages="2"><package pkgid="aa11" name="a"><file>/a</file></package><package pkgid="bb22"/></package></filelists>`, keep: "aa11",
			want: `<filelists packages="2"><package pkgid="aa11" name="a"><file>/a</file></package>` + "\n</filelists>"},
		{name: "none", in: `<metadata></metadata>`, want: `<metadata></metadata>`},
		{name: "cut off", in: `<metadata><package><name>`, err: "the list of packages ends in the middle of one"},
		{name: "damaged", in: `<metadata></package>`, err: "the list of packages is damaged: one ends that has not begun"},
		{name: "no checksum", in: `<m><package><name>a</name></package></m>`, keep: "", want: `<m></m>`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := FilterPackages(&out, strings.NewReader(c.in), func(sum string) bool { return sum == c.keep })
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
	f.Add(filterPrimary)
	f.Add("<package pkgid='a'>")
	f.Fuzz(func(t *testing.T, in string) {
		var all bytes.Buffer
		if err := FilterPackages(&all, strings.NewReader(in), func(string) bool { return false }); err != nil {
			return
		}
		if strings.Contains(all.String(), "</package>") {
			t.Errorf("a package that nobody wants is there: %q", all.String())
		}
	})
}
