package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzLoad checks that no input makes Load panic, that each error has a place
// in the file, and that loading twice gives the same.
func FuzzLoad(f *testing.F) {
	for _, c := range badCases {
		if len(c.manifest) < 1000 {
			f.Add([]byte(c.manifest), []byte(c.env))
		}
	}
	f.Fuzz(func(t *testing.T, data, env []byte) {
		run := func() string {
			var options []Option
			if len(env) > 0 {
				options = append(options, WithBuildEnv("env.json", env))
			}
			m, err := Load("a.json", data, testCatalog, options...)
			if err == nil {
				return outline(m) + m.TreeID() + m.OutputID()
			}
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("error of type %T", err)
			}
			for _, e := range errs {
				text := data
				if e.File == "env.json" {
					text = env
				}
				inside(t, text, e.Span.Start)
				inside(t, text, e.Span.End)
				if e.Message == "" || e.Position != e.Span.Start {
					t.Fatalf("odd error %+v", e)
				}
			}
			if strings.Count(err.Error(), "\n") != len(errs)-1 {
				t.Fatalf("%d errors on other lines than their own: %s", len(errs), err)
			}
			return err.Error()
		}
		if first, second := run(), run(); first != second {
			t.Errorf("two runs differ:\n%s\n%s", first, second)
		}
	})
}

func inside(t *testing.T, text []byte, p Position) {
	t.Helper()
	lines := strings.Split(string(text), "\n")
	if p.Line < 1 || p.Line > len(lines) {
		t.Fatalf("%v is not in the %d lines", p, len(lines))
	}
	if p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
		t.Fatalf("%v is not in the line", p)
	}
}

// FuzzCanonical checks Canonical against other readers of JSON: what they
// accept, what the value is, and that the form of a form is itself.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"b": [1, 2.50, -0.0, 1e5], "a": {"é": "\u00e9\ud83d\ude00\/"}}`, `""`, `[]`, `{"a":1,"a":1}`, `[1e-5, 1E22, 100]`, "\"\x7f\\u0000\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		canonical, err := Canonical(data)
		valid := jsontext.Value(data).IsValid()
		if err != nil {
			if valid && !isBound(err) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if !valid {
			t.Fatalf("not JSON, but accepted: %s", canonical)
		}
		again, err := Canonical(canonical)
		if err != nil || !bytes.Equal(again, canonical) {
			t.Fatalf("form of the form: %s, %v; the form was %s", again, err, canonical)
		}
		if got, want := decode(t, canonical), decode(t, data); !reflect.DeepEqual(got, want) {
			t.Fatalf("another value: %v, was %v", got, want)
		}
		python, err := CanonicalPython(data)
		if err != nil || !json.Valid(python) || !utf8.Valid(python) {
			t.Fatalf("Python's form %s, %v", python, err)
		}
		twice, err := CanonicalPython(canonical)
		if err != nil || !bytes.Equal(twice, python) {
			t.Fatalf("Python's forms differ: %s and %s, %v", python, twice, err)
		}
	})
}

func isBound(err error) bool {
	text := fmt.Sprint(err)
	for _, bound := range []string{"nested more than", "more than 1000 characters", "out of range", "too large", "more than 500000 values"} {
		if strings.Contains(text, bound) {
			return true
		}
	}
	return false
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
