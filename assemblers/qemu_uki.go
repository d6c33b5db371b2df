package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/disk/uki"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// unifiedMachine is a processor that unified kernel images are made for.
type unifiedMachine struct {
	machine uint16
	// suffix is that of the names of its programs, as the UEFI specification
	// and systemd have it: bootx64.efi, linuxx64.efi.stub.
	suffix string
}

// unifiedMachines are named as GRUB's platforms, for which the same option is.
var unifiedMachines = map[string]unifiedMachine{grub.UEFI: {uki.AMD64, "x64"}, grub.UEFIARM: {uki.ARM64, "aa64"}}

// isUnified reports whether a boot loader starts unified kernel images.
func isUnified(kind string) bool { return kind == "uki" || kind == "systemd-boot" }

// maxCmdline is the longest command line that kernels take, in bytes.
const maxCmdline = 2047

// checkUnified reports why there can be no unified kernel image.
func (p *qemuPlan) checkUnified(b *QemuBootloader) {
	p.platforms = b.Platform
	if n := len(p.platforms); n > 1 || n == 1 && unifiedMachines[p.platforms[0]].suffix == "" {
		p.problem("/bootloader/platform", fmt.Errorf("%s is made for one platform, %s or %s", b.Type, grub.UEFI, grub.UEFIARM))
	}
	if p.esp() == nil {
		p.problem("/bootloader/type", fmt.Errorf("%s lies on an EFI system partition: add a partition of the type C12A7328-F81F-11D2-BA4B-00A0C93EC93B (ef with a DOS partition table) with a file system vfat, mounted on /boot/efi or /efi, large enough for the kernel and its initrd", b.Type))
	}
	if err := checkCmdline(b.KernelOpts); err != nil {
		p.problem("/bootloader/kernel_opts", err)
	}
}

func checkCmdline(s string) error {
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
		return errors.New("a line break, another control character or invalid UTF-8 cannot stand on a kernel command line")
	case strings.Count(s, `"`)%2 != 0:
		return errors.New("a double quote is not closed")
	case len(s) > maxCmdline-64:
		return fmt.Errorf("it has %d bytes, and with the root file system a kernel takes %d", len(s), maxCmdline)
	}
	return nil
}

// unifiedLoader is a unified kernel image on its way onto the EFI system
// partition, and with systemd-boot that as well.
type unifiedLoader struct {
	unifiedMachine
	kernel bootKernel
	// osRelease is the tree's, and id the ID in it.
	osRelease, id string
	cmdline       string
	// later is for kernels that the system installs; only a menu has them.
	later *laterKernels
	// stub is systemd's stub, and menu its boot loader, nil without.
	stub, menu []byte
}

// findUnified looks for all that the image is made of, before any long work.
func (p *qemuPlan) findUnified(in *module.Input) (l *unifiedLoader, err error) {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return nil, fmt.Errorf("the tree: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	kind := p.options.Bootloader.Type
	l = &unifiedLoader{id: "linux"}
	if l.kernel, err = newestKernel(t); err != nil {
		return nil, fmt.Errorf("boot loader %s: %w", kind, err)
	}
	if l.unifiedMachine, err = machineOf(t, l.kernel.linux, p.platforms); err != nil {
		return nil, fmt.Errorf("boot loader %s: %w", kind, err)
	}
	if l.osRelease, err = osRelease(t); err != nil {
		return nil, fmt.Errorf("boot loader %s: %w", kind, err)
	}
	if id, ok := osReleaseValue(l.osRelease, "ID"); ok {
		l.id = id
	} else if kind == "systemd-boot" {
		return nil, errors.New("boot loader systemd-boot: etc/os-release of the tree has no ID, without which an entry of the menu has no name")
	}
	root, _ := p.holder("/")
	l.cmdline = unifiedCmdline(root.id(), p.options.Bootloader.KernelOpts)
	if l.stub, err = efiProgram(in, t, "linux"+l.suffix+".efi.stub"); err != nil {
		return nil, err
	}
	if kind == "systemd-boot" {
		if l.menu, err = efiProgram(in, t, "systemd-boot"+l.suffix+".efi"); err != nil {
			return nil, err
		}
		if l.later, err = findLaterKernels(t, l.id, l.cmdline); err != nil {
			return nil, fmt.Errorf("boot loader systemd-boot: %w", err)
		}
	}
	return l, l.checkSpace(t, p.esp().fs)
}

// machineOf returns the machine that a kernel is for, which must be that of the
// platform if there is one.
func machineOf(t *tree.Root, kernel string, platforms []string) (unifiedMachine, error) {
	f, size, err := openRegular(t, kernel, uki.MaxSize)
	if err != nil {
		return unifiedMachine{}, err
	}
	defer f.Close()
	h, err := uki.ReadHeader(f, size)
	if err != nil {
		return unifiedMachine{}, fmt.Errorf("the kernel /%s: %w", kernel, err)
	}
	for name, m := range unifiedMachines {
		if m.machine == h.Machine && (len(platforms) == 0 || platforms[0] == name) {
			return m, nil
		}
	}
	if len(platforms) == 0 {
		return unifiedMachine{}, fmt.Errorf("the kernel /%s is for the machine %#x: only those for %s and %s are supported", kernel, h.Machine, grub.UEFI, grub.UEFIARM)
	}
	return unifiedMachine{}, fmt.Errorf("the kernel /%s is for the machine %#x, and not for %s: leave out the platform", kernel, h.Machine, platforms[0])
}

// checkSpace reports an EFI system partition that the image does not fit on,
// before all of it is read.
func (l *unifiedLoader) checkSpace(t *tree.Root, esp *filesystem) error {
	need := int64(len(l.stub) + 2*len(l.menu))
	for _, name := range []string{l.kernel.linux, l.kernel.initrd} {
		st, err := t.Stat(name)
		if err != nil {
			return err
		}
		need += st.Size()
	}
	if need > esp.size {
		return fmt.Errorf("boot loader: the kernel /%s and its initrd as one file: %w", l.kernel.linux, esp.explain(&content.TooSmallError{Needed: need, Available: esp.size}))
	}
	return nil
}

// unifiedCmdline returns a kernel's command line. Options that say where the
// root file system is, or how it is mounted, are not contradicted.
func unifiedCmdline(root, options string) string {
	words := strings.Fields(options)
	var own []string
	if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "root=") }) {
		own = append(own, "root=UUID="+root)
	}
	if !slices.Contains(words, "ro") && !slices.Contains(words, "rw") {
		own = append(own, "ro")
	}
	if options = strings.TrimSpace(options); options != "" {
		own = append(own, options)
	}
	return strings.Join(own, " ")
}

