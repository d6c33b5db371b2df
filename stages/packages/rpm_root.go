package packages

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/tree"
)

// rpmRoot is a build root whose rpm and dnf are run.
type rpmRoot struct {
	t *tree.Root
	// dir is "/" in a step whose root is the build root itself.
	dir string
}

func openRPMRoot(dir string) (*rpmRoot, error) {
	if dir == "" {
		return nil, errors.New("the contract names no \"build_root\"")
	}
	t, err := tree.Open(dir)
	if err != nil {
		return nil, err
	}
	return &rpmRoot{t: t, dir: dir}, nil
}

func (r *rpmRoot) close() error { return r.t.Close() }

// outside reports whether the build root is not the root of this process.
func (r *rpmRoot) outside() bool { return path.Clean(r.dir) != "/" }

// path is the name that a file of the build root has for this process, with
// all links in it resolved inside the build root.
func (r *rpmRoot) path(name string) (string, error) { return r.t.Path(name, true) }

// find returns the first of the paths that is there.
func (r *rpmRoot) find(names ...string) (string, bool) {
	for _, n := range names {
		if ok, err := r.t.Exists(n); err == nil && ok {
			return n, true
		}
	}
	return "", false
}

// program returns the path of a program of rpm in the build root.
func (r *rpmRoot) program(name string) (string, error) {
	file, ok := r.find("/usr/bin/"+name, "/bin/"+name)
	if !ok {
		return "", fmt.Errorf("the build root has no %s: install the package \"rpm\" in the pipeline \"build\", or leave the pipeline out and use the default build root", name)
	}
	return file, nil
}

// python returns the interpreter of the build root's dnf: that of its first
// line, as some distributions keep one for themselves.
func (r *rpmRoot) python() (string, error) {
	dnf, ok := r.find("/usr/bin/dnf-3", "/usr/bin/dnf4")
	if !ok {
		return "", errors.New("the build root has no dnf: install the package \"dnf\" or \"dnf5\" in the pipeline \"build\", or leave the pipeline out and use the default build root")
	}
	f, err := r.t.OpenFile(dnf, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	words := strings.Fields(strings.TrimPrefix(string(line), "#!"))
	if !bytes.HasPrefix(line, []byte("#!/")) || len(words) == 0 || !strings.Contains(path.Base(words[0]), "python") {
		return "", fmt.Errorf("%s of the build root is no Python program; its first line is %.80q", dnf, line)
	}
	return words[0], nil
}

// command returns the words that start a program of the build root. Where its
// files are not at their own places, the program is started by its own
// dynamic loader, which is told where its libraries are.
func (r *rpmRoot) command(program string) ([]string, error) {
	if !r.outside() {
		return []string{program}, nil
	}
	file, err := r.path(program)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s of the build root: %w", program, err)
	}
	defer f.Close()
	interpreter, err := elfInterpreter(f)
	if err != nil {
		return nil, fmt.Errorf("%s of the build root: %w", program, err)
	}
	loader, err := r.path(interpreter)
	if err != nil {
		return nil, err
	}
	dirs, err := r.libraries()
	if err != nil {
		return nil, err
	}
	// Without the cache, which would be that of the tree.
	return []string{loader, "--inhibit-cache", "--library-path", strings.Join(dirs, ":"), file}, nil
}

func elfInterpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(data), "\x00"), nil
	}
	return "", errors.New("it has no dynamic loader")
}

// libraries lists the directories that the loader of the build root searches
// by itself, as they are named for this process.
func (r *rpmRoot) libraries() ([]string, error) {
	names := []string{"/etc/ld.so.conf"}
	if entries, err := r.t.ReadDir("/etc/ld.so.conf.d"); err == nil {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") {
				names = append(names, "/etc/ld.so.conf.d/"+e.Name())
			}
		}
	}
	var dirs []string
	for _, n := range names {
		data, err := r.t.ReadText(n, tree.MaxConfig)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				dirs = append(dirs, line)
			}
		}
	}
	dirs = append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
	var out []string
	for _, d := range dirs {
		if st, err := r.t.Stat(d); err != nil || !st.IsDir() {
			continue
		}
		p, err := r.path(d)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, p) && !strings.ContainsAny(p, ":;") {
			out = append(out, p)
		}
	}
	return out, nil
}

// modules lists the directories of Python modules that distributions add by
// code of their own, which does not look below PYTHONHOME.
func (r *rpmRoot) modules() []string {
	var out []string
	for _, pattern := range []string{"usr/lib/python3/dist-packages", "usr/lib64/python3*/site-packages", "usr/lib/python3*/site-packages"} {
		found, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil {
			continue
		}
		out = append(out, found...)
	}
	return out
}
