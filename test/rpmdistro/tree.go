package rpmdistro

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/osbuildkit/osbuildkit/debian"
)

// Package is one package of the distribution, with what becomes its part of
// the spec.
type Package struct {
	// Name is the package's own, Source that of the Debian package that its
	// files come from, if there is one.
	Name, Source string
	// Version, Release and Epoch are RPM's; an empty epoch is none.
	Epoch, Version, Release string
	Summary                 string
	NoArch                  bool
	// Essential packages are needed by all others without saying so.
	Essential bool
	// Tags are further lines of the preamble, such as "Requires: bash".
	Tags []string
	// Files are sorted by path.
	Files []File
	// Sections are the scriptlets as they stand in the spec. %N stands for
	// "-n NAME".
	Sections []string
}

// File is one file of a package.
type File struct {
	// Path is absolute; its directories are no links.
	Path string
	// Directive stands before the attributes, such as "%config(noreplace)".
	Directive string
	// Mode is in octal, or "-" for a link.
	Mode, User, Group string
	Dir               bool
}

// virtual stands for the version of a package that others provide.
const virtual = "0~virtual"

// system is the configured tree.
type system struct {
	dir, overlay  string
	users, groups map[uint32]string
}

// names reads the names of /etc/passwd or /etc/group by number.
func names(file string) (map[uint32]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	out := map[uint32]string{}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		f := strings.Split(s.Text(), ":")
		if len(f) < 3 {
			continue
		}
		id, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if _, ok := out[uint32(id)]; !ok {
			out[uint32(id)] = f[0]
		}
	}
	return out, nil
}

// resolve returns a path with the links of its directories followed, as those
// of a merged /usr. It goes by the tree's links only.
func (s *system) resolve(name string) (string, error) {
	done := "/"
	parts := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	for i := range parts[:len(parts)-1] {
		next := path.Join(done, parts[i])
		for range 8 {
			target, err := os.Readlink(filepath.Join(s.dir, next))
			if err != nil {
				break // no link, or nothing
			}
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(next), target)
			}
			next = path.Clean(target)
		}
		done = next
	}
	return path.Join(done, parts[len(parts)-1]), nil
}

