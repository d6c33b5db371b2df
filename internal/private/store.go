package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Parts of a store. What is in State and Trees is believed, so nobody else may
// ever have been able to put anything there: they have the mode that this program
// gives, which a checkout does not have. What is in Runners is compared with what
// the program holds, and what is in Temporary is not read.
const (
	State     = "buildkit"
	Trees     = "trees"
	Runners   = "runners"
	Temporary = "tmp"
	Outputs   = "outputs.json"
)

// parts are the directories of a store.
var parts = []struct {
	name     string
	believed bool
	// depth is how far below it all has to be the user's own, and no link. Below
	// that are the trees of images, with owners and links of their own, and
	// content that is found by its checksum.
	depth int
}{
	{State, true, 2},
	{Trees, true, 2},
	{Runners, false, 2},
	{Temporary, false, 0},
}

// unsearched are directories of the engine's state that hold what other programs
// make, and make anew.
var unsearched = map[string]bool{State + "/tmp": true, State + "/run": true}

// storeError says which store is not used, and why.
func storeError(store string, err error) error {
	return fmt.Errorf("the store %s is not used, as another could have prepared it: %w", store, err)
}

// CheckStore refuses a store that is not this user's own, or that others can
// write to, or of which a part is; a store that is not there yet is none of these.
// The store itself may be a link that this user or root has made. The parents are
// not looked at: whoever owns them can take the store away, but what they put in
// its place is not the user's own.
func CheckStore(store string) error {
	store = filepath.Clean(store)
	st, err := lstat(store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	real := store
	if st.kind == fs.ModeSymlink {
		if st.owner != 0 {
			if err := owned(store, st); err != nil {
				return storeError(store, err)
			}
		}
		if real, err = filepath.EvalSymlinks(store); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the store %s is a link that leads nowhere: make the directory that it names, or choose another with --store", store)
		}
		if err == nil {
			st, err = lstat(real)
		}
		if err != nil {
			return err
		}
	}
	if err := directory(real, st); err != nil {
		return storeError(store, err)
	}
	if err := closed(real, st); err != nil {
		return storeError(store, err)
	}
	for _, p := range parts {
		if err := checkPart(real, p.name, p.believed, p.depth); err != nil {
			return storeError(store, err)
		}
	}
	st, err = lstat(filepath.Join(real, Outputs))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = regular(filepath.Join(real, Outputs), st)
	}
	if err != nil {
		return storeError(store, err)
	}
	return nil
}

// checkPart looks at one directory of a store.
func checkPart(store, name string, believed bool, depth int) error {
	path := filepath.Join(store, name)
	st, err := lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := directory(path, st); err != nil {
		return err
	}
	if err := closed(path, st); err != nil {
		return err
	}
	if believed {
		if err := hidden(path, st); err != nil {
			return err
		}
	}
	return checkBelow(store, name, depth)
}

// checkBelow looks at what is in a directory of a store. Who cannot enter the
// part cannot write to what is below, whatever its mode.
func checkBelow(store, name string, depth int) error {
	if depth == 0 || unsearched[name] {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(store, name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := filepath.Join(name, e.Name())
		path := filepath.Join(store, below)
		st, err := lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another build has removed it
		}
		if err != nil {
			return err
		}
		switch st.kind {
		case fs.ModeSymlink:
			return &Fault{path, "is a link, and a store has none there", remove}
		case 0, fs.ModeDir, fs.ModeSocket:
		default:
			return &Fault{path, "is a pipe or a device, and a store has none there", remove}
		}
		if err := owned(path, st); err != nil {
			return err
		}
		if st.kind == 0 && st.links > 1 {
			return &Fault{path, "has another name elsewhere", remove}
		}
		if st.kind == fs.ModeDir {
			if err := checkBelow(store, below, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// MakeStore makes a store and the directories above it, or checks one that is
// there. It returns the path without links.
func MakeStore(store string) (string, error) {
	if err := CheckStore(store); err != nil {
		return "", err
	}
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		// Directories above it are as the user makes them.
		if err := os.MkdirAll(filepath.Dir(filepath.Clean(store)), 0o777); err != nil {
			return "", err
		}
		if err := os.Mkdir(store, DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := CheckStore(store); err != nil { // somebody may have been faster
			return "", err
		}
	}
	real, err := filepath.Abs(store)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(real)
}
