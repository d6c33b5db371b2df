package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/cmd/buildctl/build"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/private"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// The kinds of caches that a build imports from and exports to.
var (
	importTypes = []string{"registry", "local", "gha", "s3", "azblob"}
	exportTypes = append(slices.Clone(importTypes), "inline")
)

// caches reads --cache-from and --cache-to. What BuildKit would find wrong with
// them after the build is found before it.
func (f *buildFlags) caches() (imports, exports []client.CacheOptionsEntry, err error) {
	if err = haveTypes(f.cacheFrom); err == nil {
		imports, err = build.ParseImportCache(cacheFlags(f.cacheFrom))
	}
	if err == nil {
		err = checkCaches(imports, importTypes, "src")
	}
	if err != nil {
		return nil, nil, usageError("--cache-from: %w", err)
	}
	if err = haveTypes(f.cacheTo); err == nil {
		exports, err = build.ParseExportCache(cacheFlags(f.cacheTo))
	}
	if err == nil {
		err = checkCaches(exports, exportTypes, "dest")
	}
	if err != nil {
		return nil, nil, usageError("--cache-to: %w", err)
	}
	for _, e := range exports {
		if e.Type != "local" {
			continue
		}
		if err := checkDirectory(e.Attrs["dest"]); err != nil {
			return nil, nil, usageError("--cache-to: %w", err)
		}
	}
	return imports, exports, nil
}

// noCache tells why nothing is imported from a local cache, or is empty. This is no
// error, as the first build of a series has none, but BuildKit would say nothing of
// it, and make the directory.
func noCache(c client.CacheOptionsEntry) string {
	if c.Type != "local" {
		return ""
	}
	dir := c.Attrs["src"]
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fmt.Sprintf("there is no directory %s", dir)
	}
	sum := digest.Digest(c.Attrs["digest"])
	if sum == "" {
		tag := c.Attrs["tag"]
		if tag == "" {
			tag = "latest"
		}
		desc, err := ociindex.NewStoreIndex(dir).Get(tag)
		if err != nil || desc == nil {
			return fmt.Sprintf("the directory %s has no cache with the tag %q", dir, tag)
		}
		sum = desc.Digest
	}
	if sum.Validate() != nil {
		return fmt.Sprintf("the digest %q is none", sum)
	}
	if _, err := os.Stat(filepath.Join(dir, "blobs", sum.Algorithm().String(), sum.Encoded())); err != nil {
		return fmt.Sprintf("the directory %s has no cache with the digest %s", dir, sum)
	}
	return ""
}

// warnOfNoCaches says which caches nothing is imported from.
func (a *app) warnOfNoCaches(f *buildFlags) error {
	imports, _, err := f.caches()
	for _, c := range imports {
		if why := noCache(c); why != "" {
			fmt.Fprintf(a.stderr, "warning: --cache-from: %s, so nothing is imported from there\n", why)
		}
	}
	return err
}

// makeCaches makes the directories of local caches. A cache holds the files of
// trees that only root can read there, so one that is made is for the user alone;
// one that is there keeps the mode that its owner has given it.
func makeCaches(exports []client.CacheOptionsEntry) error {
	for _, e := range exports {
		dir := e.Attrs["dest"]
		if e.Type != "local" || dir == "" {
			continue
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			continue // what is wrong with it was said
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o777); err != nil {
			return err
		}
		if err := os.Mkdir(dir, private.DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// haveTypes reports caches without a type, which BuildKit takes for the names of
// images.
func haveTypes(values []string) error {
	for _, v := range values {
		if strings.Contains(v, "=") && !strings.Contains(v, "type=") {
			return fmt.Errorf("%s names no type: add type=registry, or one of %s", v, strings.Join(importTypes[1:], ", "))
		}
	}
	return nil
}

// checkCaches looks at what caches cannot do without.
func checkCaches(list []client.CacheOptionsEntry, types []string, dir string) error {
	for _, c := range list {
		switch {
		case !slices.Contains(types, c.Type):
			if near := manifest.Nearest(c.Type, types); near != "" {
				return fmt.Errorf("unknown type %q; did you mean %q?", c.Type, near)
			}
			return fmt.Errorf("unknown type %q: choose %s", c.Type, strings.Join(types, ", "))
		case c.Type == "local" && c.Attrs[dir] == "":
			return fmt.Errorf("type=local needs a directory: add %s=DIRECTORY", dir)
		case c.Type != "registry":
			continue
		}
		if c.Attrs["ref"] == "" {
			return fmt.Errorf("type=registry needs an image: add ref=NAME")
		}
		if _, err := reference.ParseNormalizedNamed(c.Attrs["ref"]); err != nil {
			return fmt.Errorf("ref=%s: %w", c.Attrs["ref"], err)
		}
	}
	return nil
}

// platforms reads --platform.
func (f *buildFlags) platforms() ([]ocispecs.Platform, error) {
	if f.platform == "" {
		return nil, nil
	}
	var list []ocispecs.Platform
	for v := range strings.SplitSeq(f.platform, ",") {
		if strings.TrimSpace(v) == "" {
			return nil, usageError("--platform %q: a name between the commas is missing", f.platform)
		}
		p, err := platforms.Parse(strings.TrimSpace(v))
		if err != nil {
			return nil, usageError("--platform: %w", err)
		}
		list = append(list, platforms.Normalize(p))
	}
	if err := frontend.CheckPlatforms(list); err != nil {
		return nil, usageError("--platform: %w", err)
	}
	return list, nil
}

// checkEpoch looks at the value of SOURCE_DATE_EPOCH.
func checkEpoch(value string) error {
	if value == "" || value == "context" {
		return nil
	}
	if _, err := frontend.ParseEpoch(value); err != nil {
		return &exitError{code: exitInvalid, err: err}
	}
	return nil
}
