package assemblers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/osbuildkit/osbuildkit/module"
)

// TarOptions are the options of org.osbuild.tar.
type TarOptions struct {
	// Filename is the name of the archive in the output directory.
	Filename string `json:"filename" jsonschema:"required,minLength=1,maxLength=255"`
	// Compression is how the archive is compressed; not at all by default.
	// zstd and gzip are fast, xz is the smallest and takes many times as long;
	// bzip2 and lzop are not supported.
	Compression string `json:"compression,omitempty" jsonschema:"enum=none,enum=bzip2,enum=xz,enum=lzip,enum=lzma,enum=lzop,enum=gzip,enum=zstd,default=none"`
	// ACLs says whether the archive holds access control lists.
	ACLs *bool `json:"acls,omitempty" jsonschema:"default=true"`
	// SELinux says whether the archive holds the labels of SELinux.
	SELinux *bool `json:"selinux,omitempty" jsonschema:"default=true"`
	// Xattrs says whether the archive holds extended attributes, such as
	// capabilities. Labels and lists have forms of their own beside it.
	Xattrs *bool `json:"xattrs,omitempty" jsonschema:"default=true"`
}

func (o *TarOptions) check() []module.Problem {
	var problems []module.Problem
	if err := checkFilename(o.Filename); err != nil {
		problems = append(problems, module.Problem{Pointer: "/filename", Message: err.Error()})
	}
	if err := checkCompression(o.Compression); err != nil {
		problems = append(problems, module.Problem{Pointer: "/compression", Message: err.Error()})
	}
	return problems
}

func checkTar(options json.RawMessage) []module.Problem {
	return checkWith(options, (*TarOptions).check)
}

// isTrue reads an option that is true by default.
func isTrue(b *bool) bool { return b == nil || *b }

// runTar writes the tree into one archive. Where tar(1), which osbuild runs,
// takes what it finds, this is the same for the same tree: names are sorted,
// times are whole seconds up to the epoch, and owners are numbers alone, as a
// name would mean another number where the archive is unpacked.
func runTar(ctx context.Context, in *module.Input) error {
	var o TarOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if err := problemsError(o.check()); err != nil {
		return err
	}
	attrs, err := attributes(ctx, in)
	if err != nil {
		return err
	}
	archive := func(out io.Writer) error {
		z, err := compressor(out, o.Compression)
		if err != nil {
			return err
		}
		w := newTreeTar(in, z, attrs, attributeForms{
			label:    isTrue(o.SELinux),
			lists:    isTrue(o.ACLs),
			xattrs:   func(string) bool { return isTrue(o.Xattrs) },
			rootNode: true,
		})
		if err := w.write(ctx); err != nil {
			return errors.Join(err, z.stop())
		}
		if err := z.Close(); err != nil {
			return err
		}
		in.Logf("%s: %d files with %d bytes", o.Filename, w.files, w.bytes)
		return nil
	}
	if in.Output != nil {
		out := bufio.NewWriterSize(in.Output, 1<<20)
		return errors.Join(archive(out), out.Flush())
	}
	return writeOutput(ctx, in, o.Filename, func(f *os.File, _ string) error { return archive(f) })
}
