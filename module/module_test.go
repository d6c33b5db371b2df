package module

import (
	"bytes"
	"strings"
	"testing"
)

func TestReadInput(t *testing.T) {
	t.Parallel()
	in, err := ReadInput(strings.NewReader(`{"tree": "/t", "options": {"b": 1, "a": 1.0}, "output_dir": "/o", "inputs": {"debs": "/d"}, "ledger": "/l", "epoch": 7, "later": true}`))
	if err != nil {
		t.Fatal(err)
	}
	if in.Tree != "/t" || string(in.Options) != `{"b": 1, "a": 1.0}` || in.OutputDir != "/o" || in.Inputs["debs"] != "/d" || in.Ledger != "/l" || in.Time().Unix() != 7 {
		t.Errorf("%+v", in)
	}
	for text, want := range map[string]string{
		`{"options": {}}`: `the contract names no "tree"`,
		`[]`:              `the contract on standard input is not a JSON object of the form {"tree": DIR, "options": {…}}`,
		`{"tree": "`:      `the contract on standard input is not a JSON object`,
	} {
		if _, err := ReadInput(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := ReadInput(bytes.NewReader(make([]byte, maxInput+1))); err == nil || err.Error() != "the contract is larger than 32 MiB" {
		t.Error(err)
	}
}

func TestDecodeOptions(t *testing.T) {
	t.Parallel()
	var o struct {
		Name string `json:"name"`
	}
	for text, want := range map[string]string{
		`{"name": "a"}`:         "",
		``:                      "",
		`{"nam": "a"}`:          `options: json: unknown field "nam"`,
		`{"name": 3}`:           "options: json: cannot unmarshal number",
		`{"name": "a"} {"x":1}`: "options: more than one JSON value",
	} {
		in := Input{Options: []byte(text)}
		err := in.DecodeOptions(&o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestFindAndInternal(t *testing.T) {
	t.Parallel()
	list := []Module{{Name: "a", Options: func() any { return nil }}, {Name: "b"}}
	if m := Find(list, "a"); m == nil || m.Internal() {
		t.Error("a is a module that a manifest may name")
	}
	if m := Find(list, "b"); m == nil || !m.Internal() {
		t.Error("b is a part")
	}
	if Find(list, "c") != nil {
		t.Error("there is no c")
	}
}
