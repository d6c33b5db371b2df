package stages

import (
	"strings"
	"testing"
)

func TestINISet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, before, after string }{
		{"empty", "", "[main]\nenabled = 1\n"},
		{"replaced", "# c\n[main]\nenabled=0\nx=1\n", "# c\n[main]\nenabled=1\nx=1\n"},
		{"spelling stays", "[main]\nEnabled : 0 ; why\r\n", "[main]\nEnabled : 1 ; why\r\n"},
		{"no value", "[main]\nenabled =\n", "[main]\nenabled =1\n"},
		{"added after the last key", "[main]\nx=1\n\n# about y\n[y]\nenabled=0\n", "[main]\nx=1\nenabled = 1\n\n# about y\n[y]\nenabled=0\n"},
		{"added to an empty section", "[main]\n\n[y]\n", "[main]\nenabled = 1\n\n[y]\n"},
		{"section added", "[y]\nenabled=0", "[y]\nenabled=0\n\n[main]\nenabled = 1\n"},
		{"no line break at the end", "[main]\nx=1", "[main]\nx=1\nenabled = 1\n"},
		{"value of several lines", "[main]\nenabled=0\n  1\n\t2\nx=1\n", "[main]\nenabled=1\nx=1\n"},
		{"added after a value of several lines", "[main]\nx=0\n  1\n", "[main]\nx=0\n  1\nenabled = 1\n"},
		{"comments do not count", "[main]\n#enabled=0\n;enabled=0\n", "[main]\nenabled = 1\n#enabled=0\n;enabled=0\n"},
		{"other keys do not count", "[main]\nenabled2=0\nxenabled=0\n", "[main]\nenabled2=0\nxenabled=0\nenabled = 1\n"},
		{"first of two", "[main]\nenabled=0\n[main]\nenabled=2\n", "[main]\nenabled=1\n[main]\nenabled=2\n"},
	} {
		f := parseINI(c.before)
		f.set("main", "enabled", "1")
		if got := f.String(); got != c.after {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.after)
		}
	}
}

func FuzzINISet(f *testing.F) {
	f.Add("[main]\nenabled=0\n")
	f.Add("[a]\nx=1\n\n[main]")
	f.Add("[main]\n \n[")
	f.Fuzz(func(t *testing.T, text string) {
		file := parseINI(text)
		if file.String() != text {
			t.Fatalf("%q is %q when nothing is set", text, file.String())
		}
		file.set("main", "enabled", "1")
		once := file.String()
		again := parseINI(once)
		again.set("main", "enabled", "1")
		if again.String() != once {
			t.Errorf("%q: set once is %q, twice %q", text, once, again.String())
		}
		if !strings.Contains(once, "[main]") {
			t.Errorf("%q: there is no section in %q", text, once)
		}
	})
}
