// Command bench measures what builds cost, and prints a table. It asserts
// nothing: figures depend on the machine. See hack/bench.sh.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/test"
)

const suite = "trixie"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	program, store string
	cold           bool // the store is new
	rounds         int
	mirror         *test.Mirror
}

func run() (err error) {
	b := &bench{}
	flag.StringVar(&b.program, "program", "bin/osbuildkit", "the command line to measure")
	flag.StringVar(&b.store, "store", "", "an existing store; without it a new one, so that the first build is cold")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each build is measured; the median is shown")
	steps := flag.Bool("steps", false, "measure stages beside bare chains of steps alone")
	caches := flag.String("cache", "", "measure exported caches instead, with this buildkitd")
	rpm := flag.Bool("rpm", false, "measure the installation of RPM packages instead")
	flag.Parse()
	if os.Getuid() != 0 {
		return errors.New("the embedded engine needs root")
	}
	if b.program, err = filepath.Abs(b.program); err != nil {
		return err
	}
	if b.cold = b.store == ""; b.cold {
		if b.store, err = os.MkdirTemp("", "osbuildkit-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.store)) }()
	}
	if b.store, err = filepath.Abs(b.store); err != nil {
		return err
	}
	if b.mirror, err = test.StartMirror(test.Upstream(suite), test.Upstream(suite+"-security"), filepath.Join(b.store, "mirror")); err != nil {
		return err
	}
	defer b.mirror.Close()
	ctx := context.Background()
	if *caches != "" {
		return b.caches(ctx, *caches)
	}
	if *rpm {
		return b.rpm(ctx)
	}
	fmt.Printf("machine: %d processors, %s/%s; median of %d rounds\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, b.rounds)
	if !*steps {
		if err := b.demo(ctx); err != nil {
			return err
		}
	}
	return b.steps(ctx)
}

// row prints one line of the table.
func row(what, format string, args ...any) {
	fmt.Printf("%-62s %s\n", what, fmt.Sprintf(format, args...))
}

// build runs the command line and returns how long it took and what it said.
func (b *bench) build(ctx context.Context, args ...string) (time.Duration, string, error) {
	cmd := exec.CommandContext(ctx, b.program, append([]string{"build", "--store", b.store, "--mirror", b.mirror.URL(), "--progress", "quiet"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	begin := time.Now()
	out, err := cmd.Output()
	took := time.Since(begin)
	if err != nil {
		return 0, "", fmt.Errorf("osbuildkit %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return took, string(out), nil
}

// demo measures the example: from nothing, with nothing to do, and with the
// image gone.
func (b *bench) demo(ctx context.Context) error {
	const manifest, image = "examples/debian-nginx.json", "debian-nginx.qcow2"
	out, err := os.MkdirTemp("", "osbuildkit-bench-out-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	cold, _, err := b.build(ctx, "-o", out, manifest)
	if err != nil {
		return err
	}
	st, err := os.Stat(filepath.Join(out, image))
	if err != nil {
		return err
	}
	if b.cold {
		row("the example from an empty store, packages from the network", "%7.1f s", cold.Seconds())
	}
	var same, gone []time.Duration
	for range b.rounds {
		d, _, err := b.build(ctx, "-o", out, manifest)
		if err != nil {
			return err
		}
		same = append(same, d)
		if err := os.Remove(filepath.Join(out, image)); err != nil {
			return err
		}
		if d, _, err = b.build(ctx, "-o", out, manifest); err != nil {
			return err
		}
		gone = append(gone, d)
	}
	row("again, in a new process, output there", "%7.2f s", median(same).Seconds())
	mb := float64(st.Size()) / 1e6
	row("again, image gone", "%7.2f s   %.0f MB, %.0f MB/s beyond the time above", median(gone).Seconds(), mb, mb/(median(gone)-median(same)).Seconds())
	last, err := b.changed(ctx, manifest)
	if err != nil {
		return err
	}
	row("last stage changed: that stage and the assembler", "%7.1f s", last.Seconds())
	return nil
}

// changed builds the example with another kernel option.
func (b *bench) changed(ctx context.Context, manifest string) (time.Duration, error) {
	data, err := os.ReadFile(manifest)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "osbuildkit-bench-out-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	const kernelOpts = `"kernel_opts": "`
	if !strings.Contains(string(data), kernelOpts) {
		return 0, fmt.Errorf("%s has no options of the kernel that could be changed", manifest)
	}
	var took []time.Duration
	for i := range b.rounds {
		file := filepath.Join(dir, "changed.json")
		option := fmt.Sprintf("bench=%d.%d ", time.Now().UnixNano(), i)
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), kernelOpts, kernelOpts+option, 1)), 0o644); err != nil {
			return 0, err
		}
		d, _, err := b.build(ctx, "-o", dir, file)
		if err != nil {
			return 0, err
		}
		took = append(took, d)
	}
	return median(took), nil
}

var treeID = regexp.MustCompile(`(?m)^tree id: ([0-9a-f]{64})$`)

// baseTree builds the tree that the steps work on, and keeps it in the store.
// It returns its id and its size in bytes, as an archive.
func (b *bench) baseTree(ctx context.Context, packages []string) (id string, size int64, err error) {
	dir, err := os.MkdirTemp("", "osbuildkit-bench-out-")
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	type object = map[string]any
	stages := []object{{"name": "org.osbuildkit.debootstrap", "options": object{"suite": suite}}}
	if len(packages) > 0 {
		stages = append(stages, object{"name": "org.osbuildkit.apt", "options": object{"packages": packages}})
	}
	text, err := json.Marshal(object{"stages": stages})
	if err != nil {
		return "", 0, err
	}
	file := filepath.Join(dir, "base.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return "", 0, err
	}
	_, out, err := b.build(ctx, "-o", dir, "--target", "tree", "--checkpoint", "tree", file)
	if err != nil {
		return "", 0, err
	}
	m := treeID.FindStringSubmatch(out)
	if m == nil {
		return "", 0, fmt.Errorf("no tree id in %q", out)
	}
	st, err := os.Stat(filepath.Join(dir, "tree.tar"))
	if err != nil {
		return "", 0, err
	}
	return m[1], st.Size(), nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
