package cli

import (
	"context"
	"io"
	"io/fs"
	"sync"

	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/internal/runners"
)

// runnerFS serves the runners for an architecture. They are extracted, and
// compared with what this program holds, when a builder first asks for them: it
// does so once in a build, and only for the platforms that it builds for.
type runnerFS struct{ open func() (fsutil.FS, error) }

func extractedRunners(dir, arch string) fsutil.FS {
	return runnerFS{sync.OnceValues(func() (fsutil.FS, error) {
		dir, err := runners.Extract(dir, arch)
		if err != nil {
			return nil, err
		}
		return fsutil.NewFS(dir)
	})}
}

// Walk implements fsutil.FS.
func (r runnerFS) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	f, err := r.open()
	if err != nil {
		return err
	}
	return f.Walk(ctx, target, fn)
}

// Open implements fsutil.FS.
func (r runnerFS) Open(name string) (io.ReadCloser, error) {
	f, err := r.open()
	if err != nil {
		return nil, err
	}
	return f.Open(name)
}
