package image

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// Format is a container format of disks, under the name that QEMU has for it.
type Format string

// The formats that are known.
const (
	Raw   Format = "raw"
	Qcow2 Format = "qcow2"
	VDI   Format = "vdi"
	VMDK  Format = "vmdk"
	VPC   Format = "vpc"
	VHDX  Format = "vhdx"
)

// Compression is how a file is compressed as a whole.
type Compression string

// The kinds of compression. A gzip file may be a tar archive with one disk, as
// Google Compute Engine has it.
const (
	Plain Compression = ""
	Gzip  Compression = "gzip"
	XZ    Compression = "xz"
	Zstd  Compression = "zstd"
)

// ErrUnknown says that a file is no image of a disk that can be told as such.
var ErrUnknown = errors.New("no known format, and no boot signature, partition table or file system as a raw disk would have")

// magics are the first bytes of files.
var magics = []struct {
	at          int
	text        string
	format      Format
	compression Compression
}{
	{0, "QFI\xfb", Qcow2, Plain},
	{0, "KDMV", VMDK, Plain},
	{0, "# Disk DescriptorFile", VMDK, Plain},
	{64, "\x7f\x10\xda\xbe", VDI, Plain},
	{0, "vhdxfile", VHDX, Plain},
	{0, "conectix", VPC, Plain},
	{0, "\x1f\x8b\x08", "", Gzip},
	{0, "\xfd7zXZ\x00", "", XZ},
	{0, "\x28\xb5\x2f\xfd", "", Zstd},
}

// raws are what a disk without a container may start with: a boot sector, a
// GPT, or what leaves the first sector alone: some file systems, swap, an encrypted
// disk, a physical volume of LVM.
var raws = []struct {
	at   int
	text string
}{
	{510, "\x55\xaa"},
	{512, "EFI PART"},
	{1080, "\x53\xef"},
	{0, "XFSB"},
	{0, "hsqs"},
	{1024, "\xe2\xe1\xf5\xe0"},
	{65600, "_BHRfS_M"},
	{4086, "SWAPSPACE2"},
	{32769, "CD001"},
	{512, "LABELONE"},
	{0, "LUKS\xba\xbe"},
	{0, "verity\x00\x00"},
}

// headSize is as much of a file as the patterns look at.
const headSize = 65600 + 8

// Detect tells format and compression of a file by its content. Of a
// compressed file the format is not known. Leaving the guess to qemu is unsafe:
// a guest could write another header into a raw disk.
func Detect(f *os.File) (Format, Compression, error) {
	st, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	if !st.Mode().IsRegular() {
		return "", "", errors.New("not a file")
	}
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", "", err
	}
	format, compression := detectHead(head[:n])
	if format != "" && format != Raw || compression != Plain {
		return format, compression, nil
	}
	// A fixed VHD is a raw disk with a footer.
	footer := make([]byte, 512)
	if _, err := f.ReadAt(footer, st.Size()-512); st.Size() > 512 && err == nil && has(footer, 0, "conectix") {
		return VPC, Plain, nil
	}
	if format == Raw {
		return Raw, Plain, nil
	}
	return "", "", ErrUnknown
}

// detectHead tells what a file is by its beginning. Both results are empty if
// nothing is known.
func detectHead(head []byte) (Format, Compression) {
	for _, m := range magics {
		if has(head, m.at, m.text) {
			return m.format, m.compression
		}
	}
	for _, m := range raws {
		if has(head, m.at, m.text) {
			return Raw, Plain
		}
	}
	return "", Plain
}

func has(b []byte, at int, text string) bool {
	return len(b) >= at && bytes.HasPrefix(b[at:], []byte(text))
}
