package stages

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/contextname"
	"github.com/osbuildkit/osbuildkit/stages/untar"
	"github.com/osbuildkit/osbuildkit/tree"
)

// What org.osbuild.copy copies from.
const (
	copyFromArchive = "archive"
	copyFromContext = contextname.Source
	copyInline      = "inline"
)

// copyContextPart gives files of the context the owner, mode and time that they have
// in a tree. It is a step of its own, so that the step that copies them has their
// content alone in its key: the umask of a client counts for nothing.
var copyContextPart = module.Module{
	Name:    CopyContext,
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "take files of the build context",
	Run:     runCopyContext,
}

// CopyContext is the part that prepares files of the build context.
const CopyContext = "org.osbuild.copy.context"

func runCopyContext(ctx context.Context, in *module.Input) error {
	if in.OutputDir == "" || in.Inputs[sourceInput] == "" {
		return fmt.Errorf("the contract names no \"output_dir\" or no input %q", sourceInput)
	}
	t, err := tree.Open(in.OutputDir)
	if err != nil {
		return err
	}
	defer t.Close()
	c := newCopier(in, t, contextArchive(in.Inputs[sourceInput], in.Time()), &ledger.Ledger{})
	if err := c.a.readIndex(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.a.what, err)
	}
	if err := c.plan(&idTables{}, CopyPath{}); err != nil {
		return err
	}
	if err := c.copy(ctx, c.selections[0]); err != nil {
		return fmt.Errorf("%s: %w", c.a.what, err)
	}
	return nil
}

// inlineName is the name of an inline file while it is copied.
const inlineName = "data"

// maxInline bounds the content of an inline file, which is in the step's
// description and so in each graph.
const maxInline = 1 << 20

// foreign lists the options of the source that do not belong to its type.
func (s *CopySource) foreign() []string {
	var out []string
	for _, o := range []struct {
		of, key string
		given   bool
	}{
		{copyFromArchive, "checksum", s.Checksum != ""},
		{copyFromArchive, "strip-components", s.StripComponents != nil},
		{copyFromContext, "path", s.Path != ""},
		{copyInline, "data", s.Data != nil},
		{copyInline, "encoding", s.Encoding != ""},
	} {
		if o.given && o.of != s.Type {
			out = append(out, o.key)
		}
	}
	return out
}

// checkContext reports names that are not those of files of the context.
func (o *CopyOptions) checkContext(bad func(at, format string, args ...any)) {
	if s := o.Source.Path; s != "" {
		if err := contextname.Check(s); err != nil {
			bad("/source/path", "%v", err)
			return
		}
	}
	if len(o.Paths) == 0 {
		bad("", "where files of the context go is not said: give \"paths\", such as [{\"to\": \"/etc/motd\"}]")
	}
	for i, p := range o.Paths {
		at := fmt.Sprintf("/paths/%d", i)
		from := orDefault(p.From, "/")
		if from != "/" {
			// The name itself, and not what is left of it when it is joined.
			if err := contextname.Check(strings.Trim(from, "/")); err != nil {
				bad(at+"/from", "%v", err)
				continue
			}
		}
		if contextname.Join(o.Source.Path, p.From) == "." {
			bad(at, "all of the context is never copied, as it has the manifest in it and what other builds leave: "+
				"name a file or a directory, in \"from\" or in the \"path\" of the source")
		}
	}
}

// checkInline reports a text without a place or a place without a text.
func (o *CopyOptions) checkInline(bad func(at, format string, args ...any)) {
	switch data, err := o.Source.content(); {
	case o.Source.Data == nil:
		bad("/source", "an inline source has its content in \"data\"")
	case err != nil:
		bad("/source/data", "%v", err)
	case len(data) > maxInline:
		bad("/source/data", "it has %d bytes, and a file in the manifest can have %d: copy it from the context", len(data), maxInline)
	}
	if len(o.Paths) == 0 {
		bad("", "where the file goes is not said: give \"paths\", such as [{\"to\": \"/etc/motd\"}]")
	}
	for i, p := range o.Paths {
		at := fmt.Sprintf("/paths/%d", i)
		if p.From != "" {
			bad(at+"/from", "an inline source is one file: leave out \"from\"")
		}
		if p.To == "" || strings.HasSuffix(p.To, "/") {
			bad(at, "an inline source has no name of its own: give that of the file in \"to\"")
		}
	}
}

