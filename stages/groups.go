package stages

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// GroupsOptions are the options of org.osbuild.groups.
type GroupsOptions struct {
	// The groups by name.
	Groups Groups `json:"groups" jsonschema:"required"`
	// Whether a group that exists already is left as it is, and one whose
	// number is taken gets another. Without it both are errors.
	Force bool `json:"force,omitempty" jsonschema:"default=false"`
}

// Groups maps names to groups.
type Groups map[string]Group

// KeyPattern returns the pattern of the names of groups.
func (Groups) KeyPattern() string { return userName.String() }

// Group is one group to be added.
type Group struct {
	// The group's number. Without it the group gets the next free one.
	GID *Number `json:"gid,omitempty"`
}

// groupsStage adds groups by editing etc/group and etc/gshadow itself, as
// groupadd would, with the numbers of etc/login.defs. Differences:
//
//   - No backup files (etc/group-) and no lock file are left behind.
//   - Osbuild adds groups in the order of the manifest. Here those with a
//     number come first and then the others, each sorted by name, so that ids
//     which are not given depend on no order and take none that is given.
//   - Osbuild takes the number 0 as none; here it is the number 0.
var groupsStage = module.Module{
	Name:    "org.osbuild.groups",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "add groups",
	Options: optionsOf[GroupsOptions],
	Check:   checkOf[GroupsOptions],
	Run:     runOf(runGroups),
}

func (o *GroupsOptions) check() []module.Problem {
	var problems []module.Problem
	owner := map[Number]string{}
	for _, name := range slices.Sorted(maps.Keys(o.Groups)) {
		at := "/groups/" + escapePointer(name)
		if !isAccountName(name) {
			problems = append(problems, module.Problem{Pointer: at, Message: quote(name) + " is not a group name: use up to 32 letters, digits, _, - and ., not digits alone, and do not begin with -"})
		}
		gid := o.Groups[name].GID
		if gid == nil {
			continue
		}
		if *gid > maxID || *gid == 65535 {
			problems = append(problems, module.Problem{Pointer: at + "/gid", Message: fmt.Sprintf("%d cannot be the number of a group", *gid)})
		}
		if other, taken := owner[*gid]; taken && !o.Force {
			problems = append(problems, module.Problem{Pointer: at + "/gid", Message: fmt.Sprintf("%d is the number of %s too", *gid, quote(other))})
		}
		owner[*gid] = name
	}
	return sortProblems(problems)
}

// isAccountName reports whether a user or a group can have the name.
func isAccountName(name string) bool {
	return userName.MatchString(name) && !allDigits.MatchString(name) && name != "." && name != ".."
}

func runGroups(in *module.Input, t *tree.Root, o *GroupsOptions) error {
	db, err := openAccounts(t, in.Epoch, "etc/group")
	if err != nil {
		return err
	}
	var errs []error
	for _, numbered := range []bool{true, false} {
		for _, name := range slices.Sorted(maps.Keys(o.Groups)) {
			g := o.Groups[name]
			if (g.GID != nil) != numbered {
				continue
			}
			if err := db.addGroupAs(in, name, g.GID, o.Force); err != nil {
				errs = append(errs, fmt.Errorf("group %s: %w", name, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return db.write(in, t)
}

// addGroupAs adds a group as groupadd does.
func (db *accounts) addGroupAs(in *module.Input, name string, number *Number, force bool) error {
	if err := db.malformed(name, db.group, db.gshadow); err != nil {
		return err
	}
	if db.group.find(name) != nil {
		if !force {
			return errors.New("it exists already; with \"force\" it is left as it is")
		}
		in.Logf("group %s exists already", name)
		return nil
	}
	if number != nil {
		gid := int64(*number)
		owner := ""
		for _, l := range db.group.entries() {
			if id, err := parseID(l[2]); err == nil && id == gid {
				owner = l[0]
			}
		}
		if owner == "" {
			db.addGroup(name, gid)
			in.Logf("group %s: gid %d", name, gid)
			return nil
		}
		if !force {
			return fmt.Errorf("%d is the number of the group %s", gid, quote(owner))
		}
	}
	gid, err := db.freeID(db.group, "GID")
	if err != nil {
		return err
	}
	db.addGroup(name, gid)
	in.Logf("group %s: gid %d", name, gid)
	return nil
}

// addGroup adds a group without members. What etc/gshadow has left of one with
// the same name is replaced.
func (db *accounts) addGroup(name string, gid int64) {
	db.group.add(name, "x", format(gid), "")
	if !db.gshadow.present {
		return
	}
	if line := db.gshadow.find(name); line != nil {
		copy(line[1:], []string{"!", "", ""})
		return
	}
	db.gshadow.add(name, "!", "", "")
}
