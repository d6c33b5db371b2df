package stages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// Grub2Options are the options of org.osbuild.grub2, in the form of 2019
// (root_fs_uuid) and in today's (rootfs).
type Grub2Options struct {
	// Which of osbuild's two ways to treat unset terminal options is meant.
	// Both give the same here: what is unset is left out.
	CompatVersion int `json:"compat_version,omitempty" jsonschema:"enum=1,enum=2,default=1"`
	// The root file system.
	RootFS *GrubFS `json:"rootfs,omitempty" jsonschema:"oneof_required=rootfs"`
	// The file system of /boot, where it is not the root file system.
	BootFS *GrubFS `json:"bootfs,omitempty"`
	// The UUID of the root file system: the form of 2019.
	RootFSUUID string `json:"root_fs_uuid,omitempty" jsonschema:"oneof_required=root_fs_uuid,pattern=^([0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}|[0-9A-Za-z]{4}-[0-9A-Za-z]{4})$"`
	// The UUID of the file system of /boot: the form of 2019.
	BootFSUUID string `json:"boot_fs_uuid,omitempty" jsonschema:"pattern=^([0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}|[0-9A-Za-z]{4}-[0-9A-Za-z]{4})$"`
	// What follows root=… on the kernel's command line, such as
	// console=ttyS0 quiet.
	KernelOpts string `json:"kernel_opts,omitempty"`
	// The platform whose modules are copied from the build root for BIOS-like
	// firmware: true means i386-pc. Where neither this nor uefi is given it is
	// true, as it always was in 2019.
	Legacy *GrubPlatform `json:"legacy,omitempty"`
	// What is made for UEFI firmware.
	UEFI *GrubUEFI `json:"uefi,omitempty"`
	// The entry that is booted, by its id: the name of its file in
	// boot/loader/entries without .conf, or the name of the kernel's version.
	SavedEntry string `json:"saved_entry,omitempty"`
	// Whether etc/default/grub is written, from which update-grub or
	// grub2-mkconfig makes the menu when a kernel is installed later.
	WriteDefaults *bool `json:"write_defaults,omitempty" jsonschema:"default=true"`
	// Whether the kernel's command line is written to grubenv.
	WriteCmdline *bool `json:"write_cmdline,omitempty" jsonschema:"default=true"`
	// Whether the kernel is told about the first boot for Ignition.
	Ignition bool `json:"ignition,omitempty" jsonschema:"default=false"`
	// Whether boots are counted for Greenboot.
	Greenboot bool `json:"greenboot,omitempty" jsonschema:"default=false"`
	// How the boot loader behaves.
	Config *GrubConfig `json:"config,omitempty"`

	// dir is the directory of the tree's own tools.
	dir string
	// notes are for the log.
	notes []string
}

// GrubFS names a file system by its UUID or its label.
type GrubFS struct {
	// The UUID of the file system.
	UUID string `json:"uuid,omitempty" jsonschema:"oneof_required=uuid,pattern=^([0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}|[0-9A-Za-z]{4}-[0-9A-Za-z]{4})$"`
	// The label of the file system.
	Label string `json:"label,omitempty" jsonschema:"oneof_required=label,minLength=1"`
}

// GrubUEFI says what is made for UEFI firmware.
type GrubUEFI struct {
	// The name of the vendor's directory below boot/efi/EFI, such as fedora.
	Vendor string `json:"vendor" jsonschema:"required,pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$"`
	// The directory of the build root that uefi.install copies from.
	EFISrcDir string `json:"efi_src_dir,omitempty" jsonschema:"default=/boot/efi/EFI,pattern=^/"`
	// Whether the boot loader's programs, the directories BOOT and that of the
	// vendor, are copied from the build root.
	Install bool `json:"install,omitempty" jsonschema:"default=false"`
	// Whether the configuration lies in boot/grub2 and the vendor's directory
	// only points to it, as it does when legacy is given as well, and always
	// where the tree's own tools write to boot/grub.
	Unified bool `json:"unified,omitempty" jsonschema:"default=false"`
}

// GrubConfig says how the boot loader behaves.
type GrubConfig struct {
	// The entry that is booted: an id, a title, a number from 0, or saved for
	// the one that grubenv names.
	Default string `json:"default,omitempty"`
	// Whether tools that write menu entries leave out those for recovery.
	DisableRecovery *bool `json:"disable_recovery,omitempty"`
	// Whether tools that write menu entries make no submenus.
	DisableSubmenu *bool `json:"disable_submenu,omitempty"`
	// The name of the distribution for tools that write menu entries. Command
	// substitutions, $(…) and backquotes, are left for the shell that reads it.
	Distributor string `json:"distributor,omitempty"`
	// The terminals for input and output, such as serial and console.
	Terminal []string `json:"terminal,omitempty"`
	// The terminals for input.
	TerminalInput []string `json:"terminal_input,omitempty"`
	// The terminals for output.
	TerminalOutput []string `json:"terminal_output,omitempty"`
	// Seconds until the default entry is booted.
	Timeout int `json:"timeout,omitempty" jsonschema:"minimum=0,default=0"`
	// What is shown until then.
	TimeoutStyle string `json:"timeout_style,omitempty" jsonschema:"enum=hidden,enum=menu,enum=countdown"`
	// The command that sets up the serial port, such as
	// serial --unit=0 --speed=115200.
	Serial string `json:"serial,omitempty"`
}

// GrubPlatform is a platform of grub, such as i386-pc, or empty for none. In
// JSON it is also true for i386-pc and false for none.
type GrubPlatform string

const biosPlatform GrubPlatform = "i386-pc"

