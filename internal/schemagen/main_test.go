package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// The tests of this package change the working directory, so none of them is
// parallel.

func TestCommittedSchemasAreUpToDate(t *testing.T) {
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no modules")
	}
	stale, err := schemas().Stale(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s does not match the types of the options; run \"go generate ./...\"", name)
	}
}

func TestSchemasCompileAlone(t *testing.T) {
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := jsonschema.NewCompiler()
		c.UseLoader(jsonschema.SchemeURLLoader{}) // nothing can be loaded
		if err := c.AddResource("schema.json", doc); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.Compile("schema.json"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		missingDescriptions(t, name, "", doc)
	}
}

// missingDescriptions reports properties that have no description.
func missingDescriptions(t *testing.T, file, at string, doc any) {
	m, ok := doc.(map[string]any)
	if !ok {
		return
	}
	if props, ok := m["properties"].(map[string]any); ok {
		for name, p := range props {
			if d, _ := p.(map[string]any)["description"].(string); !strings.HasSuffix(d, ".") {
				t.Errorf("%s: %s/%s has no doc comment in full sentences: %q", file, at, name, d)
			}
			missingDescriptions(t, file, at+"/"+name, p)
		}
	}
	missingDescriptions(t, file, at+"/*", m["additionalProperties"])
	missingDescriptions(t, file, at+"/-", m["items"])
}

// A reader of options does not know the names of Go: no description begins with one,
// unless it is meant as a word.
func TestDescriptionsAreForUsers(t *testing.T) {
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range catalog.Packages() {
		comments, err := readComments(root, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for key, text := range comments {
			name := key[strings.LastIndexByte(key, '.')+1:]
			names[name] = true
			if rest, ok := strings.CutPrefix(text, name+" "); ok && lead.MatchString(rest) {
				t.Errorf("%s: the text for users is %q", key, text)
			}
		}
		files, err := filepath.Glob(filepath.Join(root, p.Dir, "schema", "*.json"))
		if err != nil || len(files) == 0 || len(names) < 5 {
			t.Fatalf("%s: %d schemas, %d comments, %v", p.Dir, len(files), len(names), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"description": "((\w+)[^"]*)`).FindAllStringSubmatch(string(data), -1) {
				if names[m[2]] && inGo.MatchString(m[2]) || strings.Contains(m[1], "are the options of") {
					t.Errorf("%s: a description begins as a comment of Go: %q", filepath.Base(file), m[1])
				}
			}
		}
	}
}

// inGo matches names that are no words: those with a capital inside.
var inGo = regexp.MustCompile(`.[A-Z]`)

func TestUserText(t *testing.T) {
	for _, c := range []struct{ name, comment, want string }{
		{"HostnameOptions", "HostnameOptions are the options of org.osbuild.hostname.", ""},
		{"NoopOptions", "NoopOptions are the options of org.osbuild.noop: there are none.", "There are none."},
		{"ChronyOptions", "ChronyOptions are the options of org.osbuild.ostree.commit. At least one.", "At least one."},
		{"Filename", "Filename is the name of the file.", "The name of the file."},
		{"Ports", "Ports are the\nopen ones.", "The\nopen ones."},
		{"XAttrs", "XAttrs says whether attributes are kept.", "Whether attributes are kept."},
		{"Env", "Env holds the environment: NAME=VALUE.", "The environment: NAME=VALUE."},
		{"LUKS", "LUKS encrypts it.", "Encrypts it."},
		{"Labels", "Labels by absolute path.", "Labels by absolute path."},
		{"Names", "Names this or that.", "Names this or that."},
		{"Key", "A public key.", "A public key."},
		{"Key", "Keys say more.", "Keys say more."},
		{"Key", "", ""},
	} {
		if got := userText(c.name, c.comment); got != c.want {
			t.Errorf("%q: got %q, want %q", c.comment, got, c.want)
		}
	}
}

type number int

func (number) JSONSchemaText() string { return `{"type": ["integer", "string"]}` }

type table map[string]struct {
	A number `json:"a"`
}

func (table) KeyPattern() string { return "^x" }

func TestSchemaOf(t *testing.T) {
	type options struct {
		N number `json:"n" jsonschema:"required"`
		T table  `json:"t"`
		P string `json:"p" jsonschema:"pattern=^[<>]$"`
	}
	data, err := schemaOf(new(options), "do it", map[string]string{
		"github.com/osbuildkit/osbuildkit/internal/schemagen.options.N": "One\nline.\n\nTwo.",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	object := func(props map[string]any, more map[string]any) map[string]any {
		m := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	num := map[string]any{"type": []any{"integer", "string"}}
	want := object(map[string]any{
		"n": map[string]any{"type": []any{"integer", "string"}, "description": "One line.\n\nTwo."},
		"t": map[string]any{"type": "object", "propertyNames": map[string]any{"pattern": "^x"},
			"additionalProperties": object(map[string]any{"a": num}, nil)},
		"p": map[string]any{"type": "string", "pattern": "^[<>]$"},
	}, map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "do it", "description": "Do it.", "required": []any{"n"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if strings.Contains(string(data), `\u003c`) {
		t.Error("the schema is not written as a person would read it")
	}
}