// file describes a file of the overlay or the tree; it is false if there is none.
func (s *system) file(name string) (File, bool, error) {
	var st fs.FileInfo
	err := fs.ErrNotExist
	for _, dir := range []string{s.overlay, s.dir} {
		if st, err = os.Lstat(filepath.Join(dir, name)); err == nil {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return File{}, false, nil
	}
	if err != nil {
		return File{}, false, err
	}
	sys := st.Sys().(*syscall.Stat_t)
	f := File{Path: name, Dir: st.IsDir(), Mode: fmt.Sprintf("%04o", sys.Mode&0o7777), User: s.users[sys.Uid], Group: s.groups[sys.Gid]}
	if st.Mode()&fs.ModeSymlink != 0 {
		f.Mode = "-"
	}
	if f.User == "" || f.Group == "" {
		return f, false, fmt.Errorf("%s belongs to %d:%d, which have no name", name, sys.Uid, sys.Gid)
	}
	return f, true, nil
}

// packages reads dpkg's database: the packages in the order of their names.
// Directories that several of them have are left out, and so is what lies in the
// root, as /bin is a link that must be there before any other file.
func (s *system) packages() ([]*Package, error) {
	db := filepath.Join(s.dir, "var/lib/dpkg")
	data, err := os.ReadFile(filepath.Join(db, "status"))
	if err != nil {
		return nil, err
	}
	stanzas, err := debian.ParseControl(data)
	if err != nil {
		return nil, err
	}
	present := map[string]string{}
	for _, st := range stanzas {
		if name := st.Get("Package"); !slices.Contains(leftOut, name) {
			present[name] = st.Get("Version")
		}
	}
	for _, st := range stanzas {
		provides, err := debian.ParseRelations(st.Get("Provides"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", st.Get("Package"), err)
		}
		for _, r := range provides {
			if present[st.Get("Package")] != "" && present[r[0].Name] == "" {
				present[r[0].Name] = virtual
			}
		}
	}
	owners := map[string][]*Package{}
	var out []*Package
	for _, st := range stanzas {
		if v := present[st.Get("Package")]; v == "" || v == virtual {
			continue
		}
		p, err := fromStanza(st, present)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", st.Get("Package"), err)
		}
		list, err := s.list(db, st)
		if err != nil {
			return nil, err
		}
		for _, name := range list {
			owners[name] = append(owners[name], p)
		}
		out = append(out, p)
	}
	conffiles := configFiles(stanzas)
	for name, list := range owners {
		if len(list) > 1 || path.Dir(name) == "/" {
			continue
		}
		f, ok, err := s.file(name)
		if err != nil {
			return nil, err
		}
		if !ok || dropped(name) {
			continue // excluded when it was installed, or not for this distribution
		}
		if conffiles[name] {
			f.Directive = "%config(noreplace)"
		}
		list[0].Files = append(list[0].Files, f)
	}
	slices.SortFunc(out, func(a, b *Package) int { return strings.Compare(a.Source, b.Source) })
	return out, nil
}

// list returns the paths that a package has, each once.
func (s *system) list(db string, st debian.Stanza) ([]string, error) {
	name := st.Get("Package")
	data, err := os.ReadFile(filepath.Join(db, "info", name+".list"))
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile(filepath.Join(db, "info", name+":"+st.Get("Architecture")+".list"))
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line == "/." {
			continue
		}
		real, err := s.resolve(line)
		if err != nil {
			return nil, err
		}
		out = append(out, real)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func configFiles(stanzas []debian.Stanza) map[string]bool {
	out := map[string]bool{}
	for _, st := range stanzas {
		for line := range strings.Lines(st.Get("Conffiles")) {
			if f := strings.Fields(line); len(f) > 1 {
				out[f[0]] = true
			}
		}
	}
	return out
}

// fromStanza makes a package without files. Dependencies on what is not
// present are left out: dpkg had an alternative, or the distribution has not.
func fromStanza(st debian.Stanza, present map[string]string) (*Package, error) {
	summary, _, _ := strings.Cut(st.Get("Description"), "\n")
	source := st.Get("Package")
	p := &Package{Name: source, Source: source, Summary: strings.TrimSpace(summary), NoArch: st.Get("Architecture") == "all", Essential: st.Get("Essential") == "yes"}
	if n := renamed(source); n != source {
		p.Name = n
	}
	p.Epoch, p.Version, p.Release = rpmVersion(st.Get("Version"))
	provides, err := debian.ParseRelations(st.Get("Provides"))
	if err != nil {
		return nil, err
	}
	for _, r := range provides {
		p.Tags = append(p.Tags, "Provides: "+r[0].Name)
	}
	for _, field := range [][2]string{{"Pre-Depends", "Requires(pre)"}, {"Depends", "Requires"}, {"Recommends", "Recommends"}} {
		relations, err := debian.ParseRelations(st.Get(field[0]))
		if err != nil {
			return nil, err
		}
		for _, r := range relations {
			if dep := requirement(r, present); dep != "" {
				p.Tags = append(p.Tags, field[1]+": "+dep)
			}
		}
	}
	slices.Sort(p.Tags)
	p.Tags = slices.Compact(p.Tags)
	return p, nil
}

// requirement writes a relation as RPM does: the first alternative that is
// there, with the version only where exactly that one is wanted, because the
// two systems do not sort versions the same way.
func requirement(r debian.Relation, present map[string]string) string {
	for _, alt := range r {
		have := present[alt.Name]
		if have == "" {
			continue
		}
		if alt.Op == "=" && alt.Version == have {
			epoch, version, release := rpmVersion(have)
			return renamed(alt.Name) + " = " + evr(epoch, version, release)
		}
		return renamed(alt.Name)
	}
	return ""
}

func evr(epoch, version, release string) string {
	if epoch != "" {
		epoch += ":"
	}
	return epoch + version + "-" + release
}

// rpmVersion splits a version of Debian into RPM's three parts.
func rpmVersion(v string) (epoch, version, release string) {
	epoch, rest, ok := strings.Cut(v, ":")
	if !ok {
		epoch, rest = "", v
	}
	version, release = rest, "1"
	if i := strings.LastIndexByte(rest, '-'); i > 0 {
		version, release = rest[:i], rest[i+1:]
	}
	return epoch, strings.ReplaceAll(version, "-", "."), release
}

// unowned lists what no package has, below the whole tree.
func (s *system) unowned(packages []*Package) ([]File, error) {
	owned := map[string]bool{}
	for _, p := range packages {
		for _, f := range p.Files {
			owned[f.Path] = true
		}
	}
	var out []File
	err := filepath.WalkDir(s.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(file, s.dir)
		switch {
		case name == "":
			return nil
		case dropped(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case owned[name]:
			return nil
		}
		f, ok, err := s.file(name)
		if err == nil && ok {
			out = append(out, f)
		}
		return err
	})
	return out, err
}
