package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/console"
	"github.com/containerd/platforms"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/iohelper"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/module"
)

// failedTree is the name of the archive that --keep-failed writes.
const failedTree = "tree.tar"

// checkDebug looks at the flags about failed steps.
func (f *buildFlags) checkDebug(name string) error {
	switch {
	case f.debug && (name == "-" || f.buildEnv == "-"):
		return usageError("--debug: the shell reads standard input, which the manifest comes from: put it into a file")
	case f.debug && f.json:
		return usageError("--debug: the shell writes to standard output, which is for JSON with --json: leave one out")
	case f.debug && f.progress == "rawjson":
		return usageError("--debug: the shell's messages do not fit between the lines of --progress=rawjson: choose another progress")
	case f.changed("keep-failed") && f.keepFailed == "":
		return usageError("--keep-failed: name a directory")
	}
	return nil
}

// afterFailure says what has failed and gives the user what --keep-failed and
// --debug ask for. Nothing of it changes how the build has ended.
func (r *request) afterFailure(ctx context.Context, c gwclient.Client, failure error) {
	f := r.flags
	if !f.debug && f.keepFailed == "" || ctx.Err() != nil {
		return
	}
	a := r.app
	// The error arrives before what the step has printed.
	r.show.finish()
	r.failure = a.failed(r.explainBase(failure), r.src, r.show)
	step := frontend.Failed(failure)
	if step == nil {
		fmt.Fprintln(a.stderr, "osbuildkit: there is no tree to look at: what failed is no step that runs a program")
		return
	}
	if f.keepFailed != "" {
		path, err := r.keepFailedTree(ctx, c, step)
		if err != nil {
			fmt.Fprintf(a.stderr, "osbuildkit: --keep-failed: %s\n", redact.Shown(err.Error()))
		} else {
			fmt.Fprintf(a.stderr, "the tree as the failed step left it: %s\n", path)
		}
	}
	if f.debug {
		if err := r.debugShell(ctx, c, step); err != nil {
			fmt.Fprintf(a.stderr, "osbuildkit: --debug: %s\n", redact.Shown(err.Error()))
		}
	}
}

// keepFailedTree writes the tree of the failed step into the directory that the
// flag names.
func (r *request) keepFailedTree(ctx context.Context, c gwclient.Client, step *frontend.FailedStep) (string, error) {
	dir := r.flags.keepFailed
	p, err := newPartial(dir, failedTree)
	if err != nil {
		return "", err
	}
	// It has the files that only root can read in the tree.
	p.private = true
	t := &archiveFile{partial: p, sum: sha256.New(), path: filepath.Join(dir, failedTree)}
	defer p.discard()
	platform := platforms.Normalize(platforms.DefaultSpec())
	if workers := c.BuildOpts().Workers; len(workers) > 0 && len(workers[0].Platforms) > 0 {
		platform = workers[0].Platforms[0]
	}
	runners, err := r.config().Runner(ctx, c, ocispecs.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant})
	if err != nil {
		return "", err
	}
	var log strings.Builder
	if err := step.Archive(ctx, c, runners, p, &log); err != nil {
		if text := strings.TrimSpace(log.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return "", err
	}
	_, err = t.commit()
	return t.path, err
}

// debugShell opens a shell in the failed step and returns when it has ended.
func (r *request) debugShell(ctx context.Context, c gwclient.Client, step *frontend.FailedStep) error {
	a := r.app
	s := step.Shell()
	s.Start.Stdin, s.Start.Stdout, s.Start.Stderr = io.NopCloser(a.stdin), &iohelper.NopWriteCloser{Writer: a.stdout}, &iohelper.NopWriteCloser{Writer: a.stderr}
	whose := map[module.Sandbox]string{
		module.Inside: "the tree's own, and / is the tree", module.Edit: "the tree's own, and / is the tree",
		module.Tools: "the build root's, and the tree is " + step.Tree(),
	}[step.Sandbox]
	fmt.Fprintf(a.stderr, "a shell in the failed step: it is %s, as the step left it\nto run the step again: %s\nwhat is changed here is dropped; leave with exit\n", whose, step.Command())
	started := func(gwclient.ContainerProcess) {}
	if term := terminal(a.stdin); term != nil {
		s.Start.Tty, s.Start.Stderr = true, nil
		s.Start.Env = append(s.Start.Env, "TERM="+os.Getenv("TERM"))
		if err := term.SetRaw(); err != nil {
			return err
		}
		defer func() { _ = term.Reset() }() //nolint:errcheck // nothing can be done about it
		var stop func()
		started = func(p gwclient.ContainerProcess) { stop = followSize(ctx, term, p) }
		defer func() {
			if stop != nil {
				stop()
			}
		}()
	}
	out, errs := &beginning{w: s.Start.Stdout}, &beginning{w: s.Start.Stderr}
	if s.Start.Stdout = out; s.Start.Stderr != nil {
		s.Start.Stderr = errs
	}
	err := frontend.Run(ctx, c, s, started)
	var exit *gwpb.ExitError
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case notStarted.Match(out.data) || notStarted.Match(errs.data) || notStarted.MatchString(err.Error()):
		where := "the tree"
		if step.Sandbox == module.Tools {
			where = "the build root"
		}
		return fmt.Errorf("no shell: %s has no /bin/sh that runs on the builder; --keep-failed DIRECTORY stores the tree", where)
	case errors.As(err, &exit):
		return nil // that of the user's last command
	}
	return err
}

// notStarted matches what is written in the place of the shell's output where
// none could be started.
var notStarted = regexp.MustCompile(`\A[^\n]*(unable to start container process|executable file [^\n]*not found|/bin/sh: exec format error)`)

// beginning passes on what it is given and remembers how it began.
type beginning struct {
	w    io.WriteCloser
	data []byte
}

// Write passes on what it is given.
func (b *beginning) Write(p []byte) (int, error) {
	if n := 512 - len(b.data); n > 0 {
		b.data = append(b.data, p[:min(n, len(p))]...)
	}
	return b.w.Write(p)
}

// Close ends what it passes to.
func (b *beginning) Close() error { return b.w.Close() }

// terminal returns the terminal that a reader is, nil if it is none.
func terminal(in io.Reader) console.Console {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	term, err := console.ConsoleFromFile(f)
	if err != nil {
		return nil
	}
	return term
}

// followSize gives a process the size of the terminal, also when it changes, until
// stop is called.
func followSize(ctx context.Context, term console.Console, p gwclient.ContainerProcess) (stop func()) {
	changed, end := sizeChanges()
	done := make(chan struct{})
	resize := func() {
		if size, err := term.Size(); err == nil {
			_ = p.Resize(ctx, gwclient.WinSize{Rows: uint32(size.Height), Cols: uint32(size.Width)}) //nolint:errcheck // the process may have ended
		}
	}
	go func() {
		defer close(done)
		resize()
		for range changed {
			resize()
		}
	}()
	return func() {
		end()
		<-done
	}
}
