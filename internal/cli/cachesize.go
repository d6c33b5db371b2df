package cli

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/osbuildkit/osbuildkit/engine"
)

// cacheSizeVariable is the environment's form of --cache-max-size.
const cacheSizeVariable = "OSBUILDKIT_CACHE_MAX_SIZE"

// addCacheSizeFlag adds the flag that limits the embedded engine's cache. It has
// osbuild's name.
func addCacheSizeFlag(fl *pflag.FlagSet, size *string) {
	fl.StringVar(size, "cache-max-size", "", "`SIZE` that the embedded engine's cache may have, such as 10GB or 8GiB, or \"unlimited\" (default: "+
		cacheSizeVariable+", else 20GB or half of the disk)")
}

// cacheLimit reads the limit of the cache, of the flag or else of the environment.
func cacheLimit(flag string) (int64, error) {
	text, where := flag, "--cache-max-size"
	if text == "" {
		text, where = os.Getenv(cacheSizeVariable), cacheSizeVariable
	}
	if text == "" {
		return 0, nil
	}
	n, err := parseSize(text)
	if err != nil {
		return 0, usageError("%s %q: %w", where, text, err)
	}
	return n, nil
}

// sizeForm is the form of a size, as osbuild has it.
var sizeForm = regexp.MustCompile(`^([0-9]+) *(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)?$`)

// sizeUnits are the units of sizes in bytes.
var sizeUnits = map[string]int64{
	"": 1, "B": 1, "kB": 1e3, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20, "GB": 1e9, "GiB": 1 << 30, "TB": 1e12, "TiB": 1 << 40,
}

// parseSize reads a size in bytes. Unlimited is -1.
func parseSize(text string) (int64, error) {
	if text == "unlimited" {
		return -1, nil
	}
	m := sizeForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, errors.New(`not a size: write a number and a unit, such as 10GB or 8GiB (kB, KiB, MB, MiB, GB, GiB, TB, TiB), or "unlimited"`)
	}
	n, _ := new(big.Int).SetString(m[1], 10) // digits alone
	n.Mul(n, big.NewInt(sizeUnits[m[2]]))
	if !n.IsInt64() {
		return 0, errors.New("too large: the limit is 8 EiB")
	}
	if n.Sign() == 0 {
		return 0, errors.New(`a cache of no size cannot be built with; "osbuildkit prune" empties it`)
	}
	return n.Int64(), nil
}

// noSpace is what the kernel and programs say where a disk is full.
const noSpace = "no space left on device"

// explainFullDisk adds to an error of a full disk what can be done about it.
func explainFullDisk(err error, store string, embedded bool) error {
	if err == nil || !isFullDisk(err) {
		return err
	}
	return &fullDiskError{err: err, store: store, embedded: embedded}
}

// isFullDisk tells whether a disk was full, for this process, for the builder, or
// for a program in a step, of which only the log tells.
func isFullDisk(err error) bool {
	if errors.Is(err, errDiskFull) || strings.Contains(strings.ToLower(err.Error()), noSpace) {
		return true
	}
	var step *stepError
	return errors.As(err, &step) && strings.Contains(strings.ToLower(strings.Join(step.log, "\n")), noSpace)
}

// fullDiskError is an error of a full disk.
type fullDiskError struct {
	err   error
	store string
	// embedded says that the store has the cache.
	embedded bool
}

func (e *fullDiskError) Error() string { return e.err.Error() + "\n" + e.hint() }

func (e *fullDiskError) Unwrap() error { return e.err }

// hint says what can be done.
func (e *fullDiskError) hint() string {
	store := e.store
	if abs, err := filepath.Abs(store); err == nil {
		store = abs
	}
	free := ""
	if size, known := freeSpace(store); known {
		free = fmt.Sprintf(" (%s free)", formatSize(size))
	}
	if !e.embedded {
		return fmt.Sprintf("a disk is full; --store puts what is written here on another disk than that of %s%s, and \"osbuildkit prune\" "+
			"with the same --builder removes the cache of the builder", store, free)
	}
	return fmt.Sprintf("a disk is full; for that of the store %s%s: \"osbuildkit prune --store %s\" removes its cache, --cache-max-size limits it, "+
		"and --store puts it on another disk", store, free, e.store)
}

// showFullDisk prints the hint of an error that was shown without it.
func (a *app) showFullDisk(err error) {
	var full *fullDiskError
	var shown *exitError
	if errors.As(err, &full) && errors.As(err, &shown) && shown.quiet {
		fmt.Fprintln(a.stderr, "osbuildkit: "+full.hint())
	}
}

// imageName is how a manifest's image is called in the list of what builds use.
func imageName(manifest string) string {
	if manifest == "-" {
		return "<stdin>"
	}
	if abs, err := filepath.Abs(manifest); err == nil {
		return abs
	}
	return manifest
}

// setCache completes the options of an engine that builds an image.
func (f *buildFlags) setCache(o *engine.Options, manifest string) (err error) {
	o.Image = imageName(manifest)
	kind, err := engine.KindOf(o.Builder)
	if err != nil {
		return &exitError{code: exitInvalid, err: err}
	}
	if f.cacheMaxSize != "" && kind != engine.Embedded {
		return usageError("--cache-max-size %s: it limits the embedded engine's cache, and this build has another builder, which has a limit of its own: "+
			"leave the flag out", f.cacheMaxSize)
	}
	o.Limit, err = cacheLimit(f.cacheMaxSize)
	return err
}
