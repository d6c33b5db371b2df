package assemblers

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/gpt"
	"github.com/osbuildkit/osbuildkit/disk/luks"
	"github.com/osbuildkit/osbuildkit/disk/lvm"
	"github.com/osbuildkit/osbuildkit/disk/mbr"
	"github.com/osbuildkit/osbuildkit/disk/verity"
	"github.com/osbuildkit/osbuildkit/module"
)

// QemuLUKS says how a partition is encrypted: LUKS2, AES-XTS with 512 bits.
type QemuLUKS struct {
	// PassphraseSecret is the name of the build secret that holds the
	// passphrase. A file of one line loses the end of the line; anything else
	// is taken as it is.
	PassphraseSecret string `json:"passphrase_secret" jsonschema:"required,maxLength=128,pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$"`
	// UUID identifies the volume. By default it is derived from that of the
	// disk.
	UUID string `json:"uuid,omitempty"`
	// Label is its label.
	Label string `json:"label,omitempty" jsonschema:"maxLength=47"`
	// SectorSize is the unit of encryption in bytes. 4096 is faster, and too
	// large for xfs and vfat as they are made here.
	SectorSize int `json:"sector_size,omitempty" jsonschema:"enum=512,enum=4096,default=512"`
	// PBKDF says how expensive it is to try a passphrase.
	PBKDF *QemuPBKDF `json:"pbkdf,omitempty"`
	// VolumeKey is where the key of the data comes from: random gives another
	// image in each build, derived the same one, from the passphrase and the
	// UUID.
	VolumeKey string `json:"volume_key,omitempty" jsonschema:"enum=random,enum=derived,default=random"`
	// EncryptFreeSpace fills free space with encrypted zeros, so that nobody
	// sees how much of the volume is used. The image becomes as large as the
	// disk.
	EncryptFreeSpace bool `json:"encrypt_free_space,omitempty" jsonschema:"default=false"`
}

// QemuPBKDF is the function that turns a passphrase into a key.
type QemuPBKDF struct {
	// Method is the function.
	Method string `json:"method,omitempty" jsonschema:"enum=argon2id,enum=pbkdf2,default=argon2id"`
	// Iterations is the number of passes: by default 3 of argon2id or 600000 of
	// pbkdf2.
	Iterations int `json:"iterations,omitempty" jsonschema:"minimum=1"`
	// Memory is what argon2id needs, in KiB; 65536 by default. The machine that
	// opens the volume has to have it.
	Memory int `json:"memory,omitempty" jsonschema:"minimum=32"`
	// Parallelism is the number of lanes of argon2id; 4 by default.
	Parallelism int `json:"parallelism,omitempty" jsonschema:"minimum=1,maximum=4"`
}

// QemuLVM is a volume group of one partition.
type QemuLVM struct {
	// Name is its name.
	Name string `json:"name" jsonschema:"required,minLength=1,maxLength=106"`
	// Volumes are its logical volumes.
	Volumes []QemuVolume `json:"volumes" jsonschema:"required,minItems=1,maxItems=256"`
}

// QemuVolume is a logical volume.
type QemuVolume struct {
	// Name is its name in the group.
	Name string `json:"name" jsonschema:"required,minLength=1,maxLength=106"`
	// Size is its size in sectors of 512 bytes, rounded up to whole extents of
	// 8192. The last volume takes what is left if it has no size.
	Size int64 `json:"size,omitempty" jsonschema:"minimum=0"`
	// Filesystem is what it holds; nothing by default.
	Filesystem *QemuFilesystem `json:"filesystem,omitempty"`
}

// placedFilesystem is a file system of the options, with the pointer of the
// partition or volume that it is in, and the number of the partition.
type placedFilesystem struct {
	*QemuFilesystem
	pointer   string
	partition int
}

// filesystems lists all file systems of the long form.
func (o *QemuOptions) filesystems() []placedFilesystem {
	var out []placedFilesystem
	for i, q := range o.Partitions {
		pointer := fmt.Sprintf("/partitions/%d", i)
		if q.Filesystem != nil {
			out = append(out, placedFilesystem{q.Filesystem, pointer, i})
		}
		if q.LVM == nil {
			continue
		}
		for j, v := range q.LVM.Volumes {
			if v.Filesystem != nil {
				out = append(out, placedFilesystem{v.Filesystem, fmt.Sprintf("%s/lvm/volumes/%d", pointer, j), i})
			}
		}
	}
	return out
}

// layers are what lies between a partition and its file systems.
type layers struct {
	luks *luksLayer
	lvm  *lvmLayer
	// verity asks for a partition with a hash tree of this one.
	verity bool
}

