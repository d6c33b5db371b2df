package runners

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/osbuildkit/osbuildkit/internal/private"
	"github.com/osbuildkit/osbuildkit/module"
)

// The pattern needs one file that is always there.
//
//go:embed bin
var binaries embed.FS

// Name is the name of a runner in the directory that Extract fills.
func Name(group module.Group) string { return "osbuildkit-runner-" + string(group) }

// packed is the embedded file with the runner of a group.
func packed(group module.Group, arch string) string {
	return "bin/" + Name(group) + "-linux-" + arch + ".zst"
}

// Architectures lists the architectures that this binary holds runners for,
// as GOARCH names, sorted.
func Architectures() []string {
	var out []string
	entries, _ := fs.ReadDir(binaries, "bin")
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), Name(module.GroupStages)+"-linux-")
		if arch, packed := strings.CutSuffix(rest, ".zst"); ok && packed {
			out = append(out, arch)
		}
	}
	return out
}

// Extract returns a directory below dir that holds the runners for an
// architecture and nothing else. It is filled at the first call and reused after
// that. Its name is made from the embedded checksums, and at every call the files
// are compared with them: steps run these programs, as root of what they build.
// A directory of another content is made anew.
func Extract(dir, arch string) (string, error) {
	sums := map[string]string{}
	all := sha256.New()
	for _, g := range module.Groups() {
		sum, err := binaries.ReadFile(packed(g, arch) + ".sha256")
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("this osbuildkit holds no runner for linux/%s (it has: %s); build it with 'make build'", arch, strings.Join(Architectures(), " "))
		}
		if err != nil {
			return "", err
		}
		all.Write(sum)
		sums[Name(g)] = strings.TrimSpace(string(sum))
	}
	if err := private.MakeDir(dir); err != nil {
		return "", err
	}
	target := filepath.Join(dir, arch+"-"+hex.EncodeToString(all.Sum(nil))[:16])
	wrong := check(target, sums)
	if wrong == nil {
		return target, nil
	}
	if err := os.RemoveAll(target); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := unpack(tmp, arch, sums); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, target); err != nil {
		// Another process may have been faster; its directory is as good.
		if wrong := check(target, sums); wrong != nil {
			return "", errors.Join(err, wrong)
		}
	}
	return target, nil
}

// check compares the files of a directory with their checksums, side by side. A
// builder gets all that is in the directory, so there must be nothing else.
func check(dir string, sums map[string]string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) != len(sums) {
		return fmt.Errorf("%s has %d files in the place of %d", dir, len(entries), len(sums))
	}
	var g errgroup.Group
	for name, sum := range sums {
		g.Go(func() error { return checkFile(filepath.Join(dir, name), sum) })
	}
	return g.Wait()
}

// checkFile compares one runner with its checksum, and its mode, which is part of
// what a builder gets.
func checkFile(path, want string) error {
	f, err := private.OpenFile(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxBinary)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want || hasModes && st.Mode() != runnerMode {
		return fmt.Errorf("%s is not the runner that this program holds", path)
	}
	return nil
}

// maxBinary in bytes bounds what is read of a runner.
const maxBinary = 64 << 20

// runnerMode is what steps see.
const runnerMode fs.FileMode = 0o755

// hasModes says whether files have modes here. Where they have none, a builder
// gets runnerMode of every file (fsutil).
const hasModes = runtime.GOOS != "windows"

// unpack writes the runners into a new directory.
func unpack(dir, arch string, sums map[string]string) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBinary))
	if err != nil {
		return err
	}
	defer dec.Close()
	for _, g := range module.Groups() {
		data, err := binaries.ReadFile(packed(g, arch))
		if err != nil {
			return err
		}
		raw, err := dec.DecodeAll(data, nil)
		if err != nil {
			return fmt.Errorf("runner for %s: %w", g, err)
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != sums[Name(g)] {
			return fmt.Errorf("runner for %s: its checksum is not the one that was built with it; build this program again with 'make build'", g)
		}
		path := filepath.Join(dir, Name(g))
		if err := os.WriteFile(path, raw, runnerMode); err != nil {
			return err
		}
		// Whatever the umask is, steps see the same.
		if err := os.Chmod(path, runnerMode); err != nil {
			return err
		}
	}
	return os.Chmod(dir, runnerMode)
}
