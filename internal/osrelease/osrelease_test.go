package osrelease

import (
	"os/exec"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`NAME=Debian`, "Debian"},
		{`NAME="Debian GNU/Linux"`, "Debian GNU/Linux"},
		{`NAME='Debian'`, "Debian"},
		{`NAME="Bob's \"Linux\" \$5 \\ \x"`, `Bob's "Linux" $5 \ \x`},
		{`NAME='a "b" \$'`, `a "b" \$`},
		{`NAME='it'\''s'`, "it's"},
		{`NAME="a"'b'c`, "abc"},
		{`NAME=a\ b`, "a b"},
		{`NAME=`, ""},
		{`NAME=""`, ""},
		{"NAME=first\nNAME=second", "second"},
		{"#NAME=x\nNAME=y", "y"},
		{"  NAME=y  ", "y"},
		{"NAME=\"x\"\r\n", "x"},
	} {
		if got := Parse(c.text + "\n")["NAME"]; got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
		out, err := exec.Command("sh", "-c", strings.TrimSpace(c.text)+"\nprintf %s \"$NAME\"").Output()
		if err != nil {
			t.Skip(err)
		}
		if string(out) != c.want {
			t.Errorf("%s: %q, and a shell says %q", c.text, c.want, out)
		}
	}
	// What is not a whole word is still something to show.
	for text, want := range map[string]string{`NAME="a`: "a", `NAME=a\`: `a\`, "2NAME=x": "", "NAME x": ""} {
		if got := Parse(text)["NAME"]; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
