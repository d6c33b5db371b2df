package lvm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
)

const (
	// ExtentSize is the unit in bytes of which volumes are made.
	ExtentSize = 4 << 20
	// DataStart is where the first extent is, in bytes.
	DataStart = 1 << 20
)

const (
	sector    = disk.SectorSize
	areaStart = 4096 // of the metadata
	areaSize  = DataStart - areaStart
	textStart = sector // behind the header of the area
)

// Volume is a logical volume.
type Volume struct {
	// Name is its name in the group.
	Name string
	// Extents is its size in units of ExtentSize.
	Extents int64
}

// Group is a volume group.
type Group struct {
	// Name is its name, as in /dev/NAME/VOLUME.
	Name string
	// ID is what all identifiers are derived from.
	ID disk.UUID
	// Volumes are its logical volumes, in the order of their places.
	Volumes []Volume
	// Size is that of the physical volume in bytes.
	Size int64
	// Time is when the group was made, in seconds since 1970.
	Time int64
}

// Extents returns how many extents a physical volume of size bytes has.
func Extents(size int64) int64 { return max(0, (size-DataStart)/ExtentSize) }

// Offset returns where the volume with the number i lies, in bytes from the
// start of the physical volume.
func (g *Group) Offset(i int) int64 {
	at := int64(DataStart)
	for _, v := range g.Volumes[:i] {
		at += v.Extents * ExtentSize
	}
	return at
}

var name = regexp.MustCompile(`^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*$`)

// reserved are names that device mapper has for parts of volumes, from
// lvm(8).
var reserved = regexp.MustCompile(`^(snapshot|pvmove)|_(cdata|cmeta|corig|cpool|cvol|imeta|iorig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig)`)

const maxName = 127

// CheckName reports why a name cannot be that of a group or of a volume.
func CheckName(s string) error {
	switch {
	case len(s) > maxName-1:
		return fmt.Errorf("the name %q is longer than %d bytes", s, maxName-1)
	case s == "." || s == ".." || !name.MatchString(s):
		return fmt.Errorf("%q is not a name of LVM: use letters, digits and + _ . -, with no - at the start", s)
	case reserved.MatchString(s):
		return fmt.Errorf("LVM keeps the name %q for itself: choose another", s)
	}
	return nil
}

// Check reports what is wrong with the group: names, volumes without extents or
// with more than there are.
func (g *Group) Check() error {
	errs := []error{CheckName(g.Name)}
	seen := map[string]bool{}
	total := int64(0)
	for _, v := range g.Volumes {
		errs = append(errs, CheckName(v.Name))
		if len(g.Name)+len(v.Name) > maxName-20 {
			// Device mapper joins both, with each - doubled.
			errs = append(errs, fmt.Errorf("the names of the group and of the volume %q are longer than %d bytes together", v.Name, maxName-20))
		}
		if seen[v.Name] {
			errs = append(errs, fmt.Errorf("there are two volumes %q", v.Name))
		}
		seen[v.Name] = true
		if v.Extents <= 0 {
			errs = append(errs, fmt.Errorf("the volume %q has no extents", v.Name))
			continue
		}
		if v.Extents > Extents(g.Size) {
			total = v.Extents
			break
		}
		total += v.Extents
	}
	if total > Extents(g.Size) {
		errs = append(errs, fmt.Errorf("the volumes need %d extents of 4 MiB, and the physical volume has %d", total, Extents(g.Size)))
	}
	return errors.Join(errs...)
}

// alphabet is what identifiers of LVM are made of.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// id derives an identifier: 32 characters of the alphabet.
func (g *Group) id(purpose string) string {
	sum := sha256.Sum256(append(g.ID[:], "lvm "+purpose...))
	var b [32]byte
	for i, c := range sum {
		b[i] = alphabet[int(c)%len(alphabet)]
	}
	return string(b[:])
}

// dashed is the form of an identifier in text.
func dashed(id string) string {
	return strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
}

var le = binary.LittleEndian

// checksum is LVM's: CRC-32 that starts with another value and is not inverted
// at the end.
func checksum(b []byte) uint32 {
	const initial = 0xf597a6cf
	return ^crc32.Update(^uint32(initial), crc32.IEEETable, b)
}

// Write checks the group and writes its label and metadata to the start of w.
func (g *Group) Write(w io.WriterAt) error {
	if err := g.Check(); err != nil {
		return err
	}
	text := append([]byte(g.text()), 0)
	if len(text) > (areaSize-textStart)/2 {
		// Half of it, as LVM writes a change beside what is there.
		return errors.New("the group has too many volumes")
	}
	for _, part := range []struct {
		at   int64
		data []byte
	}{{areaStart + textStart, text}, {areaStart, areaHeader(text)}, {sector, g.label()}} {
		if _, err := w.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

// areaHeader returns the sector that says where in its area the text is.
func areaHeader(text []byte) []byte {
	b := make([]byte, sector)
	copy(b[4:], " LVM2 x[5A%r0N*>")
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], areaStart)
	le.PutUint64(b[32:], areaSize)
	le.PutUint64(b[40:], textStart)
	le.PutUint64(b[48:], uint64(len(text)))
	le.PutUint32(b[56:], checksum(text))
	le.PutUint32(b, checksum(b[4:]))
	return b
}

// label returns the sector by which the physical volume is found.
func (g *Group) label() []byte {
	const header, extension = 32, 2
	b := make([]byte, sector)
	copy(b, "LABELONE")
	le.PutUint64(b[8:], 1) // the sector
	le.PutUint32(b[20:], header)
	copy(b[24:], "LVM2 001")
	p := b[header:]
	copy(p, g.id("physical volume"))
	le.PutUint64(p[32:], uint64(g.Size))
	// Areas of data, of which there is one, and of metadata; each list ends
	// with an empty one.
	for i, v := range []uint64{DataStart, 0, 0, 0, areaStart, areaSize, 0, 0} {
		le.PutUint64(p[40+8*i:], v)
	}
	le.PutUint32(p[104:], extension)
	le.PutUint32(p[108:], 1) // it belongs to a group
	le.PutUint32(b[16:], checksum(b[20:]))
	return b
}

// text returns the metadata.
func (g *Group) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s {", g.Name)
	line("id = %q\nseqno = 1\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []", dashed(g.id("group")))
	line("extent_size = %d\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n", ExtentSize/sector)
	line("physical_volumes {\n\npv0 {\nid = %q\ndevice = \"/dev/unknown\"\n", dashed(g.id("physical volume")))
	line("status = [\"ALLOCATABLE\"]\nflags = []\ndev_size = %d\npe_start = %d\npe_count = %d\n}\n}", g.Size/sector, DataStart/sector, Extents(g.Size))
	if len(g.Volumes) > 0 {
		line("\nlogical_volumes {")
		extent := int64(0)
		for _, v := range g.Volumes {
			line("\n%s {\nid = %q\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []", v.Name, dashed(g.id("volume "+v.Name)))
			line("creation_time = %d\ncreation_host = \"localhost\"\nsegment_count = 1\n", g.Time)
			line("segment1 {\nstart_extent = 0\nextent_count = %d\n\ntype = \"striped\"\nstripe_count = 1\n", v.Extents)
			line("stripes = [\n\"pv0\", %d\n]\n}\n}", extent)
			extent += v.Extents
		}
		line("}")
	}
	line("\n}")
	// LVM finds the name of the group at the start, so that this comes last.
	line("contents = \"Text Format Volume Group\"\nversion = 1\n\ndescription = \"\"\n")
	line("creation_host = \"localhost\"\ncreation_time = %d\n", g.Time)
	return b.String()
}
