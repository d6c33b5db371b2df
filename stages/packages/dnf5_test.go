package packages

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/rpmmd"
)

func testDnf5(more DnfJob) *dnfRun {
	more.Releasever, more.Basearch = "43", "x86_64"
	more.Repos = []DnfJobRepository{{ID: "fedora"}, {ID: "updates", Priority: 5, ModuleHotfixes: true}}
	return &dnfRun{job: more, installroot: "/tree", work: "/work"}
}

func TestArgs5(t *testing.T) {
	t.Parallel()
	const before = "--installroot /tree --releasever 43 --forcearch x86_64 --config /work/dnf.conf --setopt=reposdir= --setopt=varsdir= --setopt=install_weak_deps="
	for want, job := range map[string]DnfJob{
		before + "True --assumeyes install a @core":        {WeakDeps: true, Operation: "install", Packages: []string{"a", "@core"}},
		before + "False --exclude=b* --assumeyes remove a": {Operation: "erase", Packages: []string{"a"}, Exclude: []string{"b*"}},
		before + "False --assumeyes upgrade --minimal a":   {Operation: "upgrade-minimal", Packages: []string{"a"}},
		before + "False --assumeyes group install core":    {Operation: "group", Packages: []string{"install", "core"}},
		before + "False --assumeyes remove b":              {Operation: "autoremove", Packages: []string{"b"}},
		before + "False --assumeyes distro-sync *":         {Operation: "distro-sync", Packages: []string{"*"}},
	} {
		if got := strings.Join(testDnf5(job).args5("--assumeyes"), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	config := testDnf5(DnfJob{ModulePlatformID: "platform:el9", Verbosity: "warn"}).config5()
	for _, want := range []string{"\ndebugdir=/work/debug\n", "\nrpmverbosity=warn\n", "\nmodule_platform_id=platform:el9\n", "\n[updates]\nname=updates\nbaseurl=file:///work/repos/1\npriority=5\nmodule_hotfixes=1\n"} {
		if !strings.Contains(config, want) {
			t.Errorf("the configuration has no %q:\n%s", want, config)
		}
	}
}

func TestSolverResult(t *testing.T) {
	t.Parallel()
	d := testDnf5(DnfJob{})
	got, err := d.solverResult([]byte("install a-1:2-3.noarch@fedora\n" +
		"upgrade b-1-1.x86_64@@System b-2-1.x86_64@updates\n" +
		"erase c-1-1.x86_64@@System\n" +
		"\n" +
		"downgrade d-2-1.x86_64@@System d-1-1.x86_64@fedora\n"))
	want := map[string]int{"a-1:2-3.noarch": 0, "b-2-1.x86_64": 1, "d-1-1.x86_64": 0}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
	if _, err := d.solverResult([]byte("install a-1-1.noarch@elsewhere\n")); err == nil || !strings.Contains(err.Error(), "from elsewhere, which is none of the repositories") {
		t.Error(err)
	}
}

func TestCompareChosen(t *testing.T) {
	t.Parallel()
	list := &rpmmd.PackageList{Packages: []rpmmd.Package{
		{Name: "a", Epoch: 1, Version: "2", Release: "3", Arch: "noarch"}, {Name: "b", Version: "1", Release: "1", Arch: "x86_64"},
	}}
	if err := compareChosen(list, map[string]int{"a-1:2-3.noarch": 0, "b-1-1.x86_64": 0}); err != nil {
		t.Error(err)
	}
	err := compareChosen(list, map[string]int{"a-1:2-3.noarch": 0, "c-1-1.noarch": 0})
	if err == nil || !strings.Contains(err.Error(), `it leaves out ["b-1-1.x86_64"] and wants ["c-1-1.noarch"]`) {
		t.Error(err)
	}
}

func TestDescribeChosen(t *testing.T) {
	t.Parallel()
	repo := testRepository(t)
	var names []string
	content, err := repo.open(*repo.repomd.Lookup("primary"))
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if err := rpmmd.ReadPrimary(content, func(p *rpmmd.PrimaryPackage) error { names = append(names, p.NEVRA()); return nil }); err != nil {
		t.Fatal(err)
	}
	chosen := map[string]int{"unknown-1-1.noarch": 1}
	for _, n := range names {
		chosen[n] = 1
	}
	list := &rpmmd.PackageList{}
	if err := repo.describe(0, chosen, list); err != nil || len(list.Packages) != 0 {
		t.Errorf("of another repository: %v, %v", list.Packages, err)
	}
	if err := repo.describe(1, chosen, list); err != nil || len(list.Packages) != len(names) || len(chosen) != 1 {
		t.Fatalf("%v, %v; %v", list.Packages, chosen, err)
	}
	for _, p := range list.Packages {
		if p.Repository != 1 || p.Size == 0 || p.Location == "" || !slices.Contains(names, p.NEVRA()) {
			t.Errorf("%+v", p)
		}
	}
}

func TestWhichDnf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		five  bool
	}{"dnf 5": {[]string{"dnf5"}, true}, "both": {[]string{"dnf5", "dnf-3"}, false}, "none": {nil, false}} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range c.files {
			if err := os.WriteFile(filepath.Join(dir, "usr/bin", f), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		root, err := openRPMRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.close()
		if got := root.dnf5(); got != c.five {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestCheck5 asks dnf 5 for what only dnf 4 does.
func TestCheck5(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		operation, packages string
		want                []string
	}{
		{"install", "a @core a:1", nil},
		{"module", "enable a:1", nil},
		{"module", "reset a", nil},
		{"module", "disable a", nil},
		{"module", "install a:1", []string{`options/packages/0: the build root has dnf 5, which knows no "module install" but only "module enable", "module disable", "module reset": to install a module, enable its stream in a stage before`}},
		{"module", "switch-to a:1", []string{`knows no "module switch-to"`}},
		{"install", "a @b:1 @c/d @e:2/f", []string{`options/packages/1: "@b:1" is a module`, `options/packages/2: "@c/d" is`, `options/packages/3: "@e:2/f" is`}},
		{"remove", "@b:1", []string{`options/packages/0: "@b:1" is a module`}},
	} {
		err := DnfJob{Operation: tt.operation, Packages: strings.Fields(tt.packages)}.check5()
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s %s: %v", tt.operation, tt.packages, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s:\ngot  %v\nwant %s", tt.operation, tt.packages, err, want)
			}
		}
	}
}

// TestAdvice leaves out dnf's words about its own command line.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{
		"Repositories loaded.\nFailed to resolve the transaction:\nNo match for argument: x\nYou can try to add to command line:\n  --skip-unavailable to skip unavailable packages\n": "Failed to resolve the transaction:\nNo match for argument: x\n",
		"Failed to resolve the transaction:\nProblem: y\nYou can try to add to command line:\n  --setopt=optional_metadata_types=filelists to load\n  --skip-broken to skip":           "Failed to resolve the transaction:\nProblem: y\n",
		"x\nError: \n Problem: z\n(try to add '--skip-broken' to skip uninstallable packages or '--nobest' to use not only best candidate packages)\n":                                 "Error: \n Problem: z\n",
		"\nError: a (try to be kind)\n": "Error: a (try to be kind)\n",
	} {
		failed := &command.Error{Output: out, Err: errors.New("exit status 1")}
		if err := inShort(failed); failed.Output != want || !errors.Is(err, failed.Err) {
			t.Errorf("got  %q\nwant %q", failed.Output, want)
		}
	}
}
