package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// FileName is the name of a ledger's file in its directory.
const FileName = "attributes"

// Load reads the ledger in a directory. A directory without the file, and no
// directory (""), hold an empty ledger.
func Load(dir string) (*Ledger, error) {
	if dir == "" {
		return &Ledger{}, nil
	}
	data, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Ledger{}, nil
	}
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

func read(dir string) ([]byte, error) {
	name := filepath.Join(dir, FileName)
	st, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("the ledger %s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxText+1))
}

// Save writes the ledger into its directory. A file that is right already is
// not touched, and an empty ledger is no file: a step that has nothing to note
// leaves no trace in a cache. The file's time is when.
func (l *Ledger) Save(dir string, when time.Time) error {
	name := filepath.Join(dir, FileName)
	if l.Len() == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := l.Encode()
	if err != nil {
		return err
	}
	old, err := read(dir)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	if err := os.Chtimes(tmp, when, when); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// Update loads the ledger in a directory, lets change work on it and saves it.
// Without a directory, as in a module that is run by hand and has nothing to
// note, nothing happens.
func Update(dir string, when time.Time, change func(*Ledger) error) error {
	if dir == "" {
		return nil
	}
	l, err := Load(dir)
	if err != nil {
		return err
	}
	if err := change(l); err != nil {
		return err
	}
	return l.Save(dir, when)
}
