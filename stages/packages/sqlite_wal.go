package packages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/osbuildkit/osbuildkit/tree"
)

// The file that SQLite keeps beside a database in which changes stand that are
// not in the database yet (https://sqlite.org/fileformat2.html, section 4), and
// its index.
const (
	walSuffix = "-wal"
	shmSuffix = "-shm"
)

// Sizes in bytes.
const (
	walHeader   = 32
	frameHeader = 24
)

// closeDatabase brings what stands in the write-ahead log of a database, that is
// in use by nobody, into the database, and removes the log. Its bytes would
// differ from one build to the next. A database that is not there is none.
func closeDatabase(t *tree.Root, name string) error {
	log, err := t.OpenFile(name+walSuffix, os.O_RDONLY, 0)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	db, err := t.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(checkpoint(db, log), db.Close()); err != nil {
		return err
	}
	for _, suffix := range []string{walSuffix, shmSuffix} {
		if err := t.Remove(name + suffix); err != nil && !missing(err) {
			return err
		}
	}
	return nil
}

// walSum is SQLite's running checksum.
type walSum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *walSum) add(data []byte) {
	for i := 0; i+8 <= len(data); i += 8 {
		s.a += s.order.Uint32(data[i:]) + s.b
		s.b += s.order.Uint32(data[i+4:]) + s.a
	}
}

// matches compares with the sum that is written at the end of a header.
func (s *walSum) matches(data []byte) bool {
	return binary.BigEndian.Uint32(data) == s.a && binary.BigEndian.Uint32(data[4:]) == s.b
}

// checkpoint copies the pages of all transactions in the log that were ended
// into the database. What follows the last of them is of no meaning, as to
// SQLite.
func checkpoint(db *os.File, log io.Reader) error {
	head := make([]byte, walHeader)
	if _, err := io.ReadFull(log, head); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // it was emptied
		}
		return fmt.Errorf("the write-ahead log: %w", err)
	}
	sum := walSum{order: binary.LittleEndian}
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		sum.order = binary.BigEndian
	default:
		return errors.New("the write-ahead log is not SQLite's")
	}
	page := binary.BigEndian.Uint32(head[8:])
	sum.add(head[:24])
	if page < 512 || page > 65536 || page&(page-1) != 0 || !sum.matches(head[24:]) {
		return errors.New("the write-ahead log is damaged")
	}
	frame := make([]byte, frameHeader+int(page))
	pending := map[uint32][]byte{}
	size := int64(-1)
	for {
		if _, err := io.ReadFull(log, frame); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return err
		}
		sum.add(frame[:8])
		sum.add(frame[frameHeader:])
		number, commit := binary.BigEndian.Uint32(frame), binary.BigEndian.Uint32(frame[4:])
		if number == 0 || string(frame[8:16]) != string(head[16:24]) || !sum.matches(frame[16:]) {
			break // left from before the log was begun anew
		}
		pending[number] = append([]byte(nil), frame[frameHeader:]...)
		if commit == 0 {
			continue
		}
		for n, data := range pending {
			if _, err := db.WriteAt(data, int64(n-1)*int64(page)); err != nil {
				return err
			}
		}
		clear(pending)
		size = int64(commit) * int64(page)
	}
	if size < 0 {
		return nil
	}
	return db.Truncate(size)
}
