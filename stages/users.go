package stages

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// UsersOptions are the options of org.osbuild.users.
type UsersOptions struct {
	// The users by name. They are added in the order of their names, so that
	// ids which are not given do not depend on the order in the manifest.
	Users Users `json:"users" jsonschema:"required"`
}

// Users maps names to users.
type Users map[string]User

// KeyPattern returns the pattern of the names of users.
func (Users) KeyPattern() string { return userName.String() }

// User is one user to be added or, if it exists, to be changed.
type User struct {
	// The user's number. Without it a new user gets the next free one. That
	// of an existing user cannot be changed.
	UID *Number `json:"uid,omitempty"`
	// The primary group, by number or name, which must exist. Without it a
	// new user gets a group of its own, or as etc/login.defs says.
	GID *GroupRef `json:"gid,omitempty"`
	// The names of all further groups. They must exist. An existing user is
	// taken out of those that are not named.
	Groups *[]string `json:"groups,omitempty"`
	// The user's full name or what else describes it.
	Description *string `json:"description,omitempty"`
	// The home directory, which is made from etc/skel if it does not exist.
	// An empty text means the default directory, and that it is not made.
	Home *string `json:"home,omitempty"`
	// The login shell, such as /bin/bash.
	Shell *string `json:"shell,omitempty"`
	// The password as crypt(5) hashes it: what "openssl passwd -6" prints. One
	// that is not hashed is stored as its SHA-512 hash. "!", "!!", "*" and "!"
	// before a hash lock the account. What may be meant in two ways, such as 13
	// letters, which may be a hash of DES, is an error. Without one, nobody can
	// log in as a new user with a password.
	Password *string `json:"password,omitempty"`
	// The name of the build secret that holds what could stand in "password".
	// The manifest and the cache do not have it: a slow digest of it is in the
	// key of the step, and the image has its hash.
	PasswordSecret *string `json:"password_secret,omitempty" jsonschema:"maxLength=128,pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$"`
	// Whether the password, or that of the secret, is stored as it is (true),
	// or its SHA-512 hash is (false), whatever it looks like.
	PasswordHashed *bool `json:"password_hashed,omitempty"`
	// A public key with which the user may log in over SSH.
	Key *string `json:"key,omitempty"`
	// Public keys with which the user may log in over SSH.
	Keys []string `json:"keys,omitempty"`
	// The day on which the account ends, counted from 1970-01-01; -1 is never.
	ExpireDate *int64 `json:"expiredate,omitempty" jsonschema:"minimum=-1"`
	// Whether the password must be changed at the first login.
	ForcePasswordReset bool `json:"force_password_reset,omitempty" jsonschema:"default=false"`
}

// GroupRef is the number or the name of a group.
type GroupRef string

// JSONSchemaText returns the JSON schema of a GroupRef.
func (GroupRef) JSONSchemaText() string {
	return `{"type": ["integer", "string"], "minimum": 0, "pattern": "^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$"}`
}

// UnmarshalJSON reads a number or a name.
func (g *GroupRef) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(g))
	}
	var n Number
	if err := n.UnmarshalJSON(data); err != nil {
		return err
	}
	*g = GroupRef(strconv.FormatInt(int64(n), 10))
	return nil
}

// usersStage adds and changes users by editing the files of etc itself, as
// useradd and usermod would, with all that etc/login.defs and
// etc/default/useradd say. Differences:
//
//   - No backup files (etc/passwd-) and no lock file are left behind.
//   - The date of the last change of a password is that of the build's epoch.
//   - Osbuild fails if it has to add keys and the home directory is not made;
//     here keys are a reason to make it.
//   - A password that is not hashed is stored as its SHA-512 hash (crypt(5),
//     method 6), and hashed before it becomes a part of the step. The salt follows
//     from the user's name, the other options and the build's epoch, so that the
//     same manifest gives the same bytes, and not from the password, of which it
//     would be a fast hash. Osbuild would store the password as it is, where it
//     matches nothing. What is neither surely a hash nor surely a password is
//     refused.
//   - A password can be a secret of the build.
//   - Numbers that are given to users are not given to others that have none.
//     Osbuild adds users in the order of the manifest.
//   - A key that the user has already is not added again.
var usersStage = module.Module{
	Name:    "org.osbuild.users",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "add and change users",
	Options: optionsOf[UsersOptions],
	Check:   checkOf[UsersOptions],
	Secrets: userSecrets,
	Plain:   plainPasswords,
	Seal:    sealPasswords,
	Run:     runOf(runUsers),
}

