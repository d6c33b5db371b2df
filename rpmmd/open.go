package rpmmd

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"github.com/osbuildkit/osbuildkit/internal/expand"
)

// compressions are the endings of compressed files.
var compressions = []string{".gz", ".xz", ".zst", ".bz2", ".zck"}

// Open returns the content of a metadata file by the ending of its location:
// .gz, .xz, .zst, .bz2, or anything else for a file that is not compressed.
// Read to its end it reports what does not have the size and the checksum
// that repomd.xml says; what was read before that must not be used then.
func (d *Data) Open(r io.Reader) (io.ReadCloser, error) {
	in := &checkedReader{r: bufio.NewReaderSize(r, 1<<16), what: d.Location, hash: d.Checksum.Hash(), want: d.Checksum.Hex, size: d.Size, limit: MaxMetadata}
	var content io.ReadCloser
	var err error
	if path.Ext(d.Location) == ".zck" {
		err = errors.New("zchunk is not supported here; the same file has another compression beside it")
	} else {
		content, err = expand.Open(expand.ByName(d.Location), in, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Location, err)
	}
	return &dataReader{
		content: &io.LimitedReader{R: content, N: MaxMetadata + 1}, in: in, done: func() { content.Close() },
	}, nil
}

// dataReader reads the content, and at its end what is left of the file.
type dataReader struct {
	content *io.LimitedReader
	in      *checkedReader
	done    func()
}

func (d *dataReader) Read(p []byte) (int, error) {
	n, err := d.content.Read(p)
	switch {
	case d.content.N <= 0:
		return 0, fmt.Errorf("%s: its content is larger than %d MiB", d.in.what, MaxMetadata>>20)
	case errors.Is(err, io.EOF):
		if _, rest := io.Copy(io.Discard, d.in); rest != nil {
			return n, rest
		}
	case err != nil:
		return n, fmt.Errorf("%s: %w", d.in.what, err)
	}
	return n, err
}

// Close releases the decompressor; it does not close the file.
func (d *dataReader) Close() error {
	d.done()
	d.done = func() {}
	return nil
}

// checkedReader reports at the end that what was read is not what it should
// have been.
type checkedReader struct {
	r     io.Reader
	what  string
	hash  hash.Hash
	want  string
	size  int64
	n     int64
	limit int64
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	if c.size > 0 && c.n > c.size || c.n > c.limit {
		return 0, fmt.Errorf("%s is larger than repomd.xml says", c.what)
	}
	if errors.Is(err, io.EOF) {
		if c.size > 0 && c.n != c.size {
			return n, fmt.Errorf("%s has %d bytes; repomd.xml says %d", c.what, c.n, c.size)
		}
		if have := hex.EncodeToString(c.hash.Sum(nil)); have != c.want {
			return n, fmt.Errorf("%s does not have the checksum that repomd.xml says: %s instead of %s", c.what, have, c.want)
		}
	}
	return n, err
}

// CheckFile reports that what r holds, a file as it lies in the repository, is
// not the one that repomd.xml lists.
func (d *Data) CheckFile(r io.Reader) error {
	in := &checkedReader{r: r, what: d.Location, hash: d.Checksum.Hash(), want: d.Checksum.Hex, size: d.Size, limit: MaxMetadata}
	_, err := io.Copy(io.Discard, in)
	return err
}
