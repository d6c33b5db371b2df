package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/selabel"
	"github.com/osbuildkit/osbuildkit/tree"
)

// SELinuxOptions are the options of org.osbuild.selinux.
type SELinuxOptions struct {
	// The policy's file with the labels of paths, in the tree, such as
	// etc/selinux/targeted/contexts/files/file_contexts. Those beside it that
	// end in .homedirs, .local, .subs and .subs_dist are used with it.
	FileContexts string `json:"file_contexts,omitempty"`
	// The file or directory that is labelled, with all that is below it.
	Target string `json:"target,omitempty" jsonschema:"default=tree:///,pattern=^tree:///"`
	// Paths that the policy gives no label, nor what is below them. They are
	// seen from the target.
	ExcludePaths []string `json:"exclude_paths,omitempty"`
	// Labels by absolute path, for files to which the policy gives a wrong
	// one. Links are followed inside the tree; each path must exist.
	Labels Labels `json:"labels,omitempty"`
	// Whether the system labels all files again when it boots first.
	ForceAutorelabel bool `json:"force_autorelabel,omitempty" jsonschema:"default=false"`
}

// Labels maps absolute paths to labels.
type Labels map[string]string

// KeyPattern returns the pattern of the paths.
func (Labels) KeyPattern() string { return `^(tree://)?/` }

// selinuxStage gives files the labels that the policy in the tree has for
// them, those that setfiles would set. They are worked out here and written to
// the ledger, and from there into the image: no program of the build root is
// needed, and the kernel below the build needs to know nothing of the policy.
// Differences to osbuild and setfiles:
//
//   - A compiled policy beside file_contexts (.bin) is not looked at: it says
//     the same.
//   - All names of a file with hard links get one label: that of the first
//     name, sorted, for which the policy has one. setfiles takes the first one
//     that the directory happens to list.
//   - The file .autorelabel gets its label too.
//   - Of the expressions that match the last one counts, as setfiles(8) says
//     and libselinux did before 3.8, which sorts them itself. The files that
//     libsemanage writes are sorted with the same aim.
//   - A specification that stands there twice is no error.
//   - Targets are in the tree; there are no mounts yet.
var selinuxStage = module.Module{
	Name:    "org.osbuild.selinux",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Summary: "give files their SELinux labels",
	Options: optionsOf[SELinuxOptions],
	Check:   checkOf[SELinuxOptions],
	Run:     runOf(runSELinux),
}

// treeURL begins a path in the tree.
const treeURL = "tree://"

