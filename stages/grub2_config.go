package stages

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/grubdir"
	"github.com/osbuildkit/osbuildkit/tree"
)

// rootSpec returns how the kernel is told the root file system.
func (o *Grub2Options) rootSpec() string {
	if o.RootFS != nil && o.RootFS.Label != "" {
		return "LABEL=" + o.RootFS.Label
	}
	return "UUID=" + o.rootFS().UUID
}

func (o *Grub2Options) rootFS() GrubFS {
	if o.RootFS != nil {
		return *o.RootFS
	}
	return GrubFS{UUID: o.RootFSUUID}
}

// bootFS returns the file system of /boot; separate says that it is not the
// root file system.
func (o *Grub2Options) bootFS() (fs GrubFS, separate bool) {
	switch {
	case o.BootFS != nil:
		fs = *o.BootFS
	case o.BootFSUUID != "":
		fs = GrubFS{UUID: o.BootFSUUID}
	default:
		return o.rootFS(), false
	}
	return fs, fs != o.rootFS()
}

// platform returns the platform for BIOS-like firmware, or "".
func (o *Grub2Options) platform() GrubPlatform {
	switch {
	case o.Legacy != nil:
		return *o.Legacy
	case o.UEFI == nil:
		return biosPlatform
	}
	return ""
}

func (o *Grub2Options) config() GrubConfig {
	if o.Config == nil {
		return GrubConfig{}
	}
	return *o.Config
}

// onBootFS returns the path of a file of the tree as grub sees it on the file
// system that holds /boot.
func (o *Grub2Options) onBootFS(name string) string {
	if _, separate := o.bootFS(); separate {
		return strings.TrimPrefix(name, "/boot")
	}
	return name
}

func searchCommand(fs GrubFS) string {
	if fs.Label != "" {
		return "search --no-floppy --set=root --label " + grubQuote(fs.Label)
	}
	return "search --no-floppy --set=root --fs-uuid " + fs.UUID
}

// defaults makes etc/default/grub, from which the tree's own tools make the same
// menu as grubCfg does. The assignment of the distributor stands for one that
// the options do not have; it may be empty.
func (o *Grub2Options) defaults(distributor string, bls bool) string {
	var b strings.Builder
	c := o.config()
	fmt.Fprintf(&b, "GRUB_CMDLINE_LINUX=%s\nGRUB_TIMEOUT=%d\n", shellQuote(o.KernelOpts), c.Timeout)
	if o.dir != grubdir.Plain {
		fmt.Fprintf(&b, "GRUB_ENABLE_BLSCFG=%t\n", bls)
	}
	flag := func(key string, v *bool) {
		if v != nil {
			fmt.Fprintf(&b, "%s=%t\n", key, *v)
		}
	}
	text := func(key, v string) {
		if v != "" {
			fmt.Fprintf(&b, "%s=%s\n", key, shellQuote(v))
		}
	}
	flag("GRUB_DISABLE_RECOVERY", c.DisableRecovery)
	flag("GRUB_DISABLE_SUBMENU", c.DisableSubmenu)
	if c.Distributor != "" {
		b.WriteString("GRUB_DISTRIBUTOR=" + shellQuoteCommands(c.Distributor) + "\n")
	} else if distributor != "" {
		b.WriteString(distributor + "\n")
	}
	text("GRUB_SERIAL_COMMAND", c.Serial)
	text("GRUB_TERMINAL", strings.Join(c.Terminal, " "))
	text("GRUB_TERMINAL_INPUT", strings.Join(c.TerminalInput, " "))
	text("GRUB_TERMINAL_OUTPUT", strings.Join(c.TerminalOutput, " "))
	if c.TimeoutStyle != "" {
		b.WriteString("GRUB_TIMEOUT_STYLE=" + c.TimeoutStyle + "\n")
	}
	if c.Default != "" {
		if strings.Trim(c.Default, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
			b.WriteString("GRUB_DEFAULT=" + c.Default + "\n")
		} else {
			text("GRUB_DEFAULT", c.Default)
		}
	}
	return b.String()
}

var distributorLine = regexp.MustCompile(`(?m)^[ \t]*(GRUB_DISTRIBUTOR=[^\x00-\x1f\x7f\\]+)$`)

// distributor returns the assignment of the distributor as the distribution
// ships it: that in etc/default/grub, else that in the template from which its
// packages make the file, else a command for the name of the system. Those who
// keep the menu in boot/grub2 have none: it would only name the entries.
func (o *Grub2Options) distributor(t *tree.Root) (string, error) {
	if o.dir != grubdir.Plain {
		return "", nil
	}
	for _, name := range []string{"etc/default/grub", "usr/share/grub/default/grub"} {
		data, ok, err := readOptional(t, name)
		if err != nil {
			return "", err
		}
		if m := distributorLine.FindSubmatch(data); ok && m != nil {
			return string(m[1]), nil
		}
	}
	return "GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`", nil
}

// grubenvSize is the fixed size of grub's environment block.
const grubenvSize = 1024

