package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// The most that a text file of a kind has, in bytes. A tree may hold a file of
// any size under any name, and what is read is held in memory, often many files
// of a kind at a time.
const (
	// MaxLine is for a file with a line or two, such as a host name, a machine
	// id, or what a reference points to.
	MaxLine = 64 << 10
	// MaxEntry is for an entry of a boot loader, whose longest line is the
	// kernel's command line: the kernel takes 2 to 4 KiB of it.
	MaxEntry = 64 << 10
	// MaxUnit is for a unit of systemd, which takes no longer file itself than
	// 16 MiB and whose longest line has 1 MiB; also for a maintainer script.
	MaxUnit = 1 << 20
	// MaxConfig is for a configuration file or a list of users: 100,000 users
	// have 8 MiB.
	MaxConfig = 8 << 20
	// MaxFile is for what is no text, and for databases of packages.
	MaxFile = 64 << 20
)

// ErrTooLarge says that a file is larger than one of its kind is.
var ErrTooLarge = errors.New("the file is too large for its kind")

// ReadFile reads the regular file name, up to MaxFile.
func (t *Root) ReadFile(name string) ([]byte, error) { return t.ReadText(name, MaxFile) }

// ReadText reads the regular file name of up to most bytes, which is what a file
// of its kind may have. A larger one is an error that wraps ErrTooLarge.
func (t *Root) ReadText(name string, most int64) ([]byte, error) {
	f, err := t.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > most {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: %d bytes, more than %s", ErrTooLarge, st.Size(), size(most))}
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// size is a bound in words.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
