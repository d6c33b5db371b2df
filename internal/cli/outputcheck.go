package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/private"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// checkOutputs finds out before the build whether its files can be put in their
// place, as far as their names are known: those that the manifest names, and
// those that the build writes itself.
func (f *buildFlags) checkOutputs(m *manifest.Manifest, target string) error {
	list, err := f.platforms()
	if err != nil {
		return err
	}
	dirs := []string{f.outputDir}
	if len(list) > 1 && target == manifest.AssemblerPipeline {
		dirs = nil
		for _, p := range list {
			dirs = append(dirs, platformDir(f.outputDir, platforms.FormatAll(p)))
		}
	}
	for _, dir := range dirs {
		if err := checkDirectory(dir); err != nil {
			return usageError("--output-directory: %w", err)
		}
		for _, name := range outputNames(m, target, f.sbom) {
			if err := checkPlace(filepath.Join(dir, name)); err != nil {
				return usageError("--output-directory: %w", err)
			}
		}
	}
	return nil
}

// checkStore finds out whether the store is the user's own and can be written to.
// That it is full is said where something is to be written: then something can be
// removed from it.
func checkStore(dir string) error {
	if dir == "" {
		return usageError("--store: it is empty: give a directory")
	}
	if err := private.CheckStore(dir); err != nil {
		return usageError("--store: %w", err)
	}
	if err := checkDirectory(dir); err != nil && !errors.Is(err, errDiskFull) {
		return usageError("--store: %w", err)
	}
	return nil
}

// outputNames are the files that a target is known to write.
func outputNames(m *manifest.Manifest, target string, sbom bool) []string {
	var names []string
	if target != manifest.AssemblerPipeline {
		names = append(names, archiveName(target))
	} else {
		names = append(names, module.ChecksumsFile, module.PackagesFile)
		for _, s := range m.Pipeline(target).Stages {
			for _, o := range catalog.Outputs(s.Options) {
				names = append(names, o.Name)
			}
		}
	}
	if sbom {
		names = append(names, module.SBOMFile)
	}
	return slices.Compact(names)
}

// archiveName is the file of a target that leaves as one archive.
func archiveName(target string) string {
	if target == frontend.ContainerDiskTarget {
		return target + ".oci.tar"
	}
	return target + ".tar"
}

// platformDir is where the files of one of several platforms go.
func platformDir(outputDir, platform string) string {
	return filepath.Join(outputDir, strings.ReplaceAll(platform, "/", "_"))
}

// checkDirectory tells whether a directory can be written to, or made. It tries:
// permissions alone do not say what a quota or a read-only mount will.
func checkDirectory(dir string) error {
	at := filepath.Clean(dir)
	for {
		st, err := os.Stat(at)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is in the place of a directory: choose another directory, or remove it", at)
		case err == nil:
			return tryDirectory(at)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if _, err := os.Lstat(at); err == nil {
			return fmt.Errorf("%s is a link that leads nowhere: choose another directory, or remove it", at)
		}
		parent := filepath.Dir(at)
		if parent == at {
			return err
		}
		at = parent
	}
}

// tryDirectory makes a file in a directory, and removes it.
func tryDirectory(dir string) error {
	f, err := os.CreateTemp(dir, ".osbuildkit-try.*"+module.PartialSuffix)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("the directory %s cannot be written to: %w", dir, err)
	}
	return nil
}

// checkPlace tells whether a file can be given a name, replacing what has it.
func checkPlace(name string) error {
	st, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return fmt.Errorf("%s is a directory, and a file of that name is to be written: choose another directory, or remove it", name)
	}
	return checkReplaceable(name)
}

// checkParents tells whether the directories between one and what has a name below
// it can be made. None of them may be a link.
func checkParents(dir, name string) error {
	for at := filepath.Dir(name); at != "."; at = filepath.Dir(at) {
		path := filepath.Join(dir, at)
		if st, err := os.Lstat(path); err == nil {
			if err := isDirectory(path, st); err != nil {
				return err
			}
		}
	}
	return nil
}
