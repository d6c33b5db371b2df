package selabel

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func testFile(t testing.TB, end string) File {
	t.Helper()
	name := filepath.Join("testdata", "file_contexts"+end)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return File{name, data}
}

func testPolicy(t testing.TB) *Policy {
	t.Helper()
	p, err := Parse([]File{testFile(t, ""), testFile(t, ".homedirs"), testFile(t, ".local")}, testFile(t, ".subs"), testFile(t, ".subs_dist"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	file    = fs.FileMode(0)
	dir     = fs.ModeDir
	link    = fs.ModeSymlink
	char    = fs.ModeDevice | fs.ModeCharDevice
	blockd  = fs.ModeDevice
	pipe    = fs.ModeNamedPipe
	sockets = fs.ModeSocket
)

// lookups are paths, and the types that testdata gives them. An empty type is
// no label.
var lookups = []struct {
	name string
	mode fs.FileMode
	want string
}{
	{"/", dir, "root_t"},
	{"/etc", dir, "etc_t"},
	{"/etcetera", dir, "default_t"},
	{"/note", file, "top_file_t"},
	{"/note", dir, "default_t"},
	{"/quota.user", file, "quota_t"},
	{"/aquota.group", file, "quota_t"},
	{"/etc/a.key", file, "key_t"},
	{"/etc/a.key", link, "etc_t"},
	{"/etc/x.key", file, "x_t"},
	{"/etc/shadow", file, "shadow_t"},
	{"/etc/shadow\n", file, "shadow_t"},
	{"/etc/shadow.d", dir, "shadow_dir_t"},
	{"/etc/shadow.d\n", dir, "shadow_dir_t"},
	{"/etc/shadow.d\n\n", dir, "etc_t"},
	{"/etc/shadowed", dir, "etc_t"},
	{"/etc/none", dir, ""},
	{"/etc/none/x", file, ""},
	{"/etc/none/but", file, "but_t"},
	{"/dev/12", char, "char_t"},
	{"/dev/12", blockd, "block_t"},
	{"/dev/12", file, "default_t"},
	{"/dev/log", sockets, "devlog_t"},
	{"/dev/log", file, "default_t"},
	{"/dev/initctl", pipe, "initctl_t"},
	{"/usr/bin/ls", file, "short_t"},
	{"/usr/bin/sudo", file, "default_t"},
	{"/usr/bin/vi", file, "editor_t"},
	{"/usr/bin/vi", link, "editor_t"},
	{"/usr/bin/view", link, "link_t"},
	{"/usr/bin/x", file, "one_t"},
	{"/usr/bin/\xff", file, "one_t"},
	{"/usr/bin/é", file, "default_t"},
	{"/usr/bin/ab", file, "local_t"},
	{"/bin/ab", file, "local_t"},
	{"/usr/lib/a", dir, "alt_t"},
	{"/usr/lib/b/c-1", file, "alt_t"},
	{"/usr/lib/b", dir, "default_t"},
	{"/usr/lib/[", file, "bracket_t"},
	{"/usr/a/anything", file, "bar_t"},
	{"/usr/x/usr/b/c", file, "bar_t"},
	{"/us-x/a", file, "default_t"},
	{"/lost+found/1", file, "lost_t"},
	{"/srv/web", dir, "www_t"},
	{"/srv/web/index", file, "www_t"},
	{"/srv/website", dir, "default_t"},
	{"/srv/web/second/x", file, "default_t"},
	{"/srv/root", dir, "root_t"},
	{"/srv/root/etc", dir, "etc_t"},
	{"/alias/x", file, "run_t"},
	{"/var/run/x", file, "run_t"},
	{"/etc/localtime", link, "local_t"},
	{"/home/me", dir, "home_t"},
	{"/home/.a", dir, "home_t"},
	{"/home/.a", file, "later_t"},
	{"/home/me/a\nb/c", file, "home_file_t"},
}

func label(kind string) string {
	if kind == "" {
		return ""
	}
	return "system_u:object_r:" + kind + ":s0"
}

func TestLookup(t *testing.T) {
	t.Parallel()
	p := testPolicy(t)
	for _, c := range lookups {
		got, ok, err := p.Lookup(c.name, c.mode|0o644)
		if err != nil || got != label(c.want) || ok != (c.want != "") {
			t.Errorf("%q of type %s: %q, %v, %v; want %q", c.name, c.mode, got, ok, err, c.want)
		}
	}
}

// TestAsSetfiles compares the lookups with those of the real program.
func TestAsSetfiles(t *testing.T) {
	t.Parallel()
	setfiles, err := exec.LookPath("setfiles")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs setfiles and root")
	}
	for _, c := range lookups {
		root := t.TempDir()
		name := root + c.name
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		switch c.mode {
		case dir:
			err = os.MkdirAll(name, 0o755)
		case file:
			err = os.WriteFile(name, nil, 0o644)
		case link:
			err = os.Symlink("x", name)
		default:
			kinds := map[fs.FileMode]uint32{char: syscall.S_IFCHR, blockd: syscall.S_IFBLK, pipe: syscall.S_IFIFO, sockets: syscall.S_IFSOCK}
			err = syscall.Mknod(name, kinds[c.mode]|0o600, 1<<8|3)
		}
		if err != nil {
			t.Skipf("cannot make %s: %v", c.name, err)
		}
		out, err := exec.Command(setfiles, "-n", "-v", "-F", "-r", root, "testdata/file_contexts", root).CombinedOutput()
		if err != nil {
			t.Skipf("setfiles does not work here: %v: %s", err, out)
		}
		want := ""
		_, after, ok := strings.Cut(string(out), "Would relabel "+strings.TrimSuffix(name, "/")+" from ")
		if ok {
			want, _, _ = strings.Cut(strings.SplitN(after, " to ", 2)[1], "\n")
		}
		if want != label(c.want) {
			t.Errorf("%q of type %s: setfiles sets %q, the test expects %q", c.name, c.mode, want, c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"/a\n", "f, line 1: it has a path and no label"},
		{"#x\n\n/a -x u:r:t\n", "f, line 3: \"-x\" is no type of file"},
		{"/a( u:r:t\n", "not understood"},
		{"/a(?!b) u:r:t\n", "not understood"},
		{"/\xc3\xa9 u:r:t\n", "not ASCII"},
		{"/" + strings.Repeat("a", maxPattern) + " u:r:t\n", "too long"},
		{"/(((a{90}){90}){90}) u:r:t\n", "not understood"},
		{"/([a-z]{300}b{3}){3}|" + strings.Repeat("(.{90}){10}", 30) + " u:r:t\n", "too large"},
		{strings.Repeat("/"+strings.Repeat("(.{90}){10}", 8)+" u:r:t\n", 400), "the policy is too large"},
		{strings.Repeat("/a u:r:t\n", maxSpecs+1), "the policy is too large"},
	} {
		if _, err := Parse([]File{{"f", []byte(c.text)}}, File{}, File{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: error %v, want one with %q", c.text, err, c.want)
		}
	}
	if _, err := Parse(nil, File{"s", []byte(strings.Repeat("/a /b\n", maxSubs+1))}, File{}); err == nil || !strings.Contains(err.Error(), "s is too large") {
		t.Errorf("too many substitutions: %v", err)
	}
}

func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	p, err := Parse([]File{{"f", []byte("/.*.*.*x u:r:t\n")}}, File{}, File{})
	if err != nil {
		t.Fatal(err)
	}
	p.work = maxWork - 1
	if _, _, err := p.Lookup("/aaaa", 0); err == nil || !strings.Contains(err.Error(), "too many regular expressions") {
		t.Errorf("error %v", err)
	}
}

// FuzzLookup compares the index with a search through all specifications.
func FuzzLookup(f *testing.F) {
	for _, c := range lookups {
		f.Add("/a.* u:r:a\n/a/(b|c)? -- u:r:b\n/a/b u:r:c\n", c.name)
	}
	f.Add("/a|b u:r:a\n(/x)?/y u:r:b\n", "/x/b")
	f.Add("(?i)/ABC/d u:r:a\n", "/abc/D")
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := Parse([]File{{"f", []byte(text)}}, File{}, File{})
		if err != nil || !strings.HasPrefix(name, "/") {
			return
		}
		got, _, err := p.Lookup(name, 0)
		if err != nil {
			t.Skip(err)
		}
		want := ""
		for i := len(p.specs) - 1; i >= 0; i-- {
			s := p.specs[i]
			if ok, _, _ := s.match(bytewise(name)); ok && (s.kind == anyType || s.kind == 0) {
				want = strings.TrimSuffix(s.context, none)
				break
			}
		}
		if got != want {
			t.Errorf("%q: %q by the index, %q without", name, got, want)
		}
	})
}

// BenchmarkLookup labels 50 000 files by a policy of the size of a
// distribution's.
func BenchmarkLookup(b *testing.B) {
	var text strings.Builder
	text.WriteString("/.* u:r:default_t\n/usr/.* u:r:usr_t\n/usr/(.*/)?bin(/.*)? u:r:bin_t\n/usr/(.*/)?lib(/.*)? u:r:lib_t\n")
	for i := range 6000 {
		fmt.Fprintf(&text, "/%s/pkg-%d(/.*)? u:r:t%d\n", [...]string{"usr/lib", "usr/share", "var/lib", "etc", "usr/bin"}[i%5], i, i)
	}
	for range 200 {
		text.WriteString("/usr/lib/(.*/)?[^/]*\\.so(\\.[^/]*)* -- u:r:so_t\n")
	}
	for b.Loop() {
		p, err := Parse([]File{{"f", []byte(text.String())}}, File{}, File{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range 50_000 {
			if _, _, err := p.Lookup(fmt.Sprintf("/usr/share/doc/package-%d/file-%d", i/20, i), 0); err != nil {
				b.Fatal(err)
			}
		}
	}
}
