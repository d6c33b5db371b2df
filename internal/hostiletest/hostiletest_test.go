package hostiletest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

func TestEach(t *testing.T) {
	t.Parallel()
	m := &module.Module{Name: "x", Options: func() any { return &map[string]any{} }, Check: func(o json.RawMessage) []module.Problem {
		if strings.Contains(string(o), "bad!") {
			return []module.Problem{{}}
		}
		return nil
	}}
	var got []string
	Each(t, m, `{"a": ["b", 1], "c": {"d": "e"}}`, []string{"V!"}, func(at, _ string, options json.RawMessage) {
		got = append(got, at+": "+string(options))
	})
	want := []string{
		`/a (the key): {"a!":["b",1],"c":{"d":"e"}}`, `/a/0: {"a":["b!",1],"c":{"d":"e"}}`, `/c (the key): {"a":["b",1],"c!":{"d":"e"}}`,
		`/c/d (the key): {"a":["b",1],"c":{"d!":"e"}}`, `/c/d: {"a":["b",1],"c":{"d":"e!"}}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	Each(t, m, `"bad"`, []string{"V!"}, func(at, _ string, _ json.RawMessage) { t.Errorf("what is refused is told, at %s", at) })
}
