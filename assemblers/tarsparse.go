package assemblers

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/internal/ctxio"
)

const (
	// minSparse in bytes: files from here on are looked at for zeros first. Smaller
	// ones are not worth a second reading, and are as all programs read them.
	minSparse = 64 << 20
	// maxSparseRuns bounds the list of a sparse file: Go's reader of archives, which
	// container engines use, takes a list of a megabyte.
	maxSparseRuns = 20_000
)

// addSparse writes a file that is zeros for the most part as a sparse one, in the
// last of the forms that GNU tar has (PAX, version 1.0). Whether it does depends on
// the content alone, not on the holes that the builder's file system has kept.
func (t *treeTar) addSparse(e *content.Entry, h *tar.Header) (bool, error) {
	f, err := e.Open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	runs, err := diskRuns(t.ctx, sparse.File{File: f}, h.Size)
	if err != nil {
		return false, fmt.Errorf("%q: %w", e.Path, err)
	}
	stored := int64(0)
	for _, r := range runs {
		stored += r.size
	}
	if stored > h.Size/2 {
		return false, nil
	}
	if len(runs) > maxSparseRuns {
		// It is written with its zeros, like one in a format without holes.
		holes := content.Holes{What: "an archive, which lists no more than 20,000 parts of a file,"}
		return false, holes.Add(e)
	}
	var list strings.Builder
	fmt.Fprintf(&list, "%d\n", len(runs))
	for _, r := range runs {
		fmt.Fprintf(&list, "%d\n%d\n", r.at, r.size)
	}
	list.Write(make([]byte, (tarBlock-list.Len()%tarBlock)%tarBlock))
	head, err := sparseHeader(h, int64(list.Len())+stored)
	if err == nil {
		err = t.tw.Flush()
	}
	if err == nil {
		_, err = t.w.Write(head)
	}
	if err == nil {
		_, err = io.WriteString(t.w, list.String())
	}
	for _, r := range runs {
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{t.w}, ctxio.Reader(t.ctx, io.NewSectionReader(f, r.at, r.size)), t.buf)
		}
	}
	if err == nil {
		_, err = t.w.Write(make([]byte, (tarBlock-stored%tarBlock)%tarBlock))
	}
	if err != nil {
		return false, fmt.Errorf("%q: %w", e.Path, err)
	}
	t.bytes += stored
	return true, nil
}

// sparseMark begins the names of the records until they get their own, which is as
// long: the library does not write sparse files.
const (
	sparseMark   = "XXX.sparse."
	sparsePrefix = "GNU.sparse."
)

// sparseHeader returns the header of a sparse file of which the archive holds that
// many bytes, list included.
func sparseHeader(h *tar.Header, held int64) ([]byte, error) {
	x := *h
	x.PAXRecords = map[string]string{}
	maps.Copy(x.PAXRecords, h.PAXRecords)
	for key, value := range map[string]string{"major": "1", "minor": "0", "name": h.Name, "realsize": strconv.FormatInt(h.Size, 10)} {
		x.PAXRecords[sparseMark+key] = value
	}
	x.Size = held
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&x); err != nil {
		return nil, err
	}
	data := out.Bytes()
	// The records come first, in a member of their own.
	size, err := strconv.ParseInt(strings.Trim(string(data[124:136]), " \x00"), 8, 64)
	if err != nil || data[156] != 'x' || int64(len(data)) < tarBlock+size {
		return nil, fmt.Errorf("the header of a sparse file is not as it was expected: %w", err)
	}
	for records := data[tarBlock : tarBlock+size]; len(records) > 0; {
		length, _, ok := bytes.Cut(records, []byte(" "))
		n, err := strconv.Atoi(string(length))
		if err != nil || !ok || n <= len(length)+1 || n > len(records) {
			return nil, fmt.Errorf("the header of a sparse file is not as it was expected: %w", err)
		}
		if key := records[len(length)+1 : n]; bytes.HasPrefix(key, []byte(sparseMark)) {
			copy(key, sparsePrefix)
		}
		records = records[n:]
	}
	return data, nil
}
