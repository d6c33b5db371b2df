package catalog_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

var _ manifest.Catalog = (*catalog.Catalog)(nil)

var kinds = []module.Kind{module.Stage, module.Assembler}

// compile compiles the schema of a module.
func compile(t *testing.T, c *catalog.Catalog, kind module.Kind, name string) *jsonschema.Schema {
	t.Helper()
	data, ok := c.Schema(kind, name)
	if !ok || len(data) < 10 {
		t.Fatalf("%s %s has no schema; run \"go generate ./...\"", kind, name)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("s.json", doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s, err := compiler.Compile("s.json")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// validate returns what is wrong with options: by the schema, else by Check.
func validate(t *testing.T, c *catalog.Catalog, kind module.Kind, name, options string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(options))
	if err != nil {
		t.Fatalf("%s: %s: %v", name, options, err)
	}
	return compile(t, c, kind, name).Validate(v)
}

func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range kinds {
		for _, name := range c.Names(kind) {
			example, ok := c.Example(kind, name)
			if !ok {
				t.Errorf("%s %s has no example", kind, name)
				continue
			}
			if err := validate(t, c, kind, name, string(example)); err != nil {
				t.Errorf("the example of %s: %v", name, err)
			}
			for _, p := range c.Check(kind, name, example) {
				t.Errorf("the example of %s: %s: %s", name, p.Pointer, p.Message)
			}
			in := module.Input{Options: example}
			if err := in.DecodeOptions(c.Module(kind, name).Options()); err != nil {
				t.Errorf("the example of %s: %v", name, err)
			}
		}
	}
}

func TestSchemasAcceptAndReject(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	const uuid = `"76a22bf4-f153-4541-b6c7-0332c0dfaeac"`
	for _, x := range []struct {
		name, options string
		ok            bool
	}{
		{"org.osbuild.hostname", `{"hostname": "a"}`, true},
		{"org.osbuild.hostname", `{}`, false},
		{"org.osbuild.hostname", `{"hostname": "a", "x": 1}`, false},
		{"org.osbuild.hostname", `{"hostname": "a_b"}`, false},
		{"org.osbuild.noop", `{"x": [1]}`, true},
		{"org.osbuild.noop", `[]`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "path": "/", "freq": "0", "passno": 1}]}`, true},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "label": "l", "path": "/"}]}`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"path": "/"}]}`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u"}]}`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "path": "/", "freq": "x"}]}`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "path": "/", "freq": -1}]}`, false},
		{"org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "path": "/", "fsck": 1}]}`, false},
		{"org.osbuild.grub2", `{"root_fs_uuid": ` + uuid + `}`, true},
		{"org.osbuild.grub2", `{"rootfs": {"uuid": ` + uuid + `}, "legacy": "i386-pc"}`, true},
		{"org.osbuild.grub2", `{"rootfs": {"label": "x"}, "legacy": true}`, true},
		{"org.osbuild.grub2", `{"rootfs": {"label": "x"}, "legacy": 1}`, false},
		{"org.osbuild.grub2", `{"rootfs": {"label": "x"}, "root_fs_uuid": ` + uuid + `}`, false},
		{"org.osbuild.grub2", `{"root_fs_uuid": "x"}`, false},
		{"org.osbuild.grub2", `{"root_fs_uuid": ` + uuid + `, "compat_version": 3}`, false},
		{"org.osbuild.grub2", `{"root_fs_uuid": ` + uuid + `, "uefi": {}}`, false},
		{"org.osbuild.grub2", `{"root_fs_uuid": ` + uuid + `, "config": {"timeout_style": "x"}}`, false},
		{"org.osbuild.systemd", `{}`, true},
		{"org.osbuild.systemd", `{"enabled_services": "x"}`, false},
		{"org.osbuild.users", `{"users": {"a": {"uid": "5", "gid": 5, "groups": []}}}`, true},
		{"org.osbuild.users", `{"users": {"a": {"gid": "wheel"}}}`, true},
		{"org.osbuild.users", `{"users": {"a b": {}}}`, false},
		{"org.osbuild.users", `{"users": {"a": {"groups": "wheel"}}}`, false},
		{"org.osbuild.users", `{"users": {"a": {"usr": 1}}}`, false},
		{"org.osbuild.test", `{"script": ""}`, false},
	} {
		if err := validate(t, c, module.Stage, x.name, x.options); (err == nil) != x.ok {
			t.Errorf("%s: %s: error %v, want valid: %t", x.name, x.options, err, x.ok)
		}
	}
}

