package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

// Exit codes of the command line, as osbuild has them.
const (
	exitFailed  = 1
	exitInvalid = 2
	exitAborted = 130
)

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// exitError is an error with its exit code. Quiet ones have been shown.
type exitError struct {
	code  int
	err   error
	quiet bool
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// A reader that goes away must not end the process in the middle of a
	// step: writing to it fails, and the build goes on.
	signal.Ignore(syscall.SIGPIPE)
	// Libraries log what they try; what a person should know is an error or
	// goes through the display. The embedded engine keeps its own log.
	logrus.SetOutput(io.Discard)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "Aborted")
		return exitAborted
	}
	code := exitFailed
	var ee *exitError
	if errors.As(err, &ee) {
		code = ee.code
	}
	if ee == nil || !ee.quiet {
		fmt.Fprintf(a.stderr, "osbuildkit: %v\n", err)
	}
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "osbuildkit",
		Short:         "Build operating system images with BuildKit",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{code: exitInvalid, err: err} })
	root.AddCommand(
		a.buildCommand(), a.checkCommand(), a.inspectCommand(), a.stagesCommand(),
		a.bootCommand(), a.imageCommand(), a.duCommand(), a.pruneCommand(), a.versionCommand(),
	)
	return root
}

// exactArgs is cobra.ExactArgs with this program's exit code.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError("%s takes %s; see '%s --help'", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}
