package qcow2

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// newCompressor returns what compresses the clusters of one worker. It keeps
// nothing of what it was given before; a cluster that does not get smaller
// stays as it is.
func newCompressor(c Compression, clusterSize int) (sparse.Transform, error) {
	switch c {
	case Zlib:
		w, err := flate.NewWriterWindow(nil, deflateWindow)
		if err != nil {
			return nil, err
		}
		return (&deflater{w: w}).compress, nil
	case Zstd:
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(max(clusterSize, zstd.MinWindowSize)),
			zstd.WithLowerEncoderMem(false))
		if err != nil {
			return nil, err
		}
		z := &zstandard{enc: enc, buf: make([]byte, 0, clusterSize+clusterSize/8)}
		return z.compress, nil
	}
	return nil, fmt.Errorf("unknown compression %q", c)
}

type zstandard struct {
	enc *zstd.Encoder
	buf []byte
}

func (z *zstandard) compress(cluster []byte) ([]byte, error) {
	z.buf = z.enc.EncodeAll(cluster, z.buf[:0])
	if len(z.buf) >= len(cluster) {
		return nil, nil
	}
	return z.buf, nil
}

// deflateWindow is the window of 2^12 bytes that readers of qcow2 inflate with.
const deflateWindow = 1 << 12

type deflater struct {
	w   *flate.Writer
	buf bytes.Buffer
}

func (d *deflater) compress(cluster []byte) ([]byte, error) {
	d.buf.Reset()
	d.w.Reset(&d.buf)
	_, err := d.w.Write(cluster)
	if err = errors.Join(err, d.w.Close()); err != nil {
		return nil, err
	}
	if d.buf.Len() >= len(cluster) {
		return nil, nil
	}
	return d.buf.Bytes(), nil
}
