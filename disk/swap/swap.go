package swap

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

const page = 4096

// MinSize is the size in bytes of the smallest area that the kernel takes.
const MinSize = 10 * page

// Make writes a swap area. It has no content.
func Make(_ context.Context, _ *content.Tree, to content.Target) ([]string, error) {
	pages := to.Size / page
	if to.Size < MinSize || pages > 1<<32-1 {
		return nil, fmt.Errorf("a swap area of %d bytes is not possible: it must have from %d to %d", to.Size, MinSize, int64(page)*(1<<32-1))
	}
	if len(to.Label) > 15 {
		return nil, fmt.Errorf("the label %q of a swap area is longer than 15 bytes", to.Label)
	}
	b := make([]byte, page)
	const header = 1024
	binary.LittleEndian.PutUint32(b[header:], 1) // version
	binary.LittleEndian.PutUint32(b[header+4:], uint32(pages-1))
	copy(b[header+12:], to.UUID[:])
	copy(b[header+28:], to.Label)
	copy(b[page-10:], "SWAPSPACE2")
	_, err := to.Disk.WriteAt(b, to.Offset)
	return nil, err
}
