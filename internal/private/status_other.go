//go:build !unix

package private

import (
	"errors"
	"io/fs"
	"os"
)

// A file has no owner and no mode here: who may do what is on lists that it takes
// from its directory, those of a user's directories name that user alone. What is
// no file, a link above all, is refused here as well.

// lstat looks at a path itself and not at what a link leads to.
func lstat(path string) (*status, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return statusOf(st), nil
}

func statusOf(st fs.FileInfo) *status {
	return &status{kind: st.Mode().Type(), unowned: true, links: 1}
}

// open opens a file without following a link.
func open(path string, flag int) (*os.File, *status, error) {
	before, err := os.Lstat(path)
	if err == nil && !before.Mode().IsRegular() {
		return nil, nil, regular(path, statusOf(before))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, flag, FileMode)
	if err != nil {
		return nil, nil, err
	}
	// What has been put in its place meanwhile is not what was looked at.
	named, err := os.Lstat(path)
	now, err2 := f.Stat()
	if err = errors.Join(err, err2); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if !os.SameFile(named, now) {
		return nil, nil, errors.Join(&Fault{path, "was replaced while it was opened", remove}, f.Close())
	}
	return f, statusOf(now), nil
}
