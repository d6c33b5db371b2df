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
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// CopyOptions are the options of org.osbuild.copy.
type CopyOptions struct {
	// What is copied from: an archive, files of the build context, or a text.
	Source CopySource `json:"source" jsonschema:"required"`
	// What is copied. Without it all of an archive goes into the root of the
	// tree; from the context and of a text each file is named.
	Paths []CopyPath `json:"paths,omitempty"`
}

// CopySource says where files come from.
type CopySource struct {
	// What it is: an archive among the manifest's sources; context, files beside
	// the manifest or in the directory that the build is given; or inline, one
	// file whose content is in the manifest. The last two are additions to
	// osbuild's.
	Type string `json:"type" jsonschema:"required,enum=archive,enum=context,enum=inline"`
	// The checksum under which the manifest's sources have the file: an archive
	// of tar(1), compressed with gzip, bzip2, xz or zstd, or not at all. It is
	// read as GNU tar reads it: files with holes keep them, and what is of an
	// unknown type becomes a file. It may have a million files, 64 GiB of data,
	// and files of 8 TiB with their holes.
	Checksum string `json:"checksum,omitempty" jsonschema:"pattern=^(md5|sha1|sha256|sha384|sha512):[0-9a-f]{32\\,128}$"`
	// How many leading directories are taken off the names in the archive, of
	// which a "." is one as for GNU tar. Names that have no more than that are
	// left out.
	StripComponents *int `json:"strip-components,omitempty" jsonschema:"default=1,minimum=0,maximum=100"`
	// A file or directory of the context, relative to its top; "." by default. Of a
	// directory what is in it is copied, unless paths say otherwise. It is a name
	// and no pattern. Only what is named here and in paths is sent to
	// the builder, and only a change of that runs the stage again. A link on the
	// way is followed inside the context, and links in a directory are copied as
	// links. What a .dockerignore leaves out is not there.
	Path string `json:"path,omitempty" jsonschema:"minLength=1,maxLength=4095"`
	// The content of the file, for inline.
	Data *string `json:"data,omitempty"`
	// How the content is written: as it is, or in base64.
	Encoding string `json:"encoding,omitempty" jsonschema:"enum=text,enum=base64,default=text"`
}

// CopyPath says what is copied, and where to.
type CopyPath struct {
	// A file or directory in the archive, after leading directories were taken
	// off, or below the path of the context. With a slash at the end what is in the
	// directory is copied.
	From string `json:"from,omitempty" jsonschema:"default=/,pattern=^/"`
	// Where it goes in the tree. If there is a directory of that name, or the
	// name ends in a slash, it goes into it under its own name. Missing
	// directories above it are made.
	To string `json:"to,omitempty" jsonschema:"default=/,pattern=^/"`
	// The permissions of files, as three or four octal digits such as 0640. A
	// directory can be entered by those who can read: 0640 makes it 0750. By
	// default they are those of the archive, or 0755 for what can be executed in
	// the context and 0644 for all else. An addition to osbuild's options, as
	// are user and group.
	Mode string `json:"mode,omitempty" jsonschema:"pattern=^[0-7]?[0-7][0-7][0-7]$"`
	// The user who owns what is copied, by number or by a name in the tree's
	// etc/passwd. By default that of the archive, else root.
	User *OwnerRef `json:"user,omitempty"`
	// The group of what is copied, by number or by a name in the tree's
	// etc/group. By default that of the archive, else root.
	Group *OwnerRef `json:"group,omitempty"`
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
//
// Files of the context and texts are additions. Of the client's files only the
// content and whether they can be executed reach the tree: the rest differs
// between two machines that have checked out the same repository. A directory
// of the tree that they go into stays as it is.
var copyStage = module.Module{
	Name:    "org.osbuild.copy",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Ledger:  module.LedgerWrite,
	Summary: "copy files out of an archive or the build context, or write a text",
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
	switch o.Source.Type {
	case copyFromArchive:
		if o.Source.Checksum == "" {
			bad("/source", "an archive is named by its \"checksum\", which the manifest's sources have")
		} else if _, _, err := newDigest(o.Source.Checksum); err != nil {
			bad("/source/checksum", "%v", err)
		}
		if n := o.strip(); n < 0 || n > maxStrip {
			bad("/source/strip-components", "%d directories cannot be taken off: use 0 to %d", n, maxStrip)
		}
	case copyFromContext:
		o.checkContext(bad)
	case copyInline:
		o.checkInline(bad)
	default:
		bad("/source/type", "%s is not known: use archive, context or inline", quote(o.Source.Type))
		return problems
	}
	for _, key := range o.Source.foreign() {
		bad("/source/"+key, "%q says nothing of a source of type %s", key, o.Source.Type)
	}
	for i, p := range o.Paths {
		at := fmt.Sprintf("/paths/%d/", i)
		for key, s := range map[string]string{"from": p.From, "to": p.To} {
			if s != "" && !strings.HasPrefix(s, "/") || strings.ContainsRune(s, 0) {
				bad(at+key, "%s is not an absolute path", quote(s))
			}
		}
		if p.Mode != "" {
			if _, err := parseMode(p.Mode); err != nil {
				bad(at+"mode", "%v", err)
			}
		}
		checkOwner(p.User, func(text string) { bad(at+"user", "%s", text) })
		checkOwner(p.Group, func(text string) { bad(at+"group", "%s", text) })
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
	a, err := o.open(ctx, in)
	if err != nil {
		return err
	}
	if err := a.readIndex(ctx); err != nil {
		return fmt.Errorf("%s: %w", a.what, err)
	}
	for _, line := range a.unknown[:min(len(a.unknown), 10)] {
		in.Logf("%s", line)
	}
	l, err := ledger.Load(in.Ledger)
	if err != nil {
		return err
	}
	ids, err := readIDs(t)
	if err != nil {
		return err
	}
	c := newCopier(in, t, a, l)
	for i, p := range o.copied(a) {
		if err := c.plan(ids, p); err != nil {
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

// open returns what is copied from.
func (o *CopyOptions) open(ctx context.Context, in *module.Input) (*archive, error) {
	switch o.Source.Type {
	case copyFromContext:
		dir := in.Inputs[sourceInput]
		if dir == "" {
			return nil, fmt.Errorf("the contract names no input %q", sourceInput)
		}
		return contextArchive(dir, in.Time()), nil
	case copyInline:
		data, err := o.Source.content()
		return inlineArchive(data, in.Time()), err
	}
	file, err := onlyFile(in, sourceInput)
	if err != nil {
		return nil, err
	}
	if err := verifyFile(ctx, file, o.Source.Checksum); err != nil {
		return nil, err
	}
	return &archive{what: "the archive", file: file, strip: o.strip()}, nil
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
	// mode is that of files, if it is not -1; uid and gid are the owners, if they
	// are not -1.
	mode, uid, gid int
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
func (c *copier) plan(ids *idTables, p CopyPath) error {
	from, to := orDefault(p.From, "/"), orDefault(p.To, "/")
	s := &selection{
		from: path.Clean("." + path.Clean(from)), contents: strings.HasSuffix(from, "/"), adopt: map[string]string{},
		mode: -1, uid: -1, gid: -1,
	}
	if err := s.setOwner(ids, p); err != nil {
		return err
	}
	if s.from == "." {
		s.contents = true
	}
	kind, ok := c.a.kind(s.from)
	if !ok {
		return fmt.Errorf("%s holds no %s", c.a.what, from)
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
