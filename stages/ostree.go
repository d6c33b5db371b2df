package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// OSTreeOptions are the options of org.osbuild.ostree.
type OSTreeOptions struct {
	// The commit, under which the manifest's sources say where it is fetched.
	Commit string `json:"commit" jsonschema:"required,pattern=^[0-9a-f]{64}$"`
	// The name of the operating system: that of the directory below
	// ostree/deploy.
	OSName string `json:"osname" jsonschema:"required,pattern=^[A-Za-z0-9_.-]+$"`
	// A name that the commit gets in the system, by which it is updated.
	Ref string `json:"ref,omitempty"`
	// The root file system, for the kernel's command line.
	RootFS *OSTreeRootFS `json:"rootfs,omitempty"`
	// What else stands in the kernel's command line.
	KernelOpts []string `json:"kernel_opts,omitempty"`
	// Directories on which other file systems will be mounted. They are made.
	Mounts []OSTreeMount `json:"mounts,omitempty"`
	// Where the system looks for updates.
	Remotes []OSTreeRemote `json:"remotes,omitempty"`
	// Whether the directories in var that the system's tmpfiles.d ask for are
	// made now, instead of at the first boot.
	PopulateVar bool `json:"populate_var,omitempty" jsonschema:"default=false"`
}

// OSTreeRootFS names a file system by its UUID or its label.
type OSTreeRootFS struct {
	// The UUID of the file system.
	UUID string `json:"uuid,omitempty" jsonschema:"oneof_required=uuid,minLength=1"`
	// The label of the file system.
	Label string `json:"label,omitempty" jsonschema:"oneof_required=label,minLength=1"`
}

// OSTreeMount is a directory that is mounted on.
type OSTreeMount struct {
	// The path of the directory.
	Path string `json:"path" jsonschema:"required,pattern=^/"`
	// Its mode, as a decimal number as JSON has no other: 493 is 0755.
	Mode *Number `json:"mode,omitempty" jsonschema:"default=493"`
}

// OSTreeRemote is a repository that commits come from.
type OSTreeRemote struct {
	// Its name in the system.
	Name string `json:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.-]+$"`
	// Its address.
	URL string `json:"url" jsonschema:"required,pattern=^(https?|file)://"`
	// The references that are fetched without being named.
	Branches []string `json:"branches,omitempty"`
	// The public keys that may sign commits, as armored text. Without them
	// signatures are not looked at.
	GPGKeys []string `json:"gpgkeys,omitempty"`
}

// ostreeStage deploys a commit: the tree becomes the physical root of a system
// that OSTree boots. The commit is fetched in a step of its own, which has the
// network; OSTree verifies that everything in it is what its checksum says.
// Decided otherwise than with osbuild, which has given up the stage:
//
//   - "mounts" are made as directories and not mounted: all of the tree is one
//     file system here until the assembler splits it.
//   - The files in var get no labels of their own: org.osbuild.selinux after
//     this stage gives them to all files.
//   - systemd-tmpfiles, for "populate_var", works on the deployment with the
//     state's var moved into it.
var ostreeStage = module.Module{
	Name:    "org.osbuild.ostree",
	Kind:    module.Stage,
	Sandbox: module.Tools,
	Group:   module.GroupStages,
	Summary: "deploy a commit of OSTree",
	Options: optionsOf[OSTreeOptions],
	Check:   checkOf[OSTreeOptions],
	Run:     toolOf(runOSTree),
}

