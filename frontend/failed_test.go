package frontend

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/module"
)

// failure is the error of a step with these mounts; each has an id of its place,
// and another one for what was there before.
func failure(args []string, dests ...string) *errdefs.Solve {
	exec := &pb.ExecOp{Meta: &pb.Meta{Args: args}, Network: pb.NetMode_NONE}
	s := &errdefs.Solve{Op: &pb.Op{Op: &pb.Op_Exec{Exec: exec}, Platform: &pb.Platform{OS: "linux", Architecture: "amd64"}}}
	for _, d := range dests {
		m := &pb.Mount{Dest: d, Readonly: d != "/run/osbuild/tree"}
		if d == "/run" {
			m.MountType = pb.MountType_TMPFS
		}
		exec.Mounts = append(exec.Mounts, m)
		s.MountIDs, s.InputIDs = append(s.MountIDs, "after "+d), append(s.InputIDs, "before "+d)
	}
	return s
}

// A failed step is known by its mounts, and its shell has the tree where a person
// expects it.
func TestFailed(t *testing.T) {
	t.Parallel()
	const tree, bin = "/run/osbuild/tree", "/run/osbuild/bin"
	run := []string{"/osbuildkit-runner", "module", "org.osbuild.users", "--step", "a b"}
	for _, c := range []struct {
		name    string
		solve   *errdefs.Solve
		sandbox module.Sandbox
		tree    string
		// mounts are "place=id" of the shell.
		mounts  []string
		command string
	}{
		{"edit", failure(run, "/", "/run", tree), module.Edit, "/",
			[]string{bin + "=after / ro", "/run=after /run ro", "/=after " + tree + " rw"}, bin + "/osbuildkit-runner module org.osbuild.users --step 'a b'"},
		{"tools", failure([]string{bin + "/osbuildkit-runner", "it's"}, "/", "/run", bin, tree), module.Tools, tree,
			[]string{"/=after / ro", "/run=after /run ro", bin + "=after " + bin + " ro", tree + "=after " + tree + " rw"}, bin + `/osbuildkit-runner 'it'\''s'`},
		{"inside", failure([]string{bin + "/osbuildkit-runner"}, "/", "/run", bin), module.Inside, "/",
			[]string{"/=after / ro", "/run=after /run ro", bin + "=after " + bin + " ro"}, bin + "/osbuildkit-runner"},
	} {
		// As it comes: wrapped, and at the end of a chain.
		s := Failed(fmt.Errorf("in a pipeline: %w", &errdefs.SolveError{Solve: c.solve, Err: errors.New("exit code: 1")}))
		if s == nil {
			t.Errorf("%s: no step", c.name)
			continue
		}
		var mounts []string
		shell := s.Shell()
		for _, m := range shell.Container.Mounts {
			mode := "rw"
			if m.Readonly {
				mode = "ro"
			}
			mounts = append(mounts, m.Dest+"="+m.ResultID+" "+mode)
		}
		if d := cmp.Diff(c.mounts, mounts); d != "" || s.Sandbox != c.sandbox || s.Tree() != c.tree || s.Command() != c.command {
			t.Errorf("%s: %s, tree %s, %s\n%s", c.name, s.Sandbox, s.Tree(), s.Command(), d)
		}
		if shell.Start.Cwd != c.tree || shell.Start.Args[0] != "/bin/sh" || shell.Container.NetMode != pb.NetMode_NONE || shell.Start.SecurityMode != pb.SecurityMode_SANDBOX {
			t.Errorf("%s: %+v", c.name, shell.Start)
		}
	}
}

// What is no step that ran has nothing to look at.
func TestNotFailedSteps(t *testing.T) {
	t.Parallel()
	never := failure([]string{"/osbuildkit-runner"}, "/", "/run")
	never.MountIDs = nil
	before := failure([]string{"/osbuildkit-runner"}, "/", "/run")
	before.InputIDs = before.InputIDs[:1]
	for name, err := range map[string]error{
		"none":          nil,
		"a manifest":    errors.New("unknown stage"),
		"a download":    &errdefs.SolveError{Solve: &errdefs.Solve{Op: &pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{}}}}, Err: errors.New("404")},
		"no operation":  &errdefs.SolveError{Solve: &errdefs.Solve{}, Err: errors.New("x")},
		"nothing":       &errdefs.SolveError{Err: errors.New("x")},
		"never began":   &errdefs.SolveError{Solve: never, Err: errors.New("x")},
		"half an error": &errdefs.SolveError{Solve: before, Err: errors.New("x")},
		"no command":    &errdefs.SolveError{Solve: failure(nil, "/"), Err: errors.New("x")},
	} {
		if s := Failed(err); s != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
