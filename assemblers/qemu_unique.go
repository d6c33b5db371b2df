package assemblers

import (
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/vfat"
)

// The spaces in which the system finds something by an identifier. UUID= in
// fstab and on the kernel's command line means whatever has it: a file system,
// swap or an encrypted volume.
const (
	spaceUUID      = "UUID"
	spacePartition = "PARTUUID"
	spaceGroup     = "name of the volume group"
	spaceVolume    = "name"
)

// claims are the identifiers that the options give, each with what has it.
type claims struct {
	p   *qemuPlan
	has map[string]string
}

// claim takes an identifier for what. Its pointer is reported if something else
// has it.
func (c *claims) claim(space, value, pointer, what string) {
	if other := c.has[space+" "+value]; other != "" {
		c.p.problem(pointer, fmt.Errorf("%s is the %s of %s too, and the system could not tell them apart: give each its own", value, space, other))
		return
	}
	c.has[space+" "+value] = what
}

// uuid takes a UUID, if it is given and is one.
func (c *claims) uuid(space, text, pointer, what string) {
	if u, err := disk.ParseUUID(text); err == nil {
		c.claim(space, u.String(), pointer, what)
	}
}

// checkUnique reports identifiers that two parts of the disk have. Those that
// are not given are derived, and each another one.
func (p *qemuPlan) checkUnique() {
	c := &claims{p: p, has: map[string]string{}}
	for i, q := range p.options.Partitions {
		pointer, what := fmt.Sprintf("/partitions/%d", i), fmt.Sprintf("partition %d", i+1)
		if p.gpt {
			c.uuid(spacePartition, q.UUID, pointer+"/uuid", what)
		}
		if q.LUKS != nil {
			c.uuid(spaceUUID, q.LUKS.UUID, pointer+"/luks/uuid", "the encrypted volume of "+what)
		}
		if q.LVM == nil {
			continue
		}
		c.claim(spaceGroup, q.LVM.Name, pointer+"/lvm/name", what)
		for j, v := range q.LVM.Volumes {
			c.claim(spaceVolume, q.LVM.Name+"/"+v.Name, fmt.Sprintf("%s/lvm/volumes/%d/name", pointer, j), fmt.Sprintf("volume %d of %s", j+1, what))
		}
	}
	for _, f := range p.options.filesystems() {
		what := fmt.Sprintf("the file system of %s", f.Mountpoint)
		if f.Type == "swap" {
			what = fmt.Sprintf("swap in partition %d", f.partition+1)
		}
		pointer := f.pointer + "/filesystem/uuid"
		if f.Type != "vfat" {
			c.uuid(spaceUUID, f.UUID, pointer, what)
		} else if u, err := vfat.ParseID(f.UUID); err == nil {
			c.claim(spaceUUID, vfat.FormatID(u), pointer, what)
		}
	}
}
