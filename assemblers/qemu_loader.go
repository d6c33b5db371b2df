package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/internal/osrelease"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// bootLoader is a boot loader on its way onto the disk: build makes it and adds
// what lies in a file system to its content, install writes what lies outside.
type bootLoader interface {
	build(ctx context.Context, in *module.Input, p *qemuPlan, scratch string) error
	install(w io.WriterAt) error
}

// loader is GRUB for one platform.
type loader struct {
	core grub.CoreOptions
	img  *grub.Images
	// first and end are where the core image of a BIOS goes, in sectors.
	first, end uint64
}

// findLoaders looks for all that the disk's boot loaders need, before any long
// work.
func (p *qemuPlan) findLoaders(in *module.Input) ([]bootLoader, error) {
	names, required := p.platforms, p.options.Bootloader != nil
	if required && isUnified(p.options.Bootloader.Type) {
		l, err := p.findUnified(in)
		return []bootLoader{l}, err
	}
	if !required {
		if p.gpt {
			in.Logf("no boot loader was asked for: the disk boots by what the tree has on its EFI partition, or not at all")
			return nil, nil
		}
		names = []string{grub.BIOS}
	}
	dir, err := findGrub(in, required)
	if err != nil || dir == "" {
		return nil, err
	}
	if err := p.checkBootLayer("/" + dir); err != nil {
		return nil, fmt.Errorf("boot loader: %w", err)
	}
	holder, prefix := p.holder("/" + dir)
	if holder == nil || !grub.Reads(holder.kind) {
		return nil, fmt.Errorf("boot loader: no file system that GRUB reads holds /%s", dir)
	}
	var out []bootLoader
	for _, name := range names {
		l := &loader{core: grub.CoreOptions{
			BuildRoot: buildRoot(in), Platform: name, GPT: p.gpt, Filesystem: holder.kind, UUID: holder.id(), Prefix: prefix,
		}}
		if err := l.core.Find(); err != nil {
			return nil, fmt.Errorf("the tree is to boot with %s/grub.cfg: %w", dir, err)
		}
		p.coreSpace(l)
		out = append(out, l)
	}
	return out, nil
}

// coreSpace finds the sectors for the core image of a platform that is not
// UEFI.
func (p *qemuPlan) coreSpace(l *loader) {
	var q *partition
	switch {
	case l.core.Platform == grub.OpenFirm:
		q = p.find(gpt.TypePReP, mbr.TypePReP)
	case p.gpt:
		q = p.find(gpt.TypeBIOSBoot, 0)
	}
	if q != nil {
		l.first, l.end = q.start, q.end()
		return
	}
	l.first, l.end = coreStart, p.sectors()
	for _, q := range p.partitions {
		l.end = min(l.end, q.start)
	}
}

// build makes the images. A program for UEFI becomes a file of its partition,
// unless the tree has one there, or signed ones elsewhere.
func (l *loader) build(ctx context.Context, in *module.Input, p *qemuPlan, scratch string) (err error) {
	efi := grub.EFIProgram(l.core.Platform)
	name := path.Join("/EFI/BOOT", efi)
	if efi != "" && p.esp().fs.content.Lookup(name, true) != nil {
		in.Logf("boot loader: the tree has its own %s on the EFI partition, which is left as it is", name)
		return nil
	}
	if efi != "" {
		if done, err := l.signed(in, p.esp().fs.content, name); done || err != nil {
			return err
		}
	}
	l.core.Scratch = scratch
	if l.img, err = grub.Build(ctx, l.core); err != nil {
		return err
	}
	what := "BIOS"
	if efi != "" {
		what = "UEFI as " + name
		err = p.esp().fs.content.Put(name, l.img.Core, true)
	} else if l.core.Platform == grub.OpenFirm {
		what = "Open Firmware"
	}
	in.Logf("boot loader: GRUB for %s, core image of %d bytes, reads %s/grub.cfg", what, len(l.img.Core), l.core.Prefix)
	return err
}