// luksLayer is an encrypted partition.
type luksLayer struct {
	options luks.Options
	secret  string
	what    string
	whole   bool
	// offset and size are the place of the partition in bytes.
	offset, size int64
	filesystems  []*filesystem
	group        *lvmLayer
}

// lvmLayer is a partition with a volume group.
type lvmLayer struct {
	group   lvm.Group
	pointer string
	// offset is where the physical volume starts, in bytes.
	offset int64
	// sizes are those of the volumes in sectors, as they were asked for, and
	// filesystems what they hold, nil for nothing.
	sizes       []int64
	filesystems []*filesystem
}

// hashPartition is a partition with a hash tree of another.
type hashPartition struct {
	partition
	index int // of the partition with the data
	fs    *filesystem
	// byHash says that the identifiers of both follow from the root hash.
	byHash bool
	root   verity.RootHash
}

// isESP tells whether firmware reads a file system.
func (fs *QemuFilesystem) isESP() bool {
	return fs.Type == "vfat" && (fs.Mountpoint == "/boot/efi" || fs.Mountpoint == "/efi")
}

// addLayers reads what the options say about layers of a partition.
func (p *qemuPlan) addLayers(i int, q *partition) {
	o := &p.options.Partitions[i]
	pointer := fmt.Sprintf("/partitions/%d", i)
	if o.LVM != nil {
		p.addLVM(i, q)
		q.gptType, q.mbrType = gpt.TypeLVM, mbr.TypeLVM
	}
	if o.LUKS != nil {
		p.addLUKS(i, q)
		q.gptType, q.mbrType = gpt.TypeLUKS, mbr.TypeLinux
	}
	fs := o.Filesystem
	if fs == nil {
		return
	}
	if o.LVM != nil {
		p.problem(pointer+"/lvm", errors.New("a partition holds a file system or a volume group, not both: put the file system into a volume, or leave out lvm"))
	}
	if !fs.Verity {
		return
	}
	switch {
	case fs.Type == "swap":
		p.problem(pointer+"/filesystem/verity", errors.New("swap is written to, which verity does not allow: leave it out"))
	case o.LUKS != nil:
		p.problem(pointer+"/filesystem/verity", errors.New("verity on an encrypted partition is not supported: leave out verity or luks"))
	}
	q.verity = true
}

// addLUKS reads what the options say about the encryption of a partition.
func (p *qemuPlan) addLUKS(i int, q *partition) {
	o, pointer := p.options.Partitions[i].LUKS, fmt.Sprintf("/partitions/%d/luks", i)
	fs, group := p.options.Partitions[i].Filesystem, p.options.Partitions[i].LVM
	l := &luksLayer{secret: o.PassphraseSecret, what: fmt.Sprintf("partition %d", i+1), whole: o.EncryptFreeSpace, group: q.lvm}
	l.options = luks.Options{UUID: q.id.Derive("luks"), Label: o.Label, SectorSize: o.SectorSize, Derive: o.VolumeKey == "derived"}
	if o.UUID != "" {
		var err error
		l.options.UUID, err = disk.ParseUUID(o.UUID)
		p.problem(pointer+"/uuid", err)
	}
	p.problem(pointer+"/label", luks.CheckLabel(o.Label))
	if !secretName(o.PassphraseSecret) {
		p.problem(pointer+"/passphrase_secret", fmt.Errorf("%q is not the name of a secret: use letters, digits and . _ -", o.PassphraseSecret))
	}
	switch o.VolumeKey {
	case "", "random", "derived":
	default:
		p.problem(pointer+"/volume_key", fmt.Errorf("a volume key %q is not supported: use random or derived", o.VolumeKey))
	}
	if k := o.PBKDF; k != nil {
		l.options.KDF = k.kdf()
		p.problem(pointer+"/pbkdf", l.options.KDF.Check())
	}
	switch o.SectorSize {
	case 0, disk.SectorSize:
		l.options.SectorSize = disk.SectorSize
	case 4096:
		for _, f := range p.options.filesystems() {
			if f.partition == i && (f.Type == "xfs" || f.Type == "vfat") {
				p.problem(pointer+"/sector_size", fmt.Errorf("the file system of %s is %s, which has sectors of 512 bytes here: use 512", f.Mountpoint, f.Type))
			}
		}
	default:
		p.problem(pointer+"/sector_size", fmt.Errorf("a sector size of %d is not supported: use 512 or 4096", o.SectorSize))
	}
	switch {
	case fs == nil && group == nil:
		p.problem(pointer, errors.New("the partition holds nothing to encrypt: give it a filesystem or lvm"))
	case fs != nil && fs.isESP():
		p.problem(pointer, errors.New("firmware reads this file system, and cannot decrypt it: leave out luks"))
	}
	q.luks = l
}

