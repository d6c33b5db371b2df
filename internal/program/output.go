package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// sumsFile is the list of checksums beside the files of an assembler, which
// built-in assemblers write themselves. With it a file that is in the output
// directory already is not fetched again.
const sumsFile = module.ChecksumsFile

// finishOutput checks what an assembler has written, lists the checksums, unless
// the assembler has done so, and gives all of it one time.
func finishOutput(ctx context.Context, dir string, when time.Time) error {
	t, err := tree.Open(dir)
	if err != nil {
		return err
	}
	defer t.Close()
	own, err := t.Exists(sumsFile)
	if err != nil {
		return err
	}
	var list strings.Builder
	err = t.Walk("/", func(name string, d fs.DirEntry) error {
		switch {
		case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == 0xfffd }):
			return fmt.Errorf("it has written %q into the output directory: a name may hold no control character, no backslash and no invalid UTF-8", name)
		case !d.IsDir() && !d.Type().IsRegular():
			return fmt.Errorf("it has written %s into the output directory, which is neither a file nor a directory but of type %v", name, d.Type())
		case name == sumsFile && !d.IsDir():
			return nil // its own list, which the program may write
		}
		if err := module.OutputNameError(name); err != nil {
			return fmt.Errorf("it has written %s into the output directory: %w", name, err)
		}
		if d.IsDir() || own {
			return nil
		}
		sum, err := sumFile(ctx, t, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, name)
		return nil
	})
	if err == nil && !own && list.Len() > 0 {
		err = t.WriteFile(sumsFile, []byte(list.String()), 0o644)
	}
	if err != nil {
		return err
	}
	return t.SetTimes(when)
}

func sumFile(ctx context.Context, t *tree.Root, name string) (sum string, err error) {
	f, err := t.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, ctxio.Reader(ctx, f), make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("computing the checksum of %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