// signedPrograms are where distributions leave the programs that firmware with
// Secure Boot starts: a shim, and the GRUB that it starts.
var signedPrograms = map[string]struct{ shim, grub, name string }{
	grub.UEFI:    {"usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "grubx64.efi"},
	grub.UEFIARM: {"usr/lib/shim/shimaa64.efi.signed", "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed", "grubaa64.efi"},
}

// signed takes the signed programs of the tree, if it has both. That GRUB reads
// its configuration from a directory with the name of the distribution.
func (l *loader) signed(in *module.Input, esp *content.Tree, name string) (bool, error) {
	from, ok := signedPrograms[l.core.Platform]
	if !ok {
		return false, nil
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return false, err
	}
	defer t.Close()
	shim, err := t.ReadFile(from.shim)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	second, err := t.ReadFile(from.grub)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	vendor, err := signedVendor(t, second)
	if err != nil {
		return false, err
	}
	config := append(grub.EarlyConfig(l.core.UUID, l.core.Prefix), "configfile $prefix/grub.cfg\n"...)
	for _, f := range []struct {
		name string
		data []byte
	}{
		{name, shim}, {path.Join(path.Dir(name), from.name), second}, {path.Join("/EFI", vendor, "grub.cfg"), config},
	} {
		if esp.Lookup(f.name, true) != nil {
			continue // the tree's own
		}
		if err := esp.Put(f.name, f.data, true); err != nil {
			return false, err
		}
	}
	in.Logf("boot loader: the signed shim and GRUB of the tree for UEFI as %s, reads %s/grub.cfg through /EFI/%s/grub.cfg", name, l.core.Prefix, vendor)
	return true, nil
}

// vendorPrefix is the directory that a signed GRUB has built in.
var vendorPrefix = regexp.MustCompile(`/EFI/([A-Za-z0-9][A-Za-z0-9._-]*)\x00`)

// signedVendor returns the directory below EFI in which a signed GRUB looks for
// its configuration: the one that is built in, which children of a distribution
// have from it, else the name of the system.
func signedVendor(t *tree.Root, program []byte) (string, error) {
	if m := vendorPrefix.FindSubmatch(program); m != nil {
		return string(m[1]), nil
	}
	text, err := osRelease(t)
	if err != nil {
		return "", err
	}
	vendor, ok := osReleaseValue(text, "ID")
	if !ok {
		return "", errors.New("the signed GRUB of the tree: etc/os-release has no ID, by which it looks for its configuration")
	}
	return vendor, nil
}

// osRelease returns the tree's os-release, "" if it has none.
func osRelease(t *tree.Root) (string, error) {
	for _, name := range osrelease.Files {
		data, err := t.ReadText(name, maxOSRelease)
		if !errors.Is(err, fs.ErrNotExist) {
			return string(data), err
		}
	}
	return "", nil
}

const maxOSRelease = 64 << 10

// osReleaseValue returns the value of a key that is a plain word.
func osReleaseValue(text, key string) (string, bool) {
	if v := osrelease.Parse(text)[key]; osReleaseWord.MatchString(v) {
		return v, true
	}
	return "", false
}

var osReleaseWord = regexp.MustCompile(`^[a-z0-9._-]+$`)

// install writes what lies outside of file systems.
func (l *loader) install(w io.WriterAt) error {
	switch {
	case grub.EFIProgram(l.core.Platform) != "":
		return nil
	case l.core.Platform != grub.OpenFirm:
		return grub.Install(w, l.img, l.first, l.end)
	}
	if n := uint64(len(l.img.Core)+disk.SectorSize-1) / disk.SectorSize; n > l.end-l.first {
		return errors.New("the core image does not fit into its partition")
	}
	_, err := w.WriteAt(l.img.Core, int64(l.first)*disk.SectorSize)
	return err
}
