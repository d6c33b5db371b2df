package packages

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/tree"
)

// dpkg notes every change of a package's state in a journal of small files,
// each of which it syncs to disk. A step that is interrupted is thrown away
// as a whole, so the journal is of no use here: for the time of the run it is
// a link into /run, which is memory.
const (
	journalDir    = "var/lib/dpkg/updates"
	journalMemory = "run/osbuild/dpkg-updates"
)

// journalInMemory moves the journal of dpkg and returns what undoes that. A
// journal that is not empty, or not there, is left as it is.
func journalInMemory(t *tree.Root) (undo func() error, err error) {
	nothing := func() error { return nil }
	st, err := t.Lstat(journalDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := t.ReadDir(journalDir)
	if err != nil || len(entries) > 0 {
		return nothing, err
	}
	if err := t.MkdirAll(journalMemory, 0o755); err != nil {
		return nil, err
	}
	// The directory is made anew rather than moved back: in a step it comes
	// from a lower layer of an overlay, where a directory cannot be renamed.
	if err := t.Remove(journalDir); err != nil {
		return nil, err
	}
	restore := func() error { return makeLike(t, journalDir, st) }
	if err := t.Symlink("/"+path.Clean(journalMemory), journalDir); err != nil {
		return nil, errors.Join(err, restore())
	}
	return func() error {
		// What dpkg left in the journal, if it failed, goes with the step.
		err := t.Remove(journalDir)
		if err == nil {
			err = restore()
		}
		return errors.Join(err, t.RemoveAll(journalMemory))
	}, nil
}

// makeLike makes the directory name with the mode, owner and time of st.
func makeLike(t *tree.Root, name string, st fs.FileInfo) error {
	if err := t.Mkdir(name, st.Mode().Perm()); err != nil {
		return err
	}
	if sys, ok := st.Sys().(*unix.SysStat); ok && os.Getuid() == 0 {
		if err := t.Lchown(name, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return t.Chtimes(name, st.ModTime())
}
