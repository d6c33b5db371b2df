package packages

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
