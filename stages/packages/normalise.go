package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// cleanup is what the normaliser does to the files of one pattern.
type cleanup struct {
	// pattern is a path with shell patterns in its components, relative to
	// the root of the tree.
	pattern string
	// act says what is done to a file that matches.
	act func(t *tree.Root, name string, st fs.FileInfo) error
}

// cleanups lists what differs between two builds of the same packages, or
// is of no use on a machine. It was found by comparing the trees of two
// builds; it never touches what a package ships.
var cleanups = []cleanup{
	// Caches that hold times, inode numbers or offsets of this very run.
	{"var/cache/ldconfig/aux-cache", remove},
	{"var/cache/apt/*.bin", remove},
	{"var/cache/apt/archives/*.deb", remove},
	{"var/cache/apt/archives/partial/*", removeAll},
	{"var/cache/apt/archives/lock", remove},
	{"var/lib/apt/lists/*", keepNamed(removeAll, "partial", "auxfiles")},
	{"var/lib/apt/lists/partial/*", removeAll},
	{"var/lib/apt/periodic/*", remove},
	{"var/cache/man/*", removeAll},
	{"var/cache/fontconfig/*", keepNamed(remove, "CACHEDIR.TAG")},
	// Logs. Empty files stay, as some daemons do not make their own.
	{"var/log/apt/history.log*", remove},
	{"var/log/apt/term.log*", remove},
	{"var/log/apt/eipp.log*", remove},
	{"var/log/journal/*", removeAll},
	{"var/log/*", truncate},
	{"var/log/*/*", truncate},
	// Backups of databases as they were in the middle of the installation.
	{"var/lib/dpkg/*-old", remove},
	{"var/cache/debconf/*-old", remove},
	{"etc/passwd-", remove},
	{"etc/group-", remove},
	{"etc/shadow-", remove},
	{"etc/gshadow-", remove},
	{"etc/subuid-", remove},
	{"etc/subgid-", remove},
	// Locks and journals of databases that were closed.
	{"etc/.pwd.lock", remove},
	{"var/lib/dpkg/lock*", remove},
	{"var/lib/dpkg/triggers/Lock", remove},
	{"var/lib/apt/daily_lock", remove},
	{"var/lib/apt/lists/lock", remove},
	{"var/lib/rpm/*.sqlite-wal", removeEmpty},
	{"var/lib/rpm/*.sqlite-shm", removeIndex},
	{"usr/lib/sysimage/rpm/*.sqlite-wal", removeEmpty},
	{"usr/lib/sysimage/rpm/*.sqlite-shm", removeIndex},
	{"var/lib/dnf/*.sqlite-wal", removeEmpty},
	{"var/lib/dnf/*.sqlite-shm", removeIndex},
	{"usr/lib/sysimage/libdnf5/*.sqlite-wal", removeEmpty},
	{"usr/lib/sysimage/libdnf5/*.sqlite-shm", removeIndex},
	{"var/lib/rpm/.rpm.lock", remove},
	{"usr/lib/sysimage/rpm/.rpm.lock", remove},
	{"var/lib/rpm/.keyring.lock", remove},
	{"usr/lib/sysimage/rpm/.keyring.lock", remove},
}

// normalise is the part org.osbuildkit.normalise. Doing it twice is doing it
// once.
func normalise(ctx context.Context, in *module.Input) error {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := applyCleanups(ctx, t, slices.Concat(cleanups, machineIDs, identities)); err != nil {
		return err
	}
	for i := range firstBootUnits {
		u := &firstBootUnits[i]
		if err := u.install(t); err != nil {
			return fmt.Errorf("making the unit %s: %w", u.name, err)
		}
	}
	if err := ledger.Update(in.Ledger, in.Time(), func(l *ledger.Ledger) error { return l.Prune(in.Tree) }); err != nil {
		return fmt.Errorf("dropping what was removed from the ledger: %w", err)
	}
	return clampTimes(t, in.Epoch)
}

func applyCleanups(ctx context.Context, t *tree.Root, list []cleanup) error {
	for _, c := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.apply(t); err != nil {
			return fmt.Errorf("/%s: %w", c.pattern, err)
		}
	}
	return nil
}

// apply acts on all that matches the pattern. Directories on the way are real
// ones only: a link may lead to what another pattern, or nobody, is to clean.
func (c cleanup) apply(t *tree.Root) error {
	found := []string{"."}
	for _, part := range strings.Split(c.pattern, "/") {
		var next []string
		for _, dir := range found {
			st, err := t.Lstat(dir)
			if missing(err) || err == nil && !st.IsDir() {
				continue
			}
			if err != nil {
				return err
			}
			if !strings.ContainsAny(part, "*?[") {
				next = append(next, path.Join(dir, part))
				continue
			}
			entries, err := t.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if ok, _ := path.Match(part, e.Name()); ok {
					next = append(next, path.Join(dir, e.Name()))
				}
			}
		}
		found = next
	}
	for _, name := range found {
		st, err := t.Lstat(name)
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.act(t, name, st); err != nil {
			return err
		}
	}
	return nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// remove removes files and links, and leaves directories.
func remove(t *tree.Root, name string, st fs.FileInfo) error {
	if st.IsDir() {
		return nil
	}
	return t.Remove(name)
}

// removeRegular removes a file, and leaves a link that stands for another.
func removeRegular(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return nil
	}
	return t.Remove(name)
}

// removeEmpty removes a journal that has nothing in it. One that has belongs
// to a database that some program has left open: it is a part of the data.
func removeEmpty(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() || st.Size() > 0 {
		return nil
	}
	return t.Remove(name)
}

// removeIndex removes the index of a journal that is not there any more.
func removeIndex(t *tree.Root, name string, st fs.FileInfo) error {
	if ok, err := t.Exists(strings.TrimSuffix(name, "-shm") + "-wal"); err != nil || ok {
		return err
	}
	return remove(t, name, st)
}

func removeAll(t *tree.Root, name string, _ fs.FileInfo) error { return t.RemoveAll(name) }

func keepNamed(act func(*tree.Root, string, fs.FileInfo) error, names ...string) func(*tree.Root, string, fs.FileInfo) error {
	return func(t *tree.Root, name string, st fs.FileInfo) error {
		for _, n := range names {
			if path.Base(name) == n {
				return nil
			}
		}
		return act(t, name, st)
	}
}

// truncate empties a regular file.
func truncate(t *tree.Root, name string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() || st.Size() == 0 {
		return nil
	}
	return t.WriteFile(name, nil, st.Mode().Perm())
}
