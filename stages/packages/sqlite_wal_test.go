package packages

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/tree"
)

// The database and its log were written by SQLite; the log has been begun anew
// once, so that it ends in what has no meaning. What SQLite itself makes of them
// is log-closed.sqlite.
func walFiles(t *testing.T) (db, log, closed []byte) {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return read("log.sqlite"), read("log.sqlite-wal"), read("log-closed.sqlite")
}

func TestCloseDatabase(t *testing.T) {
	t.Parallel()
	db, log, closed := walFiles(t)
	if bytes.Equal(db, closed) {
		t.Fatal("there is nothing to do")
	}
	damaged := bytes.Clone(log)
	damaged[17] ^= 1
	// The first transaction has two frames of 512 bytes and their headers.
	torn := bytes.Clone(log)
	torn[walHeader+frameHeader+100] ^= 1
	for name, c := range map[string]struct {
		log, want []byte
		err       string
	}{
		"whole":       {log: log, want: closed},
		"empty":       {log: nil, want: db},
		"first frame": {log: torn, want: db},
		"cut header":  {log: log[:20], err: "unexpected EOF"},
		"cut":         {log: log[:walHeader+100], want: db},
		"damaged":     {log: damaged, err: "is damaged"},
		"no log":      {log: bytes.Repeat([]byte("x"), 4096), err: "is not SQLite's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, data := range map[string][]byte{"db": db, "db-wal": c.log, "db-shm": []byte("index")} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			root, err := tree.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			err = closeDatabase(root, "/db")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "db"))
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("the database is not what it should be: %d bytes, want %d; %v", len(got), len(c.want), err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
	root, err := tree.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := closeDatabase(root, "/none/db"); err != nil {
		t.Error(err)
	}
}
