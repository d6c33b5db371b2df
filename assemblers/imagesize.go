package assemblers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/ext4"
	"github.com/osbuildkit/osbuildkit/disk/xfs"
	"github.com/osbuildkit/osbuildkit/module"
)

// ImageSize is the size of an image: a number of bytes, or what follows from the
// content.
type ImageSize struct {
	// Bytes is the size. If it follows from the content, it is 0 until that is
	// known.
	Bytes int64
	// Follows says that it follows from the content, with Free bytes to spare.
	Follows bool
	Free    int64
	// text is the option as it was written, if Follows.
	text string
}

// sizeForm is the form of a size that follows from the content.
const sizeForm = `^content(\\+[1-9][0-9]{0,8}(KiB|MiB|GiB|TiB))?$`

// JSONSchemaText returns the JSON schema of an ImageSize.
func (ImageSize) JSONSchemaText() string {
	return `{"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "` + sizeForm + `", ` +
		`"description": "Write content, or content+2GiB with any whole number of KiB, MiB, GiB or TiB."}], "examples": [2147483648, "content+2GiB"]}`
}

// sizeError is what is wrong with the text of a size.
type sizeError struct{ text string }

// Error says how sizes are written.
func (e *sizeError) Error() string {
	return e.text + ` is not a number of bytes: write it as a whole number in plain digits, ` +
		`or as "content" or "content+2GiB" for one that follows from the content`
}

var sizeUnits = map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// UnmarshalJSON reads a number of bytes, or content with what is to be free.
func (s *ImageSize) UnmarshalJSON(data []byte) error {
	*s = ImageSize{}
	if len(data) == 0 || data[0] != '"' {
		n, err := strconv.ParseInt(string(data), 10, 64)
		if err != nil {
			return &sizeError{string(data)}
		}
		s.Bytes = n
		return nil
	}
	if err := json.Unmarshal(data, &s.text); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(s.text, "content")
	if s.Follows = true; ok && rest == "" {
		return nil
	}
	number, plus := strings.CutPrefix(rest, "+")
	if !ok || !plus || len(number) < 4 {
		return &sizeError{strconv.Quote(s.text)}
	}
	n, err := strconv.ParseUint(number[:len(number)-3], 10, 31)
	unit := sizeUnits[number[len(number)-3:]]
	if err != nil || n == 0 || unit == 0 || number[0] == '0' || int64(n) > math.MaxInt64/unit {
		return &sizeError{strconv.Quote(s.text)}
	}
	s.Free = int64(n) * unit
	if s.Free > maxDisk {
		return &sizeError{strconv.Quote(s.text) + ", which is more than 64 TiB,"}
	}
	return nil
}

// MarshalJSON writes what was read, so that identifiers that are derived from the
// options do not depend on the content.
func (s ImageSize) MarshalJSON() ([]byte, error) {
	if s.Follows {
		return json.Marshal(s.text)
	}
	return json.Marshal(s.Bytes)
}

// spare is what is added to content for what boot loaders put into it, and share of
// it for directories that have more names than blocks, and the like.
const (
	spare = 16 << 20
	share = 64
)

// sizeFor returns the size in bytes, whole MiB, of a file system that has content
// and at least so many bytes free.
func sizeFor(kind string, use content.Usage, free int64) int64 {
	use.Blocks += use.Blocks/share + (spare+free)/content.BlockSize + 1
	size := int64(roundUp(uint64(max(filesystemKinds[kind].minSize, use.Bytes())), mebibyte))
	for {
		need := int64(roundUp(uint64(bound(kind, use, size)), mebibyte))
		if need <= size {
			return size
		}
		size = need
	}
}

const mebibyte = 1 << 20

// fatCluster is the largest cluster of a FAT, the unit in which files take space.
const fatCluster = 32 << 10

// bound returns how large a file system must be for content at the most, if it is
// to be made in size bytes. It comes to rest as size grows.
func bound(kind string, use content.Usage, size int64) int64 {
	data := use.Blocks * content.BlockSize
	switch kind {
	case "ext4":
		// Exact, and knows what tables a file system of this size has.
		return ext4.Needed(use, size)
	case "xfs":
		// Inodes come in chunks of 64, and trees of free space take a little.
		return data + use.Inodes*640 + xfs.Needed(content.Usage{}, size) + data/share
	case "btrfs":
		// What the trees have of a file, and the checksums of its data; chunks.
		return data + use.Inodes*2048 + data/share + 64<<20
	case "vfat":
		return data + use.Inodes*fatCluster + data/share
	}
	return data + use.Inodes*256
}

// growing returns the file system that takes what is free, nil if there is none.
func growing(list []*filesystem) *filesystem {
	for _, f := range list {
		if f.sizeOption == "size" && f.kind != "swap" {
			return f
		}
	}
	return nil
}

// followContent loads the content, and returns the plan of the smallest disk whose
// file system that takes what is free is as large as it is to be.
func (p *qemuPlan) followContent(ctx context.Context, in *module.Input) (*qemuPlan, error) {
	if err := loadContents(ctx, in, p.filesystems, p.options.Profile); err != nil {
		return nil, err
	}
	o := p.options
	f := growing(p.filesystems)
	want := sizeFor(f.kind, f.content.Full(), o.Size.Free)
	at := func(size int64) (*qemuPlan, []module.Problem) {
		o.Size.Bytes = size
		return planQemu(o)
	}
	most := p.largest() / mebibyte
	n := sort.Search(int(most), func(i int) bool {
		q, problems := at(int64(i+1) * mebibyte)
		return len(problems) == 0 && growing(q.filesystems).size >= want
	})
	if int64(n) == most {
		_, problems := at(p.largest())
		return nil, errors.Join(
			fmt.Errorf("option /size: with %d bytes for %s no disk of up to %d bytes has place for all", want, f.what, p.largest()),
			problemsError(problems))
	}
	size := int64(n+1) * mebibyte
	q, _ := at(size)
	for i, f := range q.filesystems {
		f.content, f.profile = p.filesystems[i].content, p.filesystems[i].profile
	}
	growing(q.filesystems).follows = &q.options.Size
	in.Logf("%s: %d MiB for what it holds and %d MiB to spare, so the disk has %d bytes",
		f.what, (want-o.Size.Free)>>20, o.Size.Free>>20, size)
	return q, nil
}