// content returns the content of an inline file.
func (s *CopySource) content() ([]byte, error) {
	if s.Data == nil {
		return nil, nil
	}
	switch s.Encoding {
	case "", "text":
		return []byte(*s.Data), nil
	case "base64":
		data, err := base64.StdEncoding.Strict().DecodeString(*s.Data)
		if err != nil {
			return nil, fmt.Errorf("it is not base64: %w", err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("the encoding %s is not known: use text or base64", quote(s.Encoding))
}

// copied returns what is copied, in terms of the names that the source has.
func (o *CopyOptions) copied(a *archive) []CopyPath {
	paths := slices.Clone(o.Paths)
	if len(paths) == 0 {
		paths = []CopyPath{{}}
	}
	for i := range paths {
		p := &paths[i]
		switch o.Source.Type {
		case copyInline:
			p.From = "/" + inlineName
		case copyFromContext:
			name := contextname.Join(o.Source.Path, p.From)
			kind, _ := a.kind(name)
			// Of the directory that the source names the content is meant, as of an
			// archive.
			if all := strings.Trim(p.From, "/") == "" && kind == archiveDir; all || p.From != "/" && strings.HasSuffix(p.From, "/") {
				name += "/"
			}
			p.From = "/" + name
		}
	}
	return paths
}

// setOwner sets what an entry says of modes and owners.
func (s *selection) setOwner(ids *idTables, p CopyPath) error {
	if p.Mode != "" {
		mode, err := parseMode(p.Mode)
		if err != nil {
			return err
		}
		s.mode = int(mode)
	}
	var err error
	if p.User != nil {
		if s.uid, err = ids.user(string(*p.User)); err != nil {
			return err
		}
	}
	if p.Group != nil {
		s.gid, err = ids.group(string(*p.Group))
	}
	return err
}

// directoryMode returns the mode of a directory with files of the given mode: who
// reads them enters it. The bits of programs stay off.
func directoryMode(mode uint32) uint32 {
	mode &= 0o777
	return mode | mode&0o444>>2
}

// inlineArchive returns a source with one file.
func inlineArchive(data []byte, when time.Time) *archive {
	size := int64(len(data))
	h := &untar.Header{Name: inlineName, Type: untar.File, Mode: 0o644, Time: when, Size: size, Data: size}
	a := plainArchive("the manifest")
	a.walk = func(_ context.Context, visit func(string, *untar.Header, io.Reader) error) error {
		return visit(inlineName, h, bytes.NewReader(data))
	}
	return a
}

// plainArchive returns a source that is not packed.
func plainArchive(what string) *archive {
	return &archive{what: what, keep: true, packed: maxArchiveBytes}
}

// contextArchive returns the files in a directory. All belongs to root and has one
// time; the mode has what the client's says of execution.
func contextArchive(dir string, when time.Time) *archive {
	a := plainArchive("the context")
	a.walk = func(ctx context.Context, visit func(string, *untar.Header, io.Reader) error) error {
		root, err := tree.Open(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		entries, total := 0, int64(0)
		return root.Walk("/", func(rel string, d fs.DirEntry) error {
			if rel == "." || rel == "" {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			if entries++; entries > maxArchiveEntries {
				return fmt.Errorf("it has more than %d files", maxArchiveEntries)
			}
			h := &untar.Header{Name: rel, Time: when}
			switch {
			case d.IsDir():
				h.Type, h.Mode = untar.Dir, 0o755
			case d.Type()&fs.ModeSymlink != 0:
				h.Type = untar.Symlink
				if h.Link, err = root.Readlink(rel); err != nil {
					return err
				}
			case d.Type().IsRegular():
				if total += st.Size(); total > maxArchiveBytes {
					return fmt.Errorf("it has more than %d GiB", maxArchiveBytes>>30)
				}
				return visitFile(ctx, root, rel, h, st, visit)
			default:
				return fmt.Errorf("%s is neither a file, nor a directory, nor a link", quote(rel))
			}
			return visit(rel, h, nil)
		})
	}
	return a
}

// visitFile opens a file and calls visit for it.
func visitFile(ctx context.Context, root *tree.Root, rel string, h *untar.Header, st fs.FileInfo,
	visit func(string, *untar.Header, io.Reader) error,
) error {
	f, err := root.OpenFile(rel, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Type, h.Mode, h.Size, h.Data = untar.File, 0o644, st.Size(), st.Size()
	if st.Mode().Perm()&0o111 != 0 {
		h.Mode = 0o755
	}
	return visit(rel, h, expand.Limit(ctxio.Reader(ctx, f), st.Size()))
}