var (
	userName  = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}$`)
	allDigits = regexp.MustCompile(`^[0-9]+$`)
)

const maxID = 4294967294

func (o *UsersOptions) check() []module.Problem {
	var problems []module.Problem
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		u := o.Users[name]
		at := "/users/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if !isAccountName(name) {
			problems = append(problems, module.Problem{Pointer: at, Message: quote(name) + " is not a user name: use up to 32 letters, digits, _, - and ., not digits alone, and do not begin with -"})
		}
		problems = append(problems, u.check(at)...)
	}
	return problems
}

func (u *User) check(at string) []module.Problem {
	var problems []module.Problem
	bad := func(key, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at + key, Message: fmt.Sprintf(format, args...)})
	}
	if u.UID != nil && (*u.UID > maxID || *u.UID == 65535) {
		bad("/uid", "%d cannot be the number of a user", *u.UID)
	}
	if u.GID != nil && !userName.MatchString(string(*u.GID)) {
		bad("/gid", "%s is neither the number nor the name of a group", quote(string(*u.GID)))
	}
	if u.Groups != nil {
		for i, g := range *u.Groups {
			if !userName.MatchString(g) {
				bad(fmt.Sprintf("/groups/%d", i), "%s is not the name of a group", quote(g))
			}
		}
	}
	fields := map[string]*string{"/description": u.Description, "/home": u.Home, "/shell": u.Shell}
	for key, s := range fields {
		if s != nil && (strings.Contains(*s, ":") || hasControl(*s)) {
			bad(key, "a colon, a line break or another control character cannot stand in etc/passwd")
		}
	}
	for key, s := range map[string]*string{"/home": u.Home, "/shell": u.Shell} {
		if s != nil && *s != "" && !strings.HasPrefix(*s, "/") {
			bad(key, "%s is not an absolute path", quote(*s))
		}
	}
	problems = append(problems, u.checkPassword(at)...)
	keys := u.allKeys()
	if len(keys) > 0 && u.Home != nil && *u.Home == "" {
		bad("/home", "keys need a home directory: leave \"home\" out or name one")
	}
	for _, k := range keys {
		if k == "" || hasControl(strings.ReplaceAll(k, "\t", " ")) {
			bad("", "a key of \"key\" or \"keys\" is not one line of text")
		}
	}
	if u.ExpireDate != nil && *u.ExpireDate < -1 {
		bad("/expiredate", "%d is no day; -1 is never", *u.ExpireDate)
	}
	return sortProblems(problems)
}

// allKeys returns the keys in the order in which they are written.
func (u *User) allKeys() []string {
	var keys []string
	for _, k := range u.Keys {
		keys = append(keys, strings.TrimSpace(k))
	}
	if u.Key != nil {
		keys = append(keys, strings.TrimSpace(*u.Key))
	}
	return keys
}

func runUsers(in *module.Input, t *tree.Root, o *UsersOptions) error {
	db, err := openAccounts(t, in.Epoch, "etc/passwd", "etc/shadow", "etc/group")
	if err != nil {
		return err
	}
	db.reserved = map[int64]bool{}
	for _, u := range o.Users {
		if u.UID != nil {
			db.reserved[int64(*u.UID)] = true
		}
	}
	seed := o.saltSeed(in.Epoch)
	var homes []home
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		u := o.Users[name]
		err := u.resolvePassword(in, seed.of(name), name)
		var h home
		if err == nil {
			h, err = db.apply(in, name, &u)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("user %s: %w", name, err))
			continue
		}
		homes = append(homes, h)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := db.write(in, t); err != nil {
		return err
	}
	for _, h := range homes {
		if err := h.make(in, t, db); err != nil {
			return fmt.Errorf("user %s: home directory: %w", h.user, err)
		}
	}
	return nil
}

// apply adds or changes one user.
func (db *accounts) apply(in *module.Input, name string, u *User) (home, error) {
	line := db.passwd.find(name)
	var h home
	err := db.malformed(name, db.passwd, db.shadow, db.group, db.gshadow)
	if err != nil {
		return h, err
	}
	if line == nil {
		h, err = db.add(name, u)
	} else {
		h, err = db.change(name, line, u)
	}
	if err != nil {
		return h, err
	}
	if u.ForcePasswordReset {
		db.shadow.find(name)[2] = "0"
	}
	if line := db.shadow.find(name); line[1] == "" {
		in.Logf("user %s can log in without a password", name)
	}
	h.keys = u.allKeys()
	h.create = h.create || len(h.keys) > 0
	in.Logf("user %s: uid %d, gid %d, home %s", name, h.uid, h.gid, h.dir)
	return h, nil
}

// add adds a user, as useradd does.
func (db *accounts) add(name string, u *User) (home, error) {
	h := home{user: name, dir: strings.TrimSuffix(orDefault(db.useradd["HOME"], "/home"), "/") + "/" + name}
	if u.UID != nil {
		h.uid = int64(*u.UID)
	} else {
		id, err := db.freeID(db.passwd, "UID")
		if err != nil {
			return h, err
		}
		h.uid = id
	}
	gid, err := db.primaryGroup(name, h.uid, u.GID)
	if err != nil {
		return h, err
	}
	h.gid = gid
	if u.Groups != nil {
		if err := db.setGroups(name, *u.Groups, false); err != nil {
			return h, err
		}
	}
	h.create = strings.EqualFold(db.login["CREATE_HOME"], "yes")
	if u.Home != nil {
		h.create = *u.Home != ""
		h.dir = orDefault(*u.Home, h.dir)
	}
	h.mail = strings.EqualFold(db.useradd["CREATE_MAIL_SPOOL"], "yes")
	shell := orDefault(db.useradd["SHELL"], "/bin/sh")
	if u.Shell != nil {
		shell = *u.Shell
	}
	db.passwd.add(name, "x", format(h.uid), format(h.gid), value(u.Description, ""), h.dir, shell)
	expire := db.useradd["EXPIRE"]
	if u.ExpireDate != nil {
		expire = days(*u.ExpireDate)
	} else if !allDigits.MatchString(expire) {
		expire = ""
	}
	db.shadow.add(name, value(u.Password, "!"), db.today(),
		db.age(db.login["PASS_MIN_DAYS"]), db.age(db.login["PASS_MAX_DAYS"]), db.age(db.login["PASS_WARN_AGE"]),
		db.age(db.useradd["INACTIVE"]), expire, "")
	return h, db.addSubIDs(name, h.uid)
}

// change changes an existing user, as usermod does.
func (db *accounts) change(name string, line []string, u *User) (home, error) {
	h := home{user: name, create: true}
	var err error
	if h.uid, err = parseID(line[2]); err != nil {
		return h, fmt.Errorf("in /etc/passwd: %w", err)
	}
	if h.gid, err = parseID(line[3]); err != nil {
		return h, fmt.Errorf("in /etc/passwd: %w", err)
	}
	if u.UID != nil && int64(*u.UID) != h.uid {
		return h, fmt.Errorf("it exists with uid %d, which cannot be changed to %d", h.uid, *u.UID)
	}
	if u.GID != nil {
		h.oldGID = h.gid
		if h.gid, err = db.findGroup(*u.GID); err != nil {
			return h, err
		}
		h.regroup = h.gid != h.oldGID
		line[3] = format(h.gid)
	}
	if u.Groups != nil {
		if err := db.setGroups(name, *u.Groups, true); err != nil {
			return h, err
		}
	}
	set := func(field int, v *string) {
		if v != nil {
			line[field] = *v
		}
	}
	set(4, u.Description)
	if u.Home != nil && *u.Home != "" {
		line[5] = *u.Home
	}
	set(6, u.Shell)
	h.dir = line[5]
	shadow := db.shadow.find(name)
	if shadow == nil {
		shadow = db.shadow.add(name, orDefault(line[1], "!"), db.today(), "", "", "", "", "", "")
		line[1] = "x"
	}
	if u.Password != nil {
		shadow[1], shadow[2] = *u.Password, db.today()
	}
	if u.ExpireDate != nil {
		shadow[7] = days(*u.ExpireDate)
	}
	if h.dir == "" || h.dir == "/" || h.dir == "/nonexistent" {
		h.create = false
	}
	return h, nil
}

func value(s *string, def string) string {
	if s == nil {
		return def
	}
	return *s
}

func days(n int64) string {
	if n < 0 {
		return ""
	}
	return format(n)
}

func format(n int64) string { return strconv.FormatInt(n, 10) }

func parseID(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is not the number of a user or group", quote(s))
	}
	return int64(n), nil
}