var (
	ostreeName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	ostreeRef  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)
	commitForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (o *OSTreeOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(at, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	if !commitForm.MatchString(o.Commit) {
		bad("/commit", "%s is not a commit: give all its 64 hex digits", quote(o.Commit))
	}
	if !ostreeName.MatchString(o.OSName) || strings.Trim(o.OSName, ".") == "" || strings.HasPrefix(o.OSName, "-") {
		bad("/osname", "%s cannot be the name of a directory: use letters, digits, hyphens, dots and underlines, and no hyphen first", quote(o.OSName))
	}
	if o.Ref != "" && !ostreeRef.MatchString(o.Ref) {
		bad("/ref", "%s is not a reference, such as fedora/39/x86_64/iot", quote(o.Ref))
	}
	if r := o.RootFS; r != nil && (r.UUID == "") == (r.Label == "") {
		bad("/rootfs", "give either \"uuid\" or \"label\"")
	} else if r != nil && !isKernelWord(r.UUID+r.Label) {
		bad("/rootfs", "%s holds a character that a kernel command line cannot carry", quote(r.UUID+r.Label))
	}
	for i, k := range o.KernelOpts {
		if strings.TrimSpace(k) == "" || hasControl(k) {
			bad(fmt.Sprintf("/kernel_opts/%d", i), "%s is not an option of the kernel", quote(k))
		}
	}
	for i, m := range o.Mounts {
		if !strings.HasPrefix(m.Path, "/") || hasControl(m.Path) {
			bad(fmt.Sprintf("/mounts/%d/path", i), "%s is not an absolute path", quote(m.Path))
		}
		if m.Mode != nil && *m.Mode > 0o7777 {
			bad(fmt.Sprintf("/mounts/%d/mode", i), "%d is not a mode", *m.Mode)
		}
	}
	seen := map[string]bool{}
	for i, r := range o.Remotes {
		at := fmt.Sprintf("/remotes/%d", i)
		problems = append(problems, r.check(at)...)
		if seen[r.Name] {
			bad(at+"/name", "there is a remote %s before: give each its own name", quote(r.Name))
		}
		seen[r.Name] = true
	}
	return sortProblems(problems)
}

func (r *OSTreeRemote) check(at string) []module.Problem {
	var problems []module.Problem
	if !ostreeName.MatchString(r.Name) || strings.HasPrefix(r.Name, "-") {
		problems = append(problems, module.Problem{Pointer: at + "/name", Message: quote(r.Name) + " is not the name of a remote"})
	}
	if !isAddress(r.URL) {
		problems = append(problems, module.Problem{Pointer: at + "/url", Message: quote(r.URL) + " is not an address"})
	}
	for i, b := range r.Branches {
		if !ostreeRef.MatchString(b) {
			problems = append(problems, module.Problem{Pointer: fmt.Sprintf("%s/branches/%d", at, i), Message: quote(b) + " is not a reference"})
		}
	}
	return problems
}

var addressForm = regexp.MustCompile(`^(https?|file)://[!-~]+$`)

func isAddress(s string) bool { return addressForm.MatchString(s) }

// commitsInput is the input that holds the commit, in a repository "repo".
const commitsInput, repoDir = "commits", "repo"

func runOSTree(ctx context.Context, in *module.Input, o *OSTreeOptions) error {
	program, err := findTool(in, "ostree", "ostree")
	if err != nil {
		return err
	}
	if o.PopulateVar {
		if _, err := findTool(in, "systemd-tmpfiles", "systemd"); err != nil {
			return err
		}
	}
	dir := in.Inputs[commitsInput]
	if dir == "" {
		return fmt.Errorf("the contract names no input %q", commitsInput)
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	sysroot, repo := "--sysroot="+in.Tree, "--repo="+filepath.Join(in.Tree, "ostree/repo")
	calls := [][]string{
		{"admin", "init-fs", "--modern", in.Tree, sysroot},
		{"pull-local", repo, filepath.Join(dir, repoDir), o.Commit},
	}
	what := o.Commit
	if o.Ref != "" {
		what = o.Ref
		calls = append(calls, []string{"refs", repo, "--create=" + o.Ref, o.Commit})
	}
	calls = append(calls, []string{"admin", "os-init", sysroot, o.OSName})
	for _, args := range calls {
		if err := program.run(ctx, args...); err != nil {
			return err
		}
	}
	for _, m := range o.Mounts {
		if err := o.mountpoint(t, m); err != nil {
			return err
		}
	}
	args := []string{"admin", "deploy", sysroot, "--os=" + o.OSName}
	args = append(args, o.kernelArguments()...)
	if err := program.run(ctx, append(args, what)...); err != nil {
		return err
	}
	for _, r := range o.Remotes {
		if err := addRemote(ctx, program, repo, r.Name, r.URL, "", r.GPGKeys, r.Branches); err != nil {
			return err
		}
	}
	if o.PopulateVar {
		return o.populateVar(ctx, in, t)
	}
	return nil
}

func (o *OSTreeOptions) kernelArguments() []string {
	var args []string
	if r := o.RootFS; r != nil {
		id := "LABEL=" + r.Label
		if r.UUID != "" {
			id = "UUID=" + r.UUID
		}
		args = append(args, "--karg=root="+id)
	}
	for _, k := range o.KernelOpts {
		args = append(args, "--karg-append="+k)
	}
	return args
}

func (o *OSTreeOptions) mountpoint(t *tree.Root, m OSTreeMount) error {
	mode := fs.FileMode(0o755)
	if m.Mode != nil {
		mode = fs.FileMode(*m.Mode).Perm()
		for bit, flag := range map[Number]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
			if *m.Mode&bit != 0 {
				mode |= flag
			}
		}
	}
	if err := t.MkdirAll(m.Path, 0o755); err != nil {
		return err
	}
	return t.Chmod(m.Path, mode)
}

// addRemote adds a repository to those that another one knows.
func addRemote(ctx context.Context, program *tool, repo, name, url, contents string, keys, branches []string) (err error) {
	args := []string{"remote", "add", repo}
	if contents != "" {
		args = append(args, "--contenturl="+contents)
	}
	if len(keys) == 0 {
		args = append(args, "--no-gpg-verify")
	} else {
		f, err := os.CreateTemp("", "osbuildkit-keys-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
		_, err = f.WriteString(strings.Join(keys, "\n") + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		args = append(args, "--gpg-import="+f.Name())
	}
	return program.run(ctx, slices.Concat(args, []string{name, url}, branches)...)
}

// varDirs are the directories in var that populate_var is about.
var varDirs = []string{"home", "roothome", "opt", "srv", "usrlocal", "mnt", "media", "spool", "spool/mail"}

// populateVar has systemd-tmpfiles make directories in var of the state. The
// program sees one root only, so for its time var is inside the deployment.
func (o *OSTreeOptions) populateVar(ctx context.Context, in *module.Input, t *tree.Root) (err error) {
	tmpfiles, err := findTool(in, "systemd-tmpfiles", "systemd")
	if err != nil {
		return err
	}
	state := path.Join("ostree/deploy", o.OSName)
	deployment := path.Join(state, "deploy", o.Commit+".0")
	inner, outer := path.Join(deployment, "var"), path.Join(state, "var")
	for _, dir := range []string{"lib", "log"} {
		if err := t.MkdirAll(path.Join(outer, dir), 0o755); err != nil {
			return err
		}
	}
	// What the commit has in var stays in the deployment, where it is hidden.
	kept := path.Join(state, ".osbuildkit-kept-var")
	if err := t.Rename(inner, kept); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Rename(kept, inner)) }()
	if err := t.Rename(outer, inner); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Rename(inner, outer)) }()
	args := []string{"--create", "--boot", "--root=" + filepath.Join(in.Tree, deployment)}
	for _, dir := range varDirs {
		ok, err := t.Exists(path.Join(inner, dir))
		if err != nil {
			return err
		}
		if !ok {
			args = append(args, "--prefix=/var/"+dir)
		}
	}
	if len(args) == 3 {
		return nil
	}
	err = tmpfiles.run(ctx, args...)
	// 65 and 73: some lines could not be understood or applied.
	if code := command.ExitCode(err); code == 65 || code == 73 {
		return nil
	}
	return err
}
