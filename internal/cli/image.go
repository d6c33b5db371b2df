package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/internal/ctxio"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Look into a disk image, without a mount",
		Long: "Look into a disk image, without a mount and without privilege.\n\nFILE may be raw, qcow2, vdi, vmdk, vpc or vhdx, or one of them " +
			"compressed with xz, zstd or gzip. All formats are read as they are; what is compressed as a whole is unpacked to a temporary file first.",
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var asJSON, recursive bool
	var partition int
	info := &cobra.Command{
		Use:   "info FILE",
		Short: "Show partitions, file systems and boot loaders of an image",
		Args:  exactArgs(1, "one FILE"),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.imageInfo(cmd.Context(), args[0], asJSON) },
	}
	addJSONFlag(info, &asJSON)
	ls := &cobra.Command{
		Use:   "ls FILE [PATH]",
		Short: "List a directory of the system in an image",
		Args:  rangeArgs(1, 2, "one FILE, and a PATH if not the root is meant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "/"
			if len(args) == 2 {
				name = args[1]
			}
			return a.imageTree(cmd.Context(), args[0], partition, func(b *limit.Budget, f fsread.FS) error { return a.imageList(b, f, name, recursive) })
		},
	}
	ls.Flags().BoolVarP(&recursive, "recursive", "R", false, "list all that is below as well, by whole paths")
	cat := &cobra.Command{
		Use:   "cat FILE PATH",
		Short: "Print a file of the system in an image",
		Args:  exactArgs(2, "one FILE and one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageTree(cmd.Context(), args[0], partition, func(_ *limit.Budget, f fsread.FS) error { return a.imagePrint(cmd.Context(), f, args[1]) })
		},
	}
	for _, c := range []*cobra.Command{ls, cat} {
		c.Flags().IntVar(&partition, "partition", -1, "take this partition by its `NUMBER`, instead of the system's root with all that it mounts")
	}
	cmd.AddCommand(info, ls, cat)
	return cmd
}

// openImage opens an image for reading.
func openImage(ctx context.Context, name string) (*image.Image, error) {
	m, err := image.Open(ctx, name)
	if err != nil {
		return nil, imageError(ctx, err)
	}
	return m, nil
}

// imageError is an error about an image, its content or what was asked of it:
// the input is wrong, unless something that is needed to read it is missing, or
// what was read cannot be written.
func imageError(ctx context.Context, err error) error {
	var code *exitError
	if ctx.Err() != nil || errors.As(err, &code) {
		return err
	}
	for _, other := range []error{exec.ErrNotFound, errWrite, errDiskFull, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, other) {
			return err
		}
	}
	return &exitError{code: exitInvalid, err: err}
}

// errWrite says that what was read cannot be written.
var errWrite = errors.New("standard output")

// imageTree opens an image and gives its files to fn.
func (a *app) imageTree(ctx context.Context, name string, partition int, fn func(*limit.Budget, fsread.FS) error) error {
	m, err := openImage(ctx, name)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err := inspect.Open(m.Budget, m, m.Size)
	if err != nil {
		return imageError(ctx, fmt.Errorf("%s: %w", name, err))
	}
	var f fsread.FS
	if partition >= 0 {
		f, err = d.Volume(partition)
	} else {
		f, err = d.Tree()
	}
	if err != nil {
		return imageError(ctx, fmt.Errorf("%s: %w", name, err))
	}
	if err := fn(m.Budget, f); err != nil {
		return imageError(ctx, err)
	}
	return nil
}

// imagePrint prints the content of a file.
func (a *app) imagePrint(ctx context.Context, f fsread.FS, name string) error {
	number, _, err := fsread.Lookup(f, name, true)
	if err != nil {
		return err
	}
	src, size, err := f.Open(number)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(outWriter{a.stdout}, ctxio.Reader(ctx, io.NewSectionReader(src, 0, size))); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// outWriter marks errors of the output.
type outWriter struct{ w io.Writer }

func (o outWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errWrite, err)
	}
	return n, err
}

// listed is how many files are aligned with each other: the lines of a list are
// held until then.
const listed = 1000

// imageList prints files as ls -l does.
func (a *app) imageList(b *limit.Budget, f fsread.FS, name string, recursive bool) error {
	number, resolved, err := fsread.Lookup(f, name, true)
	if err != nil {
		return err
	}
	n, err := f.Node(number)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(outWriter{a.stdout}, 0, 0, 1, ' ', tabwriter.AlignRight)
	if n.Type() != fsread.TypeDir {
		listNode(w, resolved, n)
		return w.Flush()
	}
	lines := 0
	err = fsread.Walk(b, subtree{f, number}, func(p *fsread.Place, n *fsread.Node) error {
		switch {
		case recursive:
			listNode(w, path.Join(resolved, p.Path()), n)
		case p.Name() == "":
			return nil
		default:
			listNode(w, p.Name(), n)
		}
		if lines++; lines%listed == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if n.Type() == fsread.TypeDir && !recursive {
			return fsread.SkipDir
		}
		return nil
	})
	return errors.Join(err, w.Flush())
}

