package private

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// aStore makes a store as builds leave it.
func aStore(t *testing.T) string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "store")
	for _, d := range []string{"", State, State + "/runc-overlayfs", State + "/runc-overlayfs/snapshots", State + "/tmp", Trees, Trees + "/blobs", Trees + "/blobs/sha256", Runners, Runners + "/amd64-1", Temporary} {
		if err := os.Mkdir(filepath.Join(store, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{State + "/lock", State + "/engine.log", State + "/cache.db", State + "/runc-overlayfs/metadata_v2.db", Trees + "/index.json", Runners + "/amd64-1/runner", Outputs} {
		if err := os.WriteFile(filepath.Join(store, f), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What an older version has made, and what belongs to trees.
	for _, c := range []struct {
		name string
		mode os.FileMode
	}{{"", 0o755}, {Runners, 0o755}, {Temporary, 0o755}} {
		if err := os.Chmod(filepath.Join(store, c.name), c.mode); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := filepath.Join(store, State, "runc-overlayfs/snapshots/1")
	for _, err := range []error{
		os.Mkdir(snapshot, 0o777),
		os.Symlink("/etc/passwd", filepath.Join(snapshot, "link")),
		os.Symlink("/tmp", filepath.Join(store, State, "tmp/of-others")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func TestStoresThatAreUsed(t *testing.T) {
	t.Parallel()
	store := aStore(t)
	link := store + "-link"
	if err := os.Symlink(store, link); err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(t.TempDir(), "sticky")
	if err := os.Mkdir(parent, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{store, store + "/", link, link + "/", filepath.Join(parent, "a/b/store")} {
		if err := CheckStore(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		real, err := MakeStore(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if st, err := os.Lstat(real); err != nil || !st.IsDir() {
			t.Errorf("%s: %v, %v", real, st, err)
		}
		if err := CheckStore(name); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
	if st, err := os.Stat(filepath.Join(parent, "a/b/store")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("a store that was made: %v, %v", st, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(store+"-gone", link); err != nil {
		t.Fatal(err)
	}
	if err := CheckStore(link); err == nil || !strings.Contains(err.Error(), "is a link that leads nowhere") {
		t.Error(err)
	}
}

// Each of these lets whoever has prepared it decide what is run or written.
func TestStoresThatSomebodyElsePrepared(t *testing.T) {
	t.Parallel()
	replace := func(name string, with func(path string) error) func(string) error {
		return func(store string) error {
			path := filepath.Join(store, name)
			return errors.Join(os.RemoveAll(path), with(path))
		}
	}
	link := func(path string) error { return os.Symlink("/etc/passwd", path) }
	linkToDir := func(path string) error { return os.Symlink("/tmp", path) }
	fifo := func(path string) error { return unix.Mkfifo(path, 0o600) }
	file := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	chmod := func(name string, mode os.FileMode) func(string) error {
		return func(store string) error { return os.Chmod(filepath.Join(store, name), mode) }
	}
	chown := func(name string) func(string) error {
		return func(store string) error { return os.Lchown(filepath.Join(store, name), 4711, 4711) }
	}
	secondName := func(name string) func(string) error {
		return func(store string) error { return os.Link(filepath.Join(store, name), store+"-name") }
	}
	for name, c := range map[string]struct {
		plant func(store string) error
		want  string
		root  bool
	}{
		"the lock is a link":              {replace(State+"/lock", link), "buildkit/lock is a link", false},
		"the log is a link":               {replace(State+"/engine.log", link), "engine.log is a link", false},
		"a database is a link":            {replace(State+"/runc-overlayfs/metadata_v2.db", link), "metadata_v2.db is a link", false},
		"the snapshots are elsewhere":     {replace(State+"/runc-overlayfs/snapshots", linkToDir), "snapshots is a link", false},
		"the lock is a pipe":              {replace(State+"/lock", fifo), "lock is a pipe or a device", false},
		"the state is a link":             {replace(State, linkToDir), "buildkit is a link in the place of a directory", false},
		"the state is a file":             {replace(State, file), "buildkit is in the place of a directory", false},
		"the runners are a link":          {replace(Runners, linkToDir), "runners is a link", false},
		"a runner is a link":              {replace(Runners+"/amd64-1/runner", link), "amd64-1/runner is a link", false},
		"the trees are a link":            {replace(Trees, linkToDir), "trees is a link", false},
		"the trees' index is a link":      {replace(Trees+"/index.json", link), "index.json is a link", false},
		"the trees' content is elsewhere": {replace(Trees+"/blobs/sha256", linkToDir), "blobs/sha256 is a link", false},
		"the temporary files are a link":  {replace(Temporary, linkToDir), "tmp is a link", false},
		"the list of outputs is a link":   {replace(Outputs, link), "outputs.json is a link", false},
		"the lock has a second name":      {secondName(State + "/lock"), "lock has another name elsewhere", false},
		"the outputs have a second name":  {secondName(Outputs), "outputs.json has another name elsewhere", false},
		"all can write to it":             {chmod("", 0o777), "can be written to by others (mode 0777): if all in it is yours, take their right away (chmod go-w ", false},
		"a group can write to it":         {chmod("", 0o770), "can be written to by others (mode 0770)", false},
		"all can write to the runners":    {chmod(Runners, 0o777), "runners can be written to by others", false},
		"all can write to the outputs":    {chmod(Outputs, 0o666), "outputs.json can be written to by others", false},
		// A checkout has such modes.
		"a state of a checkout":        {chmod(State, 0o755), "buildkit was not made by this program, which lets nobody else enter (mode 0755): if all in it is yours, chmod 700 ", false},
		"trees of a checkout":          {chmod(Trees, 0o755), "trees was not made by this program", false},
		"it is another user's":         {chown(""), "belongs to user 4711 and not to root (user 0), who runs this command: use a directory of your own, or run this command as that user", true},
		"the lock is another user's":   {chown(State + "/lock"), "lock belongs to user 4711", true},
		"a runner is another user's":   {chown(Runners + "/amd64-1/runner"), "runner belongs to user 4711", true},
		"the index is another user's":  {chown(Trees + "/index.json"), "index.json belongs to user 4711", true},
		"the list is another user's":   {chown(Outputs), "outputs.json belongs to user 4711", true},
		"a database is another user's": {chown(State + "/cache.db"), "cache.db belongs to user 4711", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.root && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			store := aStore(t)
			if err := c.plant(store); err != nil {
				t.Fatal(err)
			}
			for _, check := range []func() error{
				func() error { return CheckStore(store) },
				func() error { _, err := MakeStore(store); return err },
			} {
				err := check()
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "the store "+store+" is not used") {
					t.Errorf("error %v", err)
				}
				if fault := (*Fault)(nil); !errors.As(err, &fault) || fault.Do == "" {
					t.Errorf("it does not say what to do: %v", err)
				}
			}
		})
	}
}

// A link to a store that another user has made leads where that user wants.
func TestStoreByALinkOfAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	store := aStore(t)
	link := store + "-link"
	if err := errors.Join(os.Symlink(store, link), os.Lchown(link, 4711, 4711)); err != nil {
		t.Fatal(err)
	}
	if err := CheckStore(link); err == nil || !strings.Contains(err.Error(), "-link belongs to user 4711") {
		t.Error(err)
	}
}
