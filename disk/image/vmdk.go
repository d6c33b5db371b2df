package image

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDescription is the longest description of a vmdk image in bytes.
const maxDescription = 1 << 20

// checkVMDK refuses a vmdk image whose description leads to files elsewhere: it
// may name the files that it consists of, which lie beside it, and a parent.
func checkVMDK(r io.ReaderAt) error {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at, size := uint64(0), uint64(maxDescription)
	if head = head[:n]; bytes.HasPrefix(head, []byte("KDMV")) {
		if n < 512 {
			return fmt.Errorf("vmdk header: %w", io.ErrUnexpectedEOF)
		}
		at, size = binary.LittleEndian.Uint64(head[28:]), binary.LittleEndian.Uint64(head[36:])
		if at == 0 || size == 0 {
			return nil // one of several files, which has none
		}
		if at > 1<<40 || size > maxDescription/512 {
			return fmt.Errorf("vmdk header: a description of %d sectors at %d is not possible", size, at)
		}
		at, size = at*512, size*512
	}
	text, err := io.ReadAll(io.NewSectionReader(r, int64(at), int64(size)))
	if err != nil {
		return err
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxDescription)
	for lines.Scan() {
		if err := checkVMDKLine(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func checkVMDKLine(line string) error {
	key, value, isPair := strings.Cut(line, "=")
	switch key = strings.TrimSpace(key); {
	case isPair && strings.EqualFold(key, "parentFileNameHint"),
		isPair && strings.EqualFold(key, "parentCID") && !strings.EqualFold(strings.TrimSpace(value), "ffffffff"):
		return errors.New("the vmdk image has a parent: it is a part of a disk only; make it whole with qemu-img convert")
	}
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "RW" && fields[0] != "RDONLY" && fields[0] != "NOACCESS" {
		return nil
	}
	_, rest, ok := strings.Cut(line, `"`)
	if !ok {
		return nil
	}
	name, _, _ := strings.Cut(rest, `"`)
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\:") {
		return fmt.Errorf("the vmdk image consists of the file %q, which does not lie beside it", name)
	}
	return nil
}
