//go:build e2e

package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// testMirror returns the mirror that the test may use: the one given by the
// environment, else that of the machine's apt.
func testMirror(t *testing.T) string {
	t.Helper()
	if m := os.Getenv("OSBUILDKIT_TEST_MIRROR"); m != "" {
		return strings.TrimSuffix(m, "/")
	}
	m, err := debian.ClientMirror("/etc/apt", "trixie")
	if err != nil {
		t.Skip("no mirror: set OSBUILDKIT_TEST_MIRROR:", err)
	}
	return m
}

func fetch(t *testing.T, url, file string, sha256 string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 2 * time.Minute}
	res, err := client.Get(url)
	if err != nil {
		t.Skip("the mirror cannot be reached:", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, res.Status)
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// builder does by hand what the graph does for the stages.
type builder struct {
	t      *testing.T
	mirror string
	dir    string
	tree   string
	log    timedLog
	epoch  int64
}

func (b *builder) part(name string, in module.Input, opts any) {
	b.t.Helper()
	m := module.Find(Modules(), name)
	data, err := json.Marshal(opts)
	if err != nil {
		b.t.Fatal(err)
	}
	in.Tree, in.Options, in.Epoch, in.Log = b.tree, data, b.epoch, &b.log
	b.log.start = time.Now()
	cpu := cpuTime()
	if err := m.Run(context.Background(), &in); err != nil {
		b.t.Fatalf("%s: %v\n%s", name, err, b.log.String())
	}
	b.t.Logf("%-40s %6.2f s, %6.2f s of processor time", name, time.Since(b.log.start).Seconds(), (cpuTime() - cpu).Seconds())
	if file := os.Getenv("OSBUILDKIT_TEST_LOG"); file != "" {
		if err := os.WriteFile(file, b.log.Bytes(), 0o644); err != nil {
			b.t.Error(err)
		}
	}
}

// cpuTime returns what this process and its children have used, which says
// more than the clock on a machine that has other work to do.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// timedLog is a log that notes when each piece of it was written.
type timedLog struct {
	bytes.Buffer
	start time.Time
}

func (l *timedLog) Write(p []byte) (int, error) {
	fmt.Fprintf(&l.Buffer, "[%6.2f] ", time.Since(l.start).Seconds())
	return l.Buffer.Write(p)
}

// repos lays out the files of a repository as number 0 below dir.
func (b *builder) repos(dir, suite string) {
	b.t.Helper()
	dists := filepath.Join(dir, "0", "dists", suite)
	fetch(b.t, b.mirror+"/dists/"+suite+"/InRelease", filepath.Join(dists, "InRelease"), "")
	data, err := os.ReadFile(filepath.Join(dists, "InRelease"))
	if err != nil {
		b.t.Fatal(err)
	}
	rel, err := debian.ParseInRelease(data, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	files, err := rel.PackagesIndexes([]string{"main"}, "amd64")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range files {
		fetch(b.t, b.mirror+"/dists/"+suite+"/"+f.Path, filepath.Join(dists, f.Path), f.SHA256)
	}
}

func (b *builder) debs(listDir, debs string) *debian.PackageList {
	b.t.Helper()
	list, err := readList(listDir)
	if err != nil {
		b.t.Fatal(err)
	}
	start := time.Now()
	for _, p := range list.Packages {
		fetch(b.t, b.mirror+"/"+p.Path, filepath.Join(debs, p.File), p.SHA256)
	}
	b.t.Logf("%-40s %.2f s", fmt.Sprintf("download of %d packages", len(list.Packages)), time.Since(start).Seconds())
	return list
}

func (b *builder) mkdir(name string) string {
	b.t.Helper()
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// mounted gives the tree what a builder gives the root of an inside step.
func (b *builder) mounted(f func()) {
	b.t.Helper()
	mount := func(source, dir, kind string) {
		target := filepath.Join(b.tree, dir)
		if err := syscall.Mount(source, target, kind, 0, ""); err != nil {
			b.t.Skipf("mounting %s: %v", dir, err)
		}
	}
	mount("proc", "proc", "proc")
	defer syscall.Unmount(filepath.Join(b.tree, "proc"), syscall.MNT_DETACH)
	mount("sysfs", "sys", "sysfs")
	defer syscall.Unmount(filepath.Join(b.tree, "sys"), syscall.MNT_DETACH)
	mount("tmpfs", "run", "tmpfs")
	defer syscall.Unmount(filepath.Join(b.tree, "run"), syscall.MNT_DETACH)
	mount("tmpfs", "tmp", "tmpfs")
	defer syscall.Unmount(filepath.Join(b.tree, "tmp"), syscall.MNT_DETACH)
	mount("tmpfs", "dev", "tmpfs")
	defer syscall.Unmount(filepath.Join(b.tree, "dev"), syscall.MNT_DETACH)
	for _, n := range []struct {
		name  string
		minor uint32
	}{{"null", 3}, {"zero", 5}, {"random", 8}, {"urandom", 9}} {
		file := filepath.Join(b.tree, "dev", n.name)
		if err := syscall.Mknod(file, syscall.S_IFCHR|0o666, int(1<<8|n.minor)); err != nil {
			b.t.Skip("making devices:", err)
		}
		os.Chmod(file, 0o666)
	}
	f()
}

// bootstrap makes a minimal system and returns the builder that holds it.
func bootstrap(t *testing.T, suite string) *builder {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("installing packages takes root")
	}
	b := &builder{t: t, mirror: testMirror(t), dir: t.TempDir(), epoch: 1_790_000_000}
	b.tree = b.mkdir("tree")
	repos := b.mkdir("repos")
	list := b.mkdir("list")
	debs := b.mkdir("debs")
	opts := DebootstrapOptions{Suite: suite}.WithDefaults("amd64")
	b.repos(repos, suite)
	b.part(DebootstrapSolve, module.Input{OutputDir: list, Inputs: map[string]string{"repos": repos}}, opts.ForSolve([]RepositoryOptions{opts.Repository()}))
	b.debs(list, debs)
	b.part(DebootstrapUnpack, module.Input{Inputs: map[string]string{"debs": debs, "list": list}}, opts.ForUnpack())
	b.part(PreparePart, module.Input{}, struct{}{})
	if err := RestoreStubs(b.tree); err != nil {
		t.Fatal(err)
	}
	b.mounted(func() {
		b.part(DebootstrapConfigure, module.Input{Inputs: map[string]string{"list": list}}, opts.ForConfigure())
	})
	return b
}

// inside runs a program in the tree and returns what it prints.
func (b *builder) inside(argv ...string) string {
	b.t.Helper()
	cmd := exec.Command("chroot", append([]string{b.tree}, argv...)...)
	cmd.Env = environment(&module.Input{})
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Errorf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

func (b *builder) healthy() {
	b.t.Helper()
	if out := b.inside("dpkg", "--audit"); out != "" {
		b.t.Errorf("dpkg --audit: %s", out)
	}
	if out := b.inside("dpkg", "-V"); out != "" {
		b.t.Errorf("dpkg -V: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(b.inside("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")), "\n") {
		if !strings.HasPrefix(line, "ii ") {
			b.t.Errorf("not installed: %s", line)
		}
	}
}

// minimal wants the system that bootstrap has made to be a whole one.
func (b *builder) minimal() {
	b.t.Helper()
	b.healthy()
	if out := b.inside("id", "_apt"); !strings.Contains(out, "_apt") {
		b.t.Errorf("the user _apt is missing: %s", out)
	}
}

// TestDebootstrapOlder makes a system of the release before; TestApt does so
// with the current one.
func TestDebootstrapOlder(t *testing.T) {
	bootstrap(t, "bookworm").minimal()
}

// TestApt makes a minimal system and installs packages into it, twice and with
// both kinds of solver, and wants two equal trees after the normaliser.
func TestApt(t *testing.T) {
	b := bootstrap(t, "trixie")
	b.minimal()
	b.aptErrors()
	first := b.tree
	second := filepath.Join(b.dir, "second")
	if out, err := exec.Command("cp", "-a", first, second).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := AptOptions{
		Packages: []string{"openssh-server", "systemd-sysv", "locales", "hostname"},
		Repos:    []RepositoryOptions{{Suite: "trixie"}},
		Debconf:  []string{"locales locales/locales_to_be_generated multiselect en_GB.UTF-8 UTF-8"},
		Sources:  &[]string{"deb https://mirror.example.org/debian trixie main"},
	}
	if os.Getenv("OSBUILDKIT_TEST_KERNEL") != "" {
		o.Packages = append(o.Packages, "linux-image-amd64", "initramfs-tools", "nginx")
	}
	for tree, solver := range map[string]string{first: AptSolve, second: AptSolveInside} {
		b.tree = tree
		b.mounted(func() {
			repos, list, debs := b.layout("trixie")
			b.part(solver, module.Input{BuildRoot: "/", OutputDir: list, Inputs: map[string]string{"repos": repos}}, o.ForSolve())
			b.debs(list, debs)
			b.part(AptApply, module.Input{Inputs: map[string]string{"debs": debs, "list": list}}, o.ForApply())
		})
		b.healthy()
		b.aptResult()
		b.part(NormalisePart, module.Input{}, struct{}{})
		before := snapshot(t, tree)
		b.part(NormalisePart, module.Input{}, struct{}{})
		if diff := cmp.Diff(before, snapshot(t, tree)); diff != "" {
			t.Errorf("a second run of the normaliser changes something:\n%s", diff)
		}
		b.noSecrets()
	}
	if diff := cmp.Diff(snapshot(t, first), snapshot(t, second)); diff != "" {
		t.Errorf("two builds differ:\n%s", diff)
	}
}

// layout makes the directories of the inputs below /run of the tree.
func (b *builder) layout(suite string) (repos, list, debs string) {
	b.t.Helper()
	run := filepath.Join(b.tree, "run/osbuild")
	repos, list, debs = filepath.Join(run, "repos"), filepath.Join(run, "list"), filepath.Join(run, "debs")
	for _, d := range []string{list, debs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	b.repos(repos, suite)
	return repos, list, debs
}

// aptErrors tries what the solver refuses, or has nothing to do for.
func (b *builder) aptErrors() {
	b.t.Helper()
	repos := b.mkdir("small")
	repo := []RepositoryOptions{{Suite: "trixie", Keyring: b.smallRepository(repos, "trixie", "nginx", "vim-tiny", "bash", "coreutils")}}
	tests := []struct {
		name     string
		opts     AptOptions
		err      string
		packages string
	}{
		{"misspelt", AptOptions{Packages: []string{"ngnix"}, Repos: repo}, `there is no package "ngnix" in the repositories; did you mean nginx?`, ""},
		{"no such version", AptOptions{Packages: []string{"nginx=0.1"}, Repos: repo}, "Version '0.1' for 'nginx' was not found", ""},
		{"needed but excluded", AptOptions{Packages: []string{"nginx"}, ExcludePackages: []string{"nginx-common"}, Repos: repo}, "nginx-common", ""},
		{"there already", AptOptions{Packages: []string{"bash", "coreutils"}, Repos: repo}, "", ""},
		{"there already, and up to date", AptOptions{Packages: []string{"bash"}, Update: true, Repos: repo}, "", ""},
		{"an option", AptOptions{Packages: []string{"-oDPkg::Pre-Invoke=id"}, Repos: repo}, "is no package", ""},
		{"no repository", AptOptions{Packages: []string{"bash"}}, "no repository is given", ""},
		{"epoch and update", AptOptions{Packages: []string{"vim-tiny"}, Update: true, Repos: repo}, "", "vim-common* vim-tiny"},
	}
	for _, tt := range tests {
		out, err := os.MkdirTemp(b.dir, "list")
		if err != nil {
			b.t.Fatal(err)
		}
		data, err := json.Marshal(tt.opts)
		if err != nil {
			b.t.Fatal(err)
		}
		in := &module.Input{Tree: b.tree, BuildRoot: "/", Options: data, OutputDir: out, Inputs: map[string]string{"repos": repos}, Log: &b.log}
		err = solveAptTools(context.Background(), in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				b.t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			b.t.Errorf("%s: %v", tt.name, err)
			continue
		}
		list, err := readList(out)
		if err != nil {
			b.t.Fatal(err)
		}
		var names []string
		for _, p := range list.Packages {
			name := p.Name
			if p.Automatic {
				name += "*"
			}
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != tt.packages {
			b.t.Errorf("%s: got %q, want %q", tt.name, got, tt.packages)
		}
	}
}

// aptResult checks marks, answers, sources and that no service was started.
func (b *builder) aptResult() {
	b.t.Helper()
	manual := " " + strings.Join(strings.Fields(b.inside("apt-mark", "showmanual")), " ") + " "
	for name, want := range map[string]bool{"openssh-server": true, "hostname": true, "apt": true, "openssh-client": false, "libc6": false, "systemd": false} {
		if got := strings.Contains(manual, " "+name+" "); got != want {
			b.t.Errorf("%s is marked manual: %v, want %v", name, got, want)
		}
	}
	if out := b.inside("locale", "-a"); !strings.Contains(out, "en_GB.utf8") {
		b.t.Errorf("the answer for locales was not heard: %s", out)
	}
	data, err := os.ReadFile(filepath.Join(b.tree, sourcesList))
	if err != nil || string(data) != "deb https://mirror.example.org/debian trixie main\n" {
		b.t.Errorf("sources.list: %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(b.tree, policyFile)); err == nil {
		b.t.Error("policy-rc.d is left in the tree")
	}
	if strings.Contains(b.mirror, "://") {
		host := strings.Split(b.mirror, "/")[2]
		if out, err := exec.Command("grep", "-rlF", "//"+host+"/", filepath.Join(b.tree, "etc/apt")).Output(); err == nil {
			b.t.Errorf("the mirror of the build is named in %s", out)
		}
	}
}

// noSecrets wants no private key and no name of the machine in the tree.
func (b *builder) noSecrets() {
	b.t.Helper()
	out, _ := exec.Command("grep", "-rlE", "BEGIN [A-Z ]*PRIVATE KEY", filepath.Join(b.tree, "etc"), filepath.Join(b.tree, "var"), filepath.Join(b.tree, "root")).Output()
	if len(out) > 0 {
		b.t.Errorf("private keys: %s", out)
	}
	if data, err := os.ReadFile(filepath.Join(b.tree, "etc/machine-id")); err != nil || len(data) > 0 {
		b.t.Errorf("machine-id: %q, %v", data, err)
	}
	if _, err := os.Lstat(filepath.Join(b.tree, unitDir, "multi-user.target.wants", keyUnitName)); err != nil {
		b.t.Error(err)
	}
}
