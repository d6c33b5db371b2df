package cli

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/module"
)

// openBelow opens a directory below base, and makes what is missing of it and of
// base. Base may be a link, as its name is the user's; below it no link is
// followed, also none that appears meanwhile: others may have made the output
// directory, and a result is not to be written elsewhere.
func openBelow(base, dir string) (*os.Root, error) {
	if err := os.MkdirAll(base, 0o777); err != nil {
		return nil, err
	}
	at, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(filepath.Clean(dir), string(filepath.Separator)) {
		if name == "." {
			continue
		}
		below, err := openChild(at, name)
		if err := errors.Join(err, at.Close()); err != nil {
			return nil, err
		}
		at = below
	}
	return at, nil
}

// openChild opens the directory of a name in another, or makes it.
func openChild(at *os.Root, name string) (*os.Root, error) {
	if err := at.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	st, err := at.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := isDirectory(filepath.Join(at.Name(), name), st); err != nil {
		return nil, err
	}
	below, err := at.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	now, err := below.Stat(".")
	if err == nil && !os.SameFile(st, now) {
		err = fmt.Errorf("%s was replaced while it was opened", filepath.Join(at.Name(), name))
	}
	if err != nil {
		return nil, errors.Join(err, below.Close())
	}
	return below, nil
}

// isDirectory tells why something below the output directory is no directory.
func isDirectory(path string, st fs.FileInfo) error {
	switch {
	case st.IsDir():
		return nil
	case st.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a link, and a result follows none: choose another directory, or remove it", path)
	}
	return fmt.Errorf("%s is in the place of a directory: choose another directory, or remove it", path)
}

// makeBelow makes a directory below base.
func makeBelow(base, dir string) error {
	d, err := openBelow(base, dir)
	if err != nil {
		return err
	}
	return d.Close()
}

// partial is a file that has not got its name yet.
type partial struct {
	// Writer leaves out what is zero.
	*sparse.Writer
	f         *os.File
	dir       *os.Root
	tmp, name string
	// private files are for their owner alone.
	private bool
}

// newPartial makes a file in the directory that a name below base is in.
func newPartial(base, name string) (_ *partial, err error) {
	p := &partial{name: filepath.Base(name)}
	if p.dir, err = openBelow(base, filepath.Dir(name)); err != nil {
		return nil, err
	}
	p.tmp = partialPrefix(name) + rand.Text()[:12] + module.PartialSuffix
	p.f, err = p.dir.OpenFile(p.tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(err, p.dir.Close())
	}
	// The lock dies with the process: it tells a file that is being written
	// from one that a killed process has left.
	if err := lockFile(p.f); err != nil {
		p.discard()
		return nil, err
	}
	removeStale(p.dir, partialPrefix(name), module.PartialSuffix)
	p.Writer = sparse.NewWriter(p.f)
	return p, nil
}

// partialPrefix starts the names of a file that is not whole. The name itself may
// be as long as names can be, so of a long one only the start is taken, and a
// checksum that tells it from others.
func partialPrefix(target string) string {
	const most = 200
	name := filepath.Base(target)
	if len(name) > most {
		sum := sha256.Sum256([]byte(name))
		name = name[:most-17] + "-" + hex.EncodeToString(sum[:8])
	}
	return "." + name + "."
}

// removeStale removes the files and directories of a directory whose names begin
// and end so, and that no process has locked. That something cannot be removed is
// no reason to fail. What is neither, such as a pipe that would keep its reader
// waiting, is not ours.
func removeStale(dir *os.Root, prefix, suffix string) {
	list, err := dir.Open(".")
	if err != nil {
		return
	}
	defer list.Close()
	entries, _ := list.ReadDir(-1)
	for _, e := range entries {
		name := e.Name()
		if len(name) < len(prefix)+len(suffix) || !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) || !e.Type().IsRegular() && !e.IsDir() {
			continue
		}
		removeUnlocked(dir, e)
	}
}

// commit gives the file its size, mode and name. The mode is that of a file that
// the caller makes, under the caller's umask; executable says whether it is a
// program.
func (p *partial) commit(size int64, executable bool) error {
	mode := fs.FileMode(0o666)
	if executable {
		mode = 0o777
	}
	if p.private {
		mode &= 0o700
	}
	err := errors.Join(p.f.Truncate(size), p.f.Chmod(mode&^callerUmask), p.f.Close())
	if err != nil {
		return err
	}
	if err := p.dir.Rename(p.tmp, p.name); err != nil {
		return err
	}
	p.f = nil
	return p.dir.Close()
}

// discard removes the file unless it was committed.
func (p *partial) discard() {
	if p.f != nil {
		p.f.Close()
		_ = p.dir.Remove(p.tmp)
		p.dir.Close()
	}
}
