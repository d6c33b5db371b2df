package llb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/module"
)

// ledgerMounts returns, by the name of the step, from where a step has its
// ledger and how: "empty rw", "[tree 2/3] … ro".
func ledgerMounts(t *testing.T, stages, assembler string) map[string]string {
	t.Helper()
	opt := options(t)
	box := llb.Image("toolbox.example")
	opt.Toolbox = &box
	ops := parse(t, define(t, testManifest(t, `{"stages": [`+stages+`], "assembler": `+assembler+`}`), opt, "assembler"))
	names := map[string]string{}
	out := map[string]string{}
	for _, op := range ops {
		names[op.digest.String()] = op.name
		e := op.op.GetExec()
		if e == nil {
			continue
		}
		out[op.name] = "none"
		for _, m := range e.Mounts {
			if m.Dest != "/run/osbuild/ledger" {
				continue
			}
			from := "empty"
			if m.Input >= 0 {
				from = names[op.op.Inputs[m.Input].Digest]
			}
			access := " rw"
			if m.Readonly {
				access = " ro"
			}
			out[op.name] = from + access
		}
	}
	return out
}

func TestWhichStepsHaveALedger(t *testing.T) {
	t.Parallel()
	const (
		hostname = `{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}`
		labels   = `{"name": "org.osbuildkit.attributes", "options": {"paths": {"/etc": {"xattrs": {"user.a": "b"}}}}}`
		qemu     = `{"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "d", "ptuuid": "0x7e83a7ba", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": 1073741824}}`
	)
	for _, tt := range []struct {
		name, stages, assembler string
		want                    map[string]string
	}{
		{"no writer", hostname, qemu, map[string]string{
			"[tree 1/1] org.osbuild.hostname": "none", "[assembler 1/1] org.osbuild.qemu": "none",
		}},
		{"past other steps", labels + "," + hostname + "," + labels, qemu, map[string]string{
			"[tree 1/3] org.osbuildkit.attributes": "empty rw", "[tree 2/3] org.osbuild.hostname": "none",
			"[tree 3/3] org.osbuildkit.attributes": "[tree 1/3] org.osbuildkit.attributes rw",
			"[assembler 1/1] org.osbuild.qemu":     "[tree 3/3] org.osbuildkit.attributes ro",
		}},
	} {
		if d := cmp.Diff(tt.want, ledgerMounts(t, tt.stages, tt.assembler)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// A step that does not use the ledger has the same description whether there
// is one or not.
func TestOtherStepsDoNotKnowTheLedger(t *testing.T) {
	t.Parallel()
	written := llb.Image("ledger.example")
	for _, m := range []string{"org.osbuild.hostname", "org.osbuild.grub2", "org.osbuildkit.prepare"} {
		s := step{module: catalog.Builtin().Module(module.Stage, m), options: []byte("{}")}
		without, err := s.file(Tree{Ledger: llb.Scratch()})
		if err != nil {
			t.Fatal(err)
		}
		with, err := s.file(Tree{Ledger: written})
		if err != nil {
			t.Fatal(err)
		}
		if string(with) != string(without) || strings.Contains(string(with), "ledger") {
			t.Errorf("%s: %s and %s", m, without, with)
		}
		if s.module.Sandbox != module.Edit {
			continue
		}
		g := New(testManifest(t, `{"stages": [{"name": "org.osbuild.noop"}]}`), options(t))
		g.opt.BuildPlatform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
		at := place{pipeline: g.m.Pipeline("tree"), stage: g.m.Pipeline("tree").Stages[0], number: 1}
		var heads []string
		for _, ledger := range []llb.State{llb.Scratch(), written} {
			out, err := g.run(t.Context(), at, Tree{Root: llb.Scratch(), Ledger: ledger}, s)
			if err != nil {
				t.Fatal(err)
			}
			def, err := out.tree.Marshal(t.Context(), llb.Platform(amd64))
			if err != nil {
				t.Fatal(err)
			}
			heads = append(heads, head(t, def).String())
			if (out.ledger.Output() == nil) != (ledger.Output() == nil) {
				t.Errorf("%s: the ledger does not pass by", m)
			}
		}
		if heads[0] != heads[1] {
			t.Errorf("%s: the operation depends on the ledger", m)
		}
	}
}
