package stages

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// AttributesOptions are the options of org.osbuildkit.attributes.
type AttributesOptions struct {
	// What is changed, by the absolute path in the tree. Paths are worked on
	// in their order by name, so that one below a recursive one has the last
	// word. Links are followed inside the tree; each path must exist.
	Paths AttributePaths `json:"paths" jsonschema:"required"`
}

// AttributePaths maps absolute paths to what is changed there.
type AttributePaths map[string]FileAttributes

// KeyPattern returns the pattern of the paths.
func (AttributePaths) KeyPattern() string { return `^/` }

// FileAttributes is what is changed of one file or directory. What is not
// named stays as it is.
type FileAttributes struct {
	// The permissions as three or four octal digits, such as 0640 or 2755.
	Mode string `json:"mode,omitempty" jsonschema:"pattern=^[0-7]?[0-7][0-7][0-7]$"`
	// The user who owns the file, by number or by a name in the tree's etc/passwd.
	User *OwnerRef `json:"user,omitempty"`
	// The group of the file, by number or by a name in the tree's etc/group.
	Group *OwnerRef `json:"group,omitempty"`
	// Extended attributes by name: names that begin with user., trusted. or
	// security. A value is a text, or {"base64": "…"} for any bytes, or null to
	// remove the attribute.
	XAttrs XAttrs `json:"xattrs,omitempty"`
	// The access control list as setfacl(1) takes it, such as
	// "u:www-data:r--,g:adm:r--". What it does not say of owner, group and
	// others is taken from the mode, and the mask is made if there is none. An
	// empty text removes the list.
	ACL *string `json:"acl,omitempty"`
	// The access control list that files made in this directory get, in the
	// same form. An empty text removes it.
	DefaultACL *string `json:"default_acl,omitempty"`
	// The capabilities that a program gets, as setcap(8) takes them, such as
	// "cap_net_bind_service+ep". An empty text removes them.
	Capabilities *string `json:"capabilities,omitempty"`
	// Whether owner, group, attributes and lists are given to all below a
	// directory too: each to what can have it, so that links and devices get
	// no list and files no default list.
	Recursive bool `json:"recursive,omitempty" jsonschema:"default=false"`
}

// OwnerRef is the number or the name of a user or a group.
type OwnerRef string

// JSONSchemaText returns the JSON schema of an OwnerRef.
func (OwnerRef) JSONSchemaText() string { return GroupRef("").JSONSchemaText() }

// UnmarshalJSON reads a number or a name.
func (o *OwnerRef) UnmarshalJSON(data []byte) error { return (*GroupRef)(o).UnmarshalJSON(data) }

// XAttrs maps the names of extended attributes to their values.
type XAttrs map[string]XAttr

// KeyPattern returns the pattern of the names.
func (XAttrs) KeyPattern() string { return `^(user|trusted|security)\.` }

// XAttr is the value of an extended attribute, or says that there is to be
// none.
type XAttr struct {
	// Remove is true for null.
	Remove bool
	// Value is the value in bytes.
	Value []byte
}

// JSONSchemaText returns the JSON schema of an XAttr.
func (XAttr) JSONSchemaText() string {
	return `{"type": ["string", "object", "null"], "properties": {"base64": {"type": "string", "description": "The bytes of the value in base64."}}, "required": ["base64"], "additionalProperties": false}`
}

// UnmarshalJSON reads a text, bytes in base64, or null.
func (x *XAttr) UnmarshalJSON(data []byte) error {
	*x = XAttr{}
	switch {
	case string(data) == "null":
		x.Remove = true
		return nil
	case len(data) > 0 && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		x.Value = []byte(text)
		return nil
	}
	var o struct {
		Base64 *string `json:"base64"`
	}
	in := module.Input{Options: data}
	if err := in.DecodeOptions(&o); err != nil || o.Base64 == nil {
		return errors.New("the value of an attribute is a text, {\"base64\": \"…\"} or null")
	}
	var err error
	if x.Value, err = base64.StdEncoding.Strict().DecodeString(*o.Base64); err != nil {
		return fmt.Errorf("not base64: %w", err)
	}
	return nil
}

