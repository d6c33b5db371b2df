package assemblers

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

func TestError(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]int{`{}`: 255, `{"returncode": 3}`: 3, `{"returncode": 4.0}`: 4, `{"returncode": 0}`: 0} {
		out, log, err := run(t, "org.osbuild.error", t.TempDir(), "", options)
		var code module.ExitCode
		if errors.As(err, &code); int(code) != want || (err == nil) != (want == 0) {
			t.Errorf("%s: %v, want %d", options, err, want)
		}
		if names(t, out) != "" || !strings.Contains(log, "on purpose") {
			t.Errorf("%s: log %q", options, log)
		}
		if p := checkError(json.RawMessage(options)); len(p) > 0 {
			t.Errorf("%s: %v", options, p)
		}
	}
	for options, want := range map[string]string{
		`{"returncode": 256}`: "256 is not an exit code",
		`{"returncode": -1}`:  "-1 is not an exit code",
		`{"returncode": 1.5}`: "1.5 is not an exit code",
		`{"returncode": "1"}`: "cannot unmarshal",
		`{"code": 1}`:         "unknown field",
	} {
		if p := checkError(json.RawMessage(options)); len(p) != 1 || !strings.Contains(p[0].Message, want) {
			t.Errorf("%s: %v", options, p)
		}
		if _, _, err := run(t, "org.osbuild.error", t.TempDir(), "", options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
}
