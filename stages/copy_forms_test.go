package stages

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/untar"
	"github.com/osbuildkit/osbuildkit/tree"
)

// state is what is compared of a file.
type state struct {
	Mode     fs.FileMode
	UID, GID uint32
	Size     int64
	Blocks   int64
	Time     int64
	Content  string
	Rdev     uint64
	SameAs   string
}

// statesBelow reads a directory; a file with several names says the first.
func statesBelow(t *testing.T, dir string) map[string]state {
	t.Helper()
	out := map[string]state{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if rel == "." {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		s := state{Mode: info.Mode(), UID: st.Uid, GID: st.Gid, Time: info.ModTime().Unix(), Rdev: st.Rdev}
		switch {
		case info.Mode().IsRegular():
			s.Size, s.Blocks = info.Size(), st.Blocks
			if s.Size < 1<<20 {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				s.Content = string(data)
			}
		case info.Mode()&fs.ModeSymlink != 0:
			if s.Content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		if !info.IsDir() {
			if other := first[st.Ino]; other != "" {
				s.SameAs = other
			} else {
				first[st.Ino] = rel
			}
		}
		out[rel] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// formsTree makes the directory pkg below dir, with a bit of everything. Its
// names fit into ustar if short is true.
func formsTree(t *testing.T, dir string, short bool) {
	t.Helper()
	old := func(n treetest.Node) treetest.Node { n.ModTime = treetest.OldTime; return n }
	long := "a-directory-with-a-rather-long-name/another-one-below-it-with-a-name-that-is-no-shorter/and-one-more-of-them"
	if short {
		long = "a-directory-with-a-rather-long-name/another-one-below-it-with-a-name-that-is-no-shorter" // 92 bytes
	}
	tr := treetest.Tree{
		"pkg": old(treetest.Dir(0o755)), "pkg/etc": old(treetest.Dir(0o2750)), "pkg/etc/app.conf": old(treetest.File("conf").Perm(0o640)),
		"pkg/bin/app": old(treetest.File("app").Perm(0o4755)), "pkg/empty": old(treetest.File("")), "pkg/link": old(treetest.Link("etc/app.conf")),
		"pkg/" + long + "/file": old(treetest.File("long")), "pkg/pipe": old(treetest.Fifo()), "pkg/block": old(treetest.File(strings.Repeat("x", 1024))),
		"pkg/tmp": old(treetest.Dir(0o1777)), "pkg/nothing": old(treetest.Dir(0o700)), "pkg/räksmörgås": old(treetest.File("ä")),
	}
	if !short {
		longer := strings.Repeat("0123456789/", 30)
		tr["pkg/"+longer+"file"] = old(treetest.File("longer"))
		tr["pkg/"+strings.Repeat("n", 200)] = old(treetest.File("n"))
		tr["pkg/longlink"] = old(treetest.Link("../" + longer + "target"))
	}
	treetest.Write(t, dir, tr)
	for _, name := range []string{"pkg/hard", "pkg/" + long + "/hard"} {
		if err := os.Link(filepath.Join(dir, "pkg/bin/app"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := unix.Mknod(filepath.Join(dir, "pkg/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
	}
	// Sparse files: with a hole at the beginning, between and at the end, with
	// more pieces than a header holds, and with nothing but a hole.
	sparse := func(name string, size int64, at ...int64) {
		f, err := os.Create(filepath.Join(dir, "pkg", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, offset := range at {
			if _, err := f.WriteAt([]byte(strings.Repeat("data", 1024)), offset); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
	sparse("sparse", 3<<20, 1<<19, 1<<20, 2<<20)
	many := make([]int64, 60)
	for i := range many {
		many[i] = int64(i) * 16 << 10
	}
	sparse("pieces", 1<<20+77, many...)
	sparse("hole", 2<<20)
	for _, name := range []string{"sparse", "pieces", "hole", "pipe", "null", "link", "longlink"} {
		ts := []unix.Timespec{{Sec: treetest.OldTime.Unix(), Nsec: 500_000_000}, {Sec: treetest.OldTime.Unix(), Nsec: 500_000_000}}
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "pkg", name), ts, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// asTar compares what the stage makes of an archive with what GNU tar does.
func asTar(t *testing.T, archive string, strip int) {
	t.Helper()
	theirs, ours := t.TempDir(), t.TempDir()
	cmd := exec.Command("tar", "-x", "-p", "--numeric-owner", fmt.Sprintf("--strip-components=%d", strip), "-f", archive, "-C", theirs)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("tar: %v: %s", err, out)
	}
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf(`{"source": {"type": "archive", "checksum": "%s", "strip-components": %d}}`, sha256Of(data), strip)
	if _, err := runStageWith(t, "org.osbuild.copy", ours, copyInput(t, data), options); err != nil {
		t.Fatal(err)
	}
	want, got := statesBelow(t, theirs), statesBelow(t, ours)
	if len(want) == 0 {
		t.Error("nothing was compared")
	}
	for name, s := range got {
		// A directory that the archive implies is as new as the test. The file
		// system needs some blocks of its own.
		w := want[name]
		if s.Mode.IsDir() && w.Time > testEpoch {
			w.Time = s.Time
		}
		if s.Blocks < w.Blocks+64 {
			w.Blocks = s.Blocks
		}
		if _, found := want[name]; found {
			want[name] = w
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-tar +stage):\n%s", d)
	}
}

// What programs write is taken as GNU tar takes it.
func TestCopyAsTar(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("tar", "--version").Output()
	if err != nil || !bytes.Contains(version, []byte("GNU tar")) {
		t.Skip("needs GNU tar")
	}
	long, short := t.TempDir(), t.TempDir()
	formsTree(t, long, false)
	formsTree(t, short, true)
	const python = `import os, sys, tarfile
t = tarfile.open(sys.argv[1], "w", format=getattr(tarfile, sys.argv[2]), pax_headers={"comment": "x", "mtime": "1000000000.5"} if sys.argv[2] == "PAX_FORMAT" else {})
t.add("pkg")
t.close()`
	gnu := func(dir string, args ...string) []string {
		return append([]string{dir, "tar", "-c", "-f", "ARCHIVE"}, args...)
	}
	cases := map[string][]string{
		"gnu":                  gnu(long, "--format=gnu", "pkg"),
		"gnu, ./":              gnu(long, "--format=gnu", "./pkg"),
		"gnu, .":               gnu(long, "--format=gnu", "."),
		"gnu, sparse":          gnu(long, "--format=gnu", "-S", "pkg"),
		"oldgnu, sparse":       gnu(long, "--format=oldgnu", "-S", "pkg"),
		"gnu, volume":          gnu(long, "--format=gnu", "-V", "a volume", "pkg"),
		"gnu, incremental":     gnu(long, "--format=gnu", "-g", "ARCHIVE.snapshot", "pkg"),
		"posix, incremental":   gnu(long, "--format=posix", "-g", "ARCHIVE.snapshot", "-S", "pkg"),
		"posix":                gnu(long, "--format=posix", "pkg"),
		"posix, volume":        gnu(long, "--format=posix", "-V", "a volume", "pkg"),
		"posix, sparse 0.0":    gnu(long, "--format=posix", "-S", "--sparse-version=0.0", "pkg"),
		"posix, sparse 0.1":    gnu(long, "--format=posix", "-S", "--sparse-version=0.1", "pkg"),
		"posix, sparse 1.0":    gnu(long, "--format=posix", "-S", "--sparse-version=1.0", "pkg"),
		"posix, global":        gnu(long, "--format=posix", "--pax-option=globexthdr.name=g,comment=hello,mtime=1000000000,uid=7,gname=x", "pkg"),
		"posix, override":      gnu(long, "--format=posix", "--pax-option=mtime:=1000000000.25,gid:=9", "pkg"),
		"posix, absolute":      gnu(long, "--format=posix", "--transform=s,^,/abs/,", "pkg"),
		"ustar":                gnu(short, "--format=ustar", "pkg"),
		"v7":                   gnu(short, "--format=v7", "--exclude=null", "--exclude=pipe", "--exclude=another-*", "pkg"),
		"numeric":              gnu(long, "--format=gnu", "--numeric-owner", "--owner=3000000000", "--group=5000000", "pkg"),
		"gzip":                 gnu(long, "-z", "pkg"),
		"xz":                   gnu(long, "-J", "pkg"),
		"bzip2":                gnu(long, "-j", "pkg"),
		"zstd":                 gnu(long, "--zstd", "pkg"),
		"bsdtar":               {long, "bsdtar", "-c", "-f", "ARCHIVE", "pkg"},
		"bsdtar, ./":           {long, "bsdtar", "-c", "-f", "ARCHIVE", "./pkg"},
		"bsdtar, pax":          {long, "bsdtar", "-c", "--format=pax", "-f", "ARCHIVE", "pkg"},
		"bsdtar, ustar":        {short, "bsdtar", "-c", "--format=ustar", "-f", "ARCHIVE", "pkg"},
		"bsdtar, gnutar":       {long, "bsdtar", "-c", "--format=gnutar", "-f", "ARCHIVE", "pkg"},
		"bsdtar, v7":           {short, "bsdtar", "-c", "--format=v7tar", "--exclude", "null", "--exclude", "pipe", "--exclude", "another-*", "-f", "ARCHIVE", "pkg"},
		"Python, pax":          {long, "python3", "-c", python, "ARCHIVE", "PAX_FORMAT"},
		"Python, GNU":          {long, "python3", "-c", python, "ARCHIVE", "GNU_FORMAT"},
		"Python, ustar":        {short, "python3", "-c", python, "ARCHIVE", "USTAR_FORMAT"},
		"git archive":          {"", "sh", "-c", `git init -q && printf x > f && mkdir d && ln -s ../f d/l && printf y > d/g && chmod 755 d/g && git add . && git -c user.name=a -c user.email=a@example.org commit -qm m && git archive --prefix=pkg/ -o "$1" HEAD`, "-", "ARCHIVE"},
		"cpio":                 {short, "sh", "-c", `find pkg | cpio --quiet -o -H ustar > "$1"`, "-", "ARCHIVE"},
		"appended, duplicates": {short, "sh", "-c", `tar -c -f "$1" pkg && tar -r -f "$1" pkg/etc pkg/link pkg/bin/app`, "-", "ARCHIVE"},
	}
	for name, argv := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive := filepath.Join(t.TempDir(), "archive")
			if strings.Contains(name, "git") {
				argv[0] = t.TempDir()
			}
			args := slices.Clone(argv[2:])
			for i := range args {
				args[i] = strings.Replace(args[i], "ARCHIVE", archive, 1)
			}
			cmd := exec.Command(argv[1], args...)
			cmd.Dir = argv[0]
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "GIT_AUTHOR_DATE=2001-02-03T04:05:06Z", "GIT_COMMITTER_DATE=2001-02-03T04:05:06Z")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
			for _, strip := range []int{0, 1} {
				asTar(t, archive, strip)
			}
		})
	}
}

// What Go writes is taken as GNU tar takes it.
func TestCopyGoAsTar(t *testing.T) {
	t.Parallel()
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU, tar.FormatUSTAR} {
		t.Run(format.String(), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			w := tar.NewWriter(&out)
			headers := []tar.Header{
				{Name: "pkg/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "pkg/f", Typeflag: tar.TypeReg, Mode: 0o600},
				{Name: "pkg/l", Typeflag: tar.TypeSymlink, Linkname: "f"}, {Name: "pkg/h", Typeflag: tar.TypeLink, Linkname: "pkg/f"},
				{Name: "pkg/big", Typeflag: tar.TypeReg, Mode: 0o644, Uid: 70000, Gid: 0o7777777},
				{Name: "pkg/cont", Typeflag: tar.TypeCont, Mode: 0o644},
			}
			if format == tar.FormatPAX {
				headers = append([]tar.Header{{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": "x", "mtime": "1000000000"}}}, headers...)
			}
			for _, h := range headers {
				if h.Typeflag != tar.TypeXGlobalHeader {
					h.ModTime = treetest.OldTime
				}
				h.Format = format
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(t.TempDir(), "archive")
			if err := os.WriteFile(archive, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, strip := range []int{0, 1} {
				asTar(t, archive, strip)
			}
		})
	}
}

// sparseArchive holds a file of that size whose last byte is data.
func sparseArchive(t testing.TB, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	h := tar.Header{Name: "pkg/name", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1, ModTime: treetest.OldTime, Format: tar.FormatPAX}
	// Go does not write sparse files: the records get their names afterwards.
	h.PAXRecords = map[string]string{"XXX.sparse.size": fmt.Sprint(size), "XXX.sparse.map": fmt.Sprintf("%d,1", size-1)}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(out.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse."))
}

// A sparse file counts with its data, up to a size that no disk has.
func TestCopySparseBounds(t *testing.T) {
	t.Parallel()
	run := func(size int64) (string, error) {
		dir, data := t.TempDir(), sparseArchive(t, size)
		_, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sha256Of(data)+`"}}`)
		return dir, err
	}
	dir, err := run(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "name"))
	if err != nil || st.Size() != 1<<40 || st.Sys().(*syscall.Stat_t).Blocks > 64 {
		t.Errorf("%+v, %v", st, err)
	}
	for _, size := range []int64{maxArchiveSize + 1, 1<<63 - 1} {
		dir, err := run(size)
		if err == nil || !strings.Contains(err.Error(), "8 TiB") {
			t.Errorf("%d: %v", size, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%d: the tree has %v, %v", size, entries, err)
		}
	}
}

// All that is written counts, however often the archive is copied.
func TestCopyCountsWhatIsWritten(t *testing.T) {
	t.Parallel()
	root, err := tree.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	c := &copier{in: &module.Input{}, t: root, l: &ledger.Ledger{}, budget: expand.Budget{Data: 10, Packed: 10}, buf: make([]byte, 100)}
	h := &untar.Header{Type: untar.File, Mode: 0o644, UID: os.Getuid(), GID: os.Getgid(), Size: 6, Data: 6}
	if err := c.file(t.Context(), &selection{mode: -1, uid: -1, gid: -1}, "a", h, strings.NewReader("123456")); err != nil {
		t.Fatal(err)
	}
	if err := c.file(t.Context(), &selection{mode: -1, uid: -1, gid: -1}, "b", h, strings.NewReader("123456")); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
		t.Errorf("error %v", err)
	}
}
