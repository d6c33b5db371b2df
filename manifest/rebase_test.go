package manifest

import (
	"strings"
	"testing"
)

// TestBaseIDs says that what starts from a tree has the ids of the manifest that
// makes the tree and goes on.
func TestBaseIDs(t *testing.T) {
	t.Parallel()
	const first = `{"name": "org.osbuild.truncate", "options": {"a": 1.50, "script": "é"}}`
	const second, assembler = `{"name": "org.osbuild.noop"}`, `"assembler": {"name": "org.osbuild.tar", "options": {"filename": "a"}}`
	whole := load(t, `{"stages": [`+first+`, `+second+`], `+assembler+`}`)
	tree := load(t, `{"stages": [`+first+`]}`)
	based := load(t, `{"base": "`+tree.TreeID()+`", "stages": [`+second+`], `+assembler+`}`)
	if based.TreeID() != whole.TreeID() || based.OutputID() != whole.OutputID() {
		t.Errorf("tree %s and output %s, of the whole %s and %s", based.TreeID(), based.OutputID(), whole.TreeID(), whole.OutputID())
	}
	bare := load(t, `{"base": "`+whole.TreeID()+`", `+assembler+`}`)
	if bare.TreeID() != whole.TreeID() || bare.OutputID() != whole.OutputID() {
		t.Errorf("without stages: tree %s and output %s, of the whole %s and %s", bare.TreeID(), bare.OutputID(), whole.TreeID(), whole.OutputID())
	}
}

func TestRebase(t *testing.T) {
	t.Parallel()
	base, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	text := func(base string) string {
		return `{"base": "` + base + `", "build": {"base": "` + base + `"}, "stages": [{"name": "org.osbuild.truncate", "options": {"a": 1.50, "script": "é \u00e9\/"}}],
			"assembler": {"name": "org.osbuild.tar", "options": {"filename": "a"}}}`
	}
	m, want := load(t, text(base)), load(t, text(other))
	before := m.TreeID()
	if err := m.Rebase(func(p *Pipeline) string { return p.Base }); err != nil || m.TreeID() != before {
		t.Errorf("%s became %s, %v", before, m.TreeID(), err)
	}
	if err := m.Rebase(func(*Pipeline) string { return other }); err != nil {
		t.Fatal(err)
	}
	if m.TreeID() != want.TreeID() || m.OutputID() != want.OutputID() || m.Pipeline(TreePipeline).Base != base {
		t.Errorf("tree %s and output %s, want %s and %s", m.TreeID(), m.OutputID(), want.TreeID(), want.OutputID())
	}
	a, b := VariantID(base, "x", "y"), VariantID(base, "xy")
	if a == b || a == base || len(a) != 64 || a != VariantID(base, "x", "y") {
		t.Errorf("%s and %s", a, b)
	}
}