// attributesStage sets modes, owners, extended attributes, access control
// lists and capabilities. Attributes and lists are written to the ledger and
// from there into the image, and never to the builder's disk, which takes
// privilege for some and loses all of them in a cache. So a later stage does
// not see them. A tree that leaves as an archive or as a container image does
// not have them. Capabilities stand on the file itself, as every form keeps
// them.
var attributesStage = module.Module{
	Name:    "org.osbuildkit.attributes",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Summary: "set modes, owners, extended attributes, access control lists and capabilities",
	Options: optionsOf[AttributesOptions],
	Check:   checkOf[AttributesOptions],
	Run:     runOf(runAttributes),
}

func (o *AttributesOptions) check() []module.Problem {
	var problems []module.Problem
	for _, name := range slices.Sorted(maps.Keys(o.Paths)) {
		f := o.Paths[name]
		at := "/paths/" + escapePointer(name)
		bad := func(key, format string, args ...any) {
			problems = append(problems, module.Problem{Pointer: at + key, Message: fmt.Sprintf(format, args...)})
		}
		if !strings.HasPrefix(name, "/") || path.Clean(name) != name || strings.ContainsRune(name, 0) {
			bad("", "%s is not an absolute path in its shortest form, such as %s", quote(name), quote(path.Clean("/"+strings.ReplaceAll(name, "\x00", ""))))
		}
		f.check(bad)
	}
	return sortProblems(problems)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func escapePointer(s string) string { return pointerEscapes.Replace(s) }

func (f *FileAttributes) check(bad func(key, format string, args ...any)) {
	if f.Mode != "" {
		if _, err := parseMode(f.Mode); err != nil {
			bad("/mode", "%v", err)
		}
	}
	for key, ref := range map[string]*OwnerRef{"/user": f.User, "/group": f.Group} {
		checkOwner(ref, func(text string) { bad(key, "%s", text) })
	}
	for name, x := range f.XAttrs {
		at := "/xattrs/" + escapePointer(name)
		switch {
		case name == ledger.Capability:
			bad(at, "use \"capabilities\" for this attribute")
		case name == ledger.AccessACL || name == ledger.DefaultACL:
			bad(at, "use \"acl\" or \"default_acl\" for this attribute")
		case !ledger.Carried(name):
			bad(at, "%s is not the name of an attribute: it begins with user., trusted. or security. and has up to 255 bytes", quote(name))
		case len(x.Value) > maxXAttr:
			bad(at, "the value has %d bytes, and a file system keeps at most %d", len(x.Value), maxXAttr)
		}
	}
	for key, text := range map[string]*string{"/acl": f.ACL, "/default_acl": f.DefaultACL} {
		if text != nil {
			if _, err := parseACL(*text); err != nil {
				bad(key, "%v", err)
			}
		}
	}
	if f.Capabilities != nil {
		if _, err := parseCapabilities(*f.Capabilities); err != nil {
			bad("/capabilities", "%v", err)
		}
	}
	if f.Recursive && (f.Mode != "" || f.Capabilities != nil) {
		bad("/recursive", "mode and capabilities are not given to all below a directory: name the files")
	}
}

// checkOwner reports an owner that is neither a number nor a name.
func checkOwner(ref *OwnerRef, bad func(text string)) {
	if ref == nil {
		return
	}
	if n, err := strconv.ParseUint(string(*ref), 10, 64); err == nil && n > maxID {
		bad(fmt.Sprintf("%d is too large", n))
	} else if err != nil && !userName.MatchString(string(*ref)) {
		bad(quote(string(*ref)) + " is neither a number nor a name")
	}
}

// maxXAttr is what fits into the one block that ext4 has for attributes.
const maxXAttr = 4096 - 32 - 4 - 20

func parseMode(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 8, 16)
	if err != nil || len(text) < 3 || len(text) > 4 {
		return 0, fmt.Errorf("%s is not a mode: write three or four octal digits", quote(text))
	}
	return uint32(n), nil
}

func runAttributes(in *module.Input, t *tree.Root, o *AttributesOptions) error {
	l, err := ledger.Load(in.Ledger)
	if err != nil {
		return err
	}
	ids, err := readIDs(t)
	if err != nil {
		return err
	}
	// All is worked out before the first change.
	var changes []attributeChange
	for _, name := range slices.Sorted(maps.Keys(o.Paths)) {
		f := o.Paths[name]
		if in.Ledger == "" && (len(f.XAttrs) > 0 || f.ACL != nil || f.DefaultACL != nil) {
			return errors.New("the contract names no \"ledger\", the directory to which attributes and access control lists are written")
		}
		list, err := planAttributes(t, ids, name, &f)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		changes = append(changes, list...)
	}
	for _, c := range changes {
		if err := c.apply(t, l); err != nil {
			return fmt.Errorf("/%s: %w", c.rel, err)
		}
	}
	if in.Ledger == "" {
		return nil
	}
	return l.Save(in.Ledger, in.Time())
}

