package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// units looks up the units of a tree.
type units struct {
	in *module.Input
	t  *tree.Root
}

const configDir = "etc/systemd/system"

// unitDirs are the directories of units, the first with a name wins. The last
// is for trees whose /lib is not a link to /usr/lib.
var unitDirs = []string{
	configDir,
	"run/systemd/system",
	"usr/local/lib/systemd/system",
	"usr/lib/systemd/system",
	"lib/systemd/system",
}

// unitTypes are the suffixes that a unit's name can have.
var unitTypes = []string{
	".service", ".socket", ".device", ".mount", ".automount", ".swap",
	".target", ".path", ".timer", ".slice", ".scope",
}

// mangleUnit adds the suffix to a name that has none.
func mangleUnit(name, suffix string) string {
	if slices.Contains(unitTypes, path.Ext(name)) {
		return name
	}
	return name + suffix
}

// checkUnitName reports why a name cannot be that of a unit.
func checkUnitName(name string) error {
	ext := path.Ext(name)
	if !slices.Contains(unitTypes, ext) {
		return fmt.Errorf("%s is not the name of a unit: it does not end in a type such as .service", quote(name))
	}
	base := strings.TrimSuffix(name, ext)
	switch {
	case base == "" || strings.HasPrefix(base, "@"):
		return fmt.Errorf("%s is not the name of a unit: nothing stands before %s", quote(name), quote(strings.TrimPrefix(name, base)))
	case len(name) > 255:
		return fmt.Errorf("%s is not the name of a unit: it is longer than 255 bytes", quote(name))
	}
	for _, c := range base {
		if !isAlnum(c) && !strings.ContainsRune(`:-_.\@`, c) {
			return fmt.Errorf("%s is not the name of a unit: it holds %s", quote(name), quote(string(c)))
		}
	}
	return nil
}

// splitUnit splits prefix@instance.type; template says that there is an @ and
// no instance.
func splitUnit(name string) (prefix, instance, ext string, at bool) {
	ext = path.Ext(name)
	prefix, instance, at = strings.Cut(strings.TrimSuffix(name, ext), "@")
	return prefix, instance, ext, at
}

// templateOf returns the name of the template of an instance, or "".
func templateOf(name string) string {
	prefix, instance, ext, at := splitUnit(name)
	if !at || instance == "" {
		return ""
	}
	return prefix + "@" + ext
}

// unitFile is a unit that was found.
type unitFile struct {
	// name is the unit's own name, after aliases.
	name string
	// path is its file in the tree, with a leading slash.
	path string
}

var (
	errNoUnit = errors.New("does not exist")
	errMasked = errors.New("is masked")
)

// find finds the file of a unit and follows aliases.
func (u *units) find(name string) (unitFile, error) {
	asked := name
	for range 10 {
		f, alias, err := u.lookup(name)
		if err != nil {
			if errors.Is(err, errNoUnit) {
				return f, u.noUnit(asked)
			}
			return f, err
		}
		if alias == "" {
			return f, nil
		}
		if err := checkUnitName(alias); err != nil {
			return f, fmt.Errorf("the unit %s is an alias, but %w", name, err)
		}
		// An alias of a template is followed with the instance.
		if p, inst, ext, at := splitUnit(alias); at && inst == "" {
			_, instance, _, _ := splitUnit(name)
			alias = p + "@" + instance + ext
		}
		name = alias
	}
	return unitFile{}, fmt.Errorf("the unit %s is an alias that leads to no end", asked)
}

// lookup finds a unit's file in the directories. For a link to a file of
// another name it returns that name as an alias.
func (u *units) lookup(name string) (f unitFile, alias string, err error) {
	candidates := []string{name}
	if tmpl := templateOf(name); tmpl != "" {
		candidates = append(candidates, tmpl)
	}
	for _, c := range candidates {
		for _, dir := range unitDirs {
			file := path.Join(dir, c)
			st, err := u.t.Lstat(file)
			if missing(err) {
				continue
			}
			if err != nil {
				return f, "", err
			}
			if st.Mode().IsRegular() {
				if st.Size() == 0 {
					return f, "", fmt.Errorf("the unit %s %w by the empty file /%s", name, errMasked, file)
				}
				return unitFile{name: name, path: "/" + file}, "", nil
			}
			if st.Mode()&fs.ModeSymlink == 0 {
				return f, "", fmt.Errorf("/%s is not a regular file", file)
			}
			target, err := u.t.Readlink(file)
			if err != nil {
				return f, "", err
			}
			if target == "/dev/null" {
				return f, "", fmt.Errorf("the unit %s %w by /%s", name, errMasked, file)
			}
			if base := path.Base(target); base != c {
				if templateOf(name) == c && base == templateOf(name) {
					continue
				}
				return f, base, nil
			}
			rel, err := u.t.Resolve(file, true)
			if err != nil {
				return f, "", err
			}
			if st, err := u.t.Lstat(rel); err != nil || !st.Mode().IsRegular() {
				return f, "", fmt.Errorf("/%s is a link to %s, which is no file of the tree", file, quote(target))
			}
			return unitFile{name: name, path: "/" + rel}, "", nil
		}
	}
	return f, "", errNoUnit
}

