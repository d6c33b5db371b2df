package llb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// errElsewhere is what a resolver says that reaches nothing: from there on it is
// no matter of the manifest.
var errElsewhere = errors.New("nothing is reached")

type nowhere struct{}

func (nowhere) ReadFile(context.Context, llb.State, string) ([]byte, error) {
	return nil, errElsewhere
}

func (nowhere) Evaluate(context.Context, llb.State) error { return errElsewhere }

// checksums are the names of files in the examples' options.
var checksums = regexp.MustCompile(`(?:sha256|sha384|sha512|md5|sha1):[0-9a-f]{32,128}`)

// What check accepts the build accepts, and what it refuses the build refuses: the
// example of each module, alone in a manifest, with the files that it names among
// the sources and without them. With them it is right.
func TestExamplesPassAlike(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range c.Names(kind) {
			example, _ := c.Example(kind, name)
			item := fmt.Sprintf(`{"name": %q, "options": %s}`, name, example)
			pipeline := `{"stages": [` + item + `]}`
			switch {
			case kind == module.Assembler:
				pipeline = `{"stages": [{"name": "org.osbuild.noop"}], "assembler": ` + item + `}`
			case name == "org.osbuildkit.apt":
				pipeline = `{"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}, ` + item + `]}`
			}
			seen := map[string]bool{}
			var urls []string
			for _, sum := range checksums.FindAllString(string(example), -1) {
				if !seen[sum] {
					urls = append(urls, fmt.Sprintf(`%q: "https://files.example/a.tar.gz"`, sum))
				}
				seen[sum] = true
			}
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				checked, built := passes(t, c, `{"pipeline": `+pipeline+`}`)
				if (checked == nil) != (built == nil) {
					t.Errorf("check says %v, and the build %v", checked, built)
				}
				if name == "org.osbuild.ostree" || name == "org.osbuild.rpm-ostree" {
					return // its commit is another kind of source
				}
				if len(urls) > 0 {
					pipeline += `, "sources": {"org.osbuild.curl": {"urls": {` + strings.Join(urls, ", ") + `}}}`
				}
				checked, built = passes(t, c, `{"pipeline": `+pipeline+`}`)
				if checked != nil || built != nil {
					t.Errorf("with the files it names: check says %v, and the build %v\n%s", checked, built, pipeline)
				}
			})
		}
	}
}

// passes returns what check and a build say about a manifest.
func passes(t *testing.T, c *catalog.Catalog, text string) (checked, built error) {
	t.Helper()
	m, err := manifest.Load("image.json", []byte(text), c)
	if err != nil {
		return err, err
	}
	if wrong := Check(m, nil); len(wrong) > 0 {
		checked = wrong
	}
	opt := options(t)
	opt.Resolver, opt.Now = nowhere{}, time.Now
	withContext(&opt)
	// Any build root will do.
	scratch := llb.Scratch()
	opt.Toolbox = &scratch
	g := New(m, opt)
	for _, p := range m.Pipelines {
		if _, err := g.Pipeline(t.Context(), p.Name); err != nil && !errors.Is(err, errElsewhere) {
			built = err
		}
	}
	return checked, built
}
