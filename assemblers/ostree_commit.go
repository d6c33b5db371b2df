package assemblers

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/assemblers/ostree"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// OSTreeCommitOptions are the options of org.osbuild.ostree.commit.
type OSTreeCommitOptions struct {
	// Ref is the reference that names the commit, such as fedora/39/x86_64/iot.
	Ref string `json:"ref" jsonschema:"required,minLength=1"`
	// OSVersion is the version of the system, which the commit gets as its own.
	OSVersion string `json:"os_version,omitempty"`
	// TmpIsDir says whether /tmp is a directory; otherwise it is a link to
	// sysroot/tmp, which all deployments share.
	TmpIsDir *bool `json:"tmp-is-dir,omitempty" jsonschema:"default=true"`
	// Parent is the commit that this one comes after: 64 hex digits.
	Parent string `json:"parent,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
	// Tar puts everything into one archive.
	Tar *OSTreeTar `json:"tar,omitempty"`
}

// OSTreeTar is an archive with a repository.
type OSTreeTar struct {
	// Filename is the name of the archive in the output directory. Its end says
	// how it is compressed: .tar not at all, .tar.gz, .tar.xz, .tar.zst and
	// .tar.lzma by these programs.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
}

var refForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

func (o *OSTreeCommitOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(at, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at, Message: fmt.Sprintf(format, args...)})
	}
	if !refForm.MatchString(o.Ref) || len(o.Ref) > 255 {
		bad("/ref", "%q is not a reference: use names of letters, digits, hyphens, dots and underlines, joined by slashes", o.Ref)
	}
	if strings.ContainsRune(o.OSVersion, 0) {
		bad("/os_version", "a NUL byte cannot stand in a version")
	}
	if _, ok := ostree.ParseChecksum(o.Parent); o.Parent != "" && !ok {
		bad("/parent", "%q is not a commit: give all its 64 hex digits", o.Parent)
	}
	if o.Tar != nil {
		if err := checkFilename(o.Tar.Filename); err != nil {
			bad("/tar/filename", "%v", err)
		} else if err := checkCompression(compressionOf(o.Tar.Filename)); err != nil {
			bad("/tar/filename", "%v", err)
		}
	}
	return problems
}

func checkOSTreeCommit(options json.RawMessage) []module.Problem {
	return checkWith(options, (*OSTreeCommitOptions).check)
}

// compressions says how archives are compressed by the ends of their names,
// as tar --auto-compress does.
var compressions = map[string]string{
	".gz": "gzip", ".tgz": "gzip", ".taz": "gzip", ".xz": "xz", ".txz": "xz", ".zst": "zstd", ".tzst": "zstd",
	".lzma": "lzma", ".tlz": "lzma", ".lz": "lzip", ".lzo": "lzop", ".bz2": "bzip2", ".tbz": "bzip2", ".tbz2": "bzip2", ".tz2": "bzip2",
}

func compressionOf(name string) string { return compressions[path.Ext(name)] }

// What a commit has beside the tree's own directories.
var (
	ostreeDirs  = []string{"dev", "proc", "run", "sys", "sysroot"}
	ostreeLinks = [][2]string{
		{"home", "var/home"}, {"media", "run/media"}, {"mnt", "var/mnt"}, {"opt", "var/opt"},
		{"ostree", "sysroot/ostree"}, {"root", "var/roothome"}, {"srv", "var/srv"},
	}
	ostreeNeeds = []string{"usr", "boot", "var"}
	ostreeTakes = []string{"bin", "lib", "lib32", "lib64", "sbin"}
)

const (
	repoName    = "repo"
	composeName = "compose.json"
)

// runOSTreeCommit commits the tree to a new repository of OSTree. Osbuild
// copies the tree and has rpm-ostree commit it; here the objects are written
// directly, which needs neither a copy nor a program, and gives the same commit
// for the same tree. Decided otherwise than there:
//
//   - Labels and attributes are those of the ledger: put org.osbuild.selinux
//     before this. rpm-ostree looks labels up in the policy itself.
//   - What is in var stays in var, where osbuild moves it to var/var.
//   - Without "tmp-is-dir" tmp is a link to sysroot/tmp. Osbuild makes a link
//     sysroot/tmp that leads to itself.
//   - The commit has no list of the RPM packages in it.
//   - Times are the epoch of the build; OSTree keeps none of files.
func runOSTreeCommit(ctx context.Context, in *module.Input) (err error) {
	var o OSTreeCommitOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if err := problemsError(o.check()); err != nil {
		return err
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\", which an assembler writes to")
	}
	for _, name := range ostreeNeeds {
		if st, err := os.Lstat(filepath.Join(in.Tree, name)); err != nil || !st.IsDir() {
			return fmt.Errorf("the tree has no directory %s: a commit consists of usr, boot and var", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(in.Tree, "usr/etc")); err != nil {
		in.Logf("warning: the tree has no usr/etc, from which OSTree makes etc when it deploys a commit; etc itself is no part of one")
	}
	scratch, err := os.MkdirTemp(in.OutputDir, scratchPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := o.commit(ctx, in, scratch); err != nil {
		return err
	}
	if o.Tar != nil {
		return writeOutput(ctx, in, o.Tar.Filename, func(f *os.File, _ string) error { return o.archive(ctx, in, f, scratch) })
	}
	for _, name := range []string{repoName, composeName} {
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(in.OutputDir, name)); err != nil {
			return err
		}
	}
	return writeSums(ctx, in.OutputDir, o.names(in.OutputDir))
}

// names lists the files whose checksums stand in the list: those of all
// objects as long as the list can be fetched at once. They verify themselves.
func (o *OSTreeCommitOptions) names(dir string) []string {
	const most = 50000
	names := []string{composeName}
	var objects []string
	_ = filepath.WalkDir(filepath.Join(dir, repoName), func(full string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, full)
			if strings.HasPrefix(rel, repoName+"/objects/") {
				objects = append(objects, rel)
			} else {
				names = append(names, rel)
			}
		}
		return err
	})
	if len(objects) <= most {
		names = append(names, objects...)
	}
	return names
}

// compose is what compose.json says about a commit, in the words of rpm-ostree.
type compose struct {
	Ref             string `json:"ref"`
	Commit          string `json:"ostree-commit"`
	ContentChecksum string `json:"ostree-content-checksum"`
	Version         string `json:"ostree-version,omitempty"`
	Timestamp       string `json:"ostree-timestamp"`
	Parent          string `json:"ostree-parent-commit,omitempty"`
	Metadata        int64  `json:"ostree-n-metadata-total"`
	Content         int64  `json:"ostree-n-content-total"`
	Bytes           int64  `json:"ostree-content-bytes-total"`
}

// commit writes the repository and compose.json into a directory.
func (o *OSTreeCommitOptions) commit(ctx context.Context, in *module.Input, dir string) error {
	if err := checkCommitHoles(ctx, in.Tree); err != nil {
		return err
	}
	attrs, err := attributes(ctx, in)
	if err != nil {
		return err
	}
	w := &ostreeWriter{in: in, attrs: newFileAttributes(in, attrs), dirs: map[string]*ostree.Dir{}}
	if err := w.attrs.collectAll(ctx); err != nil {
		return err
	}
	if w.repo, err = ostree.Create(ctx, filepath.Join(dir, repoName), w.meta("/", unix.S_IFDIR|0o755)); err != nil {
		return err
	}
	if err := w.write(ctx, isTrue(o.TmpIsDir)); err != nil {
		return errors.Join(err, w.repo.Abort())
	}
	c := ostree.Commit{Timestamp: in.Epoch, Version: o.OSVersion, Refs: []string{o.Ref}, Linux: w.linux}
	if p, ok := ostree.ParseChecksum(o.Parent); ok {
		c.Parent = &p
	}
	commit, content, err := w.repo.Commit(c)
	if err != nil {
		return err
	}
	in.Logf("commit %s of %d files", commit, w.repo.Content)
	text, err := json.Marshal(compose{
		Ref: o.Ref, Commit: commit.String(), ContentChecksum: content.String(), Version: o.OSVersion,
		Timestamp: in.Time().Format("2006-01-02T15:04:05Z"), Parent: o.Parent,
		Metadata: w.repo.Metadata, Content: w.repo.Content, Bytes: w.repo.Bytes,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, composeName), append(text, '\n'), 0o644)
}

// ostreeWriter commits the files of a tree.
type ostreeWriter struct {
	in    *module.Input
	repo  *ostree.Repo
	attrs *fileAttributes
	dirs  map[string]*ostree.Dir
	linux string
}

// write adds what a commit has of its own, and the directories of the tree.
func (w *ostreeWriter) write(ctx context.Context, tmpIsDir bool) error {
	root := w.repo.Root()
	for _, name := range ostreeDirs {
		if _, err := root.Dir(name, w.meta("/"+name, unix.S_IFDIR|0o755)); err != nil {
			return err
		}
	}
	links := ostreeLinks
	if tmpIsDir {
		if _, err := root.Dir("tmp", w.meta("/tmp", unix.S_IFDIR|0o1777)); err != nil {
			return err
		}
	} else {
		links = append(slices.Clone(links), [2]string{"tmp", "sysroot/tmp"})
	}
	for _, l := range links {
		if err := w.repo.Symlink(root, l[0], l[1], w.meta("/"+l[0], unix.S_IFLNK|0o777)); err != nil {
			return err
		}
	}
	w.dirs["."] = root
	return content.Walk(ctx, w.in.Tree, w.add)
}

// meta returns what a commit keeps of a file that the tree does not have; a
// label is that of the path.
func (w *ostreeWriter) meta(name string, mode uint32) ostree.Meta {
	m := ostree.Meta{Mode: mode}
	for _, a := range w.attrs.attrs[name] {
		if a.Name == ledger.Label {
			m.Attributes = append(m.Attributes, ostree.Attribute{Name: a.Name, Value: a.Value})
		}
	}
	return m
}

// committed reports whether a file of the tree is part of a commit.
func committed(e *content.Entry) bool {
	top, _, _ := strings.Cut(e.Path, "/")
	return e.Path != "." && (slices.Contains(ostreeNeeds, top) || slices.Contains(ostreeTakes, top))
}

// checkCommitHoles refuses sparse files whose zeros would take hours: objects have
// no holes, and are named by a checksum of all their bytes.
func checkCommitHoles(ctx context.Context, tree string) error {
	holes := content.Holes{What: "an OSTree commit"}
	return content.Walk(ctx, tree, func(e *content.Entry) error {
		if !committed(e) {
			return nil
		}
		return holes.Add(e)
	})
}

// add adds one file of the tree.
func (w *ostreeWriter) add(e *content.Entry) error {
	if !committed(e) {
		return nil
	}
	dir, name := w.dirs[path.Dir(e.Path)], path.Base(e.Path)
	m := ostree.Meta{UID: e.Stat.Uid, GID: e.Stat.Gid, Mode: e.Stat.Mode}
	for _, a := range w.attrs.of(e) {
		value := a.Value
		switch a.Name {
		case ledger.AccessACL, ledger.DefaultACL:
			var err error
			if value, _, err = tarACL(value, e.Stat.Mode, a.Name == ledger.AccessACL); err != nil {
				return fmt.Errorf("attribute %s of %q: %w", a.Name, e.Path, err)
			}
			if len(value) == 0 {
				continue
			}
		case ledger.Capability:
			value = content.PlainCapability(value)
		}
		m.Attributes = append(m.Attributes, ostree.Attribute{Name: a.Name, Value: value})
	}
	switch e.Kind() {
	case unix.S_IFDIR:
		sub, err := dir.Dir(name, m)
		w.dirs[e.Path] = sub
		return err
	case unix.S_IFLNK:
		target, err := e.Readlink()
		if err != nil {
			return err
		}
		return w.repo.Symlink(dir, name, target, m)
	case unix.S_IFREG:
		if ok, _ := path.Match("usr/lib/modules/*/vmlinuz", e.Path); ok {
			w.linux = path.Base(path.Dir(e.Path))
		}
		f, err := e.Open()
		if err != nil {
			return err
		}
		return w.repo.File(dir, name, m, f, e.Stat.Size)
	}
	return fmt.Errorf("%q is neither a file nor a directory nor a link, and OSTree holds nothing else: remove it", e.Path)
}

// archive writes the repository and compose.json as an archive.
func (o *OSTreeCommitOptions) archive(ctx context.Context, in *module.Input, f io.Writer, dir string) (err error) {
	z, err := compressor(f, compressionOf(o.Tar.Filename))
	if err != nil {
		return err
	}
	tw := tar.NewWriter(z)
	err = content.Walk(ctx, dir, func(e *content.Entry) error {
		if e.Path == "." {
			return nil
		}
		h := &tar.Header{Name: e.Path, Mode: 0o644, Typeflag: tar.TypeReg, Size: e.Stat.Size, ModTime: in.Time(), Format: tar.FormatPAX}
		if e.Kind() == unix.S_IFDIR {
			h.Name, h.Mode, h.Typeflag, h.Size = e.Path+"/", 0o755, tar.TypeDir, 0
		}
		if err := tw.WriteHeader(h); err != nil || h.Typeflag == tar.TypeDir {
			return err
		}
		return e.CopyTo(ctx, tw, make([]byte, 256<<10))
	})
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return errors.Join(err, z.stop())
	}
	return z.Close()
}
