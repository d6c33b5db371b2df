package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// planEnable returns the links that enable a unit.
func (u *units) planEnable(name string) ([]link, error) {
	var links []link
	todo, done := []string{name}, map[string]bool{}
	for first := true; len(todo) > 0; first = false {
		next := todo[0]
		todo = todo[1:]
		if done[next] || len(done) >= 100 {
			continue
		}
		done[next] = true
		f, err := u.find(next)
		if err != nil {
			if first {
				return nil, err
			}
			u.in.Logf("%s asks to enable %s as well, but: %v", name, next, err)
			continue
		}
		inst, err := u.readInstall(f)
		if err != nil {
			return nil, err
		}
		if inst.empty() && first {
			u.in.Logf("the unit %s has no [Install] section: it is started by others and cannot be enabled or disabled", f.name)
		}
		more, err := enableLinks(f, inst)
		if err != nil {
			return nil, err
		}
		links = append(links, more...)
		for _, a := range inst.also {
			if a, err = expandUnit(a, f.name); err != nil {
				return nil, err
			}
			if err := checkUnitName(a); err != nil {
				return nil, fmt.Errorf("Also= of %s: %w", f.path, err)
			}
			todo = append(todo, a)
		}
	}
	return links, nil
}

// enableLinks returns the links that the [Install] section asks for.
func enableLinks(f unitFile, inst install) ([]link, error) {
	var links []link
	own := f.name
	prefix, instance, ext, at := splitUnit(own)
	if template := at && instance == ""; template && inst.defaultInstance != "" {
		def, err := expandUnit(inst.defaultInstance, own)
		if err != nil {
			return nil, err
		}
		own = prefix + "@" + def + ext
		if err := checkUnitName(own); err != nil {
			return nil, fmt.Errorf("DefaultInstance= of %s: %w", f.path, err)
		}
	}
	for _, a := range inst.alias {
		name, err := aliasLink(f, own, a)
		if err != nil {
			return nil, fmt.Errorf("Alias= of %s: %w", f.path, err)
		}
		if name != "" {
			links = append(links, link{name: name, target: f.path})
		}
	}
	for _, by := range []struct {
		dir   string
		names []string
	}{{".wants", inst.wantedBy}, {".requires", inst.requiredBy}, {".upholds", inst.upheldBy}} {
		for _, target := range by.names {
			target, err := expandUnit(target, own)
			if err != nil {
				return nil, err
			}
			if err := checkUnitName(target); err != nil {
				return nil, fmt.Errorf("[Install] of %s: %w", f.path, err)
			}
			_, inst, _, ownAt := splitUnit(own)
			if _, _, _, at := splitUnit(target); ownAt && inst == "" && !at {
				return nil, fmt.Errorf("the unit %s is a template without a default instance: enable an instance of it, such as %s@NAME%s", f.name, prefix, ext)
			}
			links = append(links, link{name: path.Join(configDir, target+by.dir, own), target: f.path, force: true})
		}
	}
	return links, nil
}

// aliasLink returns the name of the link for an alias, or "" if it is the
// unit's own name. Specifiers mean own, which has the default instance; what
// may be an alias is decided by the name that was asked for, as by systemctl.
func aliasLink(f unitFile, own, alias string) (string, error) {
	alias, err := expandUnit(alias, own)
	if err != nil {
		return "", err
	}
	dir, base := path.Split(alias)
	if dir != "" {
		// The form target.wants/name, from before there was WantedBy=.
		dir = strings.TrimSuffix(dir, "/")
		ext := path.Ext(dir)
		if strings.Contains(dir, "/") || !slices.Contains([]string{".wants", ".requires", ".upholds"}, ext) ||
			checkUnitName(strings.TrimSuffix(dir, ext)) != nil || !wantsLink(f.name, strings.TrimSuffix(dir, ext), base) {
			return "", fmt.Errorf("%s cannot be an alias of %s", quote(alias), f.name)
		}
		return path.Join(configDir, dir, base), nil
	}
	if err := checkUnitName(base); err != nil {
		return "", err
	}
	if path.Ext(base) != path.Ext(f.name) {
		return "", fmt.Errorf("%s is a unit of another type than %s", quote(base), f.name)
	}
	prefix, instance, ext, at := splitUnit(base)
	_, ownInstance, _, ownAt := splitUnit(f.name)
	switch {
	case at && !ownAt:
		return "", fmt.Errorf("%s is a template or an instance and %s is neither", quote(base), f.name)
	case !at && ownAt:
		return "", fmt.Errorf("%s is no template and %s is one", quote(base), orDefault(templateOf(f.name), f.name))
	case instance != "" && ownInstance != "" && instance != ownInstance:
		return "", fmt.Errorf("%s is another instance than %s", quote(base), f.name)
	case at && instance == "" && ownInstance != "":
		base = prefix + "@" + ownInstance + ext // the instance that was asked for
	}
	if base == f.name {
		return "", nil
	}
	return path.Join(configDir, base), nil
}

