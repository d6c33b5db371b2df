package runner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages/stub"
)

// Exit codes of the runner.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line args, without the program's name, and returns the
// exit code. The registry lists the modules that this runner carries.
func Main(registry []module.Module, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "module":
			return runModule(registry, args[1:], stdin, stdout, stderr)
		case "list":
			for _, name := range names(registry) {
				fmt.Fprintln(stdout, name)
			}
			return 0
		}
	}
	fmt.Fprint(stderr, "usage: osbuildkit-runner module NAME [--kind stage|assembler] [--step FILE] [--stdout]\n"+
		"       osbuildkit-runner list\n"+
		"Without --step the contract is read from standard input: {\"tree\": DIR, \"options\": {…}}\n")
	return exitUsage
}

func runModule(registry []module.Module, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("module", flag.ContinueOnError)
	flags.SetOutput(stderr)
	step := flags.String("step", "", "read the contract from this `file`; given in a step")
	kind := flags.String("kind", "", "stage or assembler, where both have the name")
	toStdout := flags.Bool("stdout", false, "write the archive of org.osbuild.tar to standard output, and the log to standard error")
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(stderr, "osbuildkit-runner module: the name of a module is missing")
		return exitUsage
	}
	name := args[0]
	if err := flags.Parse(args[1:]); err != nil {
		return exitUsage
	}
	m, err := find(registry, name, module.Kind(*kind))
	if err != nil {
		fmt.Fprintf(stderr, "osbuildkit-runner: %v\n", err)
		return exitUsage
	}
	in, err := ReadContract(*step, stdin)
	if err != nil {
		fmt.Fprintf(stderr, "osbuildkit-runner: %v\n", err)
		return exitUsage
	}
	in.Log = stdout
	if *toStdout {
		in.Log, in.Output = stderr, stdout
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *step != "" {
		if err := enterStep(m, in); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return exitFailed
		}
	}
	if err := call(ctx, m, in); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		var code module.ExitCode
		if errors.As(err, &code) && code > 0 && code < 256 {
			return int(code)
		}
		return exitFailed
	}
	return 0
}

// call runs the module and turns a panic into an error: hostile trees must not
// be able to produce a trace instead of a message.
func call(ctx context.Context, m *module.Module, in *module.Input) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error, please report it: %v\n%s", r, debug.Stack())
		}
	}()
	if err := in.CheckSecrets(); err != nil {
		return err
	}
	return m.Run(ctx, in)
}

func find(registry []module.Module, name string, kind module.Kind) (*module.Module, error) {
	var found []*module.Module
	for i := range registry {
		if registry[i].Name == name && (kind == "" || registry[i].Kind == kind) {
			found = append(found, &registry[i])
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("no module %q; this runner has: %s", name, strings.Join(names(registry), " "))
	case len(found) > 1:
		return nil, fmt.Errorf("%q is a stage and an assembler: say which with --kind", name)
	case found[0].Run == nil:
		return nil, fmt.Errorf("%q is made of several steps, which only a build puts together; its parts are: %s", name, strings.Join(parts(registry, name), " "))
	}
	return found[0], nil
}

func names(registry []module.Module) []string {
	var out []string
	for _, m := range registry {
		if m.Run != nil {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func parts(registry []module.Module, name string) []string {
	return slices.DeleteFunc(names(registry), func(n string) bool { return !strings.HasPrefix(n, name+".") })
}

// ReadContract reads the contract from the file step, or from standard input if
// step is empty.
func ReadContract(step string, stdin io.Reader) (*module.Input, error) {
	if step == "" {
		return module.ReadInput(stdin)
	}
	f, err := os.Open(step)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return module.ReadInput(f)
}

// enterStep makes the process's surroundings the same in every build.
func enterStep(m *module.Module, in *module.Input) error {
	os.Clearenv()
	for k, v := range command.Environment(in.Epoch) {
		os.Setenv(k, v)
	}
	syscall.Umask(0o022)
	if m.Sandbox == module.Inside {
		return stub.Restore("/")
	}
	return nil
}