// JSONSchemaText returns the JSON schema of a GrubPlatform.
func (GrubPlatform) JSONSchemaText() string {
	return `{"type": ["boolean", "string"], "pattern": "^[a-z0-9_]+-[a-z0-9_-]+$"}`
}

// UnmarshalJSON reads a platform.
func (p *GrubPlatform) UnmarshalJSON(data []byte) error {
	switch {
	case bytes.Equal(data, []byte("true")):
		*p = biosPlatform
		return nil
	case bytes.Equal(data, []byte("false")):
		*p = ""
		return nil
	case bytes.Equal(data, []byte("null")):
		return fmt.Errorf("null is no platform; leave the key out")
	}
	return json.Unmarshal(data, (*string)(p))
}

var (
	fsUUID       = regexp.MustCompile(`^([0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}|[0-9A-Za-z]{4}-[0-9A-Za-z]{4})$`)
	grubPlatform = regexp.MustCompile(`^[a-z0-9_]+-[a-z0-9_-]+$`)
	grubVendor   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	grubTerminal = regexp.MustCompile(`^[A-Za-z0-9_.*-]+$`)
	grubSerial   = regexp.MustCompile(`^serial( +[A-Za-z0-9_=.,:-]+)*$`)
	grubEntryID  = regexp.MustCompile(`^[^\x00-\x1f\x7f'"$\\]*$`)
)

func (o *Grub2Options) check() []module.Problem {
	var problems []module.Problem
	bad := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if (o.RootFS == nil) == (o.RootFSUUID == "") {
		bad("", "give exactly one of \"root_fs_uuid\" and \"rootfs\"")
	}
	if o.BootFS != nil && o.BootFSUUID != "" {
		bad("/boot_fs_uuid", "give one of \"boot_fs_uuid\" and \"bootfs\", not both")
	}
	checkUUID := func(pointer, uuid string) {
		if uuid != "" && !fsUUID.MatchString(uuid) {
			bad(pointer, "%s is not the UUID of a file system", quote(uuid))
		}
	}
	checkUUID("/root_fs_uuid", o.RootFSUUID)
	checkUUID("/boot_fs_uuid", o.BootFSUUID)
	checkFS := func(pointer string, fs *GrubFS) {
		if fs == nil {
			return
		}
		if (fs.UUID == "") == (fs.Label == "") {
			bad(pointer, "give exactly one of \"uuid\" and \"label\"")
		}
		checkUUID(pointer+"/uuid", fs.UUID)
		if !isKernelWord(fs.Label) {
			bad(pointer+"/label", "the label %s holds a character that a kernel command line cannot carry; use the uuid", quote(fs.Label))
		}
	}
	checkFS("/rootfs", o.RootFS)
	checkFS("/bootfs", o.BootFS)
	if hasControl(o.KernelOpts) {
		bad("/kernel_opts", "a line break or another control character cannot stand on a kernel command line")
	}
	if strings.Count(o.KernelOpts, `"`)%2 != 0 {
		bad("/kernel_opts", "a double quote is not closed")
	}
	if o.Legacy != nil && *o.Legacy != "" && !grubPlatform.MatchString(string(*o.Legacy)) {
		bad("/legacy", "%s is not a platform of grub; use true for i386-pc", quote(string(*o.Legacy)))
	}
	if u := o.UEFI; u != nil {
		if !grubVendor.MatchString(u.Vendor) {
			bad("/uefi/vendor", "%s is not the name of a directory", quote(u.Vendor))
		}
		if strings.EqualFold(u.Vendor, "BOOT") && u.Install {
			bad("/uefi/vendor", "BOOT is the fallback directory; name that of the vendor")
		}
	}
	if !grubEntryID.MatchString(o.SavedEntry) {
		bad("/saved_entry", "%s is not the id of an entry", quote(o.SavedEntry))
	}
	return append(problems, o.Config.check()...)
}

func (c *GrubConfig) check() []module.Problem {
	if c == nil {
		return nil
	}
	var problems []module.Problem
	bad := func(key, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: "/config/" + key, Message: fmt.Sprintf(format, args...)})
	}
	if !grubEntryID.MatchString(c.Default) {
		bad("default", "%s is not the id, title or number of an entry", quote(c.Default))
	}
	if hasControl(c.Distributor) {
		bad("distributor", "the name must be one line")
	}
	for s := c.Distributor; s != ""; {
		n, ok := substitution(s)
		if !ok {
			bad("distributor", "the command that begins with %s has no end", quote(s))
			break
		}
		s = s[max(n, 1):]
	}
	if c.Timeout < 0 {
		bad("timeout", "%d is negative", c.Timeout)
	}
	switch c.TimeoutStyle {
	case "", "hidden", "menu", "countdown":
	default:
		bad("timeout_style", "%s is none of hidden, menu and countdown", quote(c.TimeoutStyle))
	}
	if c.Serial != "" && !grubSerial.MatchString(c.Serial) {
		bad("serial", "%s is not a serial command such as \"serial --unit=0 --speed=115200\"", quote(c.Serial))
	}
	lists := []struct {
		key   string
		names []string
	}{{"terminal", c.Terminal}, {"terminal_input", c.TerminalInput}, {"terminal_output", c.TerminalOutput}}
	for _, l := range lists {
		for i, name := range l.names {
			if !grubTerminal.MatchString(name) {
				bad(fmt.Sprintf("%s/%d", l.key, i), "%s is not the name of a terminal", quote(name))
			}
		}
	}
	return problems
}

// isKernelWord reports whether a text can be a part of one word on a kernel command
// line, whichever boot loader has it in its configuration.
func isKernelWord(s string) bool { return !strings.ContainsAny(s, "'\"\\$ ") && !hasControl(s) }

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
