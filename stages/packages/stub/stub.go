package stub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/tree"
)

// Dir is where the links lead. A builder mounts its /dev before these files, and
// everything else after them: below /run they would be hidden by the step's own.
const Dir = "/dev/osbuildkit"

// names are the files in /etc that a builder binds its own over.
var names = []string{"resolv.conf", "hosts"}

// backup returns the name under which the tree's own file waits.
func backup(name string) string { return ".osbuildkit-kept-" + name }

// Prepare puts the links in place. Doing so twice changes nothing.
func Prepare(t *tree.Root) error {
	if err := t.MkdirAll("etc", 0o755); err != nil {
		return err
	}
	return keepTime(t, "etc", func() error {
		for _, name := range names {
			own := path.Join("etc", name)
			ours, exists, err := look(t, own, name)
			if err != nil {
				return err
			}
			if ours {
				continue
			}
			if exists {
				if err := t.Rename(own, path.Join("etc", backup(name))); err != nil {
					return err
				}
			}
			if err := t.Symlink(path.Join(Dir, name), own); err != nil {
				return err
			}
		}
		return nil
	})
}

// Restore undoes Prepare in the tree at root. A tree that was not prepared is
// left as it is.
func Restore(root string) error {
	t, err := tree.Open(root)
	if err != nil {
		return err
	}
	defer t.Close()
	if ok, err := t.Exists("etc"); err != nil || !ok {
		return err
	}
	needed := false
	for _, name := range names {
		ours, _, err := look(t, path.Join("etc", name), name)
		if err != nil {
			return err
		}
		needed = needed || ours
	}
	if !needed {
		return nil
	}
	return keepTime(t, "etc", func() error {
		for _, name := range names {
			if err := restore(t, name); err != nil {
				return fmt.Errorf("putting /etc/%s back: %w", name, err)
			}
		}
		return nil
	})
}

// Lend runs f while the builder's own files stand in /etc of the tree, which is
// the root of a step that has the network. What f puts in their place stays;
// what it writes into them is the builder's and gone with the step. Outside a
// step f is run with the tree as it is.
func Lend(t *tree.Root, f func() error) error {
	if ok, err := t.Exists(path.Join(Dir, names[0])); err != nil || !ok {
		return errors.Join(err, f())
	}
	if err := Prepare(t); err != nil {
		return err
	}
	err := f()
	for _, name := range names {
		err = errors.Join(err, takeBack(t, name))
	}
	return err
}

// takeBack puts one of the tree's files back, unless there is a new one.
func takeBack(t *tree.Root, name string) error {
	ours, exists, err := look(t, path.Join("etc", name), name)
	if err != nil {
		return err
	}
	if ours || !exists {
		// A file that was removed was the builder's.
		return keepTime(t, "etc", func() error { return putBack(t, name) })
	}
	if err := t.Remove(path.Join("etc", backup(name))); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func restore(t *tree.Root, name string) error {
	ours, _, err := look(t, path.Join("etc", name), name)
	if err != nil || !ours {
		return err
	}
	return putBack(t, name)
}

// putBack replaces the link, which may be gone, by the tree's own file.
func putBack(t *tree.Root, name string) error {
	own, kept := path.Join("etc", name), path.Join("etc", backup(name))
	// A rename replaces the link in one act, so a step that is killed in
	// between leaves one state or the other.
	err := t.Rename(kept, own)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.Remove(own); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// look reports whether the name is one of our links, and whether it exists.
func look(t *tree.Root, own, name string) (ours, exists bool, err error) {
	st, err := t.Lstat(own)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if st.Mode()&fs.ModeSymlink == 0 {
		return false, true, nil
	}
	target, err := t.Readlink(own)
	return err == nil && target == path.Join(Dir, name), true, err
}

// keepTime runs f and gives the directory its time back.
func keepTime(t *tree.Root, dir string, f func() error) error {
	st, err := t.Stat(dir)
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return t.Chtimes(dir, st.ModTime())
}

// Mountpoints makes the directories that a builder mounts its own file
// systems on, with the modes that they have on a running system: a builder
// leaves stubs of its own making, or none, where a tree does not have them.
func Mountpoints(t *tree.Root, epoch int64) error {
	when := time.Unix(epoch, 0)
	for _, d := range []struct {
		name string
		mode os.FileMode
	}{{"proc", 0o555}, {"sys", 0o555}, {"dev", 0o755}, {"run", 0o755}, {"tmp", 0o777 | os.ModeSticky}} {
		st, err := t.Lstat(d.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := errors.Join(t.Mkdir(d.name, d.mode.Perm()), t.Chmod(d.name, d.mode)); err != nil {
				return err
			}
			if err := t.Chtimes(d.name, when); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case !st.IsDir():
			return fmt.Errorf("/%s is not a directory", d.name)
		}
		// /dev and /run are left as the tree has them once they exist.
		if st.Mode().Perm() != d.mode && (d.name == "proc" || d.name == "sys") {
			if err := t.Chmod(d.name, d.mode); err != nil {
				return err
			}
		}
	}
	return nil
}
