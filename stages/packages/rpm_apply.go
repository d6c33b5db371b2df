package packages

import (
	"context"
	"crypto/md5"  //nolint:gosec // manifests may name files by it
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// applyRPM is the part org.osbuild.rpm.apply: the build root's rpm installs
// package files into the tree, which is the root of the step.
func applyRPM(ctx context.Context, in *module.Input) error {
	var o RPMOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	rpms, err := input(in, "rpms")
	if err != nil {
		return err
	}
	keys, err := givenKeys(o.Gpgkeys)
	if err != nil {
		return err
	}
	if err := o.verify(rpms, keys); err != nil {
		return err
	}
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
	if err := os.Mkdir(applyWork, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(applyWork)
	r := &rpmRun{root: root, work: applyWork, database: o.Dbpath}
	if r.database == "" {
		r.database = rpmDatabase(t)
	}
	if err := root.checkDatabase(t, r.database); err != nil {
		return err
	}
	before, err := r.ownDatabase(ctx, in, t, in.Tree)
	if err != nil {
		return err
	}
	if keys != nil {
		if err := r.importKeys(ctx, in, keys); err != nil {
			return err
		}
	}
	if len(o.Packages) > 0 {
		if err := o.install(ctx, in, t, r, rpms); err != nil {
			return err
		}
	}
	for _, name := range o.GpgkeysFromtree {
		keys, err := treeKeys(t, name)
		if err != nil {
			return fmt.Errorf("gpgkeys.fromtree: %w", err)
		}
		if err := r.importKeys(ctx, in, keys); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := errors.Join(r.matchDatabase(ctx, in, t, before), closeDatabases(t, r.database)); err != nil {
		return err
	}
	// Whatever id there was: this is what osbuild does.
	if err := t.MkdirAll("etc", 0o755); err != nil {
		return err
	}
	return errors.Join(t.ReplaceFile(machineID, nil, machineIDMode, 0, 0), removeSeed(t))
}

// rpmRun runs programs of the build root's rpm on the tree.
type rpmRun struct {
	root           *rpmRoot
	work, database string
}

func (r *rpmRun) run(ctx context.Context, in *module.Input, name string, args ...string) error {
	p, err := r.program(name, args...)
	if err != nil {
		return err
	}
	_, err = run(ctx, in, p)
	var failed *command.Error
	if errors.As(err, &failed) {
		failed.Argv = append([]string{name}, args...)
	}
	return err
}

// program is one of rpm's, with arguments.
func (r *rpmRun) program(name string, args ...string) (program, error) {
	file, err := r.root.program(name)
	if err != nil {
		return program{}, err
	}
	argv, err := r.root.command(file)
	if err != nil {
		return program{}, err
	}
	env, err := r.root.rpmConfig(r.work, r.database)
	if err != nil {
		return program{}, err
	}
	return program{argv: append(argv, args...), env: append(env, "HOME="+r.work), rpm: true}, nil
}

// install runs the transaction.
func (o RPMOptions) install(ctx context.Context, in *module.Input, t *tree.Root, r *rpmRun, rpms string) (err error) {
	if _, err := standInMachineID(t); err != nil {
		return err
	}
	if o.OstreeBooted {
		// It is in memory, and gone after the step.
		if err := os.WriteFile("/run/ostree-booted", nil, 0o644); err != nil {
			return err
		}
	}
	if o.DisableDracut {
		undo, err := maskDracut(t)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, undo()) }()
	}
	args := []string{"--verbose", "--nosignature"}
	if o.Exclude != nil && o.Exclude.Docs {
		args = append(args, "--excludedocs")
	}
	if o.Nodeps {
		args = append(args, "--nodeps")
	}
	if o.Ignorearch {
		args = append(args, "--ignorearch")
	}
	if len(o.InstallLangs) > 0 {
		args = append(args, "--define", "_install_langs "+strings.Join(o.InstallLangs, ":"))
	}
	args = append(args, "--install")
	seen := map[string]bool{}
	for _, p := range o.Packages {
		if !seen[p.File()] {
			args = append(args, filepath.Join(rpms, p.File()))
		}
		seen[p.File()] = true
	}
	return r.run(ctx, in, "rpm", args...)
}

// maskDracut keeps kernel-install from making initial RAM disks, and returns
// what undoes that; the directory stays.
func maskDracut(t *tree.Root) (undo func() error, err error) {
	const dir = "etc/kernel/install.d"
	if err := t.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var made []string
	undo = func() error {
		var errs []error
		for _, name := range made {
			errs = append(errs, t.Remove(name))
		}
		return errors.Join(errs...)
	}
	for _, name := range []string{"50-dracut.install", "51-dracut-rescue.install"} {
		if err := t.Symlink("/dev/null", dir+"/"+name); err != nil {
			return nil, errors.Join(err, undo())
		}
		made = append(made, dir+"/"+name)
	}
	return undo, nil
}

// verify makes sure that the files are what they should be, and signed where
// they have to be.
func (o RPMOptions) verify(dir string, keys *rpmmd.Keys) error {
	errs := make([]error, len(o.Packages))
	for i, p := range o.Packages {
		if errs[i] = p.verify(filepath.Join(dir, p.File()), keys); errs[i] != nil {
			errs[i] = fmt.Errorf("package %s: %w", p.Checksum, errs[i])
		}
	}
	return firstErrors(errs, 5)
}

var rpmHashes = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

func (p RPMPackage) verify(file string, keys *rpmmd.Keys) error {
	if err := checkFetched(file, p.Checksum); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !p.CheckGPG {
		_, err := rpmmd.ReadFile(io.NewSectionReader(f, 0, st.Size()))
		return err
	}
	if keys == nil {
		keys = &rpmmd.Keys{}
	}
	_, _, err = rpmmd.VerifyPackage(f, st.Size(), keys)
	return err
}