func (o *SELinuxOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(at, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	if o.FileContexts == "" && len(o.Labels) == 0 {
		bad("", "give \"file_contexts\", the policy's file, or \"labels\", or both")
	}
	if strings.Contains(strings.TrimPrefix(o.FileContexts, treeURL+"/"), "://") || hasControl(o.FileContexts) {
		bad("/file_contexts", "%s is not a path in the tree", quote(o.FileContexts))
	}
	if o.Target != "" && !strings.HasPrefix(o.Target, treeURL+"/") || hasControl(o.Target) {
		bad("/target", "%s is not of the form tree:///PATH; the tree alone can be labelled", quote(o.Target))
	}
	for i, name := range o.ExcludePaths {
		if name == "" || hasControl(name) {
			bad(fmt.Sprintf("/exclude_paths/%d", i), "%s is not a path", quote(name))
		}
	}
	for name, label := range o.Labels {
		at := "/labels/" + escapePointer(name)
		if !strings.HasPrefix(strings.TrimPrefix(name, treeURL), "/") || strings.ContainsRune(name, 0) {
			bad(at, "%s is not an absolute path", quote(name))
		}
		if !isLabel(label) {
			bad(at, "%s is not a label, such as system_u:object_r:etc_t:s0", quote(label))
		}
	}
	return sortProblems(problems)
}

// isLabel reports whether a text has the form of a label: user, role, type,
// and perhaps a level.
func isLabel(s string) bool {
	parts := strings.SplitN(s, ":", 4)
	return len(parts) >= 3 && !slices.Contains(parts, "") && len(s) < maxXAttr && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// autorelabelFile makes the system label all files when it boots. Its text
// asks for the whole label, and not the type alone, to be set.
const autorelabelFile, autorelabelText = ".autorelabel", "-F"

func runSELinux(in *module.Input, t *tree.Root, o *SELinuxOptions) error {
	if in.Ledger == "" {
		return errors.New("the contract names no \"ledger\", the directory to which labels are written")
	}
	l, err := ledger.Load(in.Ledger)
	if err != nil {
		return err
	}
	target, err := t.Resolve(strings.TrimPrefix(o.Target, treeURL), true)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if _, err := t.Lstat(target); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	w := &labeller{t: t, l: l}
	stamp := path.Join(target, autorelabelFile)
	var stampLabel string
	if o.FileContexts != "" {
		if w.policy, err = readPolicy(t, strings.TrimPrefix(o.FileContexts, treeURL)); err != nil {
			return fmt.Errorf("file_contexts: %w", err)
		}
		if err := w.labelAll(target, excluded(target, o.ExcludePaths)); err != nil {
			return err
		}
		in.Logf("%d files have a label, %d have none by the policy", w.labelled, w.unlabelled)
		if stampLabel, _, err = w.policy.Lookup("/"+stamp, 0); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		if err := w.override(strings.TrimPrefix(name, treeURL), o.Labels[name]); err != nil {
			return fmt.Errorf("labels: %s: %w", name, err)
		}
	}
	if o.ForceAutorelabel {
		if err := writable(t, stamp); err != nil {
			return err
		}
		if err := writeFile(in, t, stamp, []byte(autorelabelText), 0o644); err != nil {
			return err
		}
		if isLabel(stampLabel) {
			if err := w.set(stamp, stampLabel); err != nil {
				return err
			}
		}
	}
	return l.Save(in.Ledger, in.Time())
}

// readPolicy reads file_contexts and what belongs to it.
func readPolicy(t *tree.Root, name string) (*selabel.Policy, error) {
	main, err := t.ReadText(name, tree.MaxConfig)
	if err != nil {
		return nil, err
	}
	name = path.Clean("/" + name)
	more := map[string]selabel.File{}
	for _, end := range []string{".homedirs", ".local", ".subs", ".subs_dist"} {
		data, _, err := readOptional(t, name+end)
		if err != nil {
			return nil, err
		}
		more[end] = selabel.File{Name: name + end, Data: data}
	}
	files := []selabel.File{{Name: name, Data: main}, more[".homedirs"], more[".local"]}
	return selabel.Parse(files, more[".subs"], more[".subs_dist"])
}

// excluded returns paths below target as the walk gives them.
func excluded(target string, names []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		rel := strings.TrimPrefix(path.Join("/", target, name), "/")
		if rel == "" {
			rel = "."
		}
		out[rel] = true
	}
	return out
}

// labeller writes labels to a ledger.
type labeller struct {
	t                    *tree.Root
	l                    *ledger.Ledger
	policy               *selabel.Policy
	labelled, unlabelled int
	// links are the files with several names, by their inodes. Those that are
	// not below the target are found when they are needed.
	links map[inode]*linkedFile
}

type inode struct{ device, number uint64 }

type linkedFile struct {
	names []string
	label string
}

// inodeOf returns the inode of a file that has several names.
func inodeOf(st fs.FileInfo) (inode, bool) {
	sys, ok := st.Sys().(*unix.SysStat)
	if !ok || st.IsDir() || sys.Nlink < 2 {
		return inode{}, false
	}
	return inode{uint64(sys.Dev), sys.Ino}, true
}

// set notes a label as the kernel keeps it, with a NUL byte at its end.
func (w *labeller) set(rel, label string) error {
	return w.l.Set(rel, ledger.Label, []byte(label+"\x00"))
}

// labelAll gives target and all below it the labels of the policy.
func (w *labeller) labelAll(target string, exclude map[string]bool) error {
	// A path of the target itself may have been excluded, or one above it.
	for rel := target; ; rel = path.Dir(rel) {
		if exclude[rel] {
			return nil
		}
		if rel == "." {
			break
		}
	}
	w.links = map[inode]*linkedFile{}
	st, err := w.t.Lstat(target)
	if err != nil {
		return err
	}
	if err := w.label(target, fs.FileInfoToDirEntry(st)); err != nil || !st.IsDir() {
		return err
	}
	err = w.t.Walk(target, func(rel string, d fs.DirEntry) error {
		if !exclude[rel] {
			return w.label(rel, d)
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range w.links {
		for _, name := range f.names {
			if f.label == "" {
				continue
			}
			if err := w.set(name, f.label); err != nil {
				return err
			}
		}
	}
	w.links = nil
	return nil
}

// label gives one file the label of the policy, or notes it if the file has
// more names.
func (w *labeller) label(rel string, d fs.DirEntry) error {
	name := path.Join("/", rel)
	label, ok, err := w.policy.Lookup(name, d.Type())
	if err != nil {
		return err
	}
	if ok && !isLabel(label) {
		return fmt.Errorf("%s: the policy has the label %s, which is none", name, quote(label))
	}
	if ok {
		w.labelled++
	} else {
		w.unlabelled++
	}
	if !d.IsDir() {
		st, err := d.Info()
		if err != nil {
			return err
		}
		if id, linked := inodeOf(st); linked {
			f := w.links[id]
			if f == nil {
				f = &linkedFile{}
				w.links[id] = f
			}
			f.names = append(f.names, rel)
			if f.label == "" {
				f.label = label
			}
		}
	}
	if d.IsDir() {
		if err := w.labelLost(rel); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	return w.set(rel, label)
}

const (
	lostAndFound = "lost+found"
	// maxMountDepth is how deep a mount point may lie for the policy to say
	// something special about it.
	maxMountDepth = 3
)

// labelLost gives the directory that ext4 makes in its root a label, if the
// policy has one for it and not just for anything in that place: the tree does
// not have the directory, and the assembler knows nothing of policies.
func (w *labeller) labelLost(rel string) error {
	name := path.Join("/", rel)
	if name != "/" && strings.Count(name, "/") > maxMountDepth {
		return nil
	}
	label, ok, err := w.policy.Lookup(path.Join(name, lostAndFound), fs.ModeDir)
	if err != nil || !ok || !isLabel(label) {
		return err
	}
	anything, _, err := w.policy.Lookup(path.Join(name, "lost-found"), fs.ModeDir)
	if err != nil || anything == label {
		return err
	}
	return w.set(path.Join(rel, lostAndFound), label)
}

// override gives a file the label that the options have for it, by all of its
// names.
func (w *labeller) override(name, label string) error {
	rel, err := w.t.Resolve(name, true)
	if err != nil {
		return err
	}
	st, err := w.t.Lstat(rel)
	if missing(err) {
		return errors.New("there is no such file in the tree")
	}
	if err != nil {
		return err
	}
	names := []string{rel}
	if id, linked := inodeOf(st); linked {
		if err := w.findLinks(); err != nil {
			return err
		}
		names = w.links[id].names
	}
	for _, name := range names {
		if err := w.set(name, label); err != nil {
			return err
		}
	}
	return nil
}

// findLinks finds all files with several names in the whole tree.
func (w *labeller) findLinks() error {
	if w.links != nil {
		return nil
	}
	w.links = map[inode]*linkedFile{}
	return w.t.Walk("/", func(rel string, d fs.DirEntry) error {
		if d.IsDir() {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if id, linked := inodeOf(st); linked {
			if w.links[id] == nil {
				w.links[id] = &linkedFile{}
			}
			w.links[id].names = append(w.links[id].names, rel)
		}
		return nil
	})
}
