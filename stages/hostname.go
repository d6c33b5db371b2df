package stages

import (
	"io/fs"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// HostnameOptions are the options of org.osbuild.hostname.
type HostnameOptions struct {
	// The name of the system, such as web1 or web1.example.org: labels of
	// letters, digits and hyphens, joined by dots, 64 bytes at most. Where
	// nothing else resolves it, as in Debian, it is entered in /etc/hosts as
	// well. Packages that take the name when they are installed, such as
	// postfix, see it if the stage stands before theirs.
	Hostname string `json:"hostname" jsonschema:"required,minLength=1,maxLength=64,pattern=^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$"`
}

// hostnameStage writes etc/hostname. Osbuild removes the file before it looks
// at the name, so that a bad name leaves the tree without one; here a bad name
// changes nothing. A link in the place of the file is replaced, as there.
//
// Osbuild leaves etc/hosts alone. Here the name is entered there, as Debian's
// installer does, where the tree has no nss-myhostname to resolve it: sudo and
// others look it up.
var hostnameStage = module.Module{
	Name:    "org.osbuild.hostname",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "set the name of the system",
	Options: optionsOf[HostnameOptions],
	Check:   checkOf[HostnameOptions],
	Run:     runOf(runHostname),
}

const maxHostname = 64 // HOST_NAME_MAX of Linux

func (o *HostnameOptions) check() []module.Problem {
	bad := func(why string) []module.Problem {
		return []module.Problem{{Pointer: "/hostname", Message: quote(o.Hostname) + " is not a host name: " + why}}
	}
	if o.Hostname == "" {
		return bad("it is empty")
	}
	if len(o.Hostname) > maxHostname {
		return bad("it is longer than 64 bytes")
	}
	for _, label := range strings.Split(o.Hostname, ".") {
		switch {
		case label == "":
			return bad("a part between dots is empty")
		case strings.Trim(label, "-") != label:
			return bad("the part " + quote(label) + " starts or ends with a hyphen")
		}
		for _, c := range label {
			if !isAlnum(c) && c != '-' {
				return bad("use letters, digits, hyphens and dots, not " + quote(string(c)))
			}
		}
	}
	return nil
}

func isAlnum(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func runHostname(in *module.Input, t *tree.Root, o *HostnameOptions) error {
	const file = "etc/hostname"
	st, err := t.Lstat(file)
	isLink := err == nil && st.Mode()&fs.ModeSymlink != 0
	var before string
	if err == nil && st.Mode().IsRegular() {
		data, err := t.ReadText(file, tree.MaxLine)
		if err != nil {
			return err
		}
		before = strings.TrimSpace(string(data))
	}
	if !isLink {
		if err := writable(t, file); err != nil {
			return err
		}
	}
	hosts, err := hostsWithName(t, before, o.Hostname)
	if err != nil {
		return err
	}
	if isLink {
		if err := t.Remove(file); err != nil {
			return err
		}
	}
	if err := writeFile(in, t, file, []byte(o.Hostname+"\n"), 0o644); err != nil {
		return err
	}
	return writeHosts(in, t, hosts)
}
