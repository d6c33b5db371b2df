package packages

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// snapshot describes all that is in a tree.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		s := fmt.Sprintf("%v %d:%d %d", st.Mode(), sys.Uid, sys.Gid, st.ModTime().UnixNano())
		switch {
		case st.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %d links, %d bytes, %x", sys.Nlink, len(data), sha256.Sum256(data))
		case st.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			s += " -> " + target
		}
		out[strings.TrimPrefix(name, dir)] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
