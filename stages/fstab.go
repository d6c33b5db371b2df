package stages

import (
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// FstabOptions are the options of org.osbuild.fstab.
type FstabOptions struct {
	// The file systems, in the order in which they are written. With an empty
	// list the file becomes empty.
	Filesystems []Filesystem `json:"filesystems" jsonschema:"required"`
	// Where the file is written if the tree is the physical root of a system
	// that OSTree boots: into the etc of a deployment.
	OSTree *FstabOSTree `json:"ostree,omitempty"`
}

// FstabOSTree says which deployment of OSTree is meant.
type FstabOSTree struct {
	// The deployment.
	Deployment OSTreeDeployment `json:"deployment" jsonschema:"required"`
}

// OSTreeDeployment names a deployment by the commit that it is of.
type OSTreeDeployment struct {
	// The name of the operating system.
	OSName string `json:"osname,omitempty" jsonschema:"pattern=^[A-Za-z0-9_.-]+$"`
	// The reference of the commit, or the commit itself.
	Ref string `json:"ref,omitempty"`
	// The number of the deployment, if the commit is deployed more than once.
	Serial Number `json:"serial,omitempty"`
	// Whether the only deployment of the tree is meant, instead of a named one.
	Default bool `json:"default,omitempty" jsonschema:"default=false"`
}

// Filesystem is one line of etc/fstab. Exactly one of device, uuid, label and
// partlabel says what is mounted.
type Filesystem struct {
	// The device file, or any other text that mount(8) takes, such as tmpfs.
	Device string `json:"device,omitempty" jsonschema:"oneof_required=device,minLength=1"`
	// The UUID of the file system.
	UUID string `json:"uuid,omitempty" jsonschema:"oneof_required=uuid,minLength=1"`
	// The label of the file system.
	Label string `json:"label,omitempty" jsonschema:"oneof_required=label,minLength=1"`
	// The name of the partition in a GPT.
	PartLabel string `json:"partlabel,omitempty" jsonschema:"oneof_required=partlabel,minLength=1"`
	// Where it is mounted, such as / or /boot/efi; swap has none or swap.
	Path string `json:"path" jsonschema:"required,minLength=1"`
	// The type of the file system, such as ext4, vfat or swap.
	VFSType string `json:"vfs_type,omitempty" jsonschema:"default=none,minLength=1"`
	// The mount options, joined by commas.
	Options string `json:"options,omitempty" jsonschema:"default=defaults,minLength=1"`
	// Whether dump(8) backs the file system up: 0 or 1, as a number or as text.
	Freq Number `json:"freq,omitempty"`
	// The pass in which fsck(8) checks it; 0 is never. A number or text.
	Passno Number `json:"passno,omitempty"`
}

// fstabStage writes etc/fstab anew. Osbuild writes the values as they are, so
// that a space in a label breaks the line; here space, tab, line break and
// backslash become the octal escapes that fstab(5) asks for. Osbuild
// fails where etc is missing; here it is made, but for that of a deployment.
var fstabStage = module.Module{
	Name:    "org.osbuild.fstab",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "write the table of file systems",
	Options: optionsOf[FstabOptions],
	Check:   checkOf[FstabOptions],
	Run:     runOf(runFstab),
}

func (o *FstabOptions) check() []module.Problem {
	var problems []module.Problem
	seen := map[string]bool{}
	for i, f := range o.Filesystems {
		at := fmt.Sprintf("/filesystems/%d", i)
		bad := func(key, format string, args ...any) {
			problems = append(problems, module.Problem{Pointer: at + key, Message: fmt.Sprintf(format, args...)})
		}
		specs := 0
		for _, s := range []string{f.Device, f.UUID, f.Label, f.PartLabel} {
			if s != "" {
				specs++
			}
		}
		if specs != 1 {
			bad("", "give exactly one of \"device\", \"uuid\", \"label\" and \"partlabel\"")
		}
		switch {
		case f.Path == "none" || f.Path == "swap":
		case !strings.HasPrefix(f.Path, "/"):
			bad("/path", "%s is no mount point: start it with /, or say none for swap", quote(f.Path))
		case seen[path.Clean(f.Path)]:
			bad("/path", "%s is mounted on twice", f.Path)
		default:
			seen[path.Clean(f.Path)] = true
		}
		for key, s := range map[string]string{
			"/device": f.Device, "/uuid": f.UUID, "/label": f.Label, "/partlabel": f.PartLabel, "/path": f.Path,
		} {
			if hasControl(fstabWritten.Replace(s)) {
				bad(key, "%s holds a control character, which has no place in this file", quote(s))
			}
		}
		for key, s := range map[string]string{"/vfs_type": f.VFSType, "/options": f.Options} {
			if strings.Contains(s, " ") || hasControl(s) {
				bad(key, "%s holds white space or a control character", quote(s))
			}
		}
	}
	if o.OSTree != nil {
		problems = append(problems, o.OSTree.Deployment.check("/ostree/deployment")...)
	}
	return sortProblems(problems)
}

func runFstab(in *module.Input, t *tree.Root, o *FstabOptions) error {
	var b strings.Builder
	for _, f := range o.Filesystems {
		spec := f.Device
		switch {
		case f.UUID != "":
			spec = "UUID=" + f.UUID
		case f.Label != "":
			spec = "LABEL=" + f.Label
		case f.PartLabel != "":
			spec = "PARTLABEL=" + f.PartLabel
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%d\t%d\n", fstabEscape.Replace(spec), fstabEscape.Replace(f.Path),
			orDefault(f.VFSType, "none"), orDefault(f.Options, "defaults"), f.Freq, f.Passno)
	}
	root := ""
	if o.OSTree != nil {
		var err error
		if root, err = o.OSTree.Deployment.find(t); err != nil {
			return fmt.Errorf("the deployment: %w", err)
		}
	}
	return writeFile(in, t, path.Join(root, "etc/fstab"), []byte(b.String()), 0o644)
}

var fstabEscape = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// fstabWritten takes out of a text the control characters that have a form of
// their own in the file.
var fstabWritten = strings.NewReplacer("\t", "", "\n", "")
