package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/internal/runner"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages/stub"
)

// Exit codes of the runner, where they are not the program's own.
const (
	exitFailed = 1
	exitUsage  = 2
	// exitSignal is added to the number of the signal that has ended a
	// program, as shells do.
	exitSignal = 128
	// exitNoProgram says that the program could not be started.
	exitNoProgram = 127
)

// InsideTree is the tree of a step whose root is the tree itself.
const InsideTree = "/"

// Main runs the command line args, without the program's name, and returns the
// exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) < 2 || args[0] != "program" || strings.HasPrefix(args[1], "-") {
		fmt.Fprint(stderr, "usage: osbuildkit-runner program FILE [--step FILE] [--python] [--run DIR]\n"+
			"Without --step the contract is read from standard input: {\"tree\": DIR, \"options\": {…}}\n")
		return exitUsage
	}
	p := program{file: args[1], stdout: stdout, stderr: stderr}
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	flags.SetOutput(stderr)
	step := flags.String("step", "", "read the contract from this `file`; given in a step")
	flags.BoolVar(&p.python, "python", false, "the program imports the Python package osbuild")
	flags.StringVar(&p.dir, "run", "", "make osbuild's files and sockets in this `directory`; in a step it is "+RunDir)
	if err := flags.Parse(args[2:]); err != nil {
		return exitUsage
	}
	in, err := runner.ReadContract(*step, stdin)
	if err != nil {
		fmt.Fprintf(stderr, "osbuildkit-runner: %v\n", err)
		return exitUsage
	}
	inside := *step != "" && in.Tree == InsideTree
	p.in = in
	if *step != "" {
		syscall.Umask(0o022)
		p.dir = RunDir
	}
	// Names are looked up with the builder's own resolv.conf. Where there is no
	// network, the program finds the tree's files in their place.
	if inside && !in.Network {
		if err := stub.Restore(in.Tree); err != nil {
			fmt.Fprintf(stderr, "osbuildkit-runner: %v\n", err)
			return exitFailed
		}
	}
	code := p.run()
	if code == 0 && inside && in.Network {
		err = stub.Restore(in.Tree)
	}
	if err != nil {
		fmt.Fprintf(stderr, "osbuildkit-runner: %v\n", err)
		return exitFailed
	}
	if code != 0 || in.OutputDir == "" {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := finishOutput(ctx, in.OutputDir, in.Time()); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.name(), err)
		return exitFailed
	}
	return 0
}

// contract is what the program reads on standard input.
type contract struct {
	Tree      string          `json:"tree"`
	Options   json.RawMessage `json:"options"`
	OutputDir string          `json:"output_dir,omitempty"`
}

// program is one run of a module of the user.
type program struct {
	file string
	// python says that it imports the Python package osbuild.
	python bool
	// dir is where osbuild's files and sockets are made; empty for nowhere.
	dir            string
	in             *module.Input
	stdout, stderr io.Writer
}

// name is what the log calls it.
func (p *program) name() string { return path.Base(p.file) }

// run runs the program and returns its exit code.
func (p *program) run() int {
	text, err := json.Marshal(contract{p.in.Tree, p.in.Options, p.in.OutputDir})
	if err != nil {
		fmt.Fprintf(p.stderr, "%s: %v\n", p.name(), err)
		return exitFailed
	}
	text = append(text, '\n')
	if p.dir == "" {
		return p.start(text)
	}
	o, err := provide(p.dir, p.file, p.in, text, p.stdout)
	if err != nil {
		fmt.Fprintf(p.stderr, "osbuildkit-runner: %v\n", err)
		return exitFailed
	}
	code := p.start(text)
	if code == exitFailed && p.python {
		if hint := o.pythonHint(); hint != "" {
			fmt.Fprintf(p.stderr, "%s: %s\n", p.name(), hint)
		}
	}
	o.close(p.name(), code != 0, p.stdout, p.stderr)
	return code
}

// start runs the program with the contract on standard input.
func (p *program) start(text []byte) int {
	file, in, stderr, name := p.file, p.in, p.stderr, p.name()
	cmd := &exec.Cmd{
		Path: file, Args: []string{file}, Dir: "/", Env: p.environment(),
		Stdin: bytes.NewReader(text),
		// One descriptor for both, so that the log keeps their order.
		Stdout: p.stdout, Stderr: p.stdout,
		// A group of its own gets the signals that this process is sent.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		// What the program has left behind may hold its output open.
		WaitDelay: 5 * time.Second,
	}
	// Asked for before the program runs, or one that comes early would end this
	// process alone.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", name, explain(file, in, err))
		return exitNoProgram
	}
	stop := passSignals(signals, cmd.Process.Pid)
	err := cmd.Wait()
	stop()
	if cmd.ProcessState == nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	// That it did not read the contract, or left a process behind, is its own
	// affair: the exit code decides.
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		fmt.Fprintf(stderr, "%s: %s\n", name, killed(status.Signal()))
		return exitSignal + int(status.Signal())
	case status.ExitStatus() == exitNoProgram && missingOfEnv(file, rootName(in), in.Epoch) != "":
		fmt.Fprintf(stderr, "%s: %s\n", name, missingOfEnv(file, rootName(in), in.Epoch))
	case status.ExitStatus() != 0:
		fmt.Fprintf(stderr, "%s: exit code %d\n", name, status.ExitStatus())
	}
	return status.ExitStatus()
}

// environment is what a built-in module sees, as a list, and what osbuild
// gives to Python.
func (p *program) environment() []string {
	vars := command.Environment(p.in.Epoch)
	if p.python {
		vars["PYTHONPATH"] = path.Join(p.dir, libDir)
		vars["PYTHONUNBUFFERED"] = "1"
		vars["container"] = "bwrap-osbuild"
	}
	out := make([]string, 0, len(vars))
	for k, v := range vars {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

func killed(s syscall.Signal) string {
	text := fmt.Sprintf("killed by signal %d (%v)", int(s), s)
	if s == syscall.SIGKILL {
		text += "; where nobody has done it, the builder was out of memory"
	}
	return text
}

// passSignals hands the signals that end a step to the program and what it has
// started.
func passSignals(ch <-chan os.Signal, pid int) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-ch:
				if n, ok := s.(syscall.Signal); ok {
					_ = syscall.Kill(-pid, n) // it may have ended by now
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// rootName is what the root of the step is called.
func rootName(in *module.Input) string {
	if in.Tree == InsideTree {
		return "the tree"
	}
	return "the build root"
}

// explain says why a program could not be started.
func explain(file string, in *module.Input, err error) string {
	st, serr := os.Stat(file)
	switch {
	case serr != nil:
		return fmt.Sprintf("cannot be started: %v", serr)
	case !st.Mode().IsRegular():
		return "is not a file"
	case st.Mode().Perm()&0o111 == 0:
		return "is not executable: chmod +x it"
	}
	if text := missing(file, rootName(in)); text != "" {
		return text
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return "is neither a script, with \"#!\" and an interpreter in its first line, nor a program for this machine"
	}
	return fmt.Sprintf("cannot be started: %v", err)
}