// noUnit makes the error for a unit that is not there.
func (u *units) noUnit(name string) error {
	base := strings.TrimSuffix(name, ".service")
	if base != name {
		if ok, err := u.t.Exists("etc/init.d/" + base); err == nil && ok {
			return fmt.Errorf("the unit %s %w; there is only the SysV init script /etc/init.d/%s, which this stage cannot enable", name, errNoUnit, base)
		}
	}
	hint := "is its package installed in an earlier stage?"
	if near := nearest(name, u.list(), 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("the unit %s %w in the tree; %s", name, errNoUnit, hint)
}

// list lists the names of all units.
func (u *units) list() []string {
	var names []string
	for _, dir := range unitDirs {
		entries, err := u.t.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if slices.Contains(unitTypes, path.Ext(e.Name())) && len(names) < 10000 {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// install is the [Install] section of a unit.
type install struct {
	wantedBy, requiredBy, upheldBy, alias, also []string
	defaultInstance                             string
}

func (i *install) empty() bool {
	return len(i.wantedBy)+len(i.requiredBy)+len(i.upheldBy)+len(i.alias)+len(i.also) == 0
}

// readInstall reads the [Install] section of a unit and its drop-ins.
func (u *units) readInstall(f unitFile) (install, error) {
	var inst install
	files := []string{f.path}
	dropIns := map[string]string{}
	names := []string{f.name}
	if tmpl := templateOf(f.name); tmpl != "" {
		names = append(names, tmpl)
	}
	for _, name := range names {
		for _, dir := range unitDirs {
			entries, err := u.t.ReadDir(path.Join(dir, name+".d"))
			if missing(err) {
				continue
			}
			if err != nil {
				return inst, err
			}
			for _, e := range entries {
				// A name in an earlier directory hides the same in a later.
				if _, seen := dropIns[e.Name()]; !seen && strings.HasSuffix(e.Name(), ".conf") {
					dropIns[e.Name()] = path.Join(dir, name+".d", e.Name())
				}
			}
		}
	}
	var order []string
	for name := range dropIns {
		order = append(order, name)
	}
	slices.Sort(order)
	for _, name := range order {
		files = append(files, dropIns[name])
	}
	for _, file := range files {
		if target, err := u.t.Readlink(file); err == nil && target == "/dev/null" {
			continue
		}
		data, err := u.t.ReadText(file, tree.MaxUnit)
		if err != nil {
			return inst, err
		}
		inst.parse(string(data))
	}
	return inst, nil
}

// parse adds the [Install] section of one file.
func (i *install) parse(text string) {
	section := ""
	for _, line := range unitLines(text) {
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[Install]" {
			continue
		}
		value = strings.TrimSpace(value)
		lists := map[string]*[]string{
			"WantedBy": &i.wantedBy, "RequiredBy": &i.requiredBy, "UpheldBy": &i.upheldBy,
			"Alias": &i.alias, "Also": &i.also,
		}
		switch key = strings.TrimSpace(key); {
		case key == "DefaultInstance":
			i.defaultInstance = value
		case lists[key] == nil:
		case value == "" && key != "Also":
			*lists[key] = nil // an empty value takes back those before
		default:
			for _, w := range strings.Fields(value) {
				*lists[key] = append(*lists[key], strings.Trim(w, `"'`))
			}
		}
	}
}

// unitLines returns the lines of a unit without comments and with continued
// lines joined.
func unitLines(text string) []string {
	var lines []string
	var held strings.Builder // of lines that go on
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") {
			continue
		}
		if part, ok := strings.CutSuffix(line, `\`); ok {
			held.WriteString(part + " ")
			continue
		}
		held.WriteString(line)
		if whole := strings.TrimSpace(held.String()); whole != "" {
			lines = append(lines, whole)
		}
		held.Reset()
	}
	if rest := strings.TrimSpace(held.String()); rest != "" {
		lines = append(lines, rest)
	}
	return lines
}
