package packages

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// TestArchitectures leaves out the packages that are meant for others.
func TestArchitectures(t *testing.T) {
	t.Parallel()
	o := AptOptions{Packages: []string{"all", "pc=1 [amd64 i386]", "arm [arm64]", "most [!arm64 !armhf]"}, Update: true}
	for arch, want := range map[string][]string{"amd64": {"all", "pc=1", "most"}, "arm64": {"all", "arm"}, "armhf": {"all"}, "riscv64": {"all", "most"}} {
		got := o.For(arch)
		if !slices.Equal(got.Packages, want) || !got.Update {
			t.Errorf("%s: %+v", arch, got)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	key, err := json.Marshal(string(debian.DefaultKeyring()))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		module, options string
		// want lists pointer and part of the message of each problem.
		want []string
	}{
		{DebootstrapStage, `{"suite":"trixie"}`, nil},
		{DebootstrapStage, `{"suite":"trixie","keyring":` + string(key) + `,"sources":[],"path_excludes":["/usr/share/doc/*"],"packages":["vim-tiny","g++"]}`, nil},
		{DebootstrapStage, `{"suite":"../etc"}`, []string{`/suite "../etc" is no name of a suite`}},
		{DebootstrapStage, `{"suite":"./"}`, []string{`/suite "./" is no name`}},
		{DebootstrapStage, `{"suite":"trixie","packages":["vim=1","ok"]}`, []string{`/packages/0 "vim=1" is no name of a package`}},
		{DebootstrapStage, `{"suite":"trixie","components":["main","a/../b"]}`, []string{`/components/1 `}},
		{DebootstrapStage, `{"suite":"trixie","path_excludes":["usr/share"]}`, []string{`/path_excludes/0 "usr/share" is no pattern of absolute paths`}},
		{DebootstrapStage, `{"suite":"trixie","path_includes":["/a\nforce-all"]}`, []string{`/path_includes/0 `}},
		{DebootstrapStage, `{"suite":"trixie","sources":["deb http://x trixie main","http://x","Types: deb\nURIs: http://x"]}`, []string{`/sources/1 want a line`}},
		{DebootstrapStage, `{"suite":"trixie","keyring":"hello"}`, []string{`/keyring the keyring is neither`}},
		{AptStage, `{"packages":["a","a=1:2-3","a:arm64","g++"]}`, nil},
		{AptStage, `{"packages":["-y","a-","a b","a=","a=x","a/trixie"]}`, []string{`/packages/0 "-y" is no package`, `/packages/1`, `/packages/2`, `/packages/3`, `/packages/4`, `/packages/5`}},
		{AptStage, `{"packages":["a [amd64]","a=1 [amd64 i386]","a:any [!arm64 !hurd-amd64]"]}`, nil},
		{AptStage, `{"packages":["a []","a [amd64 !i386]","a [AMD64]","a [any]","a [amd64","a[amd64]","-a [amd64]","a [!]"]}`, []string{
			`/packages/0 "a []" is no package; want a list of arch`, `/packages/1`, `/packages/2`, `/packages/3`, `/packages/4`, `/packages/5`, `/packages/6`, `/packages/7`}},
		{AptStage, `{"packages":["a"],"exclude_packages":["b","c=1"]}`, []string{`/exclude_packages/1`}},
		{AptStage, `{"packages":["a"],"repos":[{"suite":"./","mirror":"http://x"},{"suite":"/","mirror":"http://x"},{"suite":"binary/","mirror":"http://x"},{"suite":"./a/b/","mirror":"http://x"},{"suite":"stable/updates"},{"suite":"a~b"}]}`, nil},
		{AptStage, `{"packages":["a"],"repos":[{"suite":"./"},{"suite":"./","mirror":"http://x","components":["main"]}]}`, []string{
			`/repos/1/components a repository without suites`, `/repos/0 it is not said where the repository without suites is: give "mirror"`}},
		{AptStage, `{"packages":["a"],"repos":[{"suite":"../"},{"suite":"a/../b/"},{"suite":"."},{"suite":"./a"},{"suite":"/a"},{"suite":"a//b"},{"suite":"a b/"}]}`, []string{
			`/repos/0/suite "../" is no name of a suite; of a repository without suites, whose packages lie in one directory, it is that directory with a slash at the end, such as "./"`,
			`/repos/1/suite`, `/repos/2/suite`, `/repos/3/suite`, `/repos/4/suite`, `/repos/5/suite`, `/repos/6/suite`}},
		{AptStage, `{"packages":["a"],"repos":[{"suite":"ok"},{"suite":"a b","components":["x y"],"keyring":"k"}]}`, []string{`/repos/1/suite`, `/repos/1/components/0`, `/repos/1/keyring`}},
		{AptStage, `{"packages":["a"],"debconf":["a b c d","a b","a b c\nd"]}`, []string{`/debconf/1 want one line`, `/debconf/2`}},
	}
	for _, tt := range tests {
		m := module.Find(Modules(), tt.module)
		var got []string
		for _, p := range m.Check(json.RawMessage(tt.options)) {
			got = append(got, p.Pointer+" "+p.Message)
		}
		ok := len(got) == len(tt.want)
		for i := range tt.want {
			ok = ok && strings.HasPrefix(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s %s:\ngot  %q\nwant %q", tt.module, tt.options, got, tt.want)
		}
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	var public []string
	seen := map[string]bool{}
	for _, m := range Modules() {
		if seen[m.Name] || m.Group != module.GroupPackages || m.Kind != module.Stage || m.Summary == "" || strings.HasSuffix(m.Summary, ".") {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
		if m.Internal() == (m.Run == nil) {
			t.Errorf("%s: a module is either public and made of parts, or a part that runs", m.Name)
		}
		if !m.Internal() {
			public = append(public, m.Name)
		}
	}
	want := []string{"org.osbuild.dnf", "org.osbuild.rpm", "org.osbuild.yum", "org.osbuildkit.apt", "org.osbuildkit.debootstrap"}
	if slices.Sort(public); !slices.Equal(public, want) {
		t.Errorf("public modules are %q, want %q", public, want)
	}
}

// A part's options hold nothing that the part does not depend on.
func TestForParts(t *testing.T) {
	t.Parallel()
	clean := false
	o := DebootstrapOptions{
		Suite: "trixie", Mirror: "http://m", Components: []string{"main"}, Arch: "amd64", Keyring: "k", Variant: "minbase", Packages: []string{"p"},
		Checksum: "sha256:x", Sources: &[]string{"deb x y"}, PathExcludes: []string{"/e"}, PathIncludes: []string{"/i"}, Clean: &clean,
	}
	a := AptOptions{
		Packages: []string{"p"}, Repos: []RepositoryOptions{{Mirror: "http://m", Suite: "s", Checksum: "c", Keyring: "k"}}, ExcludePackages: []string{"x"},
		InstallRecommends: true, Update: true, Debconf: []string{"d"}, Sources: &[]string{}, PathExcludes: []string{"/e"}, Clean: &clean, Auth: "a",
	}
	for _, tt := range []struct {
		got  any
		want string
	}{
		{o.ForSolve(), `{"suite":"trixie","components":["main"],"arch":"amd64","keyring":"k","variant":"minbase","packages":["p"]}`},
		{o.ForUnpack(), `{"suite":"trixie","arch":"amd64","path_excludes":["/e"],"path_includes":["/i"]}`},
		{o.ForConfigure(), `{"suite":"trixie","arch":"amd64","sources":["deb x y"]}`},
		{a.ForSolve(), `{"packages":["p"],"repos":[{"suite":"s","keyring":"k"}],"exclude_packages":["x"],"install_recommends":true,"update":true}`},
		{a.ForApply(), `{"packages":["p"],"debconf":["d"],"sources":[],"path_excludes":["/e"]}`},
		{DebootstrapOptions{Suite: "s"}.WithDefaults("arm64"), `{"suite":"s","components":["main"],"arch":"arm64","variant":"minbase"}`},
	} {
		data, err := json.Marshal(tt.got)
		if err != nil || string(data) != tt.want {
			t.Errorf("got  %s, %v\nwant %s", data, err, tt.want)
		}
	}
	if o.Cleaned() || !(AptOptions{}).Cleaned() {
		t.Error("clean is not true by default, or false is not heard")
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 9, 12, 7, 55, 41, 0, time.UTC)
	list := &debian.PackageList{Repositories: []debian.Repository{
		{Suite: "trixie", Origin: "Debian", Label: "Debian", Components: []string{"main", "contrib"}, Date: date},
		{Suite: "trixie-security", Origin: "Debian", Label: "Debian-Security", Components: []string{"main"}, Date: date},
		{Suite: "x", Origin: "Someone", Label: "Debian", Date: date},
	}}
	items, err := defaultSources(list)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(items, "\n")
	want := `Types: deb
URIs: https://snapshot.debian.org/archive/debian/20260912T075541Z
Suites: trixie
Components: main contrib
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://snapshot.debian.org/archive/debian-security/20260912T075541Z
Suites: trixie-security
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	root := makeTree(t, map[string]string{"etc/apt/sources.list": "old", "etc/apt/sources.list.d/x.list": "old", "etc/apt/sources.list.d/y.sources": "old", "etc/apt/sources.list.d/note": "keep"})
	r, err := tree.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := writeSources(r, []string{"# mine", "deb http://a b c", "Types: deb\nURIs: http://x\n"}); err != nil {
		t.Fatal(err)
	}
	wantFiles := map[string]string{"etc/apt/sources.list": "# mine\ndeb http://a b c\n", "etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: http://x\n", "etc/apt/sources.list.d/note": "keep"}
	if diff := cmp.Diff(wantFiles, contents(t, root)); diff != "" {
		t.Error(diff)
	}
	if err := writeSources(r, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"etc/apt/sources.list.d/note": "keep"}, contents(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestParseURI(t *testing.T) {
	t.Parallel()
	s := &aptSolver{seen: "/tmp/w", repos: make([]*repository, 2)}
	sum := strings.Repeat("ab", 32)
	p, err := s.parseURI("'file:/tmp/w/repos/1/pool/main/v/vim/vim_9.1%2bx_amd64.deb' vim_2%3a9.1+x_amd64.deb 123 SHA256:" + sum)
	want := debian.Package{Name: "vim", Version: "2:9.1+x", Architecture: "amd64", Repository: 1, Path: "pool/main/v/vim/vim_9.1+x_amd64.deb", File: "vim_2%3a9.1+x_amd64.deb", Size: 123, SHA256: sum}
	if diff := cmp.Diff(want, p); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for line, want := range map[string]string{
		"'file:/tmp/w/repos/1/a.deb' a_1_all.deb 1 MD5Sum:00":             "no SHA256",
		"'file:/tmp/w/repos/1/a.deb' a_1_all.deb x SHA256:" + sum:         "size",
		"'file:/tmp/w/repos/2/a.deb' a_1_all.deb 1 SHA256:" + sum:         "no known repository",
		"'http://example.org/a.deb' a_1_all.deb 1 SHA256:" + sum:          "no known repository",
		"'file:/tmp/w/repos/0/a.deb' a.deb 1 SHA256:" + sum:               "NAME_VERSION_ARCH",
		"'file:/tmp/w/repos/0/a.deb' a_1_all.deb":                         "not of the form",
		"'file:/tmp/w/repos/-1/a.deb' a_1_all.deb 1 SHA256:" + sum + "  ": "no known repository",
	} {
		if _, err := s.parseURI(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", line, err, want)
		}
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	status := func(name, arch string) string {
		return "Package: " + name + "\nStatus: install ok installed\nArchitecture: " + arch + "\nVersion: 1\n\n"
	}
	before := status("dpkg", "amd64") + status("old-auto", "amd64") + status("becomes-manual", "all") + status("old-manual", "amd64")
	root := makeTree(t, map[string]string{
		"var/lib/dpkg/status":         before + status("asked", "amd64") + status("dep", "amd64") + status("dep-all", "all"),
		"var/lib/apt/extended_states": "Package: old-auto\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: becomes-manual\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: gone\nArchitecture: amd64\nAuto-Installed: 1\n\n",
	})
	r, err := tree.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	auto, err := readMarks(r)
	if err != nil {
		t.Fatal(err)
	}
	all, err := installed(r)
	if err != nil {
		t.Fatal(err)
	}
	was := map[string]debian.Stanza{}
	for name, s := range all {
		if strings.Contains(before, "Package: "+s.Get("Package")+"\n") {
			was[name] = s
		}
	}
	list := &debian.PackageList{Packages: []debian.Package{
		{Name: "asked", Architecture: "amd64"}, {Name: "dep", Architecture: "amd64", Automatic: true}, {Name: "dep-all", Architecture: "all", Automatic: true},
		{Name: "old-manual", Architecture: "amd64", Automatic: true}, // an upgrade
	}}
	if err := updateMarks(r, was, auto, list, []string{"asked=1", "becomes-manual"}); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, name := range []string{"dep-all", "dep", "old-auto"} {
		want += "Package: " + name + "\nArchitecture: amd64\nAuto-Installed: 1\n\n"
	}
	if diff := cmp.Diff(want, read(t, root, marksFile)); diff != "" {
		t.Error(diff)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	in := &module.Input{Epoch: 7, Log: &log}
	_, err := run(context.Background(), in, program{argv: []string{"sh", "-c", `echo "$SOURCE_DATE_EPOCH $DEBIAN_FRONTEND $MORE"`}, env: []string{"MORE=x"}})
	if err != nil || log.String() != "7 noninteractive x\n" {
		t.Errorf("%v, the log holds %q", err, log.String())
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("setting owners takes root")
	}
	for _, files := range []map[string]string{{}, {policyFile: "own"}} {
		root := makeTree(t, files)
		r, err := tree.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		undo, err := forbidServices(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, root, policyFile); !strings.Contains(got, "exit 101") {
			t.Errorf("got %q", got)
		}
		if st, err := os.Stat(filepath.Join(root, policyFile)); err != nil || st.Mode().Perm() != 0o755 {
			t.Error("not executable", err)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(files, contents(t, root)); diff != "" {
			t.Error(diff)
		}
		r.Close()
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		moved bool
	}{
		"empty":     {map[string]string{"var/lib/dpkg/updates/": "", "run/": ""}, true},
		"not empty": {map[string]string{"var/lib/dpkg/updates/0001": "x", "run/": ""}, false},
		"missing":   {map[string]string{"var/lib/dpkg/": ""}, false},
	} {
		root := makeTree(t, tt.files)
		r, err := tree.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		before := contents(t, root)
		undo, err := journalInMemory(r)
		if err != nil {
			t.Fatal(err)
		}
		target, err := os.Readlink(filepath.Join(root, journalDir))
		if moved := err == nil && target == "/"+journalMemory; moved != tt.moved {
			t.Errorf("%s: moved %v, want %v", name, moved, tt.moved)
		}
		if tt.moved {
			if err := r.WriteFile(journalDir+"/0000", []byte("x"), 0o644); err != nil {
				t.Error(err)
			}
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, root)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if st, err := os.Lstat(filepath.Join(root, journalDir)); tt.moved && (err != nil || !st.IsDir()) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}
