package runners

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

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
// architecture and nothing else. It is filled at the first call and reused
// after that; its name is made from the checksums that lie beside the
// binaries, so that finding it again costs nothing.
func Extract(dir, arch string) (string, error) {
	sums := sha256.New()
	for _, g := range module.Groups() {
		sum, err := binaries.ReadFile(packed(g, arch) + ".sha256")
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("this osbuildkit holds no runner for linux/%s (it has: %s); build it with 'make build'", arch, strings.Join(Architectures(), " "))
		}
		if err != nil {
			return "", err
		}
		sums.Write(sum)
	}
	target := filepath.Join(dir, arch+"-"+hex.EncodeToString(sums.Sum(nil))[:16])
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	dec, err := zstd.NewReader(nil)
	if err != nil {
		return "", err
	}
	defer dec.Close()
	for _, g := range module.Groups() {
		data, err := binaries.ReadFile(packed(g, arch))
		if err != nil {
			return "", err
		}
		raw, err := dec.DecodeAll(data, nil)
		if err != nil {
			return "", fmt.Errorf("runner for %s: %w", g, err)
		}
		if err := os.WriteFile(filepath.Join(tmp, Name(g)), raw, 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	// Another process may have been faster; its directory is as good.
	if err := os.Rename(tmp, target); err != nil {
		if _, serr := os.Stat(target); serr != nil {
			return "", err
		}
	}
	return target, nil
}
