package inspect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/partitions"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// manyLoaders is a file system with one directory of programs, which all have
// the same content.
type manyLoaders struct {
	count int
	oneFile
}

func (m manyLoaders) Node(number uint64) (*fsread.Node, error) {
	if number == 0 {
		return &fsread.Node{Mode: fsread.TypeDir}, nil
	}
	return &fsread.Node{Mode: fsread.TypeRegular, Size: int64(len(m.data))}, nil
}

func (m manyLoaders) ReadDir(uint64) ([]fsread.Entry, error) {
	var out []fsread.Entry
	for i := range m.count {
		out = append(out, fsread.Entry{Name: fmt.Sprintf("%05d.EFI", i), Number: uint64(i + 1)})
	}
	return out, nil
}

func (m manyLoaders) Open(number uint64) (sparse.Source, int64, error) { return m.oneFile.Open(number) }

// TestLoaderLimits looks at no more programs, and no more of them, than there
// may be.
func TestLoaderLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count, size, want int
		limit             string
	}{
		{3, 1000, 3, ""},
		{limit.MaxLoaders, 1000, limit.MaxLoaders, ""},
		{60000, 1000, limit.MaxLoaders, "MaxLoaders"},
		{60, 40 << 20, limit.MaxLoaderBytes / (programText + programHead), "MaxLoaderBytes"},
	} {
		data := append(program(0x8664, "UEFI SHIM\n", ".text"), make([]byte, c.size)...)
		esp := &Volume{Partition: partitions.Partition{Number: 1, Type: partitions.ESP}, FS: manyLoaders{c.count, oneFile{data}}}
		d := &Disk{Table: &partitions.Table{}, Volumes: []*Volume{esp}, budget: limit.New(t.Context(), 0)}
		got, err := d.Loaders()
		whole := 0
		for _, l := range got {
			if l.Name == "shim" && l.Architecture == "amd64" {
				whole++
			}
		}
		if whole != c.want || c.limit == "" && err != nil || c.limit != "" && (!errors.Is(err, limit.ErrExceeded) || !strings.Contains(err.Error(), c.limit)) {
			t.Errorf("%d of %d bytes: %d boot loaders, error %v", c.count, c.size, whole, err)
		}
	}
}
