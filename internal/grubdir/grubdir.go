// Package grubdir says where the tools of a system keep the configuration of
// GRUB.
package grubdir

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/osrelease"
	"github.com/osbuildkit/osbuildkit/tree"
)

// The directories, as paths in a tree.
const (
	// Plain is that of GRUB itself, which Debian, Arch and most others keep.
	Plain = "boot/grub"
	// Renamed is that of the distributions in which GRUB 2 lived beside the
	// GRUB before it: those of RPM.
	Renamed = "boot/grub2"
)

// maxText bounds what is read of a hostile tree.
const maxText = 1 << 16

// systems are the names in os-release, also as ID_LIKE, that settle it.
var systems = map[string]string{
	"debian": Plain, "ubuntu": Plain, "arch": Plain, "alpine": Plain, "gentoo": Plain, "void": Plain,
	"fedora": Renamed, "rhel": Renamed, "centos": Renamed, "suse": Renamed, "opensuse": Renamed, "mageia": Renamed,
}

// Of returns the directory that the tree's own tools write grub.cfg to, such as
// update-grub: only there does a kernel that the system installs later get an
// entry. The tools say it by their name, else the system by its own, else the
// package database. A tree that does not say gets Renamed, as osbuild has it.
func Of(t *tree.Root) (string, error) {
	plain, err := HasTools(t)
	if err != nil {
		return "", err
	}
	renamed, err := exists(t, "usr/sbin/grub2-mkconfig", "usr/bin/grub2-mkconfig", "sbin/grub2-mkconfig")
	if err != nil {
		return "", err
	}
	switch {
	case plain && !renamed:
		return Plain, nil
	case renamed && !plain:
		return Renamed, nil
	}
	dir, err := bySystem(t)
	if dir != "" || err != nil {
		return dir, err
	}
	st, err := t.Stat("var/lib/dpkg/status")
	switch {
	case err == nil && st.Mode().IsRegular() && st.Size() > 0:
		return Plain, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("looking for the place of GRUB: %w", err)
	}
	return Renamed, nil
}

// HasTools reports whether the tree has the tools that write to Plain.
func HasTools(t *tree.Root) (bool, error) {
	return exists(t, "usr/sbin/grub-mkconfig", "usr/bin/grub-mkconfig", "sbin/grub-mkconfig")
}

// bySystem goes by the names of the system, the most special one first; it
// returns "" if none is known.
func bySystem(t *tree.Root) (string, error) {
	for _, name := range osrelease.Files {
		st, err := t.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("looking for the name of the system: %w", err)
		}
		if !st.Mode().IsRegular() || st.Size() > maxText {
			return "", nil
		}
		data, err := t.ReadFile(name)
		if err != nil {
			return "", err
		}
		values := osrelease.Parse(string(data))
		for _, id := range append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...) {
			if dir := systems[strings.TrimSuffix(id, "-linux")]; dir != "" {
				return dir, nil
			}
		}
		return "", nil
	}
	return "", nil
}

func exists(t *tree.Root, names ...string) (bool, error) {
	var failed error
	found := slices.ContainsFunc(names, func(name string) bool {
		ok, err := t.Exists(name)
		failed = errors.Join(failed, err)
		return ok
	})
	if failed != nil {
		return false, fmt.Errorf("looking for the tools of GRUB: %w", failed)
	}
	return found, nil
}
