package packages

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// databaseKind is a kind of rpm's database, by the name that rpm has for it.
type databaseKind string

// The kinds. Berkeley DB was the only one until 2020; no rpm since 4.17 writes
// it, and some still read it.
const (
	sqliteDatabase   databaseKind = "sqlite"
	ndbDatabase      databaseKind = "ndb"
	berkeleyDatabase databaseKind = "bdb"
)

// databaseFiles says by which file a kind is known, in the order in which a
// tree is looked at.
var databaseFiles = []struct {
	kind  databaseKind
	name  string
	files []string
}{
	{sqliteDatabase, "SQLite", []string{"rpmdb.sqlite"}},
	{ndbDatabase, "ndb", []string{"Packages.db", "Index.db"}},
	{berkeleyDatabase, "Berkeley DB", []string{"Packages"}},
}

// defaultDatabase is where rpm has its database if nothing says otherwise.
const defaultDatabase = "/var/lib/rpm"

// rpmDatabase returns where a tree has rpm's database, or "" if it has none.
func rpmDatabase(t *tree.Root) string {
	for _, dir := range rpmDatabases {
		if databaseOf(t, dir) != "" {
			return dir
		}
	}
	return ""
}

// databaseOf returns of which kind the database in a directory is, or "".
func databaseOf(t *tree.Root, dir string) databaseKind {
	for _, k := range databaseFiles {
		if ok, err := t.Exists(path.Join(dir, k.files[0])); err == nil && ok {
			return k.kind
		}
	}
	return ""
}

// checkDatabase reports that the build root's rpm cannot write the database of
// a tree, which would seem to have no packages.
func (r *rpmRoot) checkDatabase(t *tree.Root, dir string) error {
	if dir == "" || databaseOf(t, dir) != berkeleyDatabase || r.hasBerkeley() {
		return nil
	}
	return fmt.Errorf("the tree has its database of RPM packages, %s/Packages, in the form of Berkeley DB, as distributions of before 2020 do (EL 8 and older, Fedora up to 32), "+
		"and the build root's rpm, which is newer, does not write it: use a build root of the tree's own release, as the pipeline \"build\" or with --build-context build-env=…", dir)
}

// hasBerkeley reports whether the build root's rpm is made with Berkeley DB.
func (r *rpmRoot) hasBerkeley() bool {
	for _, pattern := range []string{"usr/lib64/librpm.so.*", "usr/lib/librpm.so.*", "usr/lib/*/librpm.so.*", "lib64/librpm.so.*"} {
		found, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil {
			continue
		}
		for _, file := range found {
			libs, err := r.importedLibraries(strings.TrimPrefix(file, r.dir))
			if err == nil && slices.ContainsFunc(libs, func(s string) bool { return strings.HasPrefix(s, "libdb-") || strings.HasPrefix(s, "libdb.") }) {
				return true
			}
		}
	}
	return false
}

// importedLibraries lists the libraries that a library of the build root needs.
func (r *rpmRoot) importedLibraries(name string) ([]string, error) {
	file, err := r.t.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f, err := elf.NewFile(file)
	if err != nil {
		return nil, err
	}
	return f.ImportedLibraries()
}

// database returns where the build root's rpm has its database if it is told
// nothing. Some distributions have a command in the place of a directory: then
// it is where rpm itself would have it.
func (r *rpmRoot) database() string {
	value := rpmMacro(r.t, "_dbpath")
	for _, m := range [][2]string{{"%{_var}", "/var"}, {"%{_localstatedir}", "/var"}, {"%{_usr}", "/usr"}, {"%{_prefix}", "/usr"}} {
		value = strings.Replace(value, m[0], m[1], 1)
	}
	if slices.Contains(rpmDatabases, value) {
		return value
	}
	return defaultDatabase
}

// Bounds of what is read of rpm's configuration in a tree.
const (
	maxMacros     = 1 << 20
	maxMacroFiles = 200
)

// rpmMacro returns the last value that rpm's configuration in a tree gives a
// macro, as it is written there, or "".
func rpmMacro(t *tree.Root, name string) string {
	files := []string{"/usr/lib/rpm/macros"}
	list := func(dir, prefix, below string) {
		entries, err := t.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prefix) {
				files = append(files, path.Join(dir, e.Name(), below))
			}
		}
	}
	list("/usr/lib/rpm/macros.d", "macros.", "")
	// A distribution's own, such as redhat/macros.
	list("/usr/lib/rpm", "", "macros")
	list("/etc/rpm", "macros.", "")
	files = append(files, "/etc/rpm/macros")
	value := ""
	for _, file := range files[:min(len(files), maxMacroFiles)] {
		if v, ok := macroOf(t, file, name); ok {
			value = v
		}
	}
	return value
}

func macroOf(t *tree.Root, file, name string) (value string, found bool) {
	if st, err := t.Stat(file); err != nil || !st.Mode().IsRegular() {
		return "", false
	}
	f, err := t.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, maxMacros)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "%"+name)
		if ok && strings.TrimLeft(rest, " \t") != rest {
			value, found = strings.TrimSpace(rest), true
		}
	}
	return value, found
}

