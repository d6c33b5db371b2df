package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// CheckedFile is the file in which the part org.osbuild.dnf.check says what it
// has found: a list of Checked.
const CheckedFile = "checked.json"

// CheckOptions are those of the part org.osbuild.dnf.check, which compares
// downloaded files with checksums that BuildKit cannot compare them with.
type CheckOptions struct {
	// Files lists them.
	Files []CheckFile `json:"files"`
}

// CheckFile is one file, and what a repository says of it.
type CheckFile struct {
	// Name is its path in the input.
	Name string `json:"name"`
	// Checksum is its checksum, such as "sha512:…".
	Checksum string `json:"checksum"`
	// Size is its size in bytes; zero is unknown.
	Size int64 `json:"size,omitempty"`
	// Opened is the checksum of its content without compression, if the
	// repository says it.
	Opened string `json:"opened,omitempty"`
	// Packed says that the file is to be compressed with gzip.
	Packed bool `json:"packed,omitempty"`
}

// Checked is what was found of a file.
type Checked struct {
	// SHA256 is its checksum in hex.
	SHA256 string `json:"sha256,omitempty"`
	// Opened says that it is the content without compression.
	Opened bool `json:"opened,omitempty"`
	// Problem says why it is not the file that the repository lists.
	Problem string `json:"problem,omitempty"`
}

// checkFiles is the part org.osbuild.dnf.check. A file that is another one is
// no failure of the part: there may be another mirror.
func checkFiles(ctx context.Context, in *module.Input) error {
	var o CheckOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	dir, err := input(in, "files")
	if err != nil {
		return err
	}
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\"")
	}
	found := make([]Checked, len(o.Files))
	for i, f := range o.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%.200q is no name of a file", f.Name)
		}
		if found[i], err = f.check(filepath.Join(dir, f.Name)); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, CheckedFile), data, 0o644)
}

func (f *CheckFile) check(name string) (Checked, error) {
	want, err := rpmmd.ParseChecksum(f.Checksum)
	if err != nil {
		return Checked{}, err
	}
	opened := want
	if f.Opened != "" {
		if opened, err = rpmmd.ParseChecksum(f.Opened); err != nil {
			return Checked{}, err
		}
	}
	file, err := os.Open(name)
	if err != nil {
		return Checked{}, err
	}
	defer file.Close()
	sum, one, two := sha256.New(), want.Hash(), opened.Hash()
	var start bytes.Buffer
	head := io.TeeReader(io.LimitReader(file, 1024), &start)
	size, err := io.Copy(io.MultiWriter(sum, one, two), io.MultiReader(head, file))
	if err != nil {
		return Checked{}, err
	}
	out := Checked{SHA256: hex.EncodeToString(sum.Sum(nil))}
	have := hex.EncodeToString(one.Sum(nil))
	switch {
	case have == want.Hex && (f.Size == 0 || f.Size == size):
	case f.Opened != "" && hex.EncodeToString(two.Sum(nil)) == opened.Hex:
		out.Opened = true
	case f.Packed && isMetadata(start.Bytes()):
		out.Problem = "the server sends the file with \"Content-Encoding: gzip\", so that it arrives without its compression, and its checksum of that form (open-checksum) is not what the repository says; the server must send it as it is"
	default:
		out.Problem = fmt.Sprintf("the mirror returned another file, or an error page: %d bytes with the checksum %s:%s, not %s", size, want.Algorithm, have, want)
	}
	return out, nil
}

// isMetadata says whether the start of a file is that of metadata without
// compression, and not of a page for people.
func isMetadata(start []byte) bool {
	if bytes.HasPrefix(start, []byte("---")) {
		return true
	}
	for _, root := range []string{"<metadata", "<filelists", "<comps"} {
		if bytes.Contains(start, []byte(root)) {
			return true
		}
	}
	return false
}
