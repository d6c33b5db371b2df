package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/private"
)

// lockPoll is how often a waiting process tries again, and noticeAfter how long
// it waits in silence: a store that is freed at once is not worth a line.
const (
	lockPoll    = 50 * time.Millisecond
	noticeAfter = time.Second
)

// holder is the note in the lock file: who holds the store. It is there for
// people; the lock itself is the kernel's flock, which dies with the engine.
type holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
	// Engine is the process of the engine.
	Engine int `json:"engine"`
}

func (h holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	if !alive(h.PID) {
		return fmt.Sprintf("the engine (process %d) of a process that has ended (%d, %s), which removes what that has left", h.Engine, h.PID, h.Command)
	}
	return fmt.Sprintf("process %d (%s) since %s", h.PID, h.Command, h.Since.Local().Format("2006-01-02 15:04:05"))
}

// storeLock is the exclusive right to the state in a directory.
type storeLock struct {
	file *os.File
}

// lockStore takes the lock file at path for me, waiting for at most wait while
// another engine holds it. The lock ends with unlock or with the process.
func lockStore(ctx context.Context, path string, me holder, wait time.Duration, notify func(string)) (*storeLock, error) {
	f, err := private.OpenFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock of the store: %w", err)
	}
	if err := waitForLock(ctx, f, wait, notify); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &storeLock{file: f}
	if err := l.writeNote(me); err != nil {
		return nil, errors.Join(fmt.Errorf("lock of the store: %w", err), l.unlock())
	}
	return l, nil
}

func waitForLock(ctx context.Context, f *os.File, wait time.Duration, notify func(string)) error {
	start := time.Now()
	told := notify == nil
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		waited := time.Since(start)
		if waited >= wait {
			return fmt.Errorf("the store %s is held by %s; wait for it to end, or use another --store",
				storeOfLock(f.Name()), readNote(f))
		}
		if !told && waited >= noticeAfter {
			told = true
			notify(fmt.Sprintf("waiting for the store %s, held by %s", storeOfLock(f.Name()), readNote(f)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the store %s, held by %s: %w", storeOfLock(f.Name()), readNote(f), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// storeOfLock names the store to the user: STORE/buildkit/lock is STORE.
func storeOfLock(path string) string { return filepath.Dir(filepath.Dir(path)) }

// readNote reads who holds the lock. The note may be half written at this very
// moment, or that of a process killed before; then the holder has no name.
func readNote(f *os.File) holder {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	var h holder
	if err != nil || json.Unmarshal(data, &h) != nil || !alive(h.PID) && !alive(h.Engine) {
		return holder{}
	}
	return h
}

func alive(pid int) bool { return pid > 0 && unix.Kill(pid, 0) != unix.ESRCH }

func (l *storeLock) writeNote(me holder) error {
	me.Engine = os.Getpid()
	note, err := json.Marshal(me)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(note, '\n'), 0)
	return err
}

// commandLine shortens the arguments to what tells a user which of their
// commands this is. Arguments after the first three may hold secrets.
func commandLine(args []string) string {
	if len(args) == 0 {
		return "unknown"
	}
	words := append([]string{filepath.Base(args[0])}, args[1:]...)
	if len(words) > 3 {
		words = append(words[:3:3], "…")
	}
	line := []rune(strings.Join(words, " "))
	if len(line) > 120 {
		line = append(line[:120], '…')
	}
	return string(line)
}

// unlock frees the store. The file stays: removing it would let a third process
// lock a new file while the second one holds the old.
func (l *storeLock) unlock() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}
