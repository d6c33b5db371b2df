package stages

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// CopyOptions are the options of org.osbuild.copy.
type CopyOptions struct {
	// The archive that is copied from.
	Source CopySource `json:"source" jsonschema:"required"`
	// What is copied. Without it all of the archive goes into the root of the
	// tree.
	Paths []CopyPath `json:"paths,omitempty"`
}

// CopySource is a file among the manifest's sources.
type CopySource struct {
	// What the file is.
	Type string `json:"type" jsonschema:"required,enum=archive"`
	// The checksum under which the manifest's sources have the file: an archive
	// of tar(1), compressed with gzip, bzip2, xz or zstd, or not at all. It is
	// read as GNU tar reads it: files with holes keep them, and what is of an
	// unknown type becomes a file. It may have a million files, 64 GiB of data,
	// and files of 8 TiB with their holes.
	Checksum string `json:"checksum" jsonschema:"required,pattern=^(md5|sha1|sha256|sha384|sha512):[0-9a-f]{32\\,128}$"`
	// How many leading directories are taken off the names in the archive, of
	// which a "." is one as for GNU tar. Names that have no more than that are
	// left out.
	StripComponents *int `json:"strip-components,omitempty" jsonschema:"default=1,minimum=0,maximum=100"`
}

// CopyPath says what is copied, and where to.
type CopyPath struct {
	// A file or directory in the archive, after leading directories were taken
	// off. With a slash at the end what is in the directory is copied.
	From string `json:"from,omitempty" jsonschema:"default=/,pattern=^/"`
	// Where it goes in the tree. If there is a directory of that name, or the
	// name ends in a slash, it goes into it under its own name.
	To string `json:"to,omitempty" jsonschema:"default=/,pattern=^/"`
}

// copyStage is the stage of osbuild 22 to 24 that unpacks an archive and
// copies files out of it with cp(1). Decided otherwise:
//
//   - The directory that is copied into keeps its mode, owner and time. With
//     osbuild the root of the tree got those of a temporary directory.
//   - Where the tree has a link to a directory and the archive a directory, the
//     files go to where the link leads in the tree; cp(1) gives up. Any other
//     link or file in the way is replaced and never written through.
//   - Times after the epoch of the build become the epoch.
//   - Everything is checked before the first file is written: the checksum, the
//     names in the archive, and that what is copied is there.
var copyStage = module.Module{
	Name:    "org.osbuild.copy",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Summary: "copy files out of an archive",
	Options: optionsOf[CopyOptions],
	Check:   checkOf[CopyOptions],
	Run:     runOfContext(runCopy),
}

// digests are the kinds of checksum that sources have.
var digests = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

var checksumForm = regexp.MustCompile(`^([a-z0-9]+):([0-9a-f]+)$`)

// newDigest returns the hash for a checksum, and its value in hex.
func newDigest(checksum string) (hash.Hash, string, error) {
	m := checksumForm.FindStringSubmatch(checksum)
	if m == nil || digests[m[1]] == nil {
		return nil, "", fmt.Errorf("%s is not a checksum, such as sha256: and 64 hex digits", quote(checksum))
	}
	h := digests[m[1]]()
	if len(m[2]) != 2*h.Size() {
		return nil, "", fmt.Errorf("%s has %d digits, and %s has %d", quote(checksum), len(m[2]), m[1], 2*h.Size())
	}
	return h, m[2], nil
}

const maxStrip = 100

