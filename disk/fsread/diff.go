package fsread

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// DiffOptions says how two file systems are compared.
type DiffOptions struct {
	// Ignore leaves out the files with these paths.
	Ignore []string
	// Adjust may change what is known of a file on both sides before it is
	// compared. It may be nil.
	Adjust func(path string, a, b *Node)
}

// Difference is something in which two file systems are not the same.
type Difference struct {
	// Path is the file, and What the difference in words.
	Path, What string
}

// String gives path and difference.
func (d *Difference) String() string { return d.Path + ": " + d.What }

// Diff compares all that two file systems say about their files, and the
// content, and returns the first difference in the order of the paths, nil if
// there is none.
func Diff(ctx context.Context, a, b FS, o DiffOptions) (*Difference, error) {
	d := &differ{ctx: ctx, a: a, b: b, o: o, aToB: map[uint64]uint64{}, bToA: map[uint64]uint64{}, content: map[uint64]bool{}}
	return d.visit("/", a.Root(), b.Root(), 0)
}

type differ struct {
	ctx  context.Context
	a, b FS
	o    DiffOptions
	// aToB and bToA pair the nodes, so that files with several names have the
	// same names on both sides.
	aToB, bToA map[uint64]uint64
	content    map[uint64]bool // compared already, by the node of a
}

// maxNesting is the longest path, in directories, that is compared.
const maxNesting = 4096

func (d *differ) visit(name string, na, nb uint64, depth int) (*Difference, error) {
	if d.ctx.Err() != nil {
		return nil, context.Cause(d.ctx)
	}
	if depth > maxNesting {
		return nil, damaged("%s: over %d directories in one another", name, maxNesting)
	}
	a, err := d.a.Node(na)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := d.b.Node(nb)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d.o.Adjust != nil {
		d.o.Adjust(name, a, b)
	}
	if what := differs(a, b); what != "" {
		return &Difference{name, what}, nil
	}
	pb, seenA := d.aToB[na]
	pa, seenB := d.bToA[nb]
	if seenA != seenB || seenA && (pa != na || pb != nb) {
		return &Difference{name, "the other names of the file differ"}, nil
	}
	d.aToB[na], d.bToA[nb] = nb, na
	switch {
	case a.Type() == TypeDir && seenA:
		return nil, damaged("%s: a directory with several names", name)
	case a.Type() == TypeDir:
		return d.directory(name, na, nb, depth)
	case a.Type() == TypeRegular && !d.content[na]:
		d.content[na] = true
		return d.file(name, na, nb)
	}
	return nil, nil
}

// differs says in what two nodes are not the same.
func differs(a, b *Node) string {
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"type", typeName(a), typeName(b)}, {"mode", fmt.Sprintf("%04o", a.Mode&0o7777), fmt.Sprintf("%04o", b.Mode&0o7777)},
		{"owner", a.UID, b.UID}, {"group", a.GID, b.GID}, {"target", a.Target, b.Target},
		{"device", [2]uint32{a.Major, a.Minor}, [2]uint32{b.Major, b.Minor}},
		{"time", a.ModTime.UnixNano(), b.ModTime.UnixNano()},
	} {
		if f.a == f.b {
			continue
		}
		if f.name == "time" {
			return fmt.Sprintf("its time is %s and %s", a.ModTime.UTC(), b.ModTime.UTC())
		}
		return fmt.Sprintf("its %s is %v and %v", f.name, f.a, f.b)
	}
	if a.Type() != TypeDir {
		switch {
		case a.Size != b.Size:
			return fmt.Sprintf("its size is %d and %d", a.Size, b.Size)
		case a.Links != b.Links:
			return fmt.Sprintf("its number of names is %d and %d", a.Links, b.Links)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(both(a.Attributes, b.Attributes))) {
		va, oka := a.Attributes[name]
		vb, okb := b.Attributes[name]
		switch {
		case oka != okb:
			return fmt.Sprintf("only one of them has the attribute %s", name)
		case !bytes.Equal(va, vb):
			return fmt.Sprintf("its attribute %s is %q and %q", name, va, vb)
		}
	}
	return ""
}

func both(a, b map[string][]byte) map[string][]byte {
	out := maps.Clone(a)
	if out == nil {
		out = map[string][]byte{}
	}
	maps.Copy(out, b)
	return out
}

func typeName(n *Node) string {
	return map[uint32]string{
		TypeFIFO: "pipe", TypeChar: "character device", TypeDir: "directory", TypeBlock: "block device",
		TypeRegular: "file", TypeLink: "symbolic link", TypeSocket: "socket",
	}[n.Type()]
}

func (d *differ) directory(name string, na, nb uint64, depth int) (*Difference, error) {
	ea, err := sorted(d.a, na)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	eb, err := sorted(d.b, nb)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for len(ea) > 0 || len(eb) > 0 {
		order := 0
		switch {
		case len(ea) == 0:
			order = 1
		case len(eb) == 0:
			order = -1
		default:
			order = strings.Compare(ea[0].Name, eb[0].Name)
		}
		first := &ea
		if order > 0 {
			first = &eb
		}
		at := path.Join(name, (*first)[0].Name)
		if slices.Contains(d.o.Ignore, at) {
			if *first = (*first)[1:]; order == 0 {
				eb = eb[1:]
			}
			continue
		}
		if order != 0 {
			return &Difference{at, fmt.Sprintf("it is in the %s only", map[bool]string{true: "first", false: "second"}[order < 0])}, nil
		}
		if diff, err := d.visit(at, ea[0].Number, eb[0].Number, depth+1); diff != nil || err != nil {
			return diff, err
		}
		ea, eb = ea[1:], eb[1:]
	}
	return nil, nil
}

func sorted(f FS, number uint64) ([]Entry, error) {
	entries, err := f.ReadDir(number)
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, err
}

func (d *differ) file(name string, na, nb uint64) (*Difference, error) {
	a, size, err := d.a.Open(na)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, _, err := d.b.Open(nb)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	at, err := FirstDifference(d.ctx, a, b, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if at >= 0 {
		return &Difference{name, fmt.Sprintf("its content differs from byte %d on", at)}, nil
	}
	return nil, nil
}

// FirstDifference returns the offset of the first byte in which the first size
// bytes of two sources differ, or -1. What is a hole in both is not read.
func FirstDifference(ctx context.Context, a, b sparse.Source, size int64) (int64, error) {
	const piece = 1 << 20
	ba, bb := make([]byte, piece), make([]byte, piece)
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		start, err := firstData(a, b, at, size)
		if err != nil {
			return 0, err
		}
		n := int(min(piece, size-start))
		for _, s := range []struct {
			src sparse.Source
			b   []byte
		}{{a, ba[:n]}, {b, bb[:n]}} {
			k, err := s.src.ReadAt(s.b, start)
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			clear(s.b[k:])
		}
		if !bytes.Equal(ba[:n], bb[:n]) {
			for i := range n {
				if ba[i] != bb[i] {
					return start + int64(i), nil
				}
			}
		}
		at = start + int64(n)
	}
	return -1, nil
}

// firstData returns where the first data of either source starts behind at, or
// size.
func firstData(a, b sparse.Source, at, size int64) (int64, error) {
	first := size
	for _, s := range []sparse.Source{a, b} {
		start, _, err := s.Next(at)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return 0, err
		}
		first = min(first, max(at, start))
	}
	return first, nil
}
