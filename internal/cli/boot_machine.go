package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
	"github.com/osbuildkit/osbuildkit/disk/partitions"
)

// machine is the kind of machine that an image boots on.
type machine struct {
	arch string // as Go and container images name it
	// program is the emulator, and install says how to get it.
	program, install string
	args             []string
	// cpu is the processor that tcg emulates.
	cpu  string
	bios bool // whether there is a BIOS
	// firmware are the places of UEFI firmware, and firmwareInstall says how to
	// get one.
	firmware        []firmware
	firmwareInstall string
	// bundled are the names of the firmware that comes with qemu.
	bundled firmware
}

// firmware is UEFI firmware: its code, and the template of the memory that it
// keeps variables in.
type firmware struct{ code, vars string }

// otherInstall says how to get qemu where no distribution has it.
const otherInstall = ", brew install qemu (macOS), winget install SoftwareFreedomConservancy.QEMU and its directory in PATH (Windows)"

var machines = []machine{
	{
		arch: "amd64", program: "qemu-system-x86_64", bios: true,
		install: "apt-get install qemu-system-x86 (Debian), dnf install qemu-system-x86 (Fedora)" + otherInstall,
		// Some releases of qemu emulate cmpxchg16b and five levels of page
		// tables so that recent kernels crash; without the features a kernel
		// does not use them.
		cpu: "max,-cx16,la57=off",
		firmware: []firmware{
			{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
			{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
			{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
			{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
			{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},
		},
		firmwareInstall: "apt-get install ovmf (Debian), dnf install edk2-ovmf (Fedora)",
		bundled:         firmware{"edk2-x86_64-code.fd", "edk2-i386-vars.fd"},
	},
	{
		arch: "arm64", program: "qemu-system-aarch64",
		install: "apt-get install qemu-system-arm (Debian), dnf install qemu-system-aarch64 (Fedora)" + otherInstall,
		args:    []string{"-machine", "virt"},
		cpu:     "max,pauth-impdef=on",
		firmware: []firmware{
			{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},
			{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
		},
		firmwareInstall: "apt-get install qemu-efi-aarch64 (Debian), dnf install edk2-aarch64 (Fedora)",
		bundled:         firmware{"edk2-aarch64-code.fd", "edk2-arm-vars.fd"},
	},
}

// besideEmulator returns where an emulator's own firmware is: Homebrew and other
// installations below one prefix have it in share/qemu, Windows in share.
func besideEmulator(emulator string, names firmware) []firmware {
	var list []firmware
	bin := filepath.Dir(emulator)
	for _, dir := range []string{filepath.Join(filepath.Dir(bin), "share", "qemu"), filepath.Join(bin, "share")} {
		list = append(list, firmware{filepath.Join(dir, names.code), filepath.Join(dir, names.vars)})
	}
	return list
}

// files returns the firmware that is installed.
func (m *machine) files() (firmware, bool) {
	list := m.firmware
	if emulator, err := exec.LookPath(m.program); err == nil && m.bundled != (firmware{}) {
		list = slices.Concat(list, besideEmulator(emulator, m.bundled))
	}
	for _, f := range list {
		if _, err := os.Stat(f.code); err != nil {
			continue
		}
		if _, err := os.Stat(f.vars); err == nil {
			return f, true
		}
	}
	return firmware{}, false
}

// guest is what is known about an image before it boots.
type guest struct {
	machine  *machine
	qemu     string    // the emulator
	path     string    // of the raw disk
	firmware *firmware // nil: the BIOS
}

// newGuest finds out what an image needs to boot.
func (f *bootFlags) newGuest(ctx context.Context, m *image.Image, name string) (*guest, error) {
	d, err := inspect.Open(m.Budget, m, m.Size)
	if err != nil {
		return nil, imageError(ctx, fmt.Errorf("%s: %w", name, err))
	}
	t := d.Table
	if t == nil {
		t = &partitions.Table{}
	}
	g := &guest{}
	arch := f.arch
	if arch == "" {
		if arch = d.Architecture(); arch == "" {
			arch = "amd64"
		}
	}
	for i := range machines {
		if machines[i].arch == arch {
			g.machine = &machines[i]
		}
	}
	if g.machine == nil {
		return nil, usageError("--arch %q: choose amd64 or arm64", arch)
	}
	if g.qemu, err = exec.LookPath(g.machine.program); err != nil {
		return nil, fmt.Errorf("%s is not installed: %s", g.machine.program, g.machine.install)
	}
	uefi, err := f.uefi(g.machine, t)
	if err != nil || !uefi {
		return g, err
	}
	files, ok := g.machine.files()
	if !ok {
		return nil, fmt.Errorf("UEFI firmware for %s is not installed: %s", g.machine.arch, g.machine.firmwareInstall)
	}
	g.firmware = &files
	return g, nil
}

// uefi tells whether a disk boots with UEFI: as the flag says, else if it has
// an EFI system partition. A disk for both boots with the BIOS where UEFI
// firmware is missing.
func (f *bootFlags) uefi(m *machine, t *partitions.Table) (bool, error) {
	switch f.firmware {
	case "uefi":
		return true, nil
	case "bios":
		if !m.bios {
			return false, usageError("--firmware bios: %s machines have no BIOS", m.arch)
		}
		return false, nil
	case "auto":
	default:
		return false, usageError("--firmware %q: choose auto, bios or uefi", f.firmware)
	}
	if !m.bios {
		return true, nil
	}
	if t.ESP() == nil {
		return false, nil
	}
	_, installed := m.files()
	return installed || !t.BootCode, nil
}

// firmwareArgs gives the guest a copy of the variables in dir, which it may
// write to.
func (g *guest) firmwareArgs(dir string) ([]string, error) {
	if g.firmware == nil {
		return nil, nil
	}
	data, err := os.ReadFile(g.firmware.vars)
	if err != nil {
		return nil, err
	}
	vars := filepath.Join(dir, "vars.fd")
	if err := os.WriteFile(vars, data, 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"-drive", "if=pflash,format=raw,readonly=on,file=" + driveFile(g.firmware.code),
		"-drive", "if=pflash,format=raw,file=" + driveFile(vars),
	}
	if g.machine.arch == "amd64" {
		args = append(args, "-machine", "q35")
	}
	return args, nil
}

// accelerator returns the accelerator and the processor for it.
func (f *bootFlags) accelerator(ctx context.Context, g *guest) (accel, cpu string, err error) {
	accel = f.accel
	switch accel {
	case "auto":
		if accel = "tcg"; runtime.GOARCH == "amd64" && g.machine.arch == runtime.GOARCH && kvmWorks(ctx, g.qemu) {
			accel = "kvm"
		}
	case "kvm", "tcg", "hvf", "whpx":
	default:
		return "", "", usageError("--accel %q: choose auto, kvm, tcg, hvf (macOS) or whpx (Windows)", accel)
	}
	switch {
	case f.cpu != "":
		return accel, f.cpu, nil
	case accel == "kvm", accel == "hvf":
		return accel, "host", nil
	case accel == "whpx":
		return accel, "max", nil
	}
	return accel, g.machine.cpu, nil
}

// probeCode is a boot sector that counts to twenty millions, which takes a
// processor some milliseconds, and then ends the guest with a known exit code
// through qemu's debug exit device: mov ecx,20000000; dec ecx; jnz -4;
// mov dx,0xf4; mov al,0x10; out dx,al; hlt.
var probeCode = []byte{0x66, 0xb9, 0x00, 0x2d, 0x31, 0x01, 0x66, 0x49, 0x75, 0xfc, 0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd}

// probeExit is what qemu makes of it: twice the value, plus one.
const probeExit = 0x10<<1 | 1

// kvmWorks starts a tiny guest under KVM. That /dev/kvm can be opened says
// nothing: on some machines a guest then never runs, and where KVM itself is in
// a virtual machine that has to emulate it, a guest is slower than without.
func kvmWorks(ctx context.Context, qemu string) bool {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return false
	} else {
		f.Close()
	}
	dir, err := os.MkdirTemp("", "osbuildkit-probe-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	sector := make([]byte, 512)
	copy(sector, probeCode)
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(dir, "probe.raw")
	if os.WriteFile(disk, sector, 0o600) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = exec.CommandContext(ctx, qemu, "-accel", "kvm", "-cpu", "host", "-m", "64", "-display", "none", "-monitor", "none", "-serial", "none",
		"-net", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-drive", "if=ide,format=raw,file="+driveFile(disk)).Run()
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == probeExit
}
