package packages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// applyWork is the directory of the part apply, outside of the tree.
const applyWork = "/run/osbuild-rpm"

// applyDnf is the part org.osbuild.dnf.apply: the build root's dnf installs the
// downloaded packages into the tree, which is the root of the step.
func applyDnf(ctx context.Context, in *module.Input) error {
	var job DnfJob
	if err := in.DecodeOptions(&job); err != nil {
		return err
	}
	rpms, err := input(in, "rpms")
	if err != nil {
		return err
	}
	decision, err := input(in, "list")
	if err != nil {
		return err
	}
	list, err := readRPMList(decision)
	if err != nil {
		return err
	}
	signers, err := verifyPackages(ctx, rpms, list, job.Repos)
	if err != nil {
		return err
	}
	in.Logf("%d packages are the ones of the list, and %s", len(list.Packages), signers)
	root, err := openRPMRoot(in.BuildRoot)
	if err != nil {
		return err
	}
	defer root.close()
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	// The name is always the same, as it could be seen in what is installed.
	if err := os.Mkdir(applyWork, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(applyWork)
	d := &dnfRun{root: root, job: job, installroot: in.Tree, work: applyWork, database: list.Database}
	for i := range job.Repos {
		if err := d.layOut(i, decision, rpms, list); err != nil {
			return err
		}
	}
	rpm := &rpmRun{root: root, work: applyWork, database: d.database}
	before, err := rpm.ownDatabase(ctx, in, t, in.Tree)
	if err != nil {
		return err
	}
	undo, err := standInMachineID(t)
	if err != nil {
		return err
	}
	if root.dnf5() {
		err = d.install5(ctx, in, t, list, signers.keys)
	} else {
		err = d.install(ctx, in, list, signers.keys)
	}
	if err := errors.Join(inShort(err), undo()); err != nil {
		return err
	}
	if err := errors.Join(rpm.matchDatabase(ctx, in, t, before), closeDatabases(t, d.database)); err != nil {
		return err
	}
	return removeSeed(t)
}

// install installs the packages of the list, which are verified, with dnf 4, and
// makes the keys known to the system's rpm.
func (d *dnfRun) install(ctx context.Context, in *module.Input, list *rpmmd.PackageList, keys *rpmmd.Keys) error {
	run := dnfJobFile{Keys: dnfKeys(keys), History: filepath.Join(in.Tree, dnfHistory), Reasons: map[string]string{}}
	for _, dir := range rpmDatabases {
		run.RPMDB = append(run.RPMDB, filepath.Join(in.Tree, dir, "rpmdb.sqlite"))
	}
	for _, p := range list.Packages {
		name := fmt.Sprintf("%s-%d:%s-%s.%s", p.Name, p.Epoch, p.Version, p.Release, p.Arch)
		run.Expect = append(run.Expect, name)
		if p.Reason != "" {
			run.Reasons[name] = p.Reason
		}
	}
	return d.run(ctx, in, run)
}

// layOut makes repository i as dnf is to see it: the reduced metadata, and the
// downloaded packages at their places.
func (d *dnfRun) layOut(i int, decision, rpms string, list *rpmmd.PackageList) error {
	dir := d.repository(i)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(decision, "repos", strconv.Itoa(i), "repodata"), filepath.Join(dir, "repodata")); err != nil {
		return err
	}
	for _, p := range list.Packages {
		if p.Repository != i {
			continue
		}
		to := filepath.Join(dir, filepath.FromSlash(p.Place()))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(rpms, p.File), to); err != nil {
			return fmt.Errorf("package %s: %w", p.NEVRA(), err)
		}
	}
	return nil
}

// readRPMList reads the package list in a directory.
func readRPMList(dir string) (*rpmmd.PackageList, error) {
	data, err := expand.ReadFile(filepath.Join(dir, rpmmd.ListFile), maxListFile)
	if err != nil {
		return nil, err
	}
	return rpmmd.ParseList(data)
}

// While packages are installed the system has a machine id that is none, as
// osbuild gives it: scripts that would make one find that there is one.
const (
	machineID        = "etc/machine-id"
	standInMachine   = "ffffffffffffffffffffffffffffffff\n"
	machineIDMode    = 0o444
	emptyMachineMode = 0o644
)

// standInMachineID gives a tree without a machine id one that is none, and
// returns what leaves an empty file in its place.
func standInMachineID(t *tree.Root) (undo func() error, err error) {
	nothing := func() error { return nil }
	switch _, err := t.Lstat(machineID); {
	case err == nil:
		return nothing, nil
	case !missing(err):
		return nil, err
	}
	if err := t.MkdirAll("etc", 0o755); err != nil {
		return nil, err
	}
	if err := t.ReplaceFile(machineID, []byte(standInMachine), machineIDMode, 0, 0); err != nil {
		return nil, err
	}
	return func() error { return t.ReplaceFile(machineID, nil, emptyMachineMode, 0, 0) }, nil
}

// removeSeed removes the seed of random numbers that systemd may have saved.
func removeSeed(t *tree.Root) error {
	err := t.Remove("var/lib/systemd/random-seed")
	if missing(err) {
		return nil
	}
	return err
}
