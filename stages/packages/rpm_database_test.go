package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/tree"
)

// treeOf opens a tree of files.
func treeOf(t *testing.T, files map[string]string) *tree.Root {
	t.Helper()
	r, err := tree.Open(makeTree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestDatabasePlace reads where the rpm of a build root has its database out of
// what distributions write.
func TestDatabasePlace(t *testing.T) {
	t.Parallel()
	const main = "usr/lib/rpm/macros"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", nil, "/var/lib/rpm"},
		{"Debian 13", map[string]string{main: "%_dbpath\t\t%{_var}/lib/rpm\n"}, "/var/lib/rpm"},
		{"Debian 12", map[string]string{main: "%_dbpath\t\t%(bash -c 'echo ~/.rpmdb')\n"}, "/var/lib/rpm"},
		{"Fedora", map[string]string{main: "%_dbpath\t\t%{_usr}/lib/sysimage/rpm\n%_dbpath_rebuild %{_dbpath}\n"}, "/usr/lib/sysimage/rpm"},
		{"SUSE", map[string]string{main: "#%_dbpath x\n", "usr/lib/rpm/suse/macros": "%_dbpath %{_prefix}/lib/sysimage/rpm"}, "/usr/lib/sysimage/rpm"},
		{"the administrator's", map[string]string{main: "%_dbpath %{_var}/lib/rpm\n", "etc/rpm/macros.db": "%_dbpath /usr/lib/sysimage/rpm\n"}, "/usr/lib/sysimage/rpm"},
		{"elsewhere", map[string]string{main: "%_dbpath /srv\n"}, "/var/lib/rpm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &rpmRoot{t: treeOf(t, tt.files)}
			if got := r.database(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			home := t.TempDir()
			if _, err := (&rpmRoot{t: r.t, dir: "/"}).rpmConfig(home, ""); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(filepath.Join(home, ".rpmmacros")); err != nil || !strings.HasPrefix(string(data), "%_dbpath "+tt.want+"\n") {
				t.Errorf("rpm is told %q, %v", data, err)
			}
		})
	}
}

func TestWantedDatabase(t *testing.T) {
	t.Parallel()
	const main = "usr/lib/rpm/macros"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  databaseKind
	}{
		{"no rpm", map[string]string{"etc/rpm/macros": "%_db_backend ndb\n"}, ""},
		{"Fedora, EL 9", map[string]string{main: "%_db_backend\t      sqlite\n"}, sqliteDatabase},
		{"SUSE", map[string]string{main: "%_db_backend ndb\n"}, ndbDatabase},
		{"EL 8", map[string]string{main: "%_db_backend\t\tbdb\n"}, berkeleyDatabase},
		{"EL 7", map[string]string{main: "%_dbpath %{_var}/lib/rpm\n"}, berkeleyDatabase},
		{"changed", map[string]string{main: "%_db_backend sqlite\n", "usr/lib/rpm/macros.d/macros.db": "%_db_backend ndb\n"}, ndbDatabase},
		{"of the future", map[string]string{main: "%_db_backend quantum\n"}, ""},
		{"a directory", map[string]string{main + "/x": ""}, berkeleyDatabase},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := wantedDatabase(treeOf(t, tt.files)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckDatabase(t *testing.T) {
	t.Parallel()
	newer := &rpmRoot{t: treeOf(t, map[string]string{"usr/lib64/librpm.so.10": "no ELF"})}
	newer.dir = newer.t.Dir()
	for file, fails := range map[string]bool{"var/lib/rpm/Packages": true, "var/lib/rpm/Packages.db": false, "usr/lib/sysimage/rpm/rpmdb.sqlite": false, "etc/passwd": false} {
		root := treeOf(t, map[string]string{file: ""})
		err := newer.checkDatabase(root, rpmDatabase(root))
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), "the tree has its database of RPM packages, /var/lib/rpm/Packages, in the form of Berkeley DB") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestCloseDatabases(t *testing.T) {
	t.Parallel()
	root := treeOf(t, map[string]string{
		"var/lib/rpm/.keyring.lock": "", "var/lib/rpm/.rpm.lock": "", "usr/lib/sysimage/rpm/.keyring.lock": "",
		"srv/db/.rpm.lock": "", "srv/db/Packages.db": "x", "var/lib/rpm/keep": "",
	})
	if err := closeDatabases(root, "/srv/db"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"var/lib/rpm/.keyring.lock": false, "var/lib/rpm/.rpm.lock": false, "usr/lib/sysimage/rpm/.keyring.lock": false, "srv/db/.rpm.lock": false,
		"srv/db/Packages.db": true, "var/lib/rpm/keep": true,
	} {
		if got, err := root.Exists(name); err != nil || got != want {
			t.Errorf("/%s is there: %v, %v", name, got, err)
		}
	}
}
