package assemblers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/module"
)

// sumsFile is the name of the list of checksums beside the files.
const sumsFile = module.ChecksumsFile

// scratchPrefix starts the names of what an assembler keeps in the output
// directory while it works.
const scratchPrefix = module.ScratchPrefix

// checkFilename reports why a name cannot be that of a file in the output
// directory.
func checkFilename(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the file name is empty")
	case strings.Contains(name, "/"):
		return fmt.Errorf("%q is not a plain file name: files are written into the output directory and nowhere else, so leave out every \"/\"", name)
	case name == "." || name == "..":
		return fmt.Errorf("%q names a directory, not a file", name)
	case len(name) > 255:
		return fmt.Errorf("the file name has %d bytes, and a file system takes 255", len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == 0xfffd }):
		return fmt.Errorf("%q holds a control character, a backslash or invalid UTF-8: choose another file name", name)
	}
	return module.OutputNameError(name)
}

// writeSums writes the list of checksums of the named files in dir. It reads
// them: the header of a container is known last and stands first, so that no
// checksum of it can be computed while it is written.
func writeSums(ctx context.Context, dir string, names []string) error {
	names = slices.Sorted(slices.Values(names))
	var list strings.Builder
	for _, n := range names {
		sum, err := sumFile(ctx, filepath.Join(dir, n))
		if err != nil {
			return fmt.Errorf("computing the checksum of %s: %w", n, err)
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, n)
	}
	return os.WriteFile(filepath.Join(dir, sumsFile), []byte(list.String()), 0o644)
}

func sumFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, ctxio.Reader(ctx, f), make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