// attributeChange is what is done to one file.
type attributeChange struct {
	rel      string
	f        *FileAttributes
	acl      []aclEntry
	defaults []aclEntry
	uid, gid int // -1 leaves it
}

// planAttributes finds the files that a path stands for.
func planAttributes(t *tree.Root, ids *idTables, name string, f *FileAttributes) ([]attributeChange, error) {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return nil, err
	}
	st, err := t.Lstat(rel)
	if missing(err) {
		return nil, errors.New("there is no such file in the tree")
	}
	if err != nil {
		return nil, err
	}
	c := attributeChange{rel: rel, f: f, uid: -1, gid: -1}
	if f.User != nil {
		if c.uid, err = ids.user(string(*f.User)); err != nil {
			return nil, err
		}
	}
	if f.Group != nil {
		if c.gid, err = ids.group(string(*f.Group)); err != nil {
			return nil, err
		}
	}
	if f.ACL != nil {
		if c.acl, err = ids.acl(*f.ACL); err != nil {
			return nil, fmt.Errorf("acl: %w", err)
		}
	}
	if f.DefaultACL != nil {
		if c.defaults, err = ids.acl(*f.DefaultACL); err != nil {
			return nil, fmt.Errorf("default_acl: %w", err)
		}
	}
	if err := c.possible(st.Mode()); err != nil {
		return nil, err
	}
	changes := []attributeChange{c}
	if !f.Recursive || !st.IsDir() {
		return changes, nil
	}
	err = t.Walk(rel, func(below string, _ fs.DirEntry) error {
		c.rel = below
		changes = append(changes, c)
		return nil
	})
	return changes, err
}

// possible reports what the named file cannot have.
func (c *attributeChange) possible(mode fs.FileMode) error {
	if c.f.DefaultACL != nil && !mode.IsDir() {
		return errors.New("only a directory has a default access control list")
	}
	if c.f.Capabilities != nil && !mode.IsRegular() {
		return errors.New("only a regular file has capabilities")
	}
	for name := range c.f.XAttrs {
		if strings.HasPrefix(name, "user.") && !mode.IsRegular() && !mode.IsDir() {
			return fmt.Errorf("only regular files and directories have attributes such as %s", name)
		}
	}
	return nil
}

// apply changes one file. A file that cannot have an attribute, which the
// author has not named by itself, is passed.
func (c *attributeChange) apply(t *tree.Root, l *ledger.Ledger) error {
	st, err := t.Lstat(c.rel)
	if err != nil {
		return err
	}
	mode, err := c.applyToTree(t, st)
	if err != nil {
		return err
	}
	plain := st.Mode().IsRegular() || st.IsDir()
	for _, name := range slices.Sorted(maps.Keys(c.f.XAttrs)) {
		x := c.f.XAttrs[name]
		switch {
		case strings.HasPrefix(name, "user.") && !plain:
		case x.Remove:
			l.Unset(c.rel, name)
		default:
			if err := l.Set(c.rel, name, x.Value); err != nil {
				return err
			}
		}
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	if c.f.DefaultACL != nil && st.IsDir() {
		if err := setACL(l, c.rel, ledger.DefaultACL, completeACL(c.defaults, mode)); err != nil {
			return err
		}
	}
	if c.f.ACL == nil {
		return nil
	}
	// The group's bits of a file with a list are its mask, unless the author
	// has just said what they are.
	group := mode >> 3
	if c.f.Mode == "" {
		group = groupPerm(mode, l.Lookup(c.rel)[ledger.AccessACL])
	}
	before := mode&^0o70 | group&7<<3
	full := completeACL(c.acl, before)
	if err := setACL(l, c.rel, ledger.AccessACL, full); err != nil {
		return err
	}
	if after := aclMode(full, before); after != mode {
		return t.Chmod(c.rel, fileMode(after))
	}
	return nil
}
