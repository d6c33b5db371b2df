package packages

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
)

// database is dpkg's database of what is unpacked.
type database struct {
	w       *treeWriter
	records []*record
	names   map[string]bool
}

// record is one package in the database.
type record struct {
	name    string
	control debian.Stanza
	files   []string
	info    []debian.ControlFile
	// conffiles lists the paths of configuration files in the package's
	// order; conffileSum has the MD5 checksum of those that were unpacked.
	conffiles   []string
	isConffile  map[string]bool
	conffileSum map[string]string
	// dropped are the files of the list that another package replaces.
	dropped  map[string]bool
	replaced []debian.Relation
	// replacing remembers which packages this one replaces files of.
	replacing map[*record]bool
}

func newDatabase(w *treeWriter) *database {
	return &database{w: w, names: map[string]bool{}}
}

// add enters an opened package.
func (db *database) add(d *debian.Deb) *record {
	r := &record{
		name: d.Control.Get("Package"), control: d.Control, info: d.Files,
		isConffile: map[string]bool{}, conffileSum: map[string]string{}, dropped: map[string]bool{}, replacing: map[*record]bool{},
	}
	for _, line := range strings.Split(string(d.File("conffiles")), "\n") {
		// A line may begin with a flag: such a file is not in the package.
		if f := strings.TrimSpace(line); strings.HasPrefix(f, "/") {
			r.conffiles = append(r.conffiles, f)
			r.isConffile[f] = true
		}
	}
	r.replaced, _ = debian.ParseRelations(d.Control.Get("Replaces"))
	db.records = append(db.records, r)
	return r
}

// replaces reports whether the package says that it replaces files of other.
func (r *record) replaces(other *record) bool {
	known, ok := r.replacing[other]
	if !ok {
		known = slices.ContainsFunc(r.replaced, func(rel debian.Relation) bool {
			return rel[0].Name == other.name && rel[0].Matches(other.control.Get("Version"))
		})
		r.replacing[other] = known
	}
	return known
}

// base returns the name of the package's files in the database: packages that
// can be installed for several architectures at once carry theirs.
func (r *record) base() string {
	if r.control.Get("Multi-Arch") == "same" {
		return r.name + ":" + r.control.Get("Architecture")
	}
	return r.name
}

// write makes the files of the database.
func (db *database) write() error {
	const dir = "var/lib/dpkg"
	for _, d := range []string{"info", "updates", "triggers", "alternatives", "parts"} {
		if err := db.w.mkdirAll(dir + "/" + d); err != nil {
			return err
		}
	}
	slices.SortFunc(db.records, func(a, b *record) int { return strings.Compare(a.name, b.name) })
	var status strings.Builder
	for _, r := range db.records {
		if db.names[r.base()] {
			return fmt.Errorf("package %s is unpacked twice", r.base())
		}
		db.names[r.base()] = true
		if err := db.writeInfo(dir+"/info/"+r.base(), r); err != nil {
			return err
		}
		status.WriteString(r.status())
		status.WriteByte('\n')
	}
	for _, f := range []struct{ name, data string }{
		{"info/format", "1\n"}, {"available", ""}, {"status", status.String()},
	} {
		if err := db.w.write(dir+"/"+f.name, []byte(f.data), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (db *database) writeInfo(base string, r *record) error {
	list := []byte("/.\n")
	for _, f := range r.files {
		if !r.dropped[f] {
			list = append(append(list, f...), '\n')
		}
	}
	if err := db.w.write(base+".list", list, 0o644); err != nil {
		return err
	}
	for _, f := range r.info {
		if f.Name == "list" {
			return fmt.Errorf("package %s: has a control file of the name list", r.name)
		}
		mode := fs.FileMode(0o644)
		if f.Mode&0o111 != 0 {
			mode = 0o755
		}
		if err := db.w.write(base+"."+f.Name, f.Data, mode); err != nil {
			return err
		}
	}
	return nil
}

// status returns the package's stanza in the file status.
func (r *record) status() string {
	var out debian.Stanza
	for _, f := range r.control {
		out = append(out, f)
		if strings.EqualFold(f.Name, "Package") {
			out = append(out, debian.Field{Name: "Status", Value: "install ok unpacked"})
		}
	}
	if len(r.conffiles) > 0 {
		var v strings.Builder
		for _, f := range r.conffiles {
			sum := r.conffileSum[f]
			if sum == "" {
				sum = "newconffile"
			}
			v.WriteString("\n " + f + " " + sum)
		}
		conf := debian.Field{Name: "Conffiles", Value: v.String()}
		at := slices.IndexFunc(out, func(f debian.Field) bool { return strings.EqualFold(f.Name, "Description") })
		if at < 0 {
			at = len(out)
		}
		out = slices.Insert(out, at, conf)
	}
	return out.String()
}
