package packages

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/debian"
)

// FuzzAptOutput reads what apt prints, which names files of a hostile mirror.
func FuzzAptOutput(f *testing.F) {
	f.Add("'file:/w/repos/0/pool/a_1_amd64.deb' a_1_amd64.deb 8 SHA256:" + strings.Repeat("a", 64))
	f.Add("'file:/w/repos/0/pool/%2e%2e/a' a_1%3a1_amd64.deb 8 SHA256:x")
	f.Fuzz(func(t *testing.T, line string) {
		s := &aptSolver{seen: "/w", repos: []*repository{{}}}
		list, err := s.list([]byte(line), AptOptions{})
		if err != nil {
			return
		}
		data, err := list.Encode()
		if err != nil {
			return
		}
		if _, err := debian.ParseList(data); err != nil {
			t.Errorf("%q became a list that cannot be read: %v", line, err)
		}
	})
}

// FuzzCheckpoint reads a log of SQLite beside a database.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("SQLite format 3\x00"), []byte("7\x7f\x06\x82\x00-\xe2\x18\x00\x00\x10\x00"))
	f.Fuzz(func(t *testing.T, database, log []byte) {
		name := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(name, database, 0o644); err != nil {
			t.Fatal(err)
		}
		db, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_ = checkpoint(db, bytes.NewReader(log))
		if st, err := db.Stat(); err != nil || st.Size() > int64(len(database)+len(log))+1<<16 {
			t.Errorf("the database has %d bytes now: %v", st.Size(), err)
		}
	})
}
