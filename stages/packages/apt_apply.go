package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// applyApt is the part org.osbuildkit.apt.apply: the tree's own apt installs
// package files that are there already.
func applyApt(ctx context.Context, in *module.Input) (err error) {
	var o AptOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	debs, err := input(in, "debs")
	if err != nil {
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
	before, err := installed(t)
	if err != nil {
		return err
	}
	auto, err := readMarks(t)
	if err != nil {
		return err
	}
	if err := addExcludes(t, o.PathExcludes); err != nil {
		return err
	}
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
	undoMenu, err := keepBootMenu(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undoMenu()) }()
	searchPath, undoName, err := tellName(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undoName()) }()
	if err := preseed(ctx, in, o.Debconf); err != nil {
		return err
	}
	if len(list.Packages) > 0 {
		if err := installFiles(ctx, in, t, debs, list, searchPath); err != nil {
			return err
		}
	}
	if err := checkConfigured(t); err != nil {
		return err
	}
	if err := updateMarks(t, before, auto, list, o.Packages); err != nil {
		return err
	}
	if o.Sources != nil {
		return writeSources(t, *o.Sources)
	}
	return nil
}

// installFiles runs apt on the package files. It orders them, so that what a
// package needs before it is unpacked is configured by then. There is no
// source from which it could take anything else. Scripts look for programs on
// searchPath, if that is not "".
func installFiles(ctx context.Context, in *module.Input, t *tree.Root, debs string, list *debian.PackageList, searchPath string) error {
	work, err := os.MkdirTemp(filepath.Join(in.Tree, "tmp"), "apt-apply-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	seen, err := insidePath(in, work)
	if err != nil {
		return err
	}
	seenDebs, err := insidePath(in, debs)
	if err != nil {
		return err
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			return err
		}
	}
	config, err := applyConfig(seen, searchPath)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "apt.conf"), []byte(config), 0o644); err != nil {
		return err
	}
	for i := range list.Packages {
		p := &list.Packages[i]
		if err := checkFile(filepath.Join(debs, p.File), p); err != nil {
			return err
		}
	}
	files, err := packageFiles(debs, seenDebs, list)
	if err != nil {
		return err
	}
	env := []string{"APT_CONFIG=" + seen + "/apt.conf"}
	if searchPath != "" {
		env = append(env, "PATH="+searchPath)
	}
	return installAll(ctx, t, files, func(names []string) error {
		args := []string{"apt-get", "-q", "-y", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages", "install", "--"}
		_, err := run(ctx, in, program{root: in.Tree, argv: append(args, names...), env: env})
		return err
	})
}

func checkFile(file string, p *debian.Package) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, p.Size+1)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("the file %s is not the one in the list: its SHA256 is %s, not %s", p.File, got, p.SHA256)
	}
	return nil
}

// applyConfig is apt's configuration for the installation. The tree's own
// hooks stay in force: they are part of the system that is built.
func applyConfig(seen, searchPath string) (string, error) {
	var c aptConf
	if searchPath != "" {
		c.set("DPkg::Path", searchPath)
	}
	for _, l := range [][2]string{
		{"APT::Sandbox::User", "root"},
		{"APT::Color", "false"},
		{"APT::Get::AutomaticRemove", "false"},
		{"APT::Keep-Downloaded-Packages", "true"},
		{"Acquire::Languages", "none"},
		{"Dir::State::lists", seen + "/lists"},
		{"Dir::Cache::archives", seen + "/cache/archives"},
		{"Dir::Cache::pkgcache", ""},
		{"Dir::Cache::srcpkgcache", ""},
		{"Dir::Etc::sourcelist", "/dev/null"},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Log::Terminal", ""},
		{"Dir::Log::History", ""},
		{"Dir::Log::Planner", ""},
		{"Dir::Log::Solver", ""},
		{"Dpkg::Use-Pty", "false"},
		{"Dpkg::Progress-Fancy", "false"},
	} {
		c.set(l[0], l[1])
	}
	c.list("Dpkg::Options", "--force-unsafe-io", "--force-confdef", "--force-confold")
	return c.text()
}

// preseed enters answers to the questions of packages to come.
func preseed(ctx context.Context, in *module.Input, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := run(ctx, in, program{
		root:  in.Tree,
		argv:  []string{"debconf-set-selections"},
		stdin: []byte(strings.Join(lines, "\n") + "\n"),
	})
	if err != nil {
		return fmt.Errorf("option debconf: %w", err)
	}
	return nil
}

// addExcludes adds path patterns to those that dpkg follows already.
func addExcludes(t *tree.Root, patterns []string) error {
	if len(patterns) == 0 {
		return nil
	}
	ok, err := t.Exists(filterFile)
	if err != nil {
		return err
	}
	var text []byte
	if ok {
		if text, err = t.ReadText(filterFile, tree.MaxConfig); err != nil {
			return err
		}
	}
	has := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		has[strings.TrimSuffix(line, "\n")+"\n"] = true
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	for line := range strings.Lines(pathFilter{excludes: patterns}.config()) {
		if !has[line] {
			has[line] = true
			text = append(text, line...)
		}
	}
	if err := t.MkdirAll(filepath.Dir(filterFile), 0o755); err != nil {
		return err
	}
	return t.ReplaceFile(filterFile, text, 0o644, 0, 0)
}

// updateMarks marks what came along as automatic. apt takes every file that
// it is given for one that was asked for, so the marks are made from those of
// before, the list and the names in the options.
func updateMarks(t *tree.Root, before map[string]debian.Stanza, auto map[string]bool, list *debian.PackageList, asked []string) error {
	native, err := nativeArch(before)
	if err != nil {
		return err
	}
	marks := map[string]bool{}
	all, err := installed(t)
	if err != nil {
		return err
	}
	fresh := map[string]bool{}
	for _, p := range list.Packages {
		fresh[p.Name+":"+p.Architecture] = p.Automatic
	}
	wanted := map[string]bool{}
	for _, p := range asked {
		name, _, _ := strings.Cut(p, "=")
		name, arch, _ := strings.Cut(name, ":")
		if arch == "" {
			arch = native
		}
		wanted[name+":"+arch] = true
		wanted[name+":all"] = true
	}
	for name := range all {
		pkg, arch, _ := strings.Cut(name, ":")
		filed := name
		if arch == "all" {
			filed = pkg + ":" + native
		}
		automatic := auto[filed]
		if before[name] == nil {
			automatic = fresh[name]
		}
		if automatic && !wanted[name] {
			marks[name] = true
		}
	}
	return writeMarks(t, marks)
}
