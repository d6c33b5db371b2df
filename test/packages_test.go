//go:build e2e

package test

import (
	"archive/tar"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/debian"
)

// tooled is a tree with all that a layer may lose: mtr-tiny sets a file
// capability where libcap2-bin is installed, passwd ships programs with
// set-user-id and set-group-id bits, perl-base a hard link.
func tooled() object {
	return object{"stages": []any{
		bootstrap(),
		stage("org.osbuildkit.apt", object{
			"packages":           toolPackages,
			"install_recommends": true,
			"exclude_packages":   []string{"ca-certificates"},
			"debconf": []string{
				"locales locales/locales_to_be_generated multiselect de_DE.UTF-8 UTF-8",
				"locales locales/default_environment_locale select de_DE.UTF-8",
			},
			"sources":       []string{"deb https://example.org/debian trixie main"},
			"path_excludes": []string{"/usr/share/doc/*", "/usr/share/man/*"},
		}),
	}}
}

// toolPackages are what is asked for.
var toolPackages = []string{"iputils-ping", "libcap2-bin", "locales", "mtr-tiny", "wget"}

// TestAptOptions looks at what each option of the apt stage has come to.
func TestAptOptions(t *testing.T) {
	need(t)
	dir := t.TempDir()
	build(t, "-o", dir, "--target", "tree", manifestFile(t, "tooled.json", tooled()))
	tree := readTree(t, filepath.Join(dir, "tree.tar"), nil)
	stanzas, err := debian.ParseControl(tree["var/lib/dpkg/status"].Data)
	if err != nil {
		t.Fatal(err)
	}
	installed := map[string]bool{}
	for _, s := range stanzas {
		installed[s.Get("Package")] = true
	}
	for _, name := range append(toolPackages, "linux-sysctl-defaults") {
		if !installed[name] {
			t.Errorf("%s is not installed; linux-sysctl-defaults is recommended by iputils-ping", name)
		}
	}
	if installed["ca-certificates"] {
		t.Error("ca-certificates is installed although it is excluded; wget recommends it")
	}
	if got := string(tree["etc/locale.gen"].Data); !strings.Contains(got, "\nde_DE.UTF-8 UTF-8\n") {
		t.Error("debconf: /etc/locale.gen does not ask for de_DE.UTF-8")
	}
	if _, ok := tree["usr/lib/locale/locale-archive"]; !ok {
		t.Error("debconf: no locale was made")
	}
	if got := string(tree["etc/apt/sources.list"].Data); strings.TrimSpace(got) != "deb https://example.org/debian trixie main" {
		t.Errorf("/etc/apt/sources.list is %q", got)
	}
	for name, e := range tree {
		if strings.HasPrefix(name, "etc/apt/sources.list.d/") && strings.Contains(string(e.Data), "://") {
			t.Errorf("/%s names further sources: %s", name, e.Data)
		}
		if e.Typeflag == tar.TypeReg && (strings.HasPrefix(name, "usr/share/doc/wget/") || strings.HasPrefix(name, "usr/share/man/man1/wget")) {
			t.Errorf("/%s is excluded", name)
		}
	}
	if _, ok := tree["usr/bin/wget"]; !ok {
		t.Error("/usr/bin/wget is missing")
	}
	if _, ok := tree["usr/share/doc/dpkg/copyright"]; !ok {
		t.Error("/usr/share/doc/dpkg is missing: it was unpacked before the stage with path_excludes")
	}
	excludes := ""
	for name, e := range tree {
		if strings.HasPrefix(name, "etc/dpkg/dpkg.cfg.d/") {
			excludes += string(e.Data)
		}
	}
	if !strings.Contains(excludes, "path-exclude=/usr/share/doc/*") && !strings.Contains(excludes, "path-exclude /usr/share/doc/*") {
		t.Errorf("the tree's dpkg will not exclude the paths later: %q", excludes)
	}
	checkMarks(t, tree, stanzas)
}

