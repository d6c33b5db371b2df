package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// The script of a kernel makes its initial RAM disk when the kernel is
// configured. What the disk is made of (initramfs-tools, udev, kmod and more)
// asks by a trigger for every disk to be made again at the end, as it may have
// changed since. In one installation of both, each disk would be made twice.
// So kernels come last: the trigger finds no disk then, and each is made once,
// when all that goes into it is there. What identifies a machine goes before:
// the hook of open-iscsi copies the name of the initiator onto the disk.

// configurable is a package that is to be configured.
type configurable struct {
	// name is the name, with the architecture where dpkg wants it.
	name    string
	control debian.Stanza
	// postinst is the script that configures the package.
	postinst []byte
}

// kernelName is how Debian and Ubuntu name kernels of a version.
var kernelName = regexp.MustCompile(`^linux-image-(unsigned-)?[0-9]`)

// kernelHooks is what runs that which other packages have put down for new
// kernels: a program in Debian 13, and a command in those before.
var kernelHooks = regexp.MustCompile(`(?m)^[^#\n]*(\blinux-run-hooks\s+image\s+postinst\b|\brun-parts\b.*/etc/kernel/postinst\.d\b)`)

// isKernel reports whether the package is a kernel, by its name or by what its
// script does.
func (c *configurable) isKernel() bool {
	script := strings.ReplaceAll(string(c.postinst), "\\\n", " ")
	return kernelName.MatchString(c.control.Get("Package")) || kernelHooks.MatchString(script)
}

// kernelsLast divides packages in those that come first, and the kernels with
// all that may need one. The first ones need none of the others. There are no
// last ones where there is nothing to gain.
func kernelsLast(all []configurable) (first, last []string) {
	late := map[string]bool{} // names, and what they stand for
	moved := make([]bool, len(all))
	move := func(i int) {
		moved[i] = true
		late[all[i].control.Get("Package")] = true
		provided, _ := debian.ParseRelations(all[i].control.Get("Provides"))
		for _, rel := range provided {
			late[rel[0].Name] = true
		}
	}
	for i := range all {
		if all[i].isKernel() {
			move(i)
		}
	}
	for again := len(late) > 0; again; {
		again = false
		for i := range all {
			if !moved[i] && needsOneOf(all[i].control, late) {
				move(i)
				again = true
			}
		}
	}
	for i := range all {
		if moved[i] {
			last = append(last, all[i].name)
		} else {
			first = append(first, all[i].name)
		}
	}
	if len(first) == 0 || len(last) == 0 {
		return append(first, last...), nil
	}
	return first, last
}

// needsOneOf reports whether the package may need one of the named ones. One
// that it may do without counts as well: coming late harms no package.
func needsOneOf(control debian.Stanza, names map[string]bool) bool {
	for _, field := range []string{"Depends", "Pre-Depends"} {
		relations, err := debian.ParseRelations(control.Get(field))
		if err != nil {
			return true // dpkg is to judge it, with all the others there
		}
		for _, rel := range relations {
			if slices.ContainsFunc(rel, func(p debian.Possibility) bool { return names[p.Name] }) {
				return true
			}
		}
	}
	return false
}

// unpackedPackages lists the packages of the tree that are not configured.
func unpackedPackages(t *tree.Root) ([]configurable, error) {
	all, err := installed(t)
	if err != nil {
		return nil, err
	}
	var out []configurable
	for _, s := range all {
		if strings.HasSuffix(s.Get("Status"), " ok installed") {
			continue
		}
		base := s.Get("Package")
		if s.Get("Multi-Arch") == "same" {
			base += ":" + s.Get("Architecture")
		}
		script, err := t.ReadText("var/lib/dpkg/info/"+base+".postinst", tree.MaxUnit)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, configurable{name: base, control: s, postinst: script})
	}
	slices.SortFunc(out, func(a, b configurable) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// packageFiles reads the package files of a list; their names are the paths
// that programs of the tree know them by.
func packageFiles(debs, seen string, list *debian.PackageList) ([]configurable, error) {
	var out []configurable
	for i := range list.Packages {
		c, err := readPackage(filepath.Join(debs, list.Packages[i].File))
		if err != nil {
			return nil, fmt.Errorf("package file %s: %w", list.Packages[i].File, err)
		}
		c.name = filepath.Join(seen, list.Packages[i].File)
		out = append(out, c)
	}
	return out, nil
}

func readPackage(file string) (configurable, error) {
	f, err := os.Open(file)
	if err != nil {
		return configurable{}, err
	}
	defer f.Close()
	d, err := debian.OpenDeb(f)
	if err != nil {
		return configurable{}, err
	}
	defer d.Close()
	return configurable{control: d.Control, postinst: d.File("postinst")}, nil
}

// configureAll configures what is unpacked, kernels last.
func configureAll(ctx context.Context, in *module.Input, t *tree.Root) error {
	dpkg := func(args ...string) error {
		_, err := run(ctx, in, program{root: in.Tree, argv: append([]string{"dpkg", "--force-unsafe-io"}, args...)})
		return err
	}
	all, err := unpackedPackages(t)
	if err != nil {
		return err
	}
	if first, last := kernelsLast(all); len(last) > 0 {
		// Triggers are processed at the end of each run.
		if err := dpkg(append([]string{"--configure"}, first...)...); err != nil {
			return err
		}
		if err := applyCleanups(ctx, t, identities); err != nil {
			return err
		}
	}
	return dpkg("--configure", "-a")
}

// installAll has install put down and configure the package files, kernels
// last. Where one of the last ones is there already, in another version, all
// go together: else apt may remove that for the sake of the first ones.
func installAll(ctx context.Context, t *tree.Root, files []configurable, install func(names []string) error) error {
	first, last := kernelsLast(files)
	there, err := installed(t)
	if err != nil {
		return err
	}
	late := map[string]bool{}
	for i := range files {
		if slices.Contains(last, files[i].name) {
			late[files[i].control.Get("Package")] = true
		}
	}
	for _, s := range there {
		if late[s.Get("Package")] {
			first, last = append(first, last...), nil
			break
		}
	}
	if err := install(first); err != nil || len(last) == 0 {
		return err
	}
	if err := applyCleanups(ctx, t, identities); err != nil {
		return err
	}
	return install(last)
}