// grubenv makes the environment block: always of 1024 bytes, as grub cannot
// write to a shorter one. (The block of 2019 was not padded.)
func (o *Grub2Options) grubenv() (string, error) {
	var b strings.Builder
	b.WriteString("# GRUB Environment Block\n")
	set := func(key, value string) {
		b.WriteString(key + "=" + strings.ReplaceAll(value, `\`, `\\`) + "\n")
	}
	if o.RootFSUUID != "" {
		boot, _ := o.bootFS()
		set("GRUB2_ROOT_FS_UUID", o.RootFSUUID)
		set("GRUB2_BOOT_FS_UUID", boot.UUID)
	}
	if o.WriteCmdline == nil || *o.WriteCmdline {
		set("kernelopts", "root="+o.rootSpec()+" "+o.KernelOpts)
	}
	if o.SavedEntry != "" {
		set("saved_entry", o.SavedEntry)
	}
	if b.Len() > grubenvSize {
		return "", fmt.Errorf("the environment block of grub would have %d bytes and may have %d: shorten \"kernel_opts\" or set \"write_cmdline\" to false", b.Len(), grubenvSize)
	}
	return b.String() + strings.Repeat("#", grubenvSize-b.Len()), nil
}

// redirect makes the file beside a UEFI boot loader that leads to the
// configuration in /boot.
func (o *Grub2Options) redirect() string {
	boot, _ := o.bootFS()
	dir := o.onBootFS("/" + o.dir)
	return searchCommand(boot) + "\nset prefix=($root)" + dir + "\nconfigfile ($root)" + dir + "/grub.cfg\n"
}

// grubCfg makes the main configuration. With bls the menu is read at boot from
// the BLS entries; otherwise it is the given entries.
func (o *Grub2Options) grubCfg(entries []bootEntry, bls bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	c := o.config()

	line("# The boot menu, written by org.osbuild.grub2.")
	if c.Serial != "" {
		line("%s", c.Serial)
	}
	terminal := func(command string, lists ...[]string) {
		for _, l := range lists {
			if len(l) > 0 {
				line("%s %s", command, strings.Join(l, " "))
				return
			}
		}
	}
	terminal("terminal_input", c.TerminalInput, c.Terminal)
	terminal("terminal_output", c.TerminalOutput, c.Terminal)
	line("set timeout=%d", c.Timeout)
	if c.TimeoutStyle != "" {
		line("set timeout_style=%s", c.TimeoutStyle)
	}
	boot, _ := o.bootFS()
	line("")
	line("%s", searchCommand(boot))
	line("set boot=$root")
	b.WriteString(grubEnvironment)
	if c.Default != "" && c.Default != "saved" {
		line("if [ -z \"$once\" ]; then")
		line("  set default=%s", grubQuote(c.Default))
		line("fi")
	}
	if o.Greenboot {
		b.WriteString(grubGreenboot())
	}
	if o.Ignition {
		fmt.Fprintf(&b, grubIgnition, o.onBootFS("/boot/ignition.firstboot"))
	}
	line("")
	if bls {
		line("insmod blscfg")
		line("blscfg")
		return b.String()
	}
	for _, e := range entries {
		line("menuentry %s --id %s {", grubQuote(e.title), grubQuote(e.id))
		line("  linux %s %s", grubQuote(o.onBootFS(e.linux)), o.cmdline(e))
		if len(e.initrds) > 0 {
			var names []string
			for _, i := range e.initrds {
				names = append(names, grubQuote(o.onBootFS(i)))
			}
			line("  initrd %s", strings.Join(names, " "))
		}
		line("}")
	}
	return b.String()
}

// grubEnvironment reads the environment block and decides what to boot: what
// was asked for once, else what was saved, else the first entry.
const grubEnvironment = `if [ -s "$config_directory/grubenv" ]; then
  load_env --file "$config_directory/grubenv"
elif [ -s "$prefix/grubenv" ]; then
  load_env
fi
set once=
if [ -n "$next_entry" ]; then
  set default="$next_entry"
  set once=1
  set next_entry=
  save_env next_entry
elif [ -n "$saved_entry" ]; then
  set default="$saved_entry"
else
  set default=0
fi
`

// grubIgnition tells the kernel of the first boot; the argument is the path of
// the file that marks it.
const grubIgnition = `set ignition_firstboot=
if [ -f "%[1]s" ]; then
  set ignition_network_kcmdline=
  source "%[1]s"
  set ignition_firstboot="ignition.firstboot $ignition_network_kcmdline"
fi
`

// grubGreenboot counts the boots that are left for an update to prove itself;
// when none is, the entry before it is booted. Grub cannot subtract.
func grubGreenboot() string {
	var b strings.Builder
	b.WriteString("if [ -n \"$boot_counter\" -a \"$boot_success\" = 0 ]; then\n")
	b.WriteString("  if [ \"$boot_counter\" = 0 -o \"$boot_counter\" = -1 ]; then\n    set default=1\n    set boot_counter=-1\n")
	for n := 1; n <= 9; n++ {
		fmt.Fprintf(&b, "  elif [ \"$boot_counter\" = %d ]; then\n    set boot_counter=%d\n", n, n-1)
	}
	b.WriteString("  fi\n  save_env boot_counter\nfi\n")
	return b.String()
}

// grubQuote writes a word of grub's script language.
func grubQuote(s string) string {
	plain := func(c rune) bool {
		return isAlnum(c) || strings.ContainsRune("/=.,:_-+@%", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellQuote writes a double-quoted word of the shell.
func shellQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}
