package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/test"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// fillerPackages bring the transaction to about 200 packages of 300 MB.
const fillerPackages = 82

// rpmBench is what both sides of the comparison use.
type rpmBench struct {
	*bench
	work     string // a directory that is removed afterwards
	server   *test.RPMServer
	key      string
	packages []string
}

// rpm measures the installation of RPM packages by the stage org.osbuild.dnf,
// and by the toolbox's dnf run as root without any step. Both download the
// packages from this machine; each round of ours begins with a copy of a store
// that has the toolbox and nothing of the packages.
func (b *bench) rpm(ctx context.Context) (err error) {
	own := *b // it has a store of its own
	r := &rpmBench{bench: &own, packages: []string{"@Core", "grub2-pc", "httpd", "filler"}}
	if r.work, err = os.MkdirTemp("", "osbuildkit-bench-rpm-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	if err := r.distribution(ctx); err != nil {
		return err
	}
	defer r.server.Close()
	manifest, err := r.manifest("install.json", r.packages...)
	if err != nil {
		return err
	}
	// The first build makes the toolbox and starts its dnf once.
	warm, err := r.manifest("warm.json", "setup")
	if err != nil {
		return err
	}
	r.store = filepath.Join(r.work, "store")
	if _, _, err := r.build(ctx, "-o", filepath.Join(r.work, "warm"), warm); err != nil {
		return err
	}
	box := filepath.Join(r.work, "box")
	if err := r.toolbox(ctx, box); err != nil {
		return err
	}
	var ours, direct []time.Duration
	for range b.rounds {
		d, err := r.ours(ctx, manifest)
		if err != nil {
			return err
		}
		ours = append(ours, d)
		if d, err = r.direct(ctx, box); err != nil {
			return err
		}
		direct = append(direct, d)
	}
	count, size, err := r.downloaded()
	if err != nil {
		return err
	}
	fmt.Printf("%d packages, %d MB, downloaded from this machine; median of %d rounds\n\n", count, size/1e6, b.rounds)
	row("org.osbuild.dnf, the toolbox is there", "%.1f s   of %s", median(ours).Seconds(), rounds(ours))
	row("dnf --installroot as root in the toolbox", "%.1f s   of %s", median(direct).Seconds(), rounds(direct))
	row("ratio", "%.2f", median(ours).Seconds()/median(direct).Seconds())
	return nil
}

// rounds lists what each round took, in seconds: two sides that vary are hard
// to compare.
func rounds(took []time.Duration) string {
	var out []string
	for _, d := range took {
		out = append(out, fmt.Sprintf("%.1f", d.Seconds()))
	}
	return strings.Join(out, ", ")
}

// distribution makes the distribution and starts its server.
func (r *rpmBench) distribution(ctx context.Context) error {
	lib, out := filepath.Join(r.work, "lib"), filepath.Join(r.work, "distribution")
	if err := test.DistributionModule(ctx, lib); err != nil {
		return err
	}
	var demo struct{ Stages []any }
	text, err := os.ReadFile("examples/debian-nginx.json")
	if err == nil {
		err = json.Unmarshal(text, &demo)
	}
	if err != nil {
		return err
	}
	manifest, err := r.write("distribution.json", test.DistributionManifest(demo.Stages[:2], map[string]any{"filler": fillerPackages}))
	if err != nil {
		return err
	}
	if _, _, err := r.build(ctx, "--libdir", lib, "-o", out, manifest); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(out, rpmdistro.PublicKey))
	if err != nil {
		return err
	}
	r.key = string(key)
	r.server, err = test.StartRPMServer(out)
	return err
}

func (r *rpmBench) write(name string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	file := filepath.Join(r.work, name)
	return file, os.WriteFile(file, text, 0o644)
}

// manifest is one stage that installs packages, and keeps all that dnf leaves.
func (r *rpmBench) manifest(name string, packages ...string) (string, error) {
	repo := map[string]any{"metalink": r.server.Metalink(rpmdistro.Base), "gpgkey": r.key}
	stage := map[string]any{"name": "org.osbuild.dnf", "options": map[string]any{
		"releasever": "30", "basearch": "x86_64", "repos": []any{repo}, "packages": packages, "clean": false,
	}}
	return r.write(name, map[string]any{"stages": []any{stage}, "assembler": map[string]any{"name": "org.osbuild.noop"}})
}

// toolbox extracts the toolbox, which is in the store, into a directory.
func (r *rpmBench) toolbox(ctx context.Context, box string) error {
	out := filepath.Join(r.work, "toolbox")
	if _, _, err := r.build(ctx, "-o", out, "--target", "tree", "examples/toolbox.json"); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(box, "trees"), 0o755); err != nil {
		return err
	}
	return command(ctx, "tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", box, "-xpf", filepath.Join(out, "tree.tar"))
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// ours measures one installation in a copy of the store. The tree stays in the
// store, as it does where an image is made of it: nothing is written out.
func (r *rpmBench) ours(ctx context.Context, manifest string) (time.Duration, error) {
	fresh := *r.bench
	fresh.store = filepath.Join(r.work, "fresh")
	defer os.RemoveAll(fresh.store)
	if err := command(ctx, "cp", "-a", r.store, fresh.store); err != nil {
		return 0, err
	}
	unix.Sync() // the copy is no part of what is measured
	took, _, err := fresh.build(ctx, "-o", filepath.Join(r.work, "installed"), manifest)
	return took, err
}

// direct measures the same installation by the toolbox's dnf in box.
func (r *rpmBench) direct(ctx context.Context, box string) (time.Duration, error) {
	unix.Sync()
	begin := time.Now()
	err := test.DirectDnf(ctx, box, "1577836800", r.server.Metalink(rpmdistro.Base), r.key, r.packages...)
	took := time.Since(begin)
	return took, errors.Join(err, os.RemoveAll(filepath.Join(box, test.DirectTree)))
}

// downloaded returns how many packages have been downloaded, and their size in
// bytes.
func (r *rpmBench) downloaded() (count int, size int64, err error) {
	names := map[string]bool{}
	for _, n := range r.server.Requested("m?/*/" + rpmdistro.Pool + "/*.rpm") {
		names[path.Base(n)] = true
	}
	for n := range names {
		st, err := os.Stat(filepath.Join(r.work, "distribution", rpmdistro.Pool, n))
		if err != nil {
			return 0, 0, err
		}
		size += st.Size()
	}
	return len(names), size, nil
}