// wantedDatabase returns the kind that the rpm of a tree reads by its own
// configuration, or "" if the tree has no rpm or names a kind that is not known.
func wantedDatabase(t *tree.Root) databaseKind {
	if ok, err := t.Exists("/usr/lib/rpm/macros"); err != nil || !ok {
		return ""
	}
	switch kind := databaseKind(rpmMacro(t, "_db_backend")); kind {
	case "":
		return berkeleyDatabase // before there was a choice
	case sqliteDatabase, ndbDatabase, berkeleyDatabase:
		return kind
	}
	return ""
}

// ownDatabase makes the database of a tree one of the build root's own kind, in
// which its rpm and dnf are sure to see all packages, and returns which kind it
// was; matchDatabase undoes that. Root is what rpm is to take for /.
func (r *rpmRun) ownDatabase(ctx context.Context, in *module.Input, t *tree.Root, root string) (databaseKind, error) {
	if r.database == "" {
		return "", nil
	}
	have, own := databaseOf(t, r.database), wantedDatabase(r.root.t)
	if have == "" || have == berkeleyDatabase || own == "" || own == berkeleyDatabase || have == own {
		return have, nil
	}
	_, err := r.convertDatabase(ctx, in, t, r.database, root, own)
	return have, err
}

// matchDatabase makes the database that an installation has written one of the
// kind that the tree's own rpm reads, or, in a tree without one, of the kind
// that was there before. It stays as it is if the build root's rpm, which may
// well be of another distribution, cannot write that.
func (r *rpmRun) matchDatabase(ctx context.Context, in *module.Input, t *tree.Root, before databaseKind) error {
	dir := r.database
	if dir == "" {
		dir = rpmDatabase(t)
	}
	have, want := databaseOf(t, dir), wantedDatabase(t)
	if want == "" {
		want = before
	}
	if dir == "" || have == "" || want == "" || have == want {
		return nil
	}
	made := false
	if want != berkeleyDatabase {
		var err error
		if made, err = r.convertDatabase(ctx, in, t, dir, in.Tree, want); err != nil {
			return err
		}
	}
	if !made {
		in.Logf("warning: the tree's own rpm reads a database of the kind %s, and the build root's rpm, which has written %s, does not write that: in the system rpm and dnf may see no packages; use a build root of the tree's own release", want, have)
	}
	return nil
}

// convertDatabase writes the database in a directory of the tree anew, as one of
// another kind. Made is false if the build root's rpm does not know that kind.
func (r *rpmRun) convertDatabase(ctx context.Context, in *module.Input, t *tree.Root, dir, root string, want databaseKind) (made bool, err error) {
	args := []string{"--exportdb"}
	if path.Clean(root) != "/" {
		args = append([]string{"--root", root}, args...)
	}
	headers, err := r.output(ctx, in, nil, "rpmdb", args...)
	if err != nil {
		return false, err
	}
	work := filepath.Join(r.work, "database")
	defer os.RemoveAll(work)
	_, err = r.output(ctx, in, headers, "rpmdb", "--define", "_db_backend "+string(want), "--define", "_dbpath "+work, "--importdb")
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return false, nil //nolint:nilerr // what it has said is in the log
	}
	w, err := tree.Open(work)
	if err != nil {
		return false, err
	}
	defer w.Close()
	if databaseOf(w, "/") != want {
		return false, nil
	}
	// What is in the journal belongs to it.
	if want == sqliteDatabase {
		if err := closeDatabase(w, "/"+filesOf(want)[0]); err != nil {
			return false, err
		}
	}
	have := databaseOf(t, dir)
	for _, name := range filesOf(want) {
		data, err := w.ReadFile("/" + name)
		if err != nil {
			return false, err
		}
		if err := t.ReplaceFile(path.Join(dir, name), data, 0o644, 0, 0); err != nil {
			return false, err
		}
	}
	for _, name := range filesOf(have) {
		for _, suffix := range []string{"", walSuffix, shmSuffix} {
			if err := t.Remove(path.Join(dir, name) + suffix); err != nil && !missing(err) {
				return false, err
			}
		}
	}
	return true, nil
}

func filesOf(kind databaseKind) []string {
	for _, k := range databaseFiles {
		if k.kind == kind {
			return k.files
		}
	}
	return nil
}

// databaseLocks are files by which processes that use a database wait for each
// other. Where nothing runs they say nothing.
var databaseLocks = []string{".rpm.lock", ".keyring.lock", ".dbenv.lock"}

// closeDatabases leaves the databases of packages as those are that nobody
// uses: without journals and locks. Dir is one more than the usual ones, or empty.
func closeDatabases(t *tree.Root, dir string) error {
	dirs := slices.Clone(rpmDatabases)
	if dir != "" && !slices.Contains(dirs, dir) {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		name := path.Join(dir, "rpmdb.sqlite")
		if err := closeDatabase(t, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, lock := range databaseLocks {
			if err := t.Remove(path.Join(dir, lock)); err != nil && !missing(err) {
				return err
			}
		}
	}
	return nil
}

// output runs a program of rpm whose standard output is a result.
func (r *rpmRun) output(ctx context.Context, in *module.Input, stdin []byte, name string, args ...string) ([]byte, error) {
	p, err := r.program(name, args...)
	if err != nil {
		return nil, err
	}
	p.quiet, p.stdin = true, bytes.Clone(stdin)
	return run(ctx, in, p)
}
