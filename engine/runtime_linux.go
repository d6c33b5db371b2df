package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/sys/userns"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// ociRuntime is the program that runs the containers of steps.
type ociRuntime struct {
	path     string // absolute
	stateDir string // where it keeps one directory per container
}

// runtimeNames are looked for on PATH in this order. crun is not among them: it
// rejects options that BuildKit uses.
var runtimeNames = []string{"buildkit-runc", "runc"}

// runtimeTimeout bounds one short call of the runtime.
const runtimeTimeout = 20 * time.Second

// findRuntime finds runc on PATH, and in the directories for administrators that
// a user's PATH often lacks.
func findRuntime() (ociRuntime, error) {
	for _, name := range runtimeNames {
		path, err := findProgram(name)
		if err != nil {
			continue
		}
		return ociRuntime{path: path, stateDir: runtimeStateDir()}, nil
	}
	return ociRuntime{}, errors.New("the embedded engine needs runc, which is not on PATH: install it (Debian, Ubuntu: apt-get install runc; Fedora, CentOS: dnf install runc), or build elsewhere with --builder")
}

// adminDirs hold programs for administrators; many users' PATH lacks them.
var adminDirs = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// findProgram is exec.LookPath with adminDirs added.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range adminDirs {
		if p, perr := exec.LookPath(filepath.Join(dir, name)); perr == nil {
			return p, nil
		}
	}
	return "", err
}

// runtimeStateDir is runc's default place for the state of containers.
func runtimeStateDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && userns.RunningInUserNS() {
		return filepath.Join(dir, "runc")
	}
	return "/run/runc"
}

// maxNote in bytes bounds a file in which the engine notes something for its next
// start.
const maxNote = 64 << 10

// runtimeNote remembers that a binary was found good, by what changes when the
// package is updated: asking it costs more than the rest of the start.
type runtimeNote struct {
	Path  string    `json:"path"`
	Size  int64     `json:"size"`
	MTime time.Time `json:"mtime"`
}

// checkRuntime refuses a runc without seccomp: every step would fail with a
// message that names no cause.
func checkRuntime(ctx context.Context, rt ociRuntime, root string) error {
	st, err := os.Stat(rt.path)
	if err != nil {
		return fmt.Errorf("runc: %w", err)
	}
	now := runtimeNote{Path: rt.path, Size: st.Size(), MTime: st.ModTime().UTC()}
	file := filepath.Join(root, "runtime.json")
	var known runtimeNote
	if data, err := private.ReadFile(file, maxNote); err == nil && json.Unmarshal(data, &known) == nil && known == now {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, rt.path, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s --version: %w: %s", rt.path, err, strings.TrimSpace(string(out)))
	}
	if err := judgeRuntime(rt.path, string(out)); err != nil {
		return err
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return private.WriteFile(file, data)
}

// judgeRuntime reads the answer to --version: runc lists libseccomp when it was
// built with it.
func judgeRuntime(path, versionText string) error {
	if !strings.HasPrefix(versionText, "runc version") {
		first, _, _ := strings.Cut(versionText, "\n")
		return fmt.Errorf("%s is not runc (it says %q): install the distribution's runc package", path, first)
	}
	if !strings.Contains(versionText, "libseccomp") {
		return fmt.Errorf("%s was built without seccomp, so no step could run: install the distribution's runc (apt-get install runc, dnf install runc)", path)
	}
	return nil
}

// forceDelete kills a container and removes its state.
func (rt ociRuntime) forceDelete(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, rt.path, "delete", "--force", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s delete --force: %w: %s", rt.path, err, strings.TrimSpace(string(out)))
	}
	return nil
}
