package stages

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// SystemdOptions are the options of org.osbuild.systemd. Options take effect
// in the order in which they are listed here.
type SystemdOptions struct {
	// The units that start at boot, such as nginx.service; nginx means
	// nginx.service.
	EnabledServices []string `json:"enabled_services,omitempty"`
	// The units that no longer start at boot.
	DisabledServices []string `json:"disabled_services,omitempty"`
	// The units that cannot start at all. They need not exist.
	MaskedServices []string `json:"masked_services,omitempty"`
	// The generators that do not run.
	MaskedGenerators []string `json:"masked_generators,omitempty"`
	// The target that is reached at boot, such as multi-user.target.
	DefaultTarget string `json:"default_target,omitempty"`
}

// systemdStage does what "systemctl --root TREE" does for enable, disable,
// mask and set-default, and links masked generators to /dev/null. Differences:
//
//   - Everything is looked up before anything is changed, so that a missing
//     unit leaves the tree as it was, and its error names the nearest units.
//   - Links hold /usr/lib/systemd/system/X also where /lib is a link to it.
//   - Enabling a name that etc/systemd/system has as an alias enables the unit
//     that it stands for; systemctl refuses.
//   - A generator that is masked already is no error.
//   - A SysV init script without a unit is an error: enabling one needs
//     programs of the tree.
var systemdStage = module.Module{
	Name:    "org.osbuild.systemd",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "enable, disable and mask units of systemd",
	Options: optionsOf[SystemdOptions],
	Check:   checkOf[SystemdOptions],
	Run:     runOf(runSystemd),
}

func (o *SystemdOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	lists := []struct {
		key   string
		names []string
	}{
		{"enabled_services", o.EnabledServices},
		{"disabled_services", o.DisabledServices},
		{"masked_services", o.MaskedServices},
	}
	for _, l := range lists {
		for i, name := range l.names {
			if err := checkUnitName(mangleUnit(name, ".service")); err != nil {
				bad(fmt.Sprintf("/%s/%d", l.key, i), "%v", err)
			}
		}
	}
	for i, name := range o.MaskedGenerators {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
			bad(fmt.Sprintf("/masked_generators/%d", i), "%s is not the name of a file", quote(name))
		}
	}
	if o.DefaultTarget != "" {
		name := mangleUnit(o.DefaultTarget, ".target")
		switch err := checkUnitName(name); {
		case err != nil:
			bad("/default_target", "%v", err)
		case !strings.HasSuffix(name, ".target"):
			bad("/default_target", "%s is not a target", quote(name))
		case name == "default.target":
			bad("/default_target", "default.target cannot stand for itself")
		}
	}
	return problems
}

func runSystemd(in *module.Input, t *tree.Root, o *SystemdOptions) error {
	u := &units{in: in, t: t}
	var errs []error
	var enable []link
	for _, name := range o.EnabledServices {
		links, err := u.planEnable(mangleUnit(name, ".service"))
		if err != nil {
			errs = append(errs, fmt.Errorf("enabling %s: %w", name, err))
		}
		enable = append(enable, links...)
	}
	for _, l := range enable {
		if err := u.checkLink(l); err != nil {
			errs = append(errs, err)
		}
	}
	disable := make([]map[string]bool, len(o.DisabledServices))
	for i, name := range o.DisabledServices {
		marked, err := u.planDisable(mangleUnit(name, ".service"))
		if err != nil {
			errs = append(errs, fmt.Errorf("disabling %s: %w", name, err))
		}
		disable[i] = marked
	}
	var after []link
	for _, name := range o.MaskedServices {
		name = mangleUnit(name, ".service")
		if _, err := u.find(name); errors.Is(err, errNoUnit) {
			in.Logf("masking %s, which does not exist", name)
		}
		after = append(after, link{name: path.Join(configDir, name), target: "/dev/null"})
	}
	for _, name := range o.MaskedGenerators {
		after = append(after, link{name: path.Join("etc/systemd/system-generators", name), target: "/dev/null"})
	}
	if o.DefaultTarget != "" {
		f, err := u.find(mangleUnit(o.DefaultTarget, ".target"))
		if err != nil {
			errs = append(errs, fmt.Errorf("setting the default target: %w", err))
		} else {
			after = append(after, link{name: configDir + "/default.target", target: f.path, force: true})
		}
	}
	for _, l := range after {
		if err := u.checkLink(l); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}

	if err := u.makeLinks(enable); err != nil {
		return err
	}
	for _, marked := range disable {
		if err := u.removeLinks(marked); err != nil {
			return err
		}
	}
	return u.makeLinks(after)
}

// link is a symbolic link to be made.
type link struct {
	name, target string
	// force allows a link to something else to be replaced.
	force bool
}

// checkLink reports what stands in the way of a link.
func (u *units) checkLink(l link) error {
	if err := parentIsDir(u.t, l.name); err != nil {
		return err
	}
	old, err := u.t.Readlink(l.name)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return fmt.Errorf("/%s exists and is not a link: remove it in an earlier stage", l.name)
	case l.force || u.sameUnit(l.name, old, l.target):
		return nil
	}
	return fmt.Errorf("/%s exists and is a link to %s: disable that unit first", l.name, quote(old))
}

// sameUnit reports whether the link name with the text old leads to target.
func (u *units) sameUnit(name, old, target string) bool {
	if old == target {
		return true
	}
	if target == "/dev/null" {
		return false
	}
	a, err := u.t.Resolve(name, true)
	if err != nil {
		return false
	}
	b, err := u.t.Resolve(target, true)
	return err == nil && a == b
}

func (u *units) makeLinks(links []link) error {
	for _, l := range links {
		if old, err := u.t.Readlink(l.name); err == nil && u.sameUnit(l.name, old, l.target) {
			continue
		}
		// An earlier list of this very stage may have made the link.
		if err := u.checkLink(l); err != nil {
			return err
		}
		if err := replaceLink(u.t, l.target, l.name); err != nil {
			return err
		}
		u.in.Logf("created link /%s -> %s", l.name, l.target)
	}
	return nil
}
