package stages

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// SysconfigOptions are the options of org.osbuild.sysconfig.
type SysconfigOptions struct {
	// What etc/sysconfig/kernel says.
	Kernel *SysconfigKernel `json:"kernel,omitempty"`
	// What etc/sysconfig/network says.
	Network *SysconfigNetwork `json:"network,omitempty"`
	// The files of etc/sysconfig/network-scripts.
	NetworkScripts *SysconfigScripts `json:"network-scripts,omitempty"`
	// What etc/sysconfig/livesys says.
	Livesys *SysconfigLivesys `json:"livesys,omitempty"`
	// What etc/sysconfig/desktop says; at least one of its options.
	Desktop *SysconfigDesktop `json:"desktop,omitempty"`
}

// SysconfigKernel says which kernel is booted by default.
type SysconfigKernel struct {
	// Whether a kernel that is newly installed becomes the default.
	UpdateDefault *bool `json:"update_default,omitempty"`
	// The package whose kernel can become the default, such as kernel-core.
	DefaultKernel *string `json:"default_kernel,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9_.+-]*$"`
}

// SysconfigNetwork says how the network is set up.
type SysconfigNetwork struct {
	// Whether the network is set up.
	Networking *bool `json:"networking,omitempty"`
	// Whether there is no route for addresses that machines give themselves.
	NoZeroConf *bool `json:"no_zero_conf,omitempty"`
}

// SysconfigScripts holds the files of etc/sysconfig/network-scripts.
type SysconfigScripts struct {
	// The network interfaces by name: eth0 is the file ifcfg-eth0.
	Ifcfg IfcfgFiles `json:"ifcfg,omitempty"`
}

// IfcfgFiles maps names of network interfaces to how they are set up.
type IfcfgFiles map[string]Ifcfg

// KeyPattern returns the pattern of the names of interfaces.
func (IfcfgFiles) KeyPattern() string { return interfaceName.String() }

// interfaceName is a name that the kernel takes and that stands in a file of
// the shell's form as it is.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_@+-]{1,2}[A-Za-z0-9_@+.-]{0,13}$`)

// Ifcfg says how a network interface is set up.
type Ifcfg struct {
	// Where the address comes from.
	Bootproto string `json:"bootproto,omitempty" jsonschema:"enum=none,enum=bootp,enum=dhcp,enum=static,enum=ibft,enum=autoip,enum=shared"`
	// The name of the interface.
	Device string `json:"device,omitempty" jsonschema:"pattern=^[A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*$,maxLength=15"`
	// Whether the interface gets addresses of IPv6.
	IPv6Init *bool `json:"ipv6init,omitempty"`
	// Whether the interface is set up when the system boots.
	OnBoot *bool `json:"onboot,omitempty"`
	// Whether etc/resolv.conf is changed.
	PeerDNS *bool `json:"peerdns,omitempty"`
	// What kind of interface it is.
	Type string `json:"type,omitempty" jsonschema:"enum=Ethernet,enum=Wireless,enum=InfiniBand,enum=Bridge,enum=Bond,enum=Vlan"`
	// Whether users may set the interface up.
	UserCtl *bool `json:"userctl,omitempty"`
}

// SysconfigLivesys says what a live system starts.
type SysconfigLivesys struct {
	// The desktop of the live system, such as gnome.
	Session string `json:"session" jsonschema:"required,minLength=1,pattern=^[A-Za-z0-9][A-Za-z0-9_.+-]*$"`
}

// SysconfigDesktop says which desktop is started.
type SysconfigDesktop struct {
	// The desktop that is started, such as /usr/bin/startxfce4.
	Preferred *string `json:"preferred,omitempty" jsonschema:"anyof_required=preferred,pattern=^[A-Za-z0-9/][A-Za-z0-9_.+/-]*$"`
	// The display manager that is started, such as /usr/sbin/lightdm.
	Displaymanager *string `json:"displaymanager,omitempty" jsonschema:"anyof_required=displaymanager,pattern=^[A-Za-z0-9/][A-Za-z0-9_.+/-]*$"`
}

// sysconfigStage writes files of etc/sysconfig anew, each from the options
// given for it; without any, the file stays as it is. The lines of a file stand
// in the order in which the options are listed here; osbuild takes that of the
// manifest. Osbuild writes the text of its own program where the values for
// livesys and desktop should be, as in PREFERRED={desktop_options['preferred']};
// no system can do anything with that, and here the values are written.
var sysconfigStage = module.Module{
	Name:    "org.osbuild.sysconfig",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "write files of etc/sysconfig",
	Options: optionsOf[SysconfigOptions],
	Check:   checkOf[SysconfigOptions],
	Run:     runOf(runSysconfig),
}

