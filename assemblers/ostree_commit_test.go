package assemblers

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// ostreeTree is a tree in the layout of OSTree, and what is no part of it.
func ostreeTree() treetest.Tree {
	file, link := treetest.File, treetest.Link
	return treetest.Tree{
		"usr/bin/tool":                file("tool").Perm(0o755|os.ModeSetuid).Owner(0, 5),
		"usr/bin/secret":              file("").Perm(0o600),
		"usr/lib/modules/6.1/vmlinuz": file(strings.Repeat("kernel", 100000)),
		"usr/etc/passwd":              file("root\n"),
		"usr/empty":                   treetest.Dir(0o711).Owner(7, 8),
		"bin":                         link("usr/bin"),
		"lib":                         link("usr/lib"),
		"boot":                        treetest.Dir(0o700),
		"var/lib":                     treetest.Dir(0o755),
		"etc/passwd":                  file("no part\n"),
		"home/someone":                file("no part\n"),
		"dev/console":                 file("no part\n"),
	}
}

// commit runs the assembler and returns the output directory.
func commit(t *testing.T, dir string, l *ledger.Ledger, options string) (string, *strings.Builder) {
	t.Helper()
	out, book := t.TempDir(), ""
	if l != nil {
		book = t.TempDir()
		if err := l.Save(book, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	log := new(strings.Builder)
	err := runOSTreeCommit(context.Background(), &module.Input{Tree: dir, OutputDir: out, Ledger: book, Options: json.RawMessage(options), Epoch: 1_600_000_000, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return out, log
}

// needOSTree skips a test where the program is not installed.
func needOSTree(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ostree"); err != nil {
		t.Skip("ostree is not installed: what is written is read by nobody else")
	}
}

// ostreeProgram runs the program and returns what it prints.
func ostreeProgram(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("ostree", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ostree %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// TestOSTreeCommit has ostree read the repository, and commit the same tree
// itself: the content must be the same to the bit.
func TestOSTreeCommit(t *testing.T) {
	t.Parallel()
	needOSTree(t)
	dir := treetest.New(t, ostreeTree())
	parent := strings.Repeat("0a", 32)
	out, log := commit(t, dir, nil, `{"ref": "os/1/x86_64", "os_version": "1.5", "parent": "`+parent+`"}`)
	repo := "--repo=" + filepath.Join(out, "repo")
	ostreeProgram(t, "fsck", repo)
	id := strings.TrimSpace(ostreeProgram(t, "rev-parse", repo, "os/1/x86_64"))
	if !strings.Contains(log.String(), id) {
		t.Errorf("the log does not name %s: %s", id, log)
	}
	show := ostreeProgram(t, "show", repo, id)
	for _, want := range []string{"Parent:  " + parent, "Date:  2020-09-13 12:26:40 +0000", "Version: 1.5"} {
		if !strings.Contains(show, want) {
			t.Errorf("%q is missing in %s", want, show)
		}
	}
	for key, want := range map[string]string{"ostree.linux": "'6.1'", "ostree.bootable": "true", "ostree.ref-binding": "['os/1/x86_64']"} {
		if got := strings.TrimSpace(ostreeProgram(t, "show", repo, "--print-metadata-key="+key, id)); got != want {
			t.Errorf("%s is %s", key, got)
		}
	}

	// The same by hand.
	tree := ostreeTree().Without("etc/passwd", "home/someone", "dev/console")
	for _, l := range ostreeLinks {
		tree[l[0]] = treetest.Link(l[1])
	}
	for _, d := range ostreeDirs {
		tree[d] = treetest.Dir(0o755)
	}
	tree["tmp"] = treetest.Dir(0o777 | os.ModeSticky)
	other := "--repo=" + t.TempDir()
	ostreeProgram(t, "init", other, "--mode=archive")
	ostreeProgram(t, "commit", other, "--branch=x", "--no-xattrs", "--subject=x", "--tree=dir="+treetest.New(t, tree))
	if os.Geteuid() == 0 { // what a commit has of its own belongs to root
		if got, want := contentOf(t, repo, id), contentOf(t, other, "x"); got != want {
			t.Errorf("the content is %s, ostree makes it %s\n%s", got, want,
				cmp.Diff(ostreeProgram(t, "ls", other, "-R", "-C", "x"), ostreeProgram(t, "ls", repo, "-R", "-C", id)))
		}
	}
	var c compose
	data, err := os.ReadFile(filepath.Join(out, "compose.json"))
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Commit != id || c.Ref != "os/1/x86_64" || c.Version != "1.5" || c.Timestamp != "2020-09-13T12:26:40Z" || c.ContentChecksum != contentOf(t, repo, id) || c.Parent != parent {
		t.Errorf("compose.json is %s, %v", data, err)
	}
	checkSums(t, out)
}

// contentOf returns the checksum of a commit's content.
func contentOf(t *testing.T, repo, commit string) string {
	t.Helper()
	_, sum, _ := strings.Cut(ostreeProgram(t, "show", repo, commit), "ContentChecksum:  ")
	sum, _, _ = strings.Cut(sum, "\n")
	return sum
}

// checkSums compares the list of checksums with the files.
func checkSums(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("sha256sum", "--quiet", "--check", sumsFile)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestOSTreeCommitAttributes(t *testing.T) {
	t.Parallel()
	needOSTree(t)
	dir := treetest.New(t, ostreeTree())
	if err := os.Link(filepath.Join(dir, "usr/bin/tool"), filepath.Join(dir, "usr/bin/alias")); err != nil {
		t.Fatal(err)
	}
	l := &ledger.Ledger{}
	for name, attrs := range map[string]map[string]string{
		"/":             {"security.selinux": "u:r:root_t:s0\x00"},
		"/dev":          {"security.selinux": "u:r:device_t:s0\x00", "user.x": "no part"},
		"/usr/bin/tool": {"security.selinux": "u:r:bin_t:s0\x00", "user.note": "n"},
	} {
		for key, value := range attrs {
			if err := l.Set(name, key, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, _ := commit(t, dir, l, `{"ref": "a"}`)
	repo := "--repo=" + filepath.Join(out, "repo")
	ostreeProgram(t, "fsck", repo)
	list := ostreeProgram(t, "ls", repo, "-X", "a", "/", "/dev", "/usr/bin/tool", "/usr/bin/alias", "/usr/etc")
	for _, want := range []string{
		"{ [(b'security.selinux', b'u:r:root_t:s0')] } /\n",
		"{ [(b'security.selinux', b'u:r:device_t:s0')] } /dev\n",
		"{ [(b'security.selinux', b'u:r:bin_t:s0'), (b'user.note', [0x6e])] } /usr/bin/tool\n",
		"{ [(b'security.selinux', b'u:r:bin_t:s0'), (b'user.note', [0x6e])] } /usr/bin/alias\n",
		"{ @a(ayay) [] } /usr/etc\n",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is missing in %s", want, list)
		}
	}
}

func TestOSTreeCommitTar(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, ostreeTree())
	var sums []string
	for range 2 {
		out, _ := commit(t, dir, nil, `{"ref": "os/1", "tmp-is-dir": false, "tar": {"filename": "commit.tar.gz"}}`)
		entries, err := os.ReadDir(out)
		if err != nil || len(entries) != 2 {
			t.Fatalf("the output is %v, %v", entries, err)
		}
		checkSums(t, out)
		sum, err := sumFile(t.Context(), filepath.Join(out, "commit.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		if len(sums) < 2 {
			continue
		}
		unpacked := t.TempDir()
		if text, err := exec.Command("tar", "-C", unpacked, "-xzf", filepath.Join(out, "commit.tar.gz")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		needOSTree(t)
		repo := "--repo=" + filepath.Join(unpacked, "repo")
		ostreeProgram(t, "fsck", repo)
		if list := ostreeProgram(t, "ls", repo, "os/1", "/tmp"); !strings.Contains(list, "/tmp -> sysroot/tmp") {
			t.Errorf("tmp is %s", list)
		}
	}
	if sums[0] != sums[1] {
		t.Error("two archives of one tree differ")
	}
}

func TestOSTreeCommitErrors(t *testing.T) {
	t.Parallel()
	pipe := ostreeTree().With(treetest.Tree{"usr/pipe": treetest.Fifo()})
	for what, c := range map[string]struct {
		tree treetest.Tree
		err  string
	}{
		"no boot":        {ostreeTree().Without("boot"), "the tree has no directory boot"},
		"boot is a link": {ostreeTree().With(treetest.Tree{"boot": treetest.Link("/")}), "the tree has no directory boot"},
		"a pipe":         {pipe, `"usr/pipe" is neither a file nor`},
	} {
		out := t.TempDir()
		err := runOSTreeCommit(context.Background(), &module.Input{Tree: treetest.New(t, c.tree), OutputDir: out, Options: json.RawMessage(`{"ref": "a"}`)})
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", what, err)
		}
		if entries, err := os.ReadDir(out); err != nil || len(entries) != 0 {
			t.Errorf("%s leaves %v, %v", what, entries, err)
		}
	}
	dir := treetest.New(t, ostreeTree().Without("usr/etc/passwd"))
	if _, log := commit(t, dir, nil, `{"ref": "a"}`); !strings.Contains(log.String(), "warning: the tree has no usr/etc") {
		t.Errorf("the log is %s", log)
	}
}

func TestOSTreeCommitCheck(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		`{"ref": "a/b-1.x_y"}`: "",
		`{"ref": "a", "tar": {"filename": "x.tar.xz"}, "parent": "` + strings.Repeat("0a", 32) + `"}`: "",
		`{"ref": "../a"}`: "/ref", `{"ref": "/a"}`: "/ref", `{"ref": "a//b"}`: "/ref", `{}`: "/ref", `{"ref": "a/../b"}`: "/ref",
		`{"ref": "a", "parent": "0a"}`:                   "/parent",
		`{"ref": "a", "tar": {"filename": "a/b"}}`:       "/tar/filename",
		`{"ref": "a", "tar": {"filename": "x.tar.bz2"}}`: "/tar/filename",
		`{"ref": "a", "tar": {}}`:                        "/tar/filename",
		`{"ref": "a", "os_version": "\u0000"}`:           "/os_version",
	} {
		var got string
		for _, p := range checkOSTreeCommit(json.RawMessage(options)) {
			got += p.Pointer
		}
		if got != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
}
