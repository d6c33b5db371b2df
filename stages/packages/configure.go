package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// configureDebootstrap is the part org.osbuildkit.debootstrap.configure: it
// runs the maintainer scripts of the unpacked packages inside the tree.
func configureDebootstrap(ctx context.Context, in *module.Input) (err error) {
	var o DebootstrapOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	list, err := inputList(in)
	if err != nil {
		return err
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	undo, err := forbidServices(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	undoJournal, err := journalInMemory(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undoJournal()) }()
	if err := earlyScripts(ctx, in, t); err != nil {
		return err
	}
	if err := configureAll(ctx, in, t); err != nil {
		return fmt.Errorf("configuring the packages: %w", err)
	}
	if err := checkConfigured(t); err != nil {
		return err
	}
	auto := map[string]bool{}
	for _, p := range list.Packages {
		if p.Automatic {
			auto[p.Name+":"+p.Architecture] = true
		}
	}
	if err := writeMarks(t, auto); err != nil {
		return err
	}
	if o.Sources != nil {
		return writeSources(t, *o.Sources)
	}
	return nil // those of the distribution are there since the packages were unpacked
}

// earlyScripts runs what dpkg would have run before it unpacked the first
// packages: base-passwd's script writes passwd and group, without which no
// other script can name a user; those of base-files and libc6 enter
// diversions. Packages that are not there or have no such script are passed.
func earlyScripts(ctx context.Context, in *module.Input, t *tree.Root) error {
	const info = "var/lib/dpkg/info"
	entries, err := t.ReadDir(info)
	if err != nil {
		return fmt.Errorf("the tree has no package database: %w", err)
	}
	for _, pkg := range []string{"base-passwd", "base-files", "libc6"} {
		for _, e := range entries {
			owner, arch, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".preinst"), ":")
			if !strings.HasSuffix(e.Name(), ".preinst") || owner != pkg {
				continue
			}
			if arch == "" {
				arch = "all"
			}
			_, err := run(ctx, in, program{
				root: in.Tree,
				argv: []string{"/bin/sh", "/" + path.Join(info, e.Name()), "install"},
				env: []string{
					"DPKG_MAINTSCRIPT_PACKAGE=" + pkg, "DPKG_MAINTSCRIPT_NAME=preinst",
					"DPKG_MAINTSCRIPT_ARCH=" + arch, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1",
					"DPKG_ADMINDIR=/var/lib/dpkg", "DPKG_ROOT=", "DPKG_RUNNING_VERSION=1.21.0",
				},
			})
			if err != nil {
				return fmt.Errorf("the script preinst of %s: %w", pkg, err)
			}
		}
	}
	return nil
}

// statusFile is dpkg's list of installed packages.
const statusFile = "var/lib/dpkg/status"

// readStatus reads the package database.
func readStatus(t *tree.Root) ([]debian.Stanza, error) {
	data, err := t.ReadFile(statusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the tree has no package database (%s); put org.osbuildkit.debootstrap before this stage", statusFile)
	}
	if err != nil {
		return nil, err
	}
	stanzas, err := debian.ParseStatus(data)
	if err != nil {
		return nil, fmt.Errorf("the package database of the tree, %s: %w", statusFile, err)
	}
	return stanzas, nil
}

// installed reads the package database: the stanzas of all packages that are
// there, by name and architecture.
func installed(t *tree.Root) (map[string]debian.Stanza, error) {
	stanzas, err := readStatus(t)
	if err != nil {
		return nil, err
	}
	return present(stanzas), nil
}

// present picks the packages that are there.
func present(stanzas []debian.Stanza) map[string]debian.Stanza {
	out := map[string]debian.Stanza{}
	for _, s := range stanzas {
		if debian.IsPresent(s) {
			out[s.Get("Package")+":"+s.Get("Architecture")] = s
		}
	}
	return out
}

// checkConfigured reports packages that are not wholly installed.
func checkConfigured(t *tree.Root) error {
	all, err := installed(t)
	if err != nil {
		return err
	}
	var bad []string
	for name, s := range all {
		if st := s.Get("Status"); !strings.HasSuffix(st, " ok installed") {
			bad = append(bad, name+" ("+st+")")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	sort.Strings(bad)
	return fmt.Errorf("these packages are not configured: %s", strings.Join(bad, ", "))
}

// marksFile is where apt keeps which packages nobody asked for.
const marksFile = "var/lib/apt/extended_states"

// readMarks returns the packages, as NAME:ARCH, that are marked automatic.
func readMarks(t *tree.Root) (map[string]bool, error) {
	auto := map[string]bool{}
	data, err := t.ReadText(marksFile, tree.MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return auto, nil
	}
	if err != nil {
		return nil, err
	}
	stanzas, err := debian.ParseControl(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", marksFile, err)
	}
	for _, s := range stanzas {
		if err := debian.CheckMark(s); err != nil {
			return nil, fmt.Errorf("%s: %w", marksFile, err)
		}
		if s.Get("Auto-Installed") == "1" {
			auto[s.Get("Package")+":"+s.Get("Architecture")] = true
		}
	}
	return auto, nil
}

// writeMarks marks the packages automatic and all others as asked for.
func writeMarks(t *tree.Root, auto map[string]bool) error {
	ok, err := t.Exists("var/lib/apt")
	if err != nil || !ok {
		return err // there is no apt to read it
	}
	all, err := installed(t)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(auto))
	for name := range auto {
		if all[name] != nil {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		return replaceOrRemove(t, marksFile, "")
	}
	native, err := nativeArch(all)
	if err != nil {
		return err
	}
	marks := map[string]bool{}
	for _, name := range names {
		// apt files a package for all architectures under the native one.
		if pkg, ok := strings.CutSuffix(name, ":all"); ok {
			name = pkg + ":" + native
		}
		marks[name] = true
	}
	return t.ReplaceFile(marksFile, []byte(marksText(marks)), 0o644, 0, 0)
}

// marksText is apt's file of the marks of packages, given as NAME:ARCH.
func marksText(auto map[string]bool) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(auto)) {
		pkg, arch, _ := strings.Cut(name, ":")
		fmt.Fprintf(&b, "Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", pkg, arch)
	}
	return b.String()
}

// nativeArch returns the tree's architecture: that of its dpkg.
func nativeArch(all map[string]debian.Stanza) (string, error) {
	for name, s := range all {
		if strings.HasPrefix(name, "dpkg:") {
			return s.Get("Architecture"), nil
		}
	}
	return "", errors.New("the tree has no dpkg installed")
}
