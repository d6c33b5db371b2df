package stages

import (
	"errors"
	"io/fs"
	"path"
	"syscall"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// missing reports whether an error says that a file does not exist.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// writeFile makes name hold data and gives it the time of the build. Missing
// directories above it are made; an existing file keeps its owner and mode.
func writeFile(in *module.Input, t *tree.Root, name string, data []byte, perm fs.FileMode) error {
	if err := t.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := t.WriteFile(name, data, perm); err != nil {
		return err
	}
	return t.Chtimes(name, in.Time())
}

// readOptional reads a file that may be missing; ok says that it is there.
func readOptional(t *tree.Root, name string) (data []byte, ok bool, err error) {
	data, err = t.ReadText(name, tree.MaxConfig)
	if missing(err) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// writable checks that name can be written as a regular file, so that a stage
// that writes several files can find out before it has written the first.
func writable(t *tree.Root, name string) error {
	st, err := t.Stat(name)
	switch {
	case missing(err):
		return parentIsDir(t, name)
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return &fs.PathError{Op: "write", Path: name, Err: errors.New("exists and is not a regular file")}
	}
	return nil
}

// parentIsDir checks that the directories above name exist or can be made.
func parentIsDir(t *tree.Root, name string) error {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return err
	}
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		st, err := t.Lstat(dir)
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("/" + dir + " is not a directory")}
		}
		return nil
	}
	return nil
}

// replaceLink makes name a symbolic link that holds target. Missing
// directories above it are made; a link that is there already is replaced,
// anything else is an error.
func replaceLink(t *tree.Root, target, name string) error {
	if err := t.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	old, err := t.Lstat(name)
	switch {
	case missing(err):
	case err != nil:
		return err
	case old.Mode()&fs.ModeSymlink == 0:
		return &fs.PathError{Op: "symlink", Path: name, Err: errors.New("exists and is not a link")}
	default:
		if text, err := t.Readlink(name); err != nil || text == target {
			return err
		}
		if err := t.Remove(name); err != nil {
			return err
		}
	}
	return t.Symlink(target, name)
}
