package runners

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// maxRunner is the size in bytes that no runner may reach: it is sent to every
// builder.
const maxRunner = 12 << 20

func TestExtract(t *testing.T) {
	t.Parallel()
	if len(Architectures()) == 0 {
		t.Skip("built without runners; make build puts them in")
	}
	for _, arch := range Architectures() {
		dir := t.TempDir()
		first, err := Extract(dir, arch)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(first)
		if err != nil || len(entries) != len(module.Groups()) {
			t.Fatalf("%s: %v, %v", arch, entries, err)
		}
		for _, e := range entries {
			checkRunner(t, filepath.Join(first, e.Name()))
		}
		again, err := Extract(dir, arch)
		if err != nil || again != first {
			t.Errorf("the second time: %s, %v", again, err)
		}
	}
}

// checkRunner sees to it that a runner is small, static and executable.
func checkRunner(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() >= maxRunner || st.Mode().Perm() != 0o755 {
		t.Errorf("%s: %d bytes, mode %o", path, st.Size(), st.Mode().Perm())
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s is not static", path)
		}
	}
}

func TestUnknownArchitecture(t *testing.T) {
	t.Parallel()
	_, err := Extract(t.TempDir(), "vax")
	if err == nil || !strings.HasPrefix(err.Error(), "this osbuildkit holds no runner for linux/vax (it has: ") {
		t.Error(err)
	}
}
