package stages

import (
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// GrowOptions are the options of org.osbuildkit.grow.
type GrowOptions struct {
	// Where the file system is mounted that grows: that of the last partition
	// of the disk, as no other has space behind it.
	Path string `json:"path,omitempty" jsonschema:"default=/,pattern=^/"`
}

// growStage makes a unit that, at each boot, enlarges a partition and its file
// system to the space behind it. systemd-repart does the first for a GPT alone
// and by the type of the partition, so sfdisk does it here; systemd-growfs does
// the second as for x-systemd.growfs in fstab.
var growStage = module.Module{
	Name:    "org.osbuildkit.grow",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "have the root file system grow to its disk when the system boots",
	Options: optionsOf[GrowOptions],
	Check:   checkOf[GrowOptions],
	Run:     runOf(runGrow),
}

// growScript is the program of the unit.
//
//go:embed grow.sh
var growScript []byte

const (
	growProgram  = "usr/libexec/osbuildkit-grow"
	growTemplate = "osbuildkit-grow@.service"
)

// growUnit runs when the file system can be written to, and before whatever
// fills it.
const growUnit = `# An image is smaller than the disk that it is written to.
[Unit]
Description=Grow the file system at %f to the space on its disk
Documentation=man:sfdisk(8) man:systemd-growfs(8)
DefaultDependencies=no
RequiresMountsFor=%f
Conflicts=shutdown.target
After=systemd-remount-fs.service systemd-repart.service
Before=local-fs.target shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/libexec/osbuildkit-grow %f

[Install]
WantedBy=local-fs.target
`

func (o *GrowOptions) check() []module.Problem {
	bad := func(why string) []module.Problem {
		return []module.Problem{{Pointer: "/path", Message: quote(o.Path) + " is not a mount point: " + why}}
	}
	switch {
	case o.Path == "":
		return nil
	case !strings.HasPrefix(o.Path, "/"):
		return bad("start it with /")
	case path.Clean(o.Path) != o.Path:
		return bad("write " + path.Clean(o.Path))
	case strings.ContainsRune(o.Path, 0) || len(o.Path) > 128:
		return bad("it holds a NUL byte or is longer than 128 bytes")
	}
	return nil
}

func runGrow(in *module.Input, t *tree.Root, o *GrowOptions) error {
	for _, need := range []struct{ program, install string }{
		{"systemd-growfs", "systemd 236 or newer"},
		{"sfdisk", "fdisk in Debian, util-linux elsewhere"},
		{"partx", "util-linux"},
		{"findmnt", "util-linux"},
		{"flock", "util-linux"},
	} {
		if err := hasProgram(t, need.program); err != nil {
			return fmt.Errorf("%w: put this stage after the one that installs it (%s)", err, need.install)
		}
	}
	wants := path.Join(configDir, "local-fs.target.wants", unitInstance(growTemplate, orDefault(o.Path, "/")))
	unit := path.Join(configDir, growTemplate)
	for _, name := range []string{growProgram, unit} {
		if err := writable(t, name); err != nil {
			return err
		}
	}
	if err := renewable(t, wants); err != nil {
		return err
	}
	if err := writeFile(in, t, growProgram, growScript, 0o755); err != nil {
		return err
	}
	if err := writeFile(in, t, unit, []byte(growUnit), 0o644); err != nil {
		return err
	}
	return renewLink(t, "/"+unit, wants)
}

// hasProgram returns an error if the tree does not have a program.
func hasProgram(t *tree.Root, name string) error {
	for _, dir := range []string{"usr/bin", "usr/sbin", "bin", "sbin", "usr/lib/systemd", "lib/systemd"} {
		if ok, err := t.Exists(path.Join(dir, name)); ok || err != nil {
			return err
		}
	}
	return errors.New("the tree has no " + name)
}

// unitInstance returns the name of the unit that a template makes for a path,
// escaped as "systemd-escape --path" does.
func unitInstance(template, name string) string {
	instance := "-"
	if name != "/" {
		instance = ""
		for i, c := range []byte(strings.Trim(name, "/")) {
			switch {
			case c == '/':
				instance += "-"
			case isAlnum(rune(c)) || c == '_' || c == ':' || c == '.' && i > 0:
				instance += string(rune(c))
			default:
				instance += fmt.Sprintf(`\x%02x`, c)
			}
		}
	}
	return strings.Replace(template, "@", "@"+instance, 1)
}