func TestLookups(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range kinds {
		names := c.Names(kind)
		if !slices.IsSorted(names) || !slices.Contains(names, "org.osbuild.noop") {
			t.Errorf("%s: %q", kind, names)
		}
		if m := c.Module(kind, "org.osbuild.noop"); m == nil || m.Kind != kind {
			t.Errorf("the %s org.osbuild.noop is %+v", kind, m)
		}
	}
	if _, ok := c.Schema(module.Assembler, "org.osbuild.hostname"); ok {
		t.Error("a stage is found as an assembler")
	}
	if c.Module(module.Stage, "no") != nil || c.Check(module.Stage, "no", nil) != nil {
		t.Error("a module that does not exist is found")
	}
	if got := c.Check(module.Stage, "org.osbuild.hostname", json.RawMessage(`{"hostname": "-"}`)); len(got) != 1 || got[0].Pointer != "/hostname" {
		t.Errorf("Check: %+v", got)
	}
	for _, p := range catalog.Packages() {
		for _, m := range p.Modules() {
			if m.Internal() && slices.Contains(c.Names(m.Kind), m.Name) {
				t.Errorf("%s is internal and listed", m.Name)
			}
			if c.Module(m.Kind, m.Name) == nil {
				t.Errorf("%s is not found", m.Name)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	const want = `org.osbuild.hostname (stage)

  Set the name of the system.

  Sandbox: edit. It works on the files of the tree alone and needs no build
  root.

Options:
  hostname (string, required)
      The name of the system, such as web1 or web1.example.org: labels of
      letters, digits and hyphens, joined by dots, 64 bytes at most. Where
      nothing else resolves it, as in Debian, it is entered in /etc/hosts as
      well. Packages that take the name when they are installed, such as
      postfix, see it if the stage stands before theirs.
      Limits: from 1 to 64 characters; like
      ^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$

Example:
  {
    "name": "org.osbuild.hostname",
    "options": {"hostname": "web1.example.org"}
  }
`
	got, err := c.Describe(module.Stage, "org.osbuild.hostname")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	for _, part := range []string{
		"  filesystems (list of objects, required)\n",
		"  filesystems[].uuid (string, this or device or label or partlabel)\n",
		"  filesystems[].freq (integer or string)\n",
		"  filesystems[].options (string, default defaults)\n",
	} {
		if got, err := c.Describe(module.Stage, "org.osbuild.fstab"); err != nil || !strings.Contains(got, part) {
			t.Errorf("no %q in (%v)\n%s", part, err, got)
		}
	}
	if got, _ := c.Describe(module.Stage, "org.osbuild.users"); !strings.Contains(got, "users.NAME.shell (string)") {
		t.Errorf("the options of a user are not described:\n%s", got)
	}
	if _, err := c.Describe(module.Stage, "org.osbuild.hostnam"); err == nil || !strings.Contains(err.Error(), "org.osbuild.hostname") {
		t.Errorf("unknown stage: %v", err)
	}
	for _, kind := range kinds {
		for _, name := range c.Names(kind) {
			text, err := c.Describe(kind, name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for line := range strings.SplitSeq(text[:strings.Index(text+"\nExample:", "\nExample:")], "\n") {
				if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s: a line of over 80 columns: %q", name, line)
				}
			}
		}
	}
}

func TestNoExampleWithoutModule(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range kinds {
		files, err := fs.Glob(catalog.ExampleFiles, "examples/"+string(kind)+"/*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			name := strings.TrimSuffix(f[strings.LastIndex(f, "/")+1:], ".json")
			if _, ok := c.Example(kind, name); !ok {
				t.Errorf("%s is an example of nothing", f)
			}
		}
	}
}