// efiDir is where systemd keeps its programs for firmware, and maxEFIProgram
// the size in bytes of the largest that is taken.
const (
	efiDir        = "usr/lib/systemd/boot/efi"
	maxEFIProgram = 16 << 20
)

// efiProgram reads one of systemd's programs for firmware: that of the tree,
// which the system updates later, else that of the build root.
func efiProgram(in *module.Input, t *tree.Root, name string) ([]byte, error) {
	build, err := tree.Open(buildRoot(in))
	if err != nil {
		return nil, fmt.Errorf("opening the build root: %w", err)
	}
	defer build.Close()
	for _, r := range []*tree.Root{t, build} {
		f, size, err := openRegular(r, path.Join(efiDir, name), maxEFIProgram)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("boot loader: %w", err)
		}
		data := make([]byte, size)
		_, err = io.ReadFull(f, data)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("boot loader: /%s/%s: %w", efiDir, name, err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("boot loader: neither the tree nor the build root has /%s/%s: install the package systemd-boot-efi (Debian) or systemd-boot-unsigned (Fedora) in a stage before", efiDir, name)
}

// openRegular opens a regular file of a tree of up to most bytes.
func openRegular(t *tree.Root, name string, most int64) (*os.File, int64, error) {
	f, err := t.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("/%s is not a regular file", name)
	case st.Size() > most:
		err = fmt.Errorf("/%s has %d bytes, more than %d MiB", name, st.Size(), most>>20)
	default:
		return f, st.Size(), nil
	}
	return nil, 0, errors.Join(err, f.Close())
}

// build makes the image and adds what firmware looks for to the content of the
// EFI system partition.
func (l *unifiedLoader) build(_ context.Context, in *module.Input, p *qemuPlan, _ string) error {
	image, err := l.image(in)
	if err != nil {
		return err
	}
	esp := p.esp().fs.content
	first := "/EFI/BOOT/BOOT" + strings.ToUpper(l.suffix) + ".EFI"
	if esp.Lookup(first, true) != nil {
		return fmt.Errorf("the tree has its own %s on the EFI system partition: remove it in a stage before, or leave out the boot loader", first)
	}
	if l.menu == nil {
		in.Logf("boot loader: unified kernel image %s of %d MiB, kernel %s, %q", first, len(image)>>20, l.kernel.version, l.cmdline)
		return esp.Put(first, image, true)
	}
	// kernel-install knows the image by this name, and removes it with the kernel.
	name := "/EFI/Linux/" + l.later.token + "-" + fileName(l.kernel.version) + ".efi"
	for _, f := range []struct {
		name string
		data []byte
		kept bool // the tree's own is left as it is
	}{
		{first, l.menu, false}, {"/EFI/systemd/systemd-boot" + l.suffix + ".efi", l.menu, true}, {name, image, false},
		{"/loader/loader.conf", []byte(l.later.loaderConf()), true},
	} {
		if f.kept && esp.Lookup(f.name, true) != nil {
			continue
		}
		if err := esp.Put(f.name, f.data, true); err != nil {
			return err
		}
	}
	in.Logf("boot loader: systemd-boot as %s, unified kernel image %s of %d MiB, kernel %s, %q", first, name, len(image)>>20, l.kernel.version, l.cmdline)
	return l.later.put(in, p)
}

// install has nothing to do: all is in the file system.
func (*unifiedLoader) install(io.WriterAt) error { return nil }

// image puts the kernel of the tree into a unified kernel image.
func (l *unifiedLoader) image(in *module.Input) ([]byte, error) {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var sections []uki.Section
	for _, s := range []struct{ name, text string }{{".osrel", l.osRelease}, {".cmdline", l.cmdline}, {".uname", l.kernel.version}} {
		if s.text != "" {
			sections = append(sections, uki.Text(s.name, s.text))
		}
	}
	for _, s := range []struct{ name, file string }{{".initrd", l.kernel.initrd}, {".linux", l.kernel.linux}} {
		f, size, err := openRegular(t, s.file, uki.MaxSize)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		sections = append(sections, uki.Section{Name: s.name, Data: f, Size: size})
	}
	out, err := uki.Build(l.stub, l.machine, sections)
	if err != nil {
		return nil, fmt.Errorf("the unified kernel image of /%s and /%s: %w", l.kernel.linux, l.kernel.initrd, err)
	}
	return out, nil
}

// fileName makes a part of a file name of a version, whose letters may be
// anything that the tree has in its own names.
func fileName(version string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_+~", r) {
			return r
		}
		return '_'
	}, version)
}
