// Package hostiletest puts hostile texts into options, for tests.
package hostiletest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// Lines are texts that no format of lines can carry; V is the text that was there.
var Lines = []string{"V\nINJECTED=1", "V\r\nINJECTED=1", "V\rINJECTED", "V\x00INJECTED", "\nV\nINJECTED=1\n", "V\n[INJECTED]"}

// Texts are all texts. Of each, INJECTED would be a line, a field, an option or a
// command of its own.
var Texts = slices.Concat(Lines, []string{
	"V\\", "V \\", `V"; INJECTED; "`, `V'; INJECTED; '`, "V$(INJECTED)", "V`INJECTED`", "V; INJECTED", "V\\\"; INJECTED; \"", `V\'; INJECTED; '`,
	"V:INJECTED:0:0::/:/bin/sh", "V,INJECTED", "V%INJECTED", "V INJECTED", "V\tINJECTED", "-V", "--INJECTED=V", "#V", "V\u2028INJECTED=1", "V\u0085INJECTED=1",
})

// Each puts each of the texts into each text of a module's options, keys of objects
// among them, and calls f for the options that the module accepts then.
func Each(t *testing.T, m *module.Module, options string, texts []string, f func(at, hostile string, options json.RawMessage)) {
	t.Helper()
	if problems := m.Check(json.RawMessage(options)); len(problems) > 0 {
		t.Fatalf("%s: the options are refused as they are: %v", m.Name, problems)
	}
	var value any
	if err := json.Unmarshal([]byte(options), &value); err != nil {
		t.Fatal(err)
	}
	leaves(value, "", func(at, text string, with func(string) any) {
		for _, hostile := range texts {
			changed, err := json.Marshal(with(strings.Replace(hostile, "V", text, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if (&module.Input{Options: changed}).DecodeOptions(m.Options()) == nil && len(m.Check(changed)) == 0 {
				f(at, hostile, changed)
			}
		}
	})
}

// leaves calls f for each text in a JSON value, the keys of objects among them, with
// a function that returns the value with another text in its place.
func leaves(v any, at string, f func(at, text string, with func(string) any)) {
	switch v := v.(type) {
	case string:
		f(at, v, func(s string) any { return s })
	case []any:
		for i := range v {
			leaves(v[i], fmt.Sprintf("%s/%d", at, i), func(at, text string, with func(string) any) {
				f(at, text, func(s string) any {
					out := slices.Clone(v)
					out[i] = with(s)
					return out
				})
			})
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			f(at+"/"+key+" (the key)", key, func(s string) any {
				out := maps.Clone(v)
				delete(out, key)
				out[s] = v[key]
				return out
			})
			leaves(v[key], at+"/"+key, func(at, text string, with func(string) any) {
				f(at, text, func(s string) any {
					out := maps.Clone(v)
					out[key] = with(s)
					return out
				})
			})
		}
	}
}
