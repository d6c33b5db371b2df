package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// TestJSONIsClean prints failures with credentials and control characters in
// everything that may have them, as JSON.
func TestJSONIsClean(t *testing.T) {
	t.Parallel()
	const bad = "https://u:hunter2@h/?token=hunter2 \x1b]0;x\x07\u009b2J"
	for name, err := range map[string]error{
		"a message": errors.New(bad),
		"a step":    &stepError{name: bad, log: []string{bad, "x" + bad + "\r"}, err: errors.New(bad)},
		"places":    &exitError{code: exitFailed, err: errors.New(bad), places: []jsonPlace{{File: "image.json", Message: bad, Hint: bad}}},
		"errors":    manifest.Errors{{File: "image.json", Message: bad, Hint: bad}},
	} {
		var out bytes.Buffer
		a := &app{stdout: &out}
		a.printFailure(err, exitFailed)
		got := out.String()
		if strings.Contains(got, "hunter2") || strings.Contains(got, `\u001b`) || strings.Contains(got, `\u0007`) || strings.ContainsAny(got, "\x1b\x07\u009b") || !strings.Contains(got, "@h/") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
