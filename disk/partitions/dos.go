package partitions

import (
	"fmt"
	"io"

	"github.com/osbuildkit/osbuildkit/disk"
)

const typeProtective = 0xee

// maxLogical bounds the chain of logical partitions.
const maxLogical = 128

// IsExtended tells whether a partition of a DOS table holds logical ones.
func (t *Table) IsExtended(p Partition) bool {
	return t.Kind == DOS && (p.Type == "05" || p.Type == "0f" || p.Type == "85")
}

// dosEntry reads entry i of a sector with a table, relative to base sectors.
func dosEntry(sector []byte, i int, base int64) (p Partition, used bool) {
	e := sector[446+i*16:][:16]
	sectors := int64(le.Uint32(e[12:]))
	return Partition{
		Start:    (base + int64(le.Uint32(e[8:]))) * disk.SectorSize,
		Size:     sectors * disk.SectorSize,
		Type:     fmt.Sprintf("%02x", e[4]),
		Bootable: e[0]&0x80 != 0,
	}, e[4] != 0 && sectors != 0
}

func readDOS(r io.ReaderAt, first []byte) (*Table, error) {
	signature := le.Uint32(first[440:])
	t := &Table{Kind: DOS, ID: fmt.Sprintf("0x%08x", signature)}
	add := func(p Partition, number int) {
		p.Number, p.UUID = number, fmt.Sprintf("%08x-%02x", signature, number)
		t.Partitions = append(t.Partitions, p)
	}
	extended := int64(-1)
	for i := range 4 {
		p, used := dosEntry(first, i, 0)
		if !used {
			continue
		}
		if add(p, i+1); t.IsExtended(p) && extended < 0 {
			extended = p.Start / disk.SectorSize
		}
	}
	if extended < 0 {
		return t, nil
	}
	at, number := extended, 5
	sector := make([]byte, disk.SectorSize)
	for range maxLogical {
		if err := readFull(r, sector, at*disk.SectorSize); err != nil || sector[510] != 0x55 || sector[511] != 0xaa {
			t.problem("the chain of logical partitions is broken at sector %d", at)
			return t, nil
		}
		if p, used := dosEntry(sector, 0, at); used {
			add(p, number)
			number++
		}
		next, more := dosEntry(sector, 1, extended)
		if !more {
			return t, nil
		}
		at = next.Start / disk.SectorSize
	}
	t.problem("the chain of logical partitions has more than %d links", maxLogical)
	return t, nil
}