// subtree is a directory as the root of a file system.
type subtree struct {
	fsread.FS
	root uint64
}

// Root is the directory.
func (s subtree) Root() uint64 { return s.root }

// typeLetters are the first characters of a line of ls -l.
var typeLetters = map[uint32]byte{
	fsread.TypeFIFO: 'p', fsread.TypeChar: 'c', fsread.TypeDir: 'd', fsread.TypeBlock: 'b',
	fsread.TypeRegular: '-', fsread.TypeLink: 'l', fsread.TypeSocket: 's',
}

func listNode(w io.Writer, name string, n *fsread.Node) {
	size := strconv.FormatInt(n.Size, 10)
	switch n.Type() {
	case fsread.TypeChar, fsread.TypeBlock:
		size = fmt.Sprintf("%d,%d", n.Major, n.Minor)
	case fsread.TypeLink:
		name += " -> " + n.Target
	}
	// Names are the image's: nothing of them may control the terminal.
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t %s\n", modeText(n.Mode), n.Links, n.UID, n.GID, size,
		n.ModTime.UTC().Format(time.DateTime), escape(name))
}

// escape writes a name so that it is one word on one line.
func escape(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// modeText is a mode as ls writes it.
func modeText(mode uint32) string {
	out := []byte("?rwxrwxrwx")
	if c, ok := typeLetters[mode&fsread.TypeMask]; ok {
		out[0] = c
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			out[1+i] = '-'
		}
	}
	for _, s := range []struct {
		bit  uint32
		at   int
		c    byte
		none byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if mode&s.bit != 0 {
			if out[s.at] == '-' {
				out[s.at] = s.none
			} else {
				out[s.at] = s.c
			}
		}
	}
	return string(out)
}

// imageInfo prints what is known about an image.
func (a *app) imageInfo(ctx context.Context, name string, asJSON bool) error {
	m, err := openImage(ctx, name)
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := inspect.Describe(m)
	if err != nil {
		return imageError(ctx, fmt.Errorf("%s: %w", name, err))
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return showReport(a.stdout, r)
}

func showReport(out io.Writer, r *inspect.Report) error {
	format := r.Format
	if r.Compression != "" {
		format += " in " + r.Compression
	}
	if r.Detail != "" {
		format += " (" + r.Detail + ")"
	}
	fmt.Fprintf(out, "format      %s\nfile        %s\ndisk        %s\n", format, formatSize(r.FileSize), formatSize(r.Size))
	if r.System != "" {
		fmt.Fprintf(out, "system      %s\n", r.System)
	}
	if r.Table != "" {
		fmt.Fprintf(out, "partitions  %s, %s\n", r.Table, r.TableID)
	}
	for _, l := range r.Loaders {
		where := "before the first partition"
		if l.Partition > 0 {
			where = fmt.Sprintf("partition %d", l.Partition)
		}
		if l.Path != "" {
			where += ", " + escape(l.Path)
		}
		fmt.Fprintf(out, "boots       %s: %s (%s)\n", l.Firmware, strings.TrimSpace(l.Name+" "+l.Architecture), where)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nNR\tSTART\tSIZE\tTYPE\tNAME\tFILE SYSTEM\tLABEL\tUUID\tFREE\tMOUNT\tFILES\tSELINUX")
	for _, v := range r.Volumes {
		kind := v.TypeName
		if v.Bootable {
			kind += " *"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", v.Number, formatSize(v.Start), formatSize(v.Size), dash(kind), dash(escape(v.Name)), filesystemColumns(v.Filesystem))
	}
	err := w.Flush()
	for _, p := range r.Problems {
		fmt.Fprintf(out, "problem: %s\n", escape(p))
	}
	return err
}

// filesystemColumns are the last columns of a line about a partition.
func filesystemColumns(f *inspect.Filesystem) string {
	if f == nil {
		return strings.Join([]string{"-", "-", "-", "-", "-", "-", "-"}, "\t")
	}
	free, files, labelled := "-", "-", "-"
	if f.Free != nil {
		free = formatSize(*f.Free)
	}
	if f.Files != nil {
		files = strconv.Itoa(*f.Files)
	}
	if f.Labelled != nil && *f.Files > 0 {
		labelled = fmt.Sprintf("%.1f%%", 100*float64(*f.Labelled)/float64(*f.Files))
	}
	return strings.Join([]string{f.Type, dash(escape(f.Label)), dash(f.UUID), free, dash(escape(f.Mountpoint)), files, labelled}, "\t")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
