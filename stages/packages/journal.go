package packages

import (
	"errors"
	"io/fs"
	"path"

	"github.com/osbuildkit/osbuildkit/tree"
)

// dpkg notes every change of a package's state in a journal of small files,
// each of which it syncs to disk. A step that is interrupted is thrown away
// as a whole, so the journal is of no use here: for the time of the run it is
// a link into /run, which is memory.
const (
	journalDir    = "var/lib/dpkg/updates"
	journalBackup = "var/lib/dpkg/updates.osbuildkit-kept"
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
	if err := t.Rename(journalDir, journalBackup); err != nil {
		return nil, err
	}
	undo = func() error {
		// What dpkg left in the journal, if it failed, goes with the step.
		err := t.Remove(journalDir)
		if err == nil {
			err = t.Rename(journalBackup, journalDir)
		}
		return errors.Join(err, t.RemoveAll(journalMemory))
	}
	if err := t.Symlink("/"+path.Clean(journalMemory), journalDir); err != nil {
		return nil, errors.Join(err, t.Rename(journalBackup, journalDir))
	}
	return undo, nil
}