// secretName tells whether a name can be that of a secret and of a file.
func secretName(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '.' && s[0] != '_' && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// addLVM reads what the options say about a volume group.
func (p *qemuPlan) addLVM(i int, q *partition) {
	o, pointer := p.options.Partitions[i].LVM, fmt.Sprintf("/partitions/%d/lvm", i)
	l := &lvmLayer{pointer: pointer, group: lvm.Group{Name: o.Name, ID: q.id.Derive("lvm " + o.Name)}}
	p.problem(pointer+"/name", lvm.CheckName(o.Name))
	if len(o.Volumes) == 0 {
		p.problem(pointer+"/volumes", errors.New("the volume group has no volumes: give it some"))
	}
	for j, v := range o.Volumes {
		at := fmt.Sprintf("%s/volumes/%d", pointer, j)
		p.problem(at+"/name", lvm.CheckName(v.Name))
		switch {
		case v.Size < 0:
			p.problem(at+"/size", errors.New("a size cannot be negative"))
		case v.Size > maxDisk/disk.SectorSize:
			p.problem(at+"/size", errors.New("a volume cannot be larger than 64 TiB"))
		case v.Size == 0 && j < len(o.Volumes)-1:
			p.problem(at+"/size", errors.New("only the last volume can take what is left: give this one a size"))
		}
		l.sizes = append(l.sizes, v.Size)
		l.group.Volumes = append(l.group.Volumes, lvm.Volume{Name: v.Name})
		var f *filesystem
		if v.Filesystem != nil {
			if f = p.newFilesystem(v.Filesystem, at, q.id.Derive("volume "+v.Name), "volume "+path.Join(o.Name, v.Name), v.Size); f != nil {
				f.layer = "a logical volume"
			}
			if v.Filesystem.Verity {
				p.problem(at+"/filesystem/verity", errors.New("verity in a volume group is not supported: use a partition"))
			}
			if v.Filesystem.isESP() {
				p.problem(at, errors.New("firmware reads this file system, and finds no logical volumes: use a partition"))
			}
		}
		l.filesystems = append(l.filesystems, f)
	}
	q.lvm = l
}

// placeLayers gives the layers of a partition their places, and returns the file
// systems with theirs.
func (q *partition) placeLayers(p *qemuPlan, offset, size int64) []*filesystem {
	var out []*filesystem
	if q.luks != nil {
		q.luks.offset, q.luks.size = offset, size
		offset, size = offset+luks.HeaderSize, max(0, size-luks.HeaderSize)
	}
	if q.lvm != nil {
		out = q.lvm.place(p, offset, size)
	} else if q.fs != nil {
		q.fs.offset, q.fs.size = offset, size
		if q.luks != nil {
			q.fs.before = luks.HeaderSize
		}
		out = append(out, q.fs)
	}
	if q.luks != nil {
		q.luks.filesystems = out
		for _, f := range out {
			f.layer = "an encrypted partition"
		}
	}
	return out
}

// namesDiffer reports whether each volume has a name of its own; what has not
// is reported at its name.
func (l *lvmLayer) namesDiffer() bool {
	seen := map[string]bool{}
	for _, v := range l.group.Volumes {
		if seen[v.Name] {
			return false
		}
		seen[v.Name] = true
	}
	return true
}

// place divides a physical volume.
func (l *lvmLayer) place(p *qemuPlan, offset, size int64) []*filesystem {
	l.offset, l.group.Size = offset, size
	left := lvm.Extents(size)
	for i, s := range l.sizes {
		n := (s*disk.SectorSize + lvm.ExtentSize - 1) / lvm.ExtentSize
		if s == 0 {
			n = max(0, left)
		}
		l.group.Volumes[i].Extents = n
		left -= n
	}
	if size > 0 && l.namesDiffer() {
		p.problem(l.pointer, l.group.Check())
	}
	var out []*filesystem
	for i, f := range l.filesystems {
		if f != nil {
			f.offset, f.size = offset+l.group.Offset(i), l.group.Volumes[i].Extents*lvm.ExtentSize
			out = append(out, f)
		}
	}
	return out
}

// roundPartition makes the size of a partition one that its layers take, adds a
// partition for a hash tree, and returns where the next one starts. End is the
// first sector that no partition may use.
func (p *qemuPlan) roundPartition(i int, q *partition, end uint64) uint64 {
	const block = verity.BlockSize / disk.SectorSize
	pointer := fmt.Sprintf("/partitions/%d", i)
	given := p.options.Partitions[i].Size > 0
	if q.verity && !given && q.sectors > 0 {
		tree := roundUp(uint64(verity.Size(int64(q.sectors)*disk.SectorSize))/disk.SectorSize, alignment)
		if q.sectors < tree+alignment {
			p.problem(pointer, errors.New("no space is left for the hash tree: give the partitions before a smaller size, or make the disk larger"))
		} else {
			q.sectors = (q.start+q.sectors-tree)/alignment*alignment - q.start
		}
	}
	if q.verity || q.luks != nil && q.luks.options.SectorSize == verity.BlockSize {
		if !given {
			q.sectors -= q.sectors % block
		} else if q.sectors%block != 0 {
			p.problem(pointer+"/size", fmt.Errorf("a partition with verity, or encrypted in sectors of 4096 bytes, has a multiple of %d sectors: the next is %d", block, roundUp(q.sectors, block)))
		}
	}
	if q.luks != nil && q.sectors > 0 && q.sectors*disk.SectorSize <= luks.HeaderSize {
		p.problem(pointer, fmt.Errorf("an encrypted partition has a header of %d sectors, and this one has no more: make it larger", luks.HeaderSize/disk.SectorSize))
	}
	next := roundUp(q.end(), alignment)
	if !q.verity || q.sectors < block || p.hasProblem(pointer) {
		return next
	}
	h := &hashPartition{index: i, fs: q.fs}
	h.start = next
	h.sectors = roundUp(uint64(verity.Size(int64(q.sectors)*disk.SectorSize))/disk.SectorSize, alignment)
	if h.end() > end {
		p.problem(pointer+"/filesystem/verity", fmt.Errorf("the hash tree needs %d sectors from %d on, and the last sector that the disk has for partitions is %d: make the partition smaller, or the disk larger", h.sectors, h.start, end-1))
	}
	h.gptType, h.mbrType, h.id, h.name = gpt.TypeLinux, mbr.TypeLinux, q.id.Derive("verity"), "verity"
	if t, ok := gpt.VerityType(q.gptType); ok {
		h.gptType = t
		h.byHash = p.gpt && p.options.Partitions[i].UUID == ""
	}
	if name := p.options.Partitions[i].Name; name != "" && len(name)+len("-verity") <= gpt.MaxName {
		h.name = name + "-verity"
	}
	p.problem("/filename", checkFilename(h.fileName(p.options.Filename)))
	p.hashes = append(p.hashes, h)
	return roundUp(h.end(), alignment)
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

// hasProblem tells whether something is wrong below a pointer.
func (p *qemuPlan) hasProblem(pointer string) bool {
	for _, q := range p.problems {
		if q.Pointer == pointer || strings.HasPrefix(q.Pointer, pointer+"/") {
			return true
		}
	}
	return false
}

// checkBootLayer reports that no boot loader can read what lies at a place of
// the tree.
func (p *qemuPlan) checkBootLayer(name string) error {
	if f, _ := p.holder(name); f != nil && f.layer != "" {
		return fmt.Errorf("%s lies in %s, %s, which GRUB is not made to read here: add a partition without it that is mounted on /boot", name, f.what, f.layer)
	}
	return nil
}

// qemuSecrets lists the secrets that the options name.
func qemuSecrets(options json.RawMessage) []module.Secret {
	var o QemuOptions
	if json.Unmarshal(options, &o) != nil {
		return nil
	}
	var out []module.Secret
	for i, q := range o.Partitions {
		if q.LUKS == nil || !secretName(q.LUKS.PassphraseSecret) {
			continue
		}
		at := slices.IndexFunc(out, func(s module.Secret) bool { return s.Name == q.LUKS.PassphraseSecret })
		if at < 0 {
			at = len(out)
			out = append(out, module.Secret{Name: q.LUKS.PassphraseSecret, Pointer: fmt.Sprintf("/partitions/%d/luks/passphrase_secret", i)})
		}
		out[at].Cost = out[at].Cost.Max(q.LUKS.PBKDF.cost())
	}
	return out
}

func (k *QemuPBKDF) kdf() luks.KDF {
	if k == nil {
		return luks.KDF{}
	}
	return luks.KDF{Method: k.Method, Iterations: k.Iterations, Memory: k.Memory, Threads: k.Parallelism}
}

// cost is what it costs to try a passphrase on the header.
func (k *QemuPBKDF) cost() module.SecretCost {
	f := k.kdf().Filled()
	if f.Method == luks.PBKDF2 {
		return module.SecretCost{Iterations: f.Iterations}
	}
	return module.SecretCost{Passes: uint32(f.Iterations), Memory: uint32(f.Memory), Threads: uint8(f.Threads)}
}
