package packages

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/tree"
)

// Some packages write the name of the machine into their configuration when
// they are installed: postfix and exim do. They ask the programs hostname and
// uname, which know the name of the builder's sandbox. For the time of the
// installation others come before these, which know the name that the tree
// has in /etc/hostname. They lie in /run, which is memory.
const nameDir = "run/osbuild/name"

// systemPath is where apt and dpkg look for programs.
const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// hostName is a name that needs no quoting in a script.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)

// tellName puts the programs into the tree. It returns the search path on
// which they come first, which is "" if the tree has no name, and what undoes
// it all.
func tellName(t *tree.Root) (searchPath string, undo func() error, err error) {
	nothing := func() error { return nil }
	data, err := t.ReadText("etc/hostname", tree.MaxLine)
	if missing(err) {
		return "", nothing, nil
	}
	if err != nil {
		return "", nil, err
	}
	// hostname(5): lines that begin with # are comments.
	var name string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			name = line
			break
		}
	}
	if !hostName.MatchString(name) {
		return "", nothing, nil
	}
	full, err := fullName(t, name)
	if err != nil {
		return "", nil, err
	}
	if err := t.MkdirAll(nameDir, 0o755); err != nil {
		return "", nil, err
	}
	undo = func() error { return t.RemoveAll(nameDir) }
	short, _, _ := strings.Cut(name, ".")
	_, domain, _ := strings.Cut(full, ".")
	for program, text := range map[string]string{
		"hostname": "#!/bin/sh\ncase \"$*\" in\n" +
			"'') echo " + name + " ;;\n" +
			"-s | --short) echo " + short + " ;;\n" +
			"-f | --fqdn | --long) echo " + full + " ;;\n" +
			"-d | --domain) echo " + domain + " ;;\n" +
			"*) PATH=" + systemPath + " exec hostname \"$@\" ;;\nesac\n",
		"uname": "#!/bin/sh\ncase \"$*\" in\n" +
			"-n | --nodename) echo " + name + " ;;\n" +
			"*) PATH=" + systemPath + " exec uname \"$@\" ;;\nesac\n",
	} {
		if err := t.ReplaceFile(path.Join(nameDir, program), []byte(text), 0o755, 0, 0); err != nil {
			return "", nil, errors.Join(err, undo())
		}
	}
	return "/" + nameDir + ":" + systemPath, undo, nil
}

// fullName returns the name with its domain, as the tree's /etc/hosts has it.
func fullName(t *tree.Root, name string) (string, error) {
	data, err := t.ReadText("etc/hosts", tree.MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		for i := 1; i < len(fields); i++ {
			if strings.EqualFold(fields[i], name) && hostName.MatchString(fields[1]) {
				return fields[1], nil
			}
		}
	}
	return name, nil
}
