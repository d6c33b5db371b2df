package private

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// Modes of what belongs to one user.
const (
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
)

// A Fault says why a file or directory is not taken for the user's own.
type Fault struct {
	// Path is the file or directory, What is wrong with it, and Do how to put
	// that right.
	Path, What, Do string
}

// Error says what, where and what to do.
func (e *Fault) Error() string { return fmt.Sprintf("%s %s: %s", e.Path, e.What, e.Do) }

// remove is what to do about what this program has not made.
const remove = "if you did not put it there, somebody else did: remove it, or choose another directory"

// status is what the rules look at of a file.
type status struct {
	kind fs.FileMode // the type; what has no place in a store is irregular
	// unowned says that files have no owner and mode on this system.
	unowned     bool
	owner, mode uint32
	links       uint64
}

// owned tells why a file is not this user's. The user is the effective one: root
// takes nothing that an ordinary user has prepared, and below rootlesskit the
// kernel shows the user's own files as root's.
func owned(path string, st *status) error {
	if st.unowned || int64(st.owner) == int64(os.Geteuid()) {
		return nil
	}
	do := "use a directory of your own, or run this command as that user"
	if st.owner == overflowUID && os.Geteuid() == 0 {
		do = "use a directory of your own, on a disk that does not map root to another user, as NFS does"
	}
	return &Fault{path, fmt.Sprintf("belongs to %s and not to %s, who runs this command", userName(st.owner), userName(uint32(os.Geteuid()))), do}
}

// overflowUID is the user that the kernel shows where a namespace or a network
// disk has no name for the real one.
const overflowUID = 65534

func userName(uid uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return fmt.Sprintf("%s (user %d)", u.Username, uid)
	}
	return fmt.Sprintf("user %d", uid)
}

// closed tells why others can change a file. Where it has a list, the bits of the
// group are the mask of what anyone on it can do.
func closed(path string, st *status) error {
	if st.mode&0o022 == 0 {
		return nil
	}
	return &Fault{path, fmt.Sprintf("can be written to by others (mode %04o)", st.mode),
		"if all in it is yours, take their right away (chmod go-w " + quote(path) + "); if not, remove it, or choose another directory"}
}

// hidden tells why others can look into a directory that this program makes for
// one user alone.
func hidden(path string, st *status) error {
	if st.mode&0o077 == 0 {
		return nil
	}
	return &Fault{path, fmt.Sprintf("was not made by this program, which lets nobody else enter (mode %04o)", st.mode),
		"if all in it is yours, chmod 700 " + quote(path) + "; if not, remove it, or choose another directory"}
}

// quote writes a path as a shell takes it.
func quote(path string) string {
	for _, r := range path {
		if !(r == '/' || r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return strconv.Quote(path)
		}
	}
	return path
}

// directory tells why something is no directory of this user's own.
func directory(path string, st *status) error {
	switch st.kind {
	case fs.ModeDir:
		return owned(path, st)
	case fs.ModeSymlink:
		return &Fault{path, "is a link in the place of a directory", remove}
	}
	return &Fault{path, "is in the place of a directory", remove}
}

// MakeDir makes a directory that nobody but this user can enter. One that is
// there must be this user's own, and nobody else may have been able to write to
// it; it is closed to others then. Its parent has to be there.
func MakeDir(path string) error {
	err := os.Mkdir(path, DirMode)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := lstat(path)
	if err == nil {
		err = directory(path, st)
	}
	if err == nil {
		err = closed(path, st)
	}
	if err != nil || st.mode&0o077 == 0 {
		return err
	}
	return os.Chmod(path, DirMode)
}

// OpenFile opens or makes a file in a private directory. The flags are those of
// os.OpenFile. It follows no link, waits for no other end of a pipe, and takes no
// file that has a second name, belongs to somebody else or can be written to by
// others. One that it makes is for this user alone.
func OpenFile(path string, flag int) (*os.File, error) {
	// What has to be emptied is emptied once it is known what it is.
	f, st, err := open(path, flag&^os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	err = regular(path, st)
	if err == nil && flag&os.O_TRUNC != 0 {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenRegular opens a file to read it, whoever owns it. It follows no link at the
// end of the path, and waits for no other end of a pipe.
func OpenRegular(path string) (*os.File, error) {
	f, st, err := open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if st.kind != 0 {
		return nil, errors.Join(&Fault{path, "is in the place of a file", remove}, f.Close())
	}
	return f, nil
}

// regular tells why something is no file of this user's own.
func regular(path string, st *status) error {
	switch {
	case st.kind == fs.ModeSymlink:
		return &Fault{path, "is a link in the place of a file", remove}
	case st.kind != 0:
		return &Fault{path, "is in the place of a file", remove}
	case st.links > 1:
		return &Fault{path, "has another name elsewhere", remove}
	}
	return errors.Join(owned(path, st), closed(path, st))
}

// ReadFile reads a file of at most max bytes as OpenFile opens it.
func ReadFile(path string, max int64) ([]byte, error) {
	f, err := OpenFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%s is larger than %d bytes: remove it", path, max)
	}
	return data, err
}

// WriteFile writes a file as OpenFile opens it.
func WriteFile(path string, data []byte) error {
	f, err := OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
