package examples_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

const recipesPage = "../docs/recipes.md"

// recipe is a manifest of docs/recipes.md.
type recipe struct {
	Args   any
	Stages []any
	// Assembler is that of the disk.
	Assembler struct{ Options map[string]any }
}

func recipes(t *testing.T) map[string]*recipe {
	t.Helper()
	files, err := filepath.Glob("recipes/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	out := map[string]*recipe{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r recipe
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = &r
	}
	return out
}

// TestRecipesAreValid checks the manifests as a build does, and that the files that
// they copy are there.
func TestRecipesAreValid(t *testing.T) {
	t.Parallel()
	for name := range recipes(t) {
		data, err := os.ReadFile(filepath.Join("recipes", name))
		if err != nil {
			t.Fatal(err)
		}
		args := manifest.WithArgs(map[string]string{"SSH_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6hG2hBbR1mJfQzWn8cT2zT5cA0v6oYk7QmFhV7oT1z"})
		m, err := manifest.Load(name, data, catalog.Builtin(), args)
		if err != nil {
			t.Error(err)
			continue
		}
		missing := func(file string) error {
			_, err := os.Stat(filepath.Join("recipes", file))
			return err
		}
		if wrong := append(llb.Check(m, nil), llb.CheckContext(m, m.Pipelines, missing)...); len(wrong) > 0 {
			t.Error(wrong)
		}
	}
}

var (
	recipeLink  = regexp.MustCompile(`\(\.\./examples/recipes/([a-z-]+\.json)\)`)
	recipeBlock = regexp.MustCompile("^```")
)

// block is a piece of JSON of the page, and the manifest that was named before it.
type block struct {
	line           int
	manifest, text string
}

func pageBlocks(t *testing.T) []block {
	t.Helper()
	data, err := os.ReadFile(recipesPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var named, text string
	inside, isJSON := false, false
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case recipeBlock.MatchString(line):
			if inside && isJSON {
				out = append(out, block{i + 1, named, text})
			}
			inside, isJSON, text = !inside, line == "```json", ""
		case inside:
			text += line + "\n"
		case strings.HasPrefix(line, "#"):
			named = ""
		default:
			for _, m := range recipeLink.FindAllStringSubmatch(line, -1) {
				named = m[1]
			}
		}
	}
	return out
}

// find looks for a block in the manifest: stages, which it must have one after the
// other or apart, or members of the manifest or the options of the assembler.
func (r *recipe) find(text string) error {
	var stages []any
	if err := json.Unmarshal([]byte("["+text+"]"), &stages); err == nil {
		for _, s := range stages {
			if !slices.ContainsFunc(r.Stages, func(have any) bool { return reflect.DeepEqual(s, have) }) {
				data, err := json.Marshal(s)
				return errors.Join(errors.New("the manifest has no such stage: "+string(data)), err)
			}
		}
		return nil
	}
	var members map[string]any
	if err := json.Unmarshal([]byte("{"+text+"}"), &members); err != nil {
		return err
	}
	have := maps.Clone(r.Assembler.Options)
	have["args"] = r.Args
	for name, value := range members {
		if !reflect.DeepEqual(have[name], value) {
			return errors.New("the manifest has another " + name)
		}
	}
	return nil
}

// TestRecipesPage wants every piece of JSON of the page to be in the manifest that
// the page names, and each manifest to be named.
func TestRecipesPage(t *testing.T) {
	t.Parallel()
	all, used := recipes(t), map[string]bool{}
	blocks := pageBlocks(t)
	if len(blocks) < 20 {
		t.Errorf("the page has %d blocks", len(blocks))
	}
	for _, b := range blocks {
		r := all[b.manifest]
		if r == nil {
			t.Errorf("%s:%d: no manifest is named before the block, or none that there is: %q", recipesPage, b.line, b.manifest)
			continue
		}
		used[b.manifest] = true
		if err := r.find(b.text); err != nil {
			t.Errorf("%s:%d: %v", recipesPage, b.line, err)
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("%s shows nothing of %s", recipesPage, name)
		}
	}
	// What the test is to find, it finds.
	if err := all["server.json"].find(`{"name": "org.osbuild.hostname", "options": {"hostname": "other"}}`); err == nil {
		t.Error("another stage is taken for one of the manifest")
	}
	if err := all["server.json"].find(`"size": "content+1MiB"`); err == nil {
		t.Error("another size is taken for that of the manifest")
	}
}
