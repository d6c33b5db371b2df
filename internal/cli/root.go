package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/internal/redact"
)

// Exit codes of the command line. The same fault has the same code whichever
// command finds it.
const (
	// exitFailed is that of a build, or a boot, that fails, and of a comparison
	// or check that does not pass.
	exitFailed = 1
	// exitInvalid says that the input or the command line is wrong.
	exitInvalid = 2
	// exitInterrupted is that of SIGINT; SIGTERM has 143.
	exitInterrupted = 128 + int(syscall.SIGINT)
)

// exitHelp describes the exit codes.
const exitHelp = `Exit codes:
    0  success
    1  the build, or what else the command does, failed
    2  the input or the command line is wrong
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)`

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// progress is where the progress of a build goes; nil is stderr.
	progress io.Writer
	// shown is where the last excerpt of a file was.
	shown lineCursor
}

// exitError is an error with its exit code. Quiet ones have been shown.
type exitError struct {
	code  int
	err   error
	quiet bool
	// places are those that the error is about.
	places []jsonPlace
	// elsewhere says that another process has said all that there is to say.
	elsewhere bool
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{code: exitInvalid, err: fmt.Errorf(format, args...)}
}

// Main runs the command line and returns the exit code. The first interrupt
// cancels what is running, a second one ends the process at once.
func Main(args []string) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	// A reader that goes away must not end the process in the middle of a
	// step: writing to it fails, and the build goes on.
	signal.Ignore(syscall.SIGPIPE)
	// Libraries log what they try; what a person should know is an error or
	// goes through the display. The embedded engine keeps its own log.
	logrus.SetOutput(io.Discard)
	log.SetOutput(io.Discard)
	return Run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}

// Run runs the command line with these streams and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	a.separateProgress(args)
	root := a.command()
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd := root
	args, err := resolve(root, args)
	if err == nil {
		root.SetArgs(args)
		cmd, err = root.ExecuteContextC(ctx)
	}
	if err == nil {
		return 0
	}
	code := exitFailed
	var ee *exitError
	if errors.As(err, &ee) {
		code = ee.code
	}
	switch {
	case ee != nil && ee.elsewhere:
		return code
	case ctx.Err() != nil:
		code, err = abortCode(ctx), context.Cause(ctx)
		fmt.Fprintln(a.stderr, "Aborted")
	case ee == nil || !ee.quiet:
		fmt.Fprintf(a.stderr, "osbuildkit: %s\n", redact.Shown(err.Error()))
	}
	if asJSON(cmd, args) {
		a.printFailure(err, code)
	}
	return code
}

// separateProgress keeps everything but the progress off standard error where a
// program reads the progress there: messages go to standard output, or nowhere
// if that is JSON, which then has them.
func (a *app) separateProgress(args []string) {
	flags := beforeDashes(args)
	i := slices.Index(flags, "--progress")
	if !slices.Contains(flags, "--progress=rawjson") && (i < 0 || i+1 == len(flags) || flags[i+1] != "rawjson") {
		return
	}
	a.progress, a.stderr = a.stderr, a.stdout
	if slices.Contains(flags, "--json") || slices.Contains(flags, "--json=true") {
		a.stderr = io.Discard
	}
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "osbuildkit",
		Short: "Build operating system images with BuildKit",
		Long: "Build operating system images with BuildKit.\n\n'osbuildkit FILE.json' means 'osbuildkit build FILE.json'. " +
			"So a manifest can be a program: let its first line be #!/usr/bin/env osbuildkit.\n\n" + exitHelp,
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.InitDefaultVersionFlag()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		a.buildCommand(), a.checkCommand(), a.inspectCommand(), a.stagesCommand(),
		a.bootCommand(), a.imageCommand(), a.duCommand(), a.pruneCommand(), a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	setUsage(root)
	return root
}

// exactArgs is cobra.ExactArgs with this program's exit code.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return rangeArgs(n, n, what)
}

// rangeArgs is cobra.RangeArgs with this program's exit code.
func rangeArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError("%s takes %s; see '%s --help'", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}
