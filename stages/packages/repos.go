package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
)

// repository is one repository as the builder lays it out for a solve part:
// DIR/N/dists/SUITE/InRelease, or Release and Release.gpg in its place, and the
// index files below it.
type repository struct {
	dir     string
	suite   string
	release *debian.Release
	indexes []debian.IndexFile
	info    debian.Repository
}

// openRepository reads and checks the files of repository number n.
func openRepository(dir string, n int, o RepositoryOptions) (*repository, error) {
	r := &repository{dir: filepath.Join(dir, strconv.Itoa(n)), suite: o.Suite}
	if !validSuite(o.Suite) {
		return nil, fmt.Errorf("%q is no name of a suite", o.Suite)
	}
	data, err := r.readRelease([]byte(o.Keyring))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("suite %s: repository %d has no file %s/InRelease", o.Suite, n, debian.ReleaseDir(o.Suite))
	}
	if err != nil {
		return nil, fmt.Errorf("suite %s: %w", o.Suite, err)
	}
	if r.indexes, err = r.release.Indexes(o.Suite, o.Components, o.Arch); err != nil {
		return nil, fmt.Errorf("suite %s: %w", o.Suite, err)
	}
	sum := sha256.Sum256(data)
	r.info = debian.Repository{
		Suite: o.Suite, Origin: r.release.Origin, Label: r.release.Label, Codename: r.release.Codename,
		Components: o.Components, Date: r.release.Date, InRelease: "sha256:" + hex.EncodeToString(sum[:]),
	}
	return r, nil
}

// readRelease reads the release file, and returns the content of the one that
// "checksum" pins.
func (r *repository) readRelease(keyring []byte) ([]byte, error) {
	data, err := readBounded(r.path("InRelease"), debian.MaxInRelease)
	if err == nil {
		r.release, err = debian.ParseInRelease(data, keyring)
		return data, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if data, err = readBounded(r.path("Release"), debian.MaxInRelease); err != nil {
		return nil, err
	}
	signature, err := readBounded(r.path("Release.gpg"), debian.MaxSignature)
	if err != nil {
		return nil, err
	}
	r.release, err = debian.ParseSignedRelease(data, signature, keyring)
	return data, err
}

// readBounded reads a file, up to one byte more than the limit.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func (r *repository) path(name string) string {
	return filepath.Join(r.dir, filepath.FromSlash(debian.ReleaseDir(r.suite)), filepath.FromSlash(name))
}

// checked returns the content of an index file once its checksum is right.
func (r *repository) checked(ix debian.IndexFile) ([]byte, error) {
	f, err := os.Open(r.path(ix.Path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	buf.Grow(int(min(ix.Size, 64<<20)) + 512)
	if _, err := io.Copy(&buf, io.LimitReader(f, ix.Size+1)); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(buf.Bytes()); hex.EncodeToString(sum[:]) != ix.SHA256 {
		return nil, fmt.Errorf("suite %s: %s is not the file that the release file lists: its SHA256 is %x, not %s", r.suite, ix.Path, sum, ix.SHA256)
	}
	return buf.Bytes(), nil
}

// read adds the packages of the repository to an index.
func (r *repository) read(x *debian.Index, number int) error {
	for _, ix := range r.indexes {
		data, err := r.checked(ix)
		if err != nil {
			return err
		}
		d, err := debian.Decompress(ix.Path, bytes.NewReader(data))
		if err != nil {
			return err
		}
		if err := x.Read(number, d); err != nil {
			return fmt.Errorf("suite %s: %s: %w", r.suite, ix.Path, err)
		}
	}
	return nil
}

// inputList reads the package list that a part is given.
func inputList(in *module.Input) (*debian.PackageList, error) {
	dir, err := input(in, "list")
	if err != nil {
		return nil, err
	}
	return readList(dir)
}

// maxListFile in bytes bounds a list of packages as a step has written it: 100,000
// packages of which each takes a few kilobytes.
const maxListFile = 512 << 20

// readList reads the package list in a directory.
func readList(dir string) (*debian.PackageList, error) {
	data, err := expand.ReadFile(filepath.Join(dir, debian.ListFile), maxListFile)
	if err != nil {
		return nil, err
	}
	return debian.ParseList(data)
}

// writeList writes the package list into the output directory of a part: all of
// it, and what the parts that install are given.
func writeList(dir string, list *debian.PackageList) error {
	if dir == "" {
		return errors.New("the contract names no \"output_dir\"")
	}
	for name, l := range map[string]*debian.PackageList{debian.ListFile: list, debian.InstallFile: list.ForInstall()} {
		data, err := l.Encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
