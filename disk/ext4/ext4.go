package ext4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// BlockSize is the size of a block of the file systems that are made here.
const BlockSize = 4096

// inodeSize is the size of an inode on the disk in bytes.
const inodeSize = 256

// MinSize is the size in bytes of the smallest file system that Make makes:
// less leaves no room for a journal.
const MinSize = 16 << 20

// Options says which file system Make is to make.
type Options struct {
	// Content is what goes into it.
	Content *content.Tree
	// Disk is the file to write to. It exists and reads as zeros where the
	// file system goes.
	Disk string
	// Offset and Size give the place in bytes. What does not fill a block at
	// the end is left alone.
	Offset, Size int64
	// UUID is the identifier of the file system; the hash seed of its
	// directories is derived from it.
	UUID disk.UUID
	// Label is the volume label, of up to 16 bytes. It may be empty.
	Label string
	// Epoch is the time of the build in seconds since 1970: no time in the
	// file system is later. With 0 the times are those of the tree and of now.
	Epoch int64
	// Scratch is a directory for temporary files.
	Scratch string
}

// conf takes the place of the build root's mke2fs.conf, so that the result
// does not depend on the distribution. The features are what mke2fs 1.46
// makes: kernels and boot loaders of older systems can read it (no orphan
// file, no checksum seed).
const conf = `[defaults]
	base_features = ext_attr
	blocksize = 4096
	inode_size = 256
	inode_ratio = 16384
	reserved_ratio = 5
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize,dir_index,filetype,resize_inode,sparse_super,large_file
	}
	floppy = {
	}
	small = {
	}
	big = {
	}
	huge = {
	}
`

// inodeRatio is the number of bytes per inode of conf.
const inodeRatio = 16384

// Warning is something about the result that a person should know.
type Warning string

// Make makes the file system. The error is a *content.TooSmallError if the tree does
// not fit; this is found before anything is written where it can be known.
func Make(ctx context.Context, o Options) ([]Warning, error) {
	program, err := tool.Find("e2fsprogs", "mke2fs")
	if err != nil {
		return nil, err
	}
	if o.Size < MinSize {
		return nil, fmt.Errorf("an ext4 file system of %d bytes is too small: make it at least %d", o.Size, int64(MinSize))
	}
	if len(o.Label) > 16 {
		return nil, fmt.Errorf("the ext4 label %q is longer than 16 bytes", o.Label)
	}
	use := o.Content.Usage()
	if need := Needed(use, o.Size); need > o.Size {
		return nil, &content.TooSmallError{Needed: need, Available: o.Size}
	}
	confFile := filepath.Join(o.Scratch, "mke2fs.conf")
	if err := os.WriteFile(confFile, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(confFile)

	out, err := o.run(ctx, confFile, program, o.args(use))
	if err != nil {
		return nil, o.explain(use, err)
	}
	var warnings []Warning
	for _, line := range strings.Split(out, "\n") {
		// A build root has no /etc/mtab, and none is needed.
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "mtab") {
			warnings = append(warnings, Warning("mke2fs: "+line))
		}
	}
	more, err := o.finish()
	return append(warnings, more...), err
}

// run starts mke2fs. It reads the directory itself where that is the content;
// else, when a part of it belongs to another file system, it gets an archive.
func (o *Options) run(ctx context.Context, confFile, program string, args []string) (string, error) {
	if o.Content.Dir != "" {
		return tool.Run(ctx, o.env(confFile), program, args...)
	}
	return tool.Feed(ctx, o.env(confFile), func(w io.Writer) error { return archive(ctx, o.Content, w) }, program, args...)
}

func (o *Options) env(confFile string) []string {
	env := []string{"MKE2FS_CONFIG=" + confFile}
	if o.Epoch > 0 {
		epoch := strconv.FormatInt(o.Epoch, 10)
		// For the times of the file system itself; those of its files are
		// set afterwards. The second is what mke2fs before 1.47.1 knows.
		env = append(env, "SOURCE_DATE_EPOCH="+epoch, "E2FSPROGS_FAKE_TIME="+epoch)
	}
	return env
}

func (o *Options) args(use content.Usage) []string {
	from := o.Content.Dir
	if from == "" {
		from = "-"
	}
	args := []string{"-q", "-F", "-t", "ext4", "-d", from, "-U", o.UUID.String(), "-L", o.Label}
	if want := inodeCount(use); want > o.Size/inodeRatio {
		args = append(args, "-N", strconv.FormatInt(want, 10))
	}
	extended := fmt.Sprintf("offset=%d,hash_seed=%s,lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0,no_copy_xattrs",
		o.Offset, o.UUID.Derive("ext4 hash seed"))
	return append(args, "-E", extended, o.Disk, strconv.FormatInt(o.Size/BlockSize*(BlockSize/1024), 10)+"k")
}

// explain turns mke2fs's words for "does not fit" into numbers.
func (o *Options) explain(use content.Usage, err error) error {
	var te *tool.Error
	if !errors.As(err, &te) {
		return err
	}
	switch {
	case strings.Contains(te.Output, "Could not allocate"), strings.Contains(te.Output, "No free space"):
		// The measure is a lower bound, so add what it may have missed.
		need := Needed(use, o.Size)
		return &content.TooSmallError{Needed: max(need+need/20, o.Size+o.Size/20), Available: o.Size}
	case strings.Contains(te.Output, "no_copy_xattrs"):
		return fmt.Errorf("the build root's e2fsprogs cannot leave out extended attributes: it must be 1.47 or newer: %w", err)
	case strings.Contains(te.Output, "No space left on device"):
		return fmt.Errorf("the builder has no disk space left for the file system: %w", err)
	case strings.Contains(te.Output, "libarchive"), o.Content.Dir == "" && strings.Contains(te.Output, "while populating"):
		return fmt.Errorf("the build root's e2fsprogs cannot read an archive, which a tree that is split over several file systems is given as: it must be 1.47.1 or newer, and libarchive13t64 must be installed: %w", err)
	}
	return err
}

// finish writes the extended attributes and evens out what mke2fs leaves over.
func (o *Options) finish() ([]Warning, error) {
	r := o.Content.Root
	root := Root{Mode: uint16(r.Mode & 0o7777), UID: r.UID, GID: r.GID, Time: r.Time}
	f, err := os.OpenFile(o.Disk, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	warnings, err := o.attributes(f, root)
	if err == nil {
		if err = Normalize(f, o.Offset, root, o.Epoch); err != nil {
			err = fmt.Errorf("evening out the file system: %w", err)
		}
	}
	return warnings, errors.Join(err, f.Close())
}

func (o *Options) attributes(f ReadWriterAt, root Root) ([]Warning, error) {
	attributes := o.Content.Attributes()
	if len(attributes) == 0 {
		return nil, nil
	}
	warnings, err := writeAttributes(f, o.Offset, root, attributes)
	var full *fullError
	if errors.As(err, &full) {
		return nil, &content.TooSmallError{Needed: o.Size + full.blocks*BlockSize, Available: o.Size}
	}
	if err != nil {
		return nil, fmt.Errorf("writing extended attributes: %w", err)
	}
	return warnings, nil
}
