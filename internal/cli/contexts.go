package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/frontend"
)

// addContexts adds the named contexts of --build-context, --toolbox and --libdir to a
// session. A value is a URL that BuildKit knows, an oci-layout:// directory,
// or a plain directory.
func addContexts(opt *client.SolveOpt, f *buildFlags) error {
	values := f.contexts
	if f.toolbox != "" {
		v := f.toolbox
		dir, _, _ := splitLayout(v)
		switch {
		case strings.Contains(v, "://"):
		case isOCILayout(dir):
			v = "oci-layout://" + v
		default:
			v = "docker-image://" + v
		}
		values = append(values, frontend.ToolboxContext+"="+v)
	}
	if f.libdir != "" {
		values = append(values, frontend.LibdirContext+"="+f.libdir)
	}
	for _, entry := range values {
		name, value, err := splitContext(entry)
		if err != nil {
			return err
		}
		if err := addContext(opt, name, value); err != nil {
			return usageError("--build-context %s: %w", name, err)
		}
	}
	return nil
}

func addContext(opt *client.SolveOpt, name, value string) error {
	if path, ok := strings.CutPrefix(value, "oci-layout://"); ok {
		ref, err := serveLayout(opt, "context-"+name, path)
		if err != nil {
			return err
		}
		opt.FrontendAttrs["context:"+name] = "oci-layout://" + ref
		return nil
	}
	if strings.Contains(value, "://") || strings.HasPrefix(value, "git@") {
		opt.FrontendAttrs["context:"+name] = value
		return nil
	}
	fs, err := fsutil.NewFS(value)
	if err != nil {
		return err
	}
	key := "context-" + name
	opt.LocalMounts[key] = fs
	opt.FrontendAttrs["context:"+name] = "local:" + key
	return nil
}

// serveLayout makes an OCI layout directory, with an optional :TAG or
// @DIGEST, part of the session and returns the reference to its image.
func serveLayout(opt *client.SolveOpt, id, path string) (string, error) {
	dir, tag, dgst := splitLayout(path)
	if !isOCILayout(dir) {
		return "", fmt.Errorf("%s is not an OCI layout: it has no index.json", dir)
	}
	if dgst == "" {
		index := ociindex.NewStoreIndex(dir)
		desc, err := index.GetSingle()
		if tag != "" {
			desc, err = index.Get(tag)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		if desc == nil {
			return "", fmt.Errorf("%s: which of the images is meant is not clear: add :TAG or @DIGEST", path)
		}
		dgst = desc.Digest.String()
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return "", err
	}
	opt.OCIStores[id] = store
	return id + "@" + dgst, nil
}

// splitLayout splits DIRECTORY[:TAG|@DIGEST].
func splitLayout(path string) (dir, tag, dgst string) {
	dir, dgst, _ = strings.Cut(path, "@")
	if i := strings.LastIndex(dir, ":"); i > strings.LastIndexAny(dir, pathSeparators) && dgst == "" {
		dir, tag = dir[:i], dir[i+1:]
	}
	return dir, tag, dgst
}

func isOCILayout(dir string) bool {
	st, err := os.Stat(filepath.Join(dir, "index.json"))
	return err == nil && st.Mode().IsRegular()
}

// cacheFlags completes the short form of buildx, a bare reference.
func cacheFlags(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if !strings.Contains(v, "=") {
			v = "type=registry,ref=" + v
		}
		out[i] = v
	}
	return out
}
