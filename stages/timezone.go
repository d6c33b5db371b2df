package stages

import (
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// TimezoneOptions are the options of org.osbuild.timezone.
type TimezoneOptions struct {
	// The name of the zone as in /usr/share/zoneinfo, such as Europe/Berlin or UTC.
	Zone string `json:"zone" jsonschema:"required,minLength=1,maxLength=255,pattern=^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"`
}

// timezoneStage makes etc/localtime the link that systemd-firstboot makes on
// Fedora. Osbuild looks for the zone in the build root and removes the old
// link first, so that an unknown zone leaves the tree without one; here the
// zone must be in the tree and an unknown one changes nothing. Where the tree
// has no zones at all the link is made and the log says so: until a later
// stage installs them, the time is UTC. A tree that has etc/timezone, where
// Debian kept the name, gets it there as well.
var timezoneStage = module.Module{
	Name:    "org.osbuild.timezone",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "set the time zone",
	Options: optionsOf[TimezoneOptions],
	Check:   checkOf[TimezoneOptions],
	Run:     runOf(runTimezone),
}

const (
	zoneDir = "usr/share/zoneinfo"
	// zoneNameFile is what Java, Python and others read in Debian until 12 and
	// in Ubuntu. The package tzdata makes it, from etc/localtime, where the
	// distribution still has it.
	zoneNameFile = "etc/timezone"
	maxZone      = 255
)

func (o *TimezoneOptions) check() []module.Problem {
	bad := func(why string) []module.Problem {
		return []module.Problem{{Pointer: "/zone", Message: quote(o.Zone) + " is not the name of a time zone: " + why}}
	}
	if len(o.Zone) > maxZone {
		return bad("it is longer than 255 bytes")
	}
	for _, part := range strings.Split(o.Zone, "/") {
		if part == "" {
			return bad("a part between slashes is empty")
		}
		for _, c := range part {
			if !isAlnum(c) && !strings.ContainsRune("_+-", c) {
				return bad("use letters, digits, _, + and -, not " + quote(string(c)))
			}
		}
	}
	return nil
}

func runTimezone(in *module.Input, t *tree.Root, o *TimezoneOptions) error {
	if err := findZone(in, t, o.Zone); err != nil {
		return err
	}
	files := []editFile{{name: "etc/localtime", text: "../" + zoneDir + "/" + o.Zone, link: true}}
	named, err := t.Exists(zoneNameFile)
	if err != nil {
		return err
	}
	if named {
		files = append(files, editFile{name: zoneNameFile, text: o.Zone + "\n"})
	}
	return writeAll(in, t, files)
}

// findZone checks that the tree has a zone, if it has any.
func findZone(in *module.Input, t *tree.Root, zone string) error {
	zones, err := t.Exists(zoneDir)
	if err != nil {
		return err
	}
	if !zones {
		if zone != "UTC" {
			in.Logf("the tree has no /%s: the time is UTC until a later stage installs it (package tzdata)", zoneDir)
		}
		return nil
	}
	st, err := t.Stat(path.Join(zoneDir, zone))
	if err == nil && st.Mode().IsRegular() {
		return nil
	}
	if err != nil && !missing(err) {
		return err
	}
	// Zones lie in directories by continent: look at those beside it.
	var names []string
	if files, err := t.ReadDir(path.Join(zoneDir, path.Dir(zone))); err == nil {
		for _, f := range files {
			names = append(names, f.Name())
		}
	}
	hint := ""
	for _, name := range nearest(path.Base(zone), names, 1) {
		hint = "; did you mean " + path.Join(path.Dir(zone), name) + "?"
	}
	return fmt.Errorf("the tree has no time zone %s in /%s%s", zone, zoneDir, hint)
}
