//go:build e2e

package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// dnf5Suite is a release of Debian that has dnf 5.
const dnf5Suite = "forky"

// dnf5Manifest returns a manifest whose build root has dnf 5 and no dnf 4: it
// is made by stages like any other.
func dnf5Manifest(t *testing.T, stages ...any) object {
	t.Helper()
	// A release in the making may be too old for its own taste; it is pinned.
	answer, err := http.Get(shared.mirror.URL() + "/dists/" + dnf5Suite + "/InRelease")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		t.Skipf("the mirror has no %s", dnf5Suite)
	}
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, err)
	}
	root := []any{
		stage("org.osbuildkit.debootstrap", object{"suite": dnf5Suite, "checksum": fmt.Sprintf("sha256:%x", sha256.Sum256(data))}),
		stage("org.osbuildkit.apt", object{"packages": []string{"dnf5", "rpm"}}),
	}
	return object{"pipeline": object{"build": object{"runner": "org.osbuild.linux", "pipeline": object{"stages": root}}, "stages": stages}}
}

// dnfRecords are names of what the two keep for themselves, and of the database,
// whose rows are compared.
var dnfRecords = regexp.MustCompile(`^(var/lib/dnf(/.*)?|etc/dnf(/.*)?|usr/lib/sysimage/libdnf5(/.*)?|usr/lib/sysimage/rpm/.*)$`)

var longKey = regexp.MustCompile(`^gpg-pubkey-[0-9a-f]{32}([0-9a-f]{8})-`)

// TestRPMDnf5 installs with a build root that has dnf 5: of the same packages
// comes the same tree as with dnf 4, but for the records of the two.
func TestRPMDnf5(t *testing.T) {
	needDistribution(t)
	packages := []string{"@core", "grub2-pc", "httpd"}
	install := dnf(repository(t, rpmdistro.Base), object{"module_platform_id": "platform:example1"}, packages...)
	box, out := toolbox(t), t.TempDir()
	trees := map[string]map[string]entry{}
	for name, m := range map[string]object{"four": {"stages": []any{install}}, "five": dnf5Manifest(t, install)} {
		dir := filepath.Join(out, name)
		p := build(t, "-o", dir, "--target", "tree", manifestFile(t, "image.json", m))
		t.Logf("dnf %s: %.1f s", name, p.took.Seconds())
		trees[name] = readTree(t, filepath.Join(dir, "tree.tar"), nil)
		extract(t, filepath.Join(dir, "tree.tar"), filepath.Join(box, "trees", name))
	}
	five := trees["five"]
	for name := range five {
		if strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") {
			t.Errorf("/%s is left", name)
		}
	}
	for _, record := range [][2]string{
		{"packages.toml", `"httpd.x86_64" = {reason = "User"}`}, {"packages.toml", `"httpd-core.noarch" = {reason = "Dependency"}`},
		{"groups.toml", "[groups.core]\n"}, {"groups.toml", "    \"systemd-sysv\",\n"},
	} {
		if text := output(t, "cat", filepath.Join(box, "trees/five/usr/lib/sysimage/libdnf5", record[0])); !strings.Contains(text, record[1]) {
			t.Errorf("%s has no %s:\n%s", record[0], record[1], text)
		}
	}
	for _, tree := range trees {
		sortLinks(tree)
		for name := range tree {
			if dnfRecords.MatchString(name) {
				delete(tree, name)
			}
		}
	}
	if len(five) < 5000 {
		t.Errorf("only %d files are compared", len(five))
	}
	if diff := differences(trees["four"], five, false); len(diff) > 0 {
		t.Errorf("%d differences between the trees of dnf 4 and dnf 5:\n%s", len(diff), strings.Join(diff[:min(30, len(diff))], "\n"))
	}
	rows := map[string][]string{}
	for name := range trees {
		rows[name] = strings.Fields(query(t, box, name, "-qa", "--qf", "%{NEVRA}\n"))
		for i, row := range rows[name] {
			// rpm 6 calls a key by its whole fingerprint.
			rows[name][i] = longKey.ReplaceAllString(row, "gpg-pubkey-$1-")
		}
		slices.Sort(rows[name])
	}
	if diff := cmp.Diff(rows["four"], rows["five"]); diff != "" {
		t.Errorf("packages (-dnf 4 +dnf 5):\n%s", diff)
	}
	if got := query(t, box, "five", "-Va", "--nomtime"); got != "" {
		t.Errorf("rpm -Va:\n%s", got)
	}
}

// TestRPMDnf5Changes installs a module's package and one that is only
// recommended, and removes them; the result is the same in another build. What
// there is not is called so.
func TestRPMDnf5Changes(t *testing.T) {
	needDistribution(t)
	options := func(operation string) object {
		return object{"operation": operation, "module_platform_id": "platform:example1"}
	}
	repo := repository(t, rpmdistro.Base)
	out := t.TempDir()
	m := dnf5Manifest(t, dnf(repo, options("install"), "example-optional", "example-data"))
	m["pipeline"].(object)["assembler"] = stage("org.osbuild.tar", object{"filename": "image.tar"})
	build(t, "-o", out, "--verify-reproducible=tree,assembler", manifestFile(t, "image.json", m))
	tree := readTree(t, filepath.Join(out, "image.tar"), nil)
	for _, name := range []string{"optional", "tool", "data"} {
		if _, ok := tree["usr/share/example/"+name]; !ok {
			t.Errorf("/usr/share/example/%s is missing", name)
		}
	}
	out = t.TempDir()
	build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", dnf5Manifest(t,
		dnf(repo, options("install"), "example-optional", "example-data"), dnf(repo, options("erase"), "example-optional"))))
	tree = readTree(t, filepath.Join(out, "tree.tar"), nil)
	for name, want := range map[string]bool{"optional": false, "data": true} {
		if _, ok := tree["usr/share/example/"+name]; ok != want {
			t.Errorf("/usr/share/example/%s is there: %v", name, ok)
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	p := startBuild(t, "-o", dir, "--target", "tree", manifestFile(t, "image.json", dnf5Manifest(t, dnf(repo, options("install"), "htpd")))).wait()
	want := "…there is no package \"htpd\" in the repositories; did you mean httpd?\n…No match for argument: htpd…"
	if p.code() != 1 || !matchText(want, p.text()) || len(files(t, dir)) > 0 {
		t.Errorf("exit code %d, files %q\ngot:\n%s\nwant:\n%s", p.code(), files(t, dir), p.text(), want)
	}
}
