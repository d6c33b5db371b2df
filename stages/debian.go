package stages

import (
	"path"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/osrelease"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// debianFiles says where programs of Debian and its like look for what other
// distributions keep in etc/locale.conf and etc/vconsole.conf.
type debianFiles struct {
	// is says that the tree is one of dpkg.
	is bool
	// links says that Debian's own files are links, as since Debian 13: its
	// tmpfiles make etc/vconsole.conf a link to etc/default/keyboard, and
	// etc/default/locale one to etc/locale.conf, at each boot.
	links bool
}

// debianTmpfiles is what makes those links.
const debianTmpfiles = "usr/lib/tmpfiles.d/debian.conf"

// debianFilesOf looks at a tree. Systemd may come later than the stage, so
// that the number of the release counts as well.
func debianFilesOf(t *tree.Root) (debianFiles, error) {
	is, err := t.Exists("var/lib/dpkg/status")
	if err != nil || !is {
		return debianFiles{}, err
	}
	rules, there, err := readOptional(t, debianTmpfiles)
	if err != nil {
		return debianFiles{}, err
	}
	if there {
		return debianFiles{is: true, links: strings.Contains(string(rules), "/etc/vconsole.conf")}, nil
	}
	for _, name := range osrelease.Files {
		text, there, err := readOptional(t, name)
		if err != nil {
			return debianFiles{}, err
		}
		if !there {
			continue
		}
		release := osrelease.Parse(string(text))
		number, err := strconv.Atoi(release["VERSION_ID"])
		// Testing and sid have no number.
		return debianFiles{is: true, links: release["ID"] == "debian" && (err != nil || number >= 13)}, nil
	}
	return debianFiles{is: true}, nil
}

// linksTo reports whether name is a link to another file, by whatever path.
func linksTo(t *tree.Root, name, target string) bool {
	text, err := t.Readlink(name)
	if err != nil {
		return false
	}
	if !path.IsAbs(text) {
		text = path.Join("/", path.Dir(name), text)
	}
	return path.Clean(text) == path.Join("/", target)
}

// variable is one assignment in a file of the shell's form.
type variable struct{ name, value string }

// setVariables sets variables in the text of such a file, each where it stands
// already, the others at the end. Of a variable that is set twice one is left.
func setVariables(text string, variables []variable) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	set := map[string]bool{}
	line := func(v variable) string { return v.name + "=" + shellQuote(v.value) + "\n" }
	var b strings.Builder
next:
	for old := range strings.Lines(text) {
		name, _, ok := strings.Cut(strings.TrimLeft(old, " \t"), "=")
		for _, v := range variables {
			if ok && v.name == name {
				if !set[name] {
					b.WriteString(line(v))
				}
				set[name] = true
				continue next
			}
		}
		b.WriteString(old)
	}
	for _, v := range variables {
		if !set[v.name] {
			b.WriteString(line(v))
		}
	}
	return b.String()
}

// getVariable returns the value that a file of the shell's form gives a
// variable. What a shell would compute is returned as it stands.
func getVariable(text, name string) string { return osrelease.Parse(text)[name] }

// editFile is a text file that a stage has put together, to be written when
// all is known to be right.
type editFile struct {
	name, text string
	// renew puts a new file in the place of a link; without it the link is
	// followed.
	renew bool
	// link makes a link with the text as its target.
	link bool
}

// possible checks that the file can be written.
func (f editFile) possible(t *tree.Root) error {
	if f.renew || f.link {
		return renewable(t, f.name)
	}
	return writable(t, f.name)
}

func (f editFile) write(in *module.Input, t *tree.Root) error {
	switch {
	case f.link:
		return renewLink(t, f.text, f.name)
	case f.renew:
		return renewFile(in, t, f.name, []byte(f.text))
	}
	return writeFile(in, t, f.name, []byte(f.text), 0o644)
}

// writeAll writes the files, or none of them.
func writeAll(in *module.Input, t *tree.Root, files []editFile) error {
	for _, f := range files {
		if err := f.possible(t); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := f.write(in, t); err != nil {
			return err
		}
	}
	return nil
}
