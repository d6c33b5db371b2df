package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/iohelper"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/module"
)

// FailedStep is a step that ended with an error, and what it has left. It lives
// as long as the gateway's client that the error came from.
type FailedStep struct {
	// Sandbox says what the step had as its root.
	Sandbox module.Sandbox
	// Args is what it ran.
	Args []string

	op *pb.Op
	// mounts are those of the step, as it left them; before are their contents when
	// it began.
	mounts []gwclient.Mount
	before []string
}

// Failed returns the step that an error of a build comes from. It returns nil
// where none ran: a download, a copy, a manifest that is refused.
func Failed(err error) *FailedStep {
	var se *errdefs.SolveError
	if !errors.As(err, &se) || se.Solve == nil {
		return nil
	}
	exec := se.Op.GetExec()
	// A step that never began has no results.
	if exec == nil || exec.Meta == nil || len(exec.Meta.Args) == 0 || len(se.MountIDs) < len(exec.Mounts) || len(se.InputIDs) < len(exec.Mounts) {
		return nil
	}
	s := &FailedStep{Sandbox: module.Inside, Args: exec.Meta.Args, op: se.Op, before: se.InputIDs}
	for i, m := range exec.Mounts {
		s.mounts = append(s.mounts, gwclient.Mount{
			Selector: m.Selector, Dest: m.Dest, ResultID: se.MountIDs[i], Readonly: m.Readonly,
			MountType: m.MountType, CacheOpt: m.CacheOpt, SecretOpt: m.SecretOpt, SSHOpt: m.SSHOpt,
		})
		if m.Dest == graph.TreeDir {
			s.Sandbox = module.Tools
		}
	}
	if s.Sandbox == module.Tools && s.mount(graph.BinDir) == nil {
		s.Sandbox = module.Edit
	}
	return s
}

// mount returns the mount at a place, nil if there is none.
func (s *FailedStep) mount(dest string) *gwclient.Mount {
	for i := range s.mounts {
		if s.mounts[i].Dest == dest {
			return &s.mounts[i]
		}
	}
	return nil
}

// Tree is where the tree is in the shell.
func (s *FailedStep) Tree() string {
	if s.Sandbox == module.Tools {
		return graph.TreeDir
	}
	return "/"
}

// Command is the command that runs the step again in the shell.
func (s *FailedStep) Command() string {
	args := append([]string(nil), s.Args...)
	if s.Sandbox == module.Edit {
		args[0] = graph.BinDir + "/" + graph.RunnerName
	}
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`;&|<>()*?[]#~=%!{}") {
			args[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(args, " ")
}

// Shell is a container and what is started in it.
type Shell struct {
	Container gwclient.NewContainerRequest
	Start     gwclient.StartRequest
}

// shell is the program that is started, of the root of the step.
const shell = "/bin/sh"

// Shell returns the shell of the failed step: all that it saw, where it saw it,
// and the shell of its root. The root of a step that only edits files has nothing
// but the runner: there the tree is the root, and the tree's shell is started.
func (s *FailedStep) Shell() Shell {
	out := Shell{
		Container: s.container(s.mounts),
		Start: gwclient.StartRequest{
			Args: []string{shell}, Cwd: s.Tree(), SecurityMode: s.op.GetExec().Security,
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "PS1=failed step# "},
		},
	}
	if s.Sandbox != module.Edit {
		return out
	}
	var mounts []gwclient.Mount
	for _, m := range s.mounts {
		switch m.Dest {
		case pb.RootMount:
			m.Dest, m.Readonly = graph.BinDir, true
		case graph.TreeDir:
			m.Dest, m.Readonly = pb.RootMount, false
		}
		mounts = append(mounts, m)
	}
	out.Container.Mounts = mounts
	// So that what the step is told about its tree is true here too.
	out.Start.Args = []string{shell, "-c", "ln -s / " + graph.TreeDir + " 2>/dev/null; exec " + shell}
	return out
}

func (s *FailedStep) container(mounts []gwclient.Mount) gwclient.NewContainerRequest {
	return gwclient.NewContainerRequest{
		Mounts: mounts, NetMode: s.op.GetExec().Network, Hostname: "localhost", Platform: s.op.Platform, Constraints: s.op.Constraints,
	}
}

// archiveStage is the module that writes a tree as an archive.
const archiveStage = "org.osbuild.tar"

// Archive writes the tree, as the step left it, as a tar archive. The runners are a
// state that holds those of all groups; log receives what the program says.
func (s *FailedStep) Archive(ctx context.Context, c gwclient.Client, runners llb.State, w, log io.Writer) error {
	st := graph.Runner(runners, module.GroupAssemblers)
	def, err := st.Marshal(ctx, llb.WithCaps(c.BuildOpts().LLBCaps), llb.LocalUniqueID(c.BuildOpts().SessionID))
	if err != nil {
		return err
	}
	res, err := c.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return err
	}
	tree := s.mount(graph.TreeDir)
	if s.Sandbox == module.Inside {
		tree = s.mount(pb.RootMount)
	}
	if tree == nil || tree.ResultID == "" {
		return errors.New("the step has no tree")
	}
	contract := module.Input{Tree: graph.TreeDir, Options: json.RawMessage(`{"filename": "tree.tar"}`)}
	mounts := []gwclient.Mount{
		{Dest: pb.RootMount, Ref: ref, Readonly: true},
		{Dest: "/run", MountType: pb.MountType_TMPFS}, {Dest: "/tmp", MountType: pb.MountType_TMPFS},
		{Dest: graph.TreeDir, ResultID: tree.ResultID, Selector: tree.Selector, Readonly: true},
	}
	for i, m := range s.mounts {
		// As it was before: a step may have failed while it wrote to it.
		if m.Dest == graph.LedgerDir && s.before[i] != "" {
			mounts = append(mounts, gwclient.Mount{Dest: m.Dest, ResultID: s.before[i], Selector: m.Selector, Readonly: true})
			contract.Ledger = graph.LedgerDir
		}
	}
	step, err := json.Marshal(contract)
	if err != nil {
		return err
	}
	req := s.container(mounts)
	req.NetMode = pb.NetMode_NONE
	return Run(ctx, c, Shell{Container: req, Start: gwclient.StartRequest{
		Args: []string{"/" + graph.RunnerName, "module", archiveStage, "--kind", string(module.Assembler), "--stdout"}, Cwd: "/",
		Stdin: io.NopCloser(strings.NewReader(string(step))), Stdout: &iohelper.NopWriteCloser{Writer: w}, Stderr: &iohelper.NopWriteCloser{Writer: log},
	}}, nil)
}

// Run starts a container and waits for the end of its process. The function
// started may be nil.
func Run(ctx context.Context, c gwclient.Client, s Shell, started func(gwclient.ContainerProcess)) error {
	ctr, err := c.NewContainer(ctx, s.Container)
	if err != nil {
		return fmt.Errorf("preparing the container: %w", err)
	}
	defer func() { _ = ctr.Release(context.WithoutCancel(ctx)) }() //nolint:errcheck // what is left ends with the session
	p, err := ctr.Start(ctx, s.Start)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.Start.Args[0], err)
	}
	if started != nil {
		started(p)
	}
	return p.Wait()
}
