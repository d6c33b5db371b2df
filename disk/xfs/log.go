package xfs

// writeLog writes the beginning of a log that was left clean: one record that
// says so. The rest is zeros.
func (w *writer) writeLog() error {
	const (
		cycle        = 1
		recordMagic  = 0xfeedbabe
		recordSize   = 32 << 10
		littleEndian = 1 // of what a record holds
		unmountType  = 0x556e
		unmountFlag  = 0x20
		logClient    = 0xaa
		transaction  = 0xb0c0d0d0
	)
	b := make([]byte, 2*sectorSize)
	be.PutUint32(b, recordMagic)
	be.PutUint32(b[4:], cycle)
	be.PutUint32(b[8:], 2)
	be.PutUint32(b[12:], sectorSize)
	be.PutUint64(b[16:], cycle<<32)
	be.PutUint64(b[24:], cycle<<32)
	be.PutUint32(b[36:], none32) // no record before
	be.PutUint32(b[40:], 1)
	// The first four bytes of a sector give way to the cycle.
	be.PutUint32(b[44:], transaction)
	be.PutUint32(b[300:], littleEndian)
	copy(b[304:], w.to.UUID[:])
	be.PutUint32(b[320:], recordSize)
	op := b[sectorSize:]
	be.PutUint32(op, cycle)
	be.PutUint32(op[4:], 8)
	op[8], op[9] = logClient, unmountFlag
	op[12], op[13] = byte(unmountType&0xff), byte(unmountType>>8)
	_, err := w.to.Disk.WriteAt(b, w.place(w.fsBlock(w.logGroup, w.agStart)))
	return err
}
