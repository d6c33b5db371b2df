package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1, "7 B": 7, "10GB": 10e9, "10 GiB": 10 << 30, "3kB": 3000, "3KiB": 3 << 10, "2TB": 2e12, "1TiB": 1 << 40, "5 MiB": 5 << 20, "unlimited": -1,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "not a size",
		"GB":                     "not a size",
		"-5GB":                   "not a size",
		"1.5GB":                  "not a size",
		"10gb":                   "not a size",
		"10G":                    "such as 10GB",
		"1e9":                    "not a size",
		"0":                      "prune",
		"0GB":                    "prune",
		"9223372036854775808":    "too large",
		"99999999999999999999TB": "too large",
	} {
		if _, err := parseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

// The flag goes before the variable, and both say where a bad size is.
func TestCacheLimit(t *testing.T) {
	for _, tt := range []struct {
		flag, variable string
		want           int64
		err            string
	}{
		{"", "", 0, ""},
		{"", "3GB", 3e9, ""},
		{"2GB", "3GB", 2e9, ""},
		{"2GB", "nonsense", 2e9, ""},
		{"", "nonsense", 0, `OSBUILDKIT_CACHE_MAX_SIZE "nonsense": not a size`},
		{"x", "", 0, `--cache-max-size "x": not a size`},
	} {
		t.Setenv(cacheSizeVariable, tt.variable)
		got, err := cacheLimit(tt.flag)
		var code *exitError
		if tt.err == "" && (got != tt.want || err != nil) ||
			tt.err != "" && (!errors.As(err, &code) || code.code != exitInvalid || !strings.HasPrefix(err.Error(), tt.err)) {
			t.Errorf("%+v: %d, %v", tt, got, err)
		}
	}
}

func TestExplainFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, err := range map[string]error{
		"own":    fmt.Errorf("writing x: %w", unix.ENOSPC),
		"daemon": errors.New("failed to solve: write /x: no space left on device"),
		"step":   &stepError{name: "s", err: errors.New("exit code: 1"), log: []string{"cp: error writing 'x': No space left on device"}},
	} {
		shown := &exitError{code: exitFailed, err: err, quiet: true}
		got := explainFullDisk(shown, dir, true)
		for _, want := range []string{err.Error(), "osbuildkit prune --store " + dir, "--cache-max-size", "B free)"} {
			if !strings.Contains(got.Error(), want) {
				t.Errorf("%s: %q has no %q", name, got, want)
			}
		}
		var code *exitError
		if !errors.As(got, &code) || code.code != exitFailed || !code.quiet {
			t.Errorf("%s: the exit code is lost", name)
		}
		var out bytes.Buffer
		a := &app{stderr: &out}
		a.showFullDisk(got)
		if !strings.HasPrefix(out.String(), "osbuildkit: a disk is full; ") {
			t.Errorf("%s: shown is %q", name, &out)
		}
	}
	// The store has no cache where another builder builds: nothing there is to be pruned.
	if got := explainFullDisk(unix.ENOSPC, dir, false).Error(); strings.Contains(got, "prune --store") || !strings.Contains(got, "the same --builder") || !strings.Contains(got, "B free") {
		t.Errorf("with another builder: %q", got)
	}
	other := errors.New("exit code: 1")
	if explainFullDisk(other, dir, true) != other || explainFullDisk(nil, dir, true) != nil {
		t.Error("another error is changed")
	}
}

// A flag about the embedded engine is no wish that another builder could fulfil.
func TestFlagsOfTheEmbeddedEngine(t *testing.T) {
	t.Setenv("BUILDKIT_HOST", "")
	dir := t.TempDir()
	manifest := filepath.Join(dir, "m.json")
	if err := os.WriteFile(manifest, []byte(`{"stages":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a limit":    {[]string{"build", "--store", dir + "/store", "--builder", "some", "--cache-max-size", "1GB", manifest}, "--cache-max-size 1GB: it limits the embedded engine's cache"},
		"an address": {[]string{"build", "--store", dir + "/store", "--builder", "tcp://127.0.0.1:1", "--cache-max-size", "1GB", manifest}, "--cache-max-size 1GB: "},
		"a store":    {[]string{"prune", "--store", dir, "--builder", "some"}, "--store " + dir + ": the cache of buildx"},
	} {
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
		if code := a.run(t.Context(), c.args); code != exitInvalid || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: exit code %d, %q", name, code, errs.String())
		}
	}
}
