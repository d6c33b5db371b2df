package assemblers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/disk/grub"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/module"
)

// loader is GRUB for one platform on its way onto the disk.
type loader struct {
	core grub.CoreOptions
	img  *grub.Images
	// first and end are where the core image of a BIOS goes, in sectors.
	first, end uint64
}

// findLoaders looks for all that the disk's boot loaders need, before any long
// work.
func (p *qemuPlan) findLoaders(in *module.Input) ([]*loader, error) {
	names, required := p.platforms, p.options.Bootloader != nil
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
	fs, prefix := p.holder("/" + dir)
	if fs == nil || !grub.Reads(fs.kind) {
		return nil, fmt.Errorf("boot loader: no file system that GRUB reads holds /%s", dir)
	}
	var out []*loader
	for _, name := range names {
		l := &loader{core: grub.CoreOptions{
			BuildRoot: buildRoot(in), Platform: name, GPT: p.gpt, Filesystem: fs.kind, UUID: fs.id(), Prefix: prefix,
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
// unless the tree has one there, which may be signed.
func (l *loader) build(ctx context.Context, in *module.Input, p *qemuPlan, scratch string) (err error) {
	efi := grub.EFIProgram(l.core.Platform)
	name := path.Join("/EFI/BOOT", efi)
	if efi != "" && p.esp().fs.content.Lookup(name, true) != nil {
		in.Logf("boot loader: the tree has its own %s on the EFI partition, which is left as it is", name)
		return nil
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

// install writes what lies outside of file systems.
func (l *loader) install(f *os.File, _ *module.Input) error {
	switch {
	case grub.EFIProgram(l.core.Platform) != "":
		return nil
	case l.core.Platform != grub.OpenFirm:
		return grub.Install(f, l.img, l.first, l.end)
	}
	if n := uint64(len(l.img.Core)+disk.SectorSize-1) / disk.SectorSize; n > l.end-l.first {
		return errors.New("the core image does not fit into its partition")
	}
	_, err := f.WriteAt(l.img.Core, int64(l.first)*disk.SectorSize)
	return err
}