var (
	ifcfgProtocols = []string{"", "none", "bootp", "dhcp", "static", "ibft", "autoip", "shared"}
	ifcfgTypes     = []string{"", "Ethernet", "Wireless", "InfiniBand", "Bridge", "Bond", "Vlan"}
	sysconfigPath  = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_.+/-]*$`)
)

func (o *SysconfigOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if k := o.Kernel; k != nil && k.DefaultKernel != nil {
		problems = append(problems, checkWord("/kernel/default_kernel", *k.DefaultKernel, "the name of a package", "_.+-")...)
	}
	if s := o.NetworkScripts; s != nil {
		for name, c := range s.Ifcfg {
			at := "/network-scripts/ifcfg/" + escapePointer(name)
			if !interfaceName.MatchString(name) {
				bad(at, "%s is not the name of a network interface", quote(name))
			}
			if c.Device != "" && !interfaceName.MatchString(c.Device) {
				bad(at+"/device", "%s is not the name of a network interface", quote(c.Device))
			}
			if !slices.Contains(ifcfgProtocols, c.Bootproto) {
				bad(at+"/bootproto", "%s is none of %s", quote(c.Bootproto), strings.Join(ifcfgProtocols[1:], ", "))
			}
			if !slices.Contains(ifcfgTypes, c.Type) {
				bad(at+"/type", "%s is none of %s", quote(c.Type), strings.Join(ifcfgTypes[1:], ", "))
			}
		}
	}
	if o.Livesys != nil {
		problems = append(problems, checkWord("/livesys/session", o.Livesys.Session, "the name of a desktop", "_.+-")...)
	}
	if d := o.Desktop; d != nil {
		if d.Preferred == nil && d.Displaymanager == nil {
			bad("/desktop", "give \"preferred\" or \"displaymanager\"")
		}
		for key, s := range map[string]*string{"preferred": d.Preferred, "displaymanager": d.Displaymanager} {
			if s != nil && !sysconfigPath.MatchString(*s) {
				bad("/desktop/"+key, "%s is neither a name nor an absolute path", quote(*s))
			}
		}
	}
	return sortProblems(problems)
}

// assignments collects lines of the shell's form.
type assignments struct {
	strings.Builder
	quote string
}

func (a *assignments) text(key string, v *string) {
	if v != nil && *v != "" {
		a.WriteString(key + "=" + a.quote + *v + a.quote + "\n")
	}
}

func (a *assignments) flag(key string, v *bool) {
	if v == nil {
		return
	}
	text := "no"
	if *v {
		text = "yes"
	}
	a.text(key, &text)
}

// files returns what is written, in the order in which it is.
func (o *SysconfigOptions) files() []textFile {
	const dir = "etc/sysconfig/"
	var files []textFile
	add := func(name string, a *assignments) {
		if a.Len() > 0 {
			files = append(files, textFile{dir + name, a.String()})
		}
	}
	if k := o.Kernel; k != nil {
		var a assignments
		a.flag("UPDATEDEFAULT", k.UpdateDefault)
		a.text("DEFAULTKERNEL", k.DefaultKernel)
		add("kernel", &a)
	}
	if n := o.Network; n != nil {
		var a assignments
		a.flag("NETWORKING", n.Networking)
		a.flag("NOZEROCONF", n.NoZeroConf)
		add("network", &a)
	}
	if s := o.NetworkScripts; s != nil {
		for _, name := range slices.Sorted(maps.Keys(s.Ifcfg)) {
			c := s.Ifcfg[name]
			a := assignments{quote: `"`}
			a.text("BOOTPROTO", &c.Bootproto)
			a.text("DEVICE", &c.Device)
			a.flag("IPV6INIT", c.IPv6Init)
			a.flag("ONBOOT", c.OnBoot)
			a.flag("PEERDNS", c.PeerDNS)
			a.text("TYPE", &c.Type)
			a.flag("USERCTL", c.UserCtl)
			add("network-scripts/ifcfg-"+name, &a)
		}
	}
	if l := o.Livesys; l != nil {
		a := assignments{quote: `"`}
		a.text("livesys_session", &l.Session)
		add("livesys", &a)
	}
	if d := o.Desktop; d != nil {
		var a assignments
		a.text("PREFERRED", d.Preferred)
		a.text("DISPLAYMANAGER", d.Displaymanager)
		add("desktop", &a)
	}
	return files
}

func runSysconfig(in *module.Input, t *tree.Root, o *SysconfigOptions) error {
	files := o.files()
	for _, f := range files {
		if err := writable(t, f.name); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := writeFile(in, t, f.name, []byte(f.data), 0o644); err != nil {
			return err
		}
	}
	return nil
}
