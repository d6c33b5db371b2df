package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

// registry has one module of each behaviour.
func registry() []module.Module {
	options := func() any { return &struct{}{} }
	return []module.Module{
		{Name: "a.write", Kind: module.Stage, Sandbox: module.Edit, Options: options, Run: func(_ context.Context, in *module.Input) error {
			in.Logf("options %s", in.Options)
			return os.WriteFile(filepath.Join(in.Tree, "written"), in.Options, 0o644)
		}},
		{Name: "a.fail", Kind: module.Stage, Sandbox: module.Edit, Options: options, Run: func(context.Context, *module.Input) error {
			return errors.New("no luck")
		}},
		{Name: "a.code", Kind: module.Stage, Options: options, Run: func(context.Context, *module.Input) error { return module.ExitCode(7) }},
		{Name: "a.panic", Kind: module.Stage, Options: options, Run: func(context.Context, *module.Input) error { panic("hostile") }},
		{Name: "a.both", Kind: module.Stage, Options: options, Run: func(_ context.Context, in *module.Input) error { in.Logf("stage"); return nil }},
		{Name: "a.both", Kind: module.Assembler, Options: options, Run: func(_ context.Context, in *module.Input) error { in.Logf("assembler"); return nil }},
		{Name: "a.out", Kind: module.Assembler, Options: options, Run: func(_ context.Context, in *module.Input) error {
			in.Logf("archive")
			if in.Output == nil {
				return errors.New("no output")
			}
			_, err := in.Output.Write([]byte("bytes"))
			return err
		}},
		{Name: "a.parts", Kind: module.Stage, Options: options},
		{Name: "a.parts.one", Kind: module.Stage, Run: func(context.Context, *module.Input) error { return nil }},
	}
}

func TestRunner(t *testing.T) {
	t.Parallel()
	const contract = `{"tree": "TREE", "options": {"b": 1, "a": 1.0}, "something": "new"}`
	cases := []struct {
		name, stdin, stdout, stderr string
		args                        []string
		code                        int
	}{
		{name: "writes", args: []string{"module", "a.write"}, stdin: contract, stdout: "options {\"b\": 1, \"a\": 1.0}\n"},
		{name: "null options", args: []string{"module", "a.write"}, stdin: `{"tree": "TREE", "options": null}`, stdout: "options {}\n"},
		{name: "fails", args: []string{"module", "a.fail"}, stdin: contract, stderr: "a.fail: no luck\n", code: 1},
		{name: "chooses its code", args: []string{"module", "a.code"}, stdin: contract, stderr: "a.code: exit code 7\n", code: 7},
		{name: "to standard output", args: []string{"module", "a.out", "--stdout"}, stdin: contract, stdout: "bytes", stderr: "archive\n"},
		{name: "to nowhere", args: []string{"module", "a.out"}, stdin: contract, stdout: "archive\n", stderr: "a.out: no output\n", code: 1},
		{name: "kind", args: []string{"module", "a.both", "--kind", "assembler"}, stdin: contract, stdout: "assembler\n"},
		{name: "which kind", args: []string{"module", "a.both"}, stdin: contract, code: 2,
			stderr: "osbuildkit-runner: \"a.both\" is a stage and an assembler: say which with --kind\n"},
		{name: "made of parts", args: []string{"module", "a.parts"}, stdin: contract, code: 2,
			stderr: "osbuildkit-runner: \"a.parts\" is made of several steps, which only a build puts together; its parts are: a.parts.one\n"},
		{name: "unknown", args: []string{"module", "b"}, stdin: contract, code: 2,
			stderr: "osbuildkit-runner: no module \"b\"; this runner has: a.both a.code a.fail a.out a.panic a.parts.one a.write\n"},
		{name: "no name", args: []string{"module"}, code: 2, stderr: "osbuildkit-runner module: the name of a module is missing\n"},
		{name: "no tree", args: []string{"module", "a.write"}, stdin: `{"options": {}}`, code: 2, stderr: "osbuildkit-runner: the contract names no \"tree\"\n"},
		{name: "no step file", args: []string{"module", "a.write", "--step", "/nonexistent/step.json"}, code: 2,
			stderr: "osbuildkit-runner: open /nonexistent/step.json: no such file or directory\n"},
		{name: "list", args: []string{"list"}, stdout: "a.both\na.code\na.fail\na.out\na.panic\na.parts.one\na.write\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stdin := strings.NewReader(strings.ReplaceAll(c.stdin, "TREE", t.TempDir()))
			var stdout, stderr bytes.Buffer
			if code := Main(registry(), c.args, stdin, &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if d := cmp.Diff(c.stdout, stdout.String()); d != "" {
				t.Errorf("stdout: %s", d)
			}
			if d := cmp.Diff(c.stderr, stderr.String()); d != "" {
				t.Errorf("stderr: %s", d)
			}
		})
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := Main(registry(), []string{"module", "a.panic"}, strings.NewReader(`{"tree": "/nonexistent"}`), &stdout, &stderr)
	if code != 1 || !strings.HasPrefix(stderr.String(), "a.panic: internal error, please report it: hostile\n") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

func TestBadContracts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "[]", "{", `{"tree": 3}`, `null`, `{"tree": ""}`} {
		var stdout, stderr bytes.Buffer
		if code := Main(registry(), []string{"module", "a.write"}, strings.NewReader(text), &stdout, &stderr); code != 2 {
			t.Errorf("%q: exit code %d: %s", text, code, stderr.String())
		}
	}
}
