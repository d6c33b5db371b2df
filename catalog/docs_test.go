package catalog_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// The manifests of the documentation are ones that can be built.
func TestManifestsOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := jsonBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	for _, b := range blocks {
		m, err := manifest.Load("docs/manifest.md", b[1], catalog.Builtin(), manifest.WithArgs(map[string]string{"host": "web1"}))
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
			continue
		}
		for _, a := range m.Args {
			if a.Uses == 0 {
				t.Errorf("the argument %q of an example is not used", a.Name)
			}
		}
	}
}
