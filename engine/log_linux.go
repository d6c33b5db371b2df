package engine

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// maxLogSize in bytes is what engine.log may hold when an engine starts.
const maxLogSize = 8 << 20

// logFile is the log of the engine whose state is in root.
func logFile(root string) string { return filepath.Join(root, "engine.log") }

// startLog sends what BuildKit, containerd and grpc log in this process to
// engine.log, and what the Go runtime says when the process crashes. One that has
// grown too large is kept as engine.log.old.
func startLog(root string) error {
	path := logFile(root)
	if st, err := os.Lstat(path); err == nil && st.Size() > maxLogSize {
		if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f, err := private.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	if err := unix.Dup3(int(f.Fd()), int(os.Stderr.Fd()), 0); err != nil {
		return err
	}
	daemonLog.w = f
	logrus.SetOutput(daemonLog)
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	return nil
}
