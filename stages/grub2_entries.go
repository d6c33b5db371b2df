package stages

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/uki"
	"github.com/osbuildkit/osbuildkit/internal/osrelease"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// bootEntry is one entry of the boot menu.
type bootEntry struct {
	id, title, version string
	// linux and initrds are paths in the tree.
	linux   string
	initrds []string
	// options is the command line as a BLS entry gives it; own says that
	// there is one.
	options string
	own     bool
}

const (
	blsDir = "boot/loader/entries"
	// maxEntries bounds what is read of a hostile tree.
	maxEntries = 256
)

// blsEntries reads the entries of the Boot Loader Specification that the tree
// has, newest first. Entries whose kernel is not there are left out.
func blsEntries(in *module.Input, t *tree.Root) ([]bootEntry, error) {
	files, err := t.ReadDir(blsDir)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []bootEntry
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".conf")
		if !ok || id == "" {
			continue
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("/%s has more than %d entries", blsDir, maxEntries)
		}
		name := path.Join(blsDir, f.Name())
		if hasControl(id) {
			return nil, fmt.Errorf("/%s: the name %s holds a control character", blsDir, quote(id))
		}
		data, err := t.ReadText(name, tree.MaxEntry)
		if err != nil {
			return nil, err
		}
		e := parseBLS(id, string(data))
		if hasControl(e.title + e.options + e.linux + strings.Join(e.initrds, "")) {
			return nil, fmt.Errorf("/%s holds a control character, which would end a line of GRUB's configuration", name)
		}
		if len(e.initrds) > maxInitrds {
			return nil, fmt.Errorf("/%s names %d initrds, more than %d", name, len(e.initrds), maxInitrds)
		}
		linux := bootFile(t, e.linux)
		if linux == "" {
			in.Logf("/%s is left out: its kernel %s is not in the tree", name, quote(e.linux))
			continue
		}
		e.linux = linux
		var initrds []string
		for _, i := range e.initrds {
			if file := bootFile(t, i); file != "" {
				initrds = append(initrds, file)
			} else if !strings.HasPrefix(i, "$") {
				in.Logf("/%s: its initrd %s is not in the tree", name, quote(i))
			}
		}
		e.initrds = initrds
		entries = append(entries, e)
	}
	sortEntries(entries)
	return entries, nil
}

// maxInitrds is how many initrds an entry may name: each is looked for.
const maxInitrds = 64

// parseBLS parses one entry. Unknown keys have no meaning here.
func parseBLS(id, text string) bootEntry {
	e := bootEntry{id: id}
	var options []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		value = strings.TrimSpace(value)
		switch key {
		case "title":
			e.title = value
		case "version":
			e.version = value
		case "linux":
			e.linux = value
		case "initrd":
			e.initrds = append(e.initrds, strings.Fields(value)...)
		case "options":
			options = append(options, value)
			e.own = true
		}
	}
	e.options = strings.Join(options, " ")
	if e.title == "" {
		e.title = id
	}
	return e
}

// bootFile returns the path in the tree of a file that a BLS entry names. The
// name is relative to the file system of /boot, but on a system without a
// separate one it may or may not begin with /boot. It returns "" if there is
// no such file, or its name could not stand in the configuration.
func bootFile(t *tree.Root, name string) string {
	if name == "" || hasControl(name) {
		return ""
	}
	name = path.Clean("/" + name)
	candidates := []string{"/boot" + name}
	if strings.HasPrefix(name, "/boot/") {
		candidates = []string{name, "/boot" + name}
	}
	for _, c := range candidates {
		if st, err := t.Stat(c); err == nil && st.Mode().IsRegular() {
			return c
		}
	}
	return ""
}

// initrdNames are the names an initrd has beside its kernel's, by version.
var initrdNames = []string{"initrd.img-%s", "initramfs-%s.img", "initrd-%s", "initramfs-%s"}

// kernelEntries makes entries for the kernels found in boot, newest first.
func kernelEntries(t *tree.Root) ([]bootEntry, error) {
	files, err := t.ReadDir("boot")
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	system := prettyName(t)
	var entries []bootEntry
	for _, f := range files {
		version, ok := strings.CutPrefix(f.Name(), "vmlinuz-")
		if !ok {
			version, ok = strings.CutPrefix(f.Name(), "vmlinux-")
		}
		if !ok || version == "" {
			continue
		}
		linux := bootFile(t, "/boot/"+f.Name())
		if linux == "" {
			continue
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("/boot has more than %d kernels", maxEntries)
		}
		e := bootEntry{id: version, version: version, title: system + " (" + version + ")", linux: linux}
		for _, format := range initrdNames {
			if file := bootFile(t, "/boot/"+fmt.Sprintf(format, version)); file != "" {
				e.initrds = []string{file}
				break
			}
		}
		entries = append(entries, e)
	}
	sortEntries(entries)
	return entries, nil
}

// prettyName returns the name of the system for people.
func prettyName(t *tree.Root) string {
	for _, name := range osrelease.Files {
		data, ok, err := readOptional(t, name)
		if err != nil || !ok {
			continue
		}
		if v := osrelease.Parse(string(data))["PRETTY_NAME"]; v != "" && !hasControl(v) {
			return v
		}
		break
	}
	return "Linux"
}

// sortEntries puts the newest version first and rescue entries last.
func sortEntries(entries []bootEntry) {
	rescue := func(e bootEntry) bool { return strings.Contains(e.version+e.id, "rescue") }
	slices.SortStableFunc(entries, func(a, b bootEntry) int {
		if ra, rb := rescue(a), rescue(b); ra != rb {
			if ra {
				return 1
			}
			return -1
		}
		if c := uki.CompareVersions(b.version, a.version); c != 0 {
			return c
		}
		return strings.Compare(b.id, a.id)
	})
}
