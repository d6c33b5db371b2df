package fsread_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// deep is a file system whose directories hold one another, with names of a
// length, and a number of files beside each.
type deep struct {
	depth uint64
	name  string
	files int
}

var fileName = strings.Repeat("f", 200)

func (deep) Root() uint64 { return 1 }

func (d deep) Node(number uint64) (*fsread.Node, error) {
	if number > d.depth {
		return &fsread.Node{Mode: fsread.TypeRegular}, nil
	}
	return &fsread.Node{Mode: fsread.TypeDir}, nil
}

func (d deep) ReadDir(number uint64) ([]fsread.Entry, error) {
	out := []fsread.Entry{{Name: d.name, Number: number + 1}}
	for i := range d.files {
		out = append(out, fsread.Entry{Name: fileName, Number: 1<<40 + uint64(i)})
	}
	return out, nil
}

func (deep) Open(uint64) (sparse.Source, int64, error) {
	return nil, 0, errors.New("not asked for")
}

// TestWalkLimits ends where a path is longer than any program could name, or
// there are more files than can be.
func TestWalkLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fs   deep
		want string
	}{
		{deep{100, "d", 2}, ""},
		{deep{60000, "d", 0}, "MaxDepth"},
		{deep{60000, strings.Repeat("d", 255), 0}, "MaxPath"},
		{deep{1000, "d", 100}, "MaxFiles"},
		{deep{10, "d", limit.MaxNames / 240}, "MaxNames"},
	} {
		count := 0
		b := limit.New(t.Context(), 0)
		if c.want == "MaxFiles" {
			must(t, b.Files(limit.MaxFiles-1000))
		}
		err := fsread.Walk(b, c.fs, func(p *fsread.Place, _ *fsread.Node) error {
			if count++; count == 3 && p.Path() != "/"+c.fs.name+"/"+c.fs.name {
				t.Errorf("the third file is %q", p.Path())
			}
			return nil
		})
		if c.want == "" && (err != nil || count != 100+1+2*100) || c.want != "" && (!errors.Is(err, limit.ErrExceeded) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d files, error %v", c.want, count, err)
		}
		if c.want == "MaxFiles" && count != 1000 {
			t.Errorf("%d files", count)
		}
	}
}

// TestWalkEnds ends with its context.
func TestWalkEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	count := 0
	err := fsread.Walk(limit.New(ctx, 0), deep{1000, "d", 1000}, func(*fsread.Place, *fsread.Node) error {
		if count++; count == 10 {
			cancel(why)
		}
		return nil
	})
	if !errors.Is(err, why) || count != 10 {
		t.Errorf("%d files, error %v", count, err)
	}
}

// sharedFAT is a FAT32 file system: a directory with 1000 others, all of which
// have the clusters of one, with 1000 files. If loop is set they have those of
// the directory that they are in.
func sharedFAT(loop bool) []byte {
	const clusters, tableSectors, per = 70000, 550, 64
	b := make([]byte, (32+tableSectors+clusters)*512)
	le := binary.LittleEndian
	copy(b, "\xeb\x58\x90mkfs.fat")
	le.PutUint16(b[11:], 512)
	b[13], b[16] = 1, 1
	le.PutUint16(b[14:], 32)
	le.PutUint32(b[32:], uint32(len(b)/512))
	le.PutUint32(b[36:], tableSectors)
	le.PutUint32(b[44:], 2)
	b[510], b[511] = 0x55, 0xaa
	chain := func(from int) {
		for i := range per {
			next := uint32(from + i + 1)
			if i == per-1 {
				next = 0x0fffffff
			}
			le.PutUint32(b[32*512+(from+i)*4:], next)
		}
	}
	entries := func(cluster int, attribute byte, to uint16) {
		at := (32+tableSectors)*512 + (cluster-2)*512
		for i := range 1000 {
			e := b[at+i*32:]
			copy(e, fmt.Sprintf("%-11s", fmt.Sprintf("X%d", i)))
			e[11] = attribute
			le.PutUint16(e[26:], to)
		}
	}
	chain(2)
	chain(1000)
	to := uint16(1000)
	if loop {
		to = 2
	}
	entries(2, 0x10, to)
	entries(1000, 0x20, 0)
	return b
}

// TestSharedChains refuses directories that have the same clusters.
func TestSharedChains(t *testing.T) {
	t.Parallel()
	for _, loop := range []bool{false, true} {
		data := sharedFAT(loop)
		f, err := fsread.Open(limit.New(t.Context(), int64(len(data))), strings.NewReader(string(data)), int64(len(data)))
		must(t, err)
		count := 0
		err = fsread.Walk(limit.New(t.Context(), 0), f, func(*fsread.Place, *fsread.Node) error {
			count++
			return nil
		})
		if !errors.Is(err, fsread.ErrDamaged) || !strings.Contains(err.Error(), "two directories have the cluster") || count > 2000 {
			t.Errorf("loop %v: %d files, error %v", loop, count, err)
		}
	}
}