// wantsLink reports whether the name base below the directory of a unit by
// can stand for a unit.
func wantsLink(unit, by, base string) bool {
	_, instance, _, at := splitUnit(unit)
	_, byInstance, _, byAt := splitUnit(by)
	switch {
	case at && instance == "" && base == unit:
		return byAt && byInstance == "" // the instance is that of the other template
	case at && instance == "":
		return templateOf(base) == unit
	}
	return base == unit
}

// expandUnit replaces the specifiers of an [Install] section.
func expandUnit(s, unit string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	prefix, instance, ext, _ := splitUnit(unit)
	full := strings.TrimSuffix(unit, ext)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case '%':
			b.WriteByte('%')
		case 'i':
			b.WriteString(instance)
		case 'j':
			b.WriteString(prefix[strings.LastIndex(prefix, "-")+1:])
		case 'n':
			b.WriteString(unit)
		case 'N':
			b.WriteString(full)
		case 'p':
			b.WriteString(prefix)
		default:
			return "", fmt.Errorf("the specifier %%%c in %s of the [Install] section of %s is not known before the system runs", s[i], quote(s), unit)
		}
	}
	return b.String(), nil
}

// planDisable returns the names and paths; links to them go.
func (u *units) planDisable(name string) (map[string]bool, error) {
	marked := map[string]bool{}
	todo := []string{name}
	for first := true; len(todo) > 0; first = false {
		next := todo[0]
		todo = todo[1:]
		if marked[next] || len(marked) >= 200 {
			continue
		}
		f, err := u.find(next)
		switch {
		case errors.Is(err, errMasked):
			u.in.Logf("disabling nothing: %v", err)
			continue
		case err != nil && first:
			return nil, err
		case err != nil:
			continue
		}
		marked[next], marked[f.name] = true, true
		if path.Base(f.path) == f.name {
			marked[f.path] = true
		}
		inst, err := u.readInstall(f)
		if err != nil {
			return nil, err
		}
		if prefix, instance, ext, at := splitUnit(f.name); at && instance == "" {
			// All instances of a template are disabled with it.
			marked[prefix+"@"+ext] = true
		}
		for _, a := range inst.also {
			if a, err = expandUnit(a, f.name); err == nil && checkUnitName(a) == nil {
				todo = append(todo, a)
			}
		}
	}
	return marked, nil
}

// removeLinks removes the links in etc/systemd/system to what is marked, and
// links to those, and the directories that become empty.
func (u *units) removeLinks(marked map[string]bool) error {
	for again := true; again; {
		again = false
		dirs := []string{configDir}
		entries, err := u.t.ReadDir(configDir)
		if err != nil && !missing(err) {
			return err
		}
		for _, e := range entries {
			ext := path.Ext(e.Name())
			if e.IsDir() && slices.Contains([]string{".wants", ".requires", ".upholds"}, ext) {
				dirs = append(dirs, path.Join(configDir, e.Name()))
			}
		}
		for _, dir := range dirs {
			removed, err := u.removeLinksIn(dir, marked)
			if err != nil {
				return err
			}
			again = again || removed
		}
	}
	return nil
}

func (u *units) removeLinksIn(dir string, marked map[string]bool) (more bool, err error) {
	entries, err := u.t.ReadDir(dir)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	left := len(entries)
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 || checkUnitName(e.Name()) != nil {
			continue
		}
		name := path.Join(dir, e.Name())
		target, err := u.t.Readlink(name)
		if err != nil {
			return false, err
		}
		if target == "/dev/null" {
			continue // a mask stays
		}
		template := templateOf(e.Name())
		if !marked[e.Name()] && !marked[template] && !marked[target] && !u.markedTarget(name, marked) {
			continue
		}
		if err := u.t.Remove(name); err != nil {
			return false, err
		}
		u.in.Logf("removed link /%s", name)
		left--
		if !marked[e.Name()] {
			marked[e.Name()], more = true, true
		}
	}
	if left == 0 && len(entries) > 0 && dir != configDir {
		return more, u.t.Remove(dir)
	}
	return more, nil
}

// markedTarget reports whether the link name leads to a marked file.
func (u *units) markedTarget(name string, marked map[string]bool) bool {
	rel, err := u.t.Resolve(name, true)
	return err == nil && (marked["/"+rel] || marked[path.Base(rel)])
}
