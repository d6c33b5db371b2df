package stages

import (
	"errors"
	"io/fs"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// renewFile puts a new file of mode 0644 in the place of name, which may be
// missing, a file or a link; the link is not followed. This is what osbuild
// gets by removing a file and having systemd-firstboot write it.
func renewFile(in *module.Input, t *tree.Root, name string, data []byte) error {
	if err := clearPlace(t, name); err != nil {
		return err
	}
	return writeFile(in, t, name, data, 0o644)
}

// renewLink puts a link in the place of name, as renewFile does a file. A link
// that holds target already is left as it is.
func renewLink(t *tree.Root, target, name string) error {
	if text, err := t.Readlink(name); err == nil && text == target {
		return nil
	}
	if err := clearPlace(t, name); err != nil {
		return err
	}
	return replaceLink(t, target, name)
}

// renewable checks that name can be renewed, so that a stage that writes
// several files can find out before it has written the first.
func renewable(t *tree.Root, name string) error {
	if _, err := t.Lstat(name); missing(err) {
		return parentIsDir(t, name)
	}
	return removable(t, name)
}

// removable checks that name is missing or can be removed: no directory is.
func removable(t *tree.Root, name string) error {
	st, err := t.Lstat(name)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return &fs.PathError{Op: "replace", Path: name, Err: errors.New("is a directory")}
	}
	return nil
}

// clearPlace removes what is at name, but no directory.
func clearPlace(t *tree.Root, name string) error {
	if err := removable(t, name); err != nil {
		return err
	}
	if err := t.Remove(name); err != nil && !missing(err) {
		return err
	}
	return nil
}