func (o *CopyOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(at, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	if o.Source.Type != "archive" {
		bad("/source/type", "%s is not known: use archive", quote(o.Source.Type))
	}
	if _, _, err := newDigest(o.Source.Checksum); err != nil {
		bad("/source/checksum", "%v", err)
	}
	if n := o.strip(); n < 0 || n > maxStrip {
		bad("/source/strip-components", "%d directories cannot be taken off: use 0 to %d", n, maxStrip)
	}
	for i, p := range o.Paths {
		for key, s := range map[string]string{"from": p.From, "to": p.To} {
			if s != "" && !strings.HasPrefix(s, "/") || strings.ContainsRune(s, 0) {
				bad(fmt.Sprintf("/paths/%d/%s", i, key), "%s is not an absolute path", quote(s))
			}
		}
	}
	return sortProblems(problems)
}

func (o *CopyOptions) strip() int {
	if o.Source.StripComponents == nil {
		return 1
	}
	return *o.Source.StripComponents
}

// sourceInput is the input that holds the archive.
const sourceInput = "source"

func runCopy(ctx context.Context, in *module.Input, t *tree.Root, o *CopyOptions) error {
	file, err := onlyFile(in, sourceInput)
	if err != nil {
		return err
	}
	if err := verifyFile(ctx, file, o.Source.Checksum); err != nil {
		return err
	}
	a := &archive{file: file, strip: o.strip()}
	if err := a.readIndex(ctx); err != nil {
		return fmt.Errorf("the archive: %w", err)
	}
	for _, line := range a.unknown[:min(len(a.unknown), 10)] {
		in.Logf("%s", line)
	}
	paths := o.Paths
	if len(paths) == 0 {
		paths = []CopyPath{{}}
	}
	l, err := ledger.Load(in.Ledger)
	if err != nil {
		return err
	}
	c := &copier{in: in, t: t, a: a, l: l, budget: expand.Budget{Data: maxArchiveBytes, Packed: a.packed}, buf: make([]byte, 256<<10)}
	for i, p := range paths {
		if err := c.plan(orDefault(p.From, "/"), orDefault(p.To, "/")); err != nil {
			return fmt.Errorf("paths: %d: %w", i, err)
		}
	}
	for _, s := range c.selections {
		if err := c.copy(ctx, s); err != nil {
			return fmt.Errorf("copying %s: %w", s.from, err)
		}
	}
	in.Logf("%d files copied", c.count)
	if in.Ledger == "" {
		return nil
	}
	return l.Save(in.Ledger, in.Time())
}

// onlyFile returns the file that an input consists of.
func onlyFile(in *module.Input, name string) (string, error) {
	dir := in.Inputs[name]
	if dir == "" {
		return "", fmt.Errorf("the contract names no input %q", name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 || !entries[0].Type().IsRegular() {
		return "", fmt.Errorf("the input %q is not one file", name)
	}
	return filepath.Join(dir, entries[0].Name()), nil
}

// verifyFile compares a file with its checksum.
func verifyFile(ctx context.Context, file, checksum string) (err error) {
	h, want, err := newDigest(checksum)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(h, ctxio.Reader(ctx, f), make([]byte, 1<<20)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("the file is not the one that the manifest names: its checksum is %s, not %s", got, want)
	}
	return nil
}

// selection is a part of the archive and its place in the tree.
type selection struct {
	// from is the name in the archive, "." for all of it.
	from string
	// to is the name that it gets in the tree, links in it resolved.
	to string
	// contents says that from itself is not copied.
	contents bool
	// adopt maps files outside the selection that have a name inside it to that
	// name: they are copied in its place.
	adopt map[string]string
}

// place returns where a file of the archive goes, if it is selected.
func (s *selection) place(name string) (string, bool) {
	rel := strings.TrimPrefix(name, s.from+"/")
	switch {
	case s.from == ".":
		rel = name
	case name == s.from:
		return s.to, !s.contents
	case rel == name:
		to, ok := s.adopt[name]
		return to, ok
	}
	if rel == "." {
		return s.to, false
	}
	return path.Join(s.to, rel), true
}

// plan finds out what one entry of the options stands for.
func (c *copier) plan(from, to string) error {
	s := &selection{from: path.Clean("." + path.Clean(from)), contents: strings.HasSuffix(from, "/"), adopt: map[string]string{}}
	if s.from == "." {
		s.contents = true
	}
	kind, ok := c.a.kind(s.from)
	if !ok {
		return fmt.Errorf("the archive holds no %s", from)
	}
	if s.contents && kind != archiveDir {
		return fmt.Errorf("%s is not a directory, although the name ends in a slash", from)
	}
	into := strings.HasSuffix(to, "/")
	st, err := c.t.Stat(to)
	switch {
	case err == nil && st.IsDir():
		into = true
	case err == nil && (s.contents || into):
		return fmt.Errorf("/%s in the tree is not a directory", strings.TrimLeft(to, "/"))
	case err != nil && !missing(err):
		return err
	}
	if !s.contents && into {
		to = path.Join(to, path.Base(s.from))
	}
	if s.to, err = c.t.Resolve(to, s.contents); err != nil {
		return err
	}
	if err := parentIsDir(c.t, s.to); err != nil {
		return err
	}
	for _, e := range c.a.entries {
		place, ok := s.place(e.name)
		if !ok || e.link == "" {
			continue
		}
		if _, inside := s.place(e.link); !inside {
			s.adopt[e.link] = place
		}
	}
	c.selections = append(c.selections, s)
	return nil
}
