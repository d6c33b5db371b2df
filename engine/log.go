package engine

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/grpclog"
)

// maxLogSize in bytes is what engine.log may hold when an engine starts.
const maxLogSize = 8 << 20

// daemonLog takes what BuildKit, containerd and grpc log in this process. They
// write to process-wide loggers, so there is one sink for all engines of the
// process; without an engine it drops everything. Nothing reaches the terminal,
// which belongs to the progress display.
var daemonLog = &sink{}

func init() {
	// grpc allows this only before its first use, and writes to stderr else.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, daemonLog))
}

// sink writes to the newest of the writers given to it.
type sink struct {
	mu      sync.Mutex
	writers []*logTarget
}

type logTarget struct{ w io.Writer }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.writers); n > 0 {
		// A full disk must not become an error of the build's own.
		_, _ = s.writers[n-1].w.Write(p)
	}
	return len(p), nil
}

func (s *sink) add(w io.Writer) *logTarget {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &logTarget{w: w}
	s.writers = append(s.writers, t)
	return t
}

func (s *sink) remove(t *logTarget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.writers {
		if x == t {
			s.writers = append(s.writers[:i:i], s.writers[i+1:]...)
			return
		}
	}
}

var logrusOnce sync.Once

// startLog sends the daemon's log to w, or to engine.log in root when w is nil,
// and returns what ends that again.
func startLog(w io.Writer, root string) (stop func() error, err error) {
	closeFile := func() error { return nil }
	if w == nil {
		f, err := openLog(filepath.Join(root, "engine.log"))
		if err != nil {
			return nil, err
		}
		w, closeFile = f, f.Close
	}
	logrusOnce.Do(func() {
		logrus.SetOutput(daemonLog)
		logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	})
	t := daemonLog.add(w)
	return func() error {
		daemonLog.remove(t)
		return closeFile()
	}, nil
}

// openLog opens the log for appending; one that has grown too large is kept as
// engine.log.old.
func openLog(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxLogSize {
		if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