// checkMarks sees to it that a package which is not marked as automatically
// installed was asked for, by its name or by its priority.
func checkMarks(t *testing.T, tree map[string]entry, stanzas []debian.Stanza) {
	t.Helper()
	states, err := debian.ParseControl(tree["var/lib/apt/extended_states"].Data)
	if err != nil {
		t.Fatal(err)
	}
	auto := map[string]bool{}
	for _, s := range states {
		auto[s.Get("Package")] = s.Get("Auto-Installed") == "1"
	}
	// The archive gives debconf a higher priority than its package file does.
	asked := append([]string{"apt", "debconf"}, toolPackages...)
	for _, s := range stanzas {
		name := s.Get("Package")
		switch {
		case slices.Contains(asked, name):
			if auto[name] {
				t.Errorf("%s was asked for, and is marked as automatically installed", name)
			}
		case s.Get("Priority") != "required" && !auto[name]:
			t.Errorf("%s (priority %s) was not asked for, and is marked as manually installed", name, s.Get("Priority"))
		}
	}
}

var treeID = regexp.MustCompile(`(?m)^tree id: ([0-9a-f]{64})$`)

// TestBase keeps a tree and builds another one from it.
func TestBase(t *testing.T) {
	need(t)
	dir, over := t.TempDir(), t.TempDir()
	p := build(t, "-o", dir, "--target", "tree", "--checkpoint", "tree", manifestFile(t, "tooled.json", tooled()))
	m := treeID.FindStringSubmatch(p.stdout.String())
	if m == nil {
		t.Fatalf("stdout names no tree: %q", &p.stdout)
	}
	based := manifestFile(t, "based.json", object{"base": m[1], "stages": []any{stage("org.osbuild.hostname", object{"hostname": "based"})}})
	q := build(t, "-o", over, "--target", "tree", based)
	if diff := []string{"[tree 1/1] org.osbuild.hostname"}; !slices.Equal(q.ran(), diff) {
		t.Errorf("these ran: %q", q.ran())
	}
	first := readTree(t, filepath.Join(dir, "tree.tar"), nil)
	second := readTree(t, filepath.Join(over, "tree.tar"), nil)
	if got := string(second["etc/hostname"].Data); got != "based\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	count := map[string]int{}
	for _, e := range first {
		if e.Typeflag == tar.TypeLink {
			count["hard links"]++
		}
		if e.Mode&0o6000 != 0 {
			count["set-id programs"]++
		}
		if e.PAXRecords["SCHILY.xattr.security.capability"] != "" {
			count["capabilities"]++
		}
		if e.Uid != 0 || e.Gid != 0 {
			count["owners"]++
		}
	}
	for _, what := range []string{"hard links", "set-id programs", "capabilities", "owners"} {
		if count[what] == 0 {
			t.Errorf("the first tree has no %s, so that nothing is shown", what)
		}
	}
	t.Log("compared:", count)
	if got := string(second["etc/hosts"].Data); !strings.Contains(got, "127.0.1.1\tbased\n") {
		t.Errorf("/etc/hosts is %q", got)
	}
	for _, name := range []string{"etc/hostname", "etc/hosts"} {
		delete(first, name)
		delete(second, name)
	}
	if diff := differences(first, second, false); len(diff) > 0 {
		t.Errorf("%d differences:\n%s", len(diff), strings.Join(diff[:min(20, len(diff))], "\n"))
	}

	const nobody = "00000000000000000000000000000000000000000000000000000000000000ff"
	missing := textFile(t, "missing.json", `{"base": "`+nobody+`", "stages": [{"name": "org.osbuild.noop"}]}`)
	p = startBuild(t, "-o", t.TempDir(), missing).wait()
	want := fmt.Sprintf("%s:1:10: \"base\": the tree %s is not in the store %s: build the manifest that makes it with --checkpoint tree\n", missing, nobody, shared.store)
	if p.code() != 1 || !strings.HasPrefix(p.text(), want) {
		t.Errorf("an unknown base: exit code %d, %q, want %q", p.code(), p.text(), want)
	}
}
