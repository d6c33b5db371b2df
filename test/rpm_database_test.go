//go:build e2e

package test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/examples"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// databaseFiles lists what is in the directories of rpm's database.
func databaseFiles(tree map[string]entry) []string {
	var out []string
	for name := range tree {
		for _, dir := range []string{"usr/lib/sysimage/rpm/", "var/lib/rpm/"} {
			if strings.HasPrefix(name, dir) && name != dir {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestRPMDatabaseKind installs a package that says which kind of database the
// rpm of the tree reads: the database is of that kind, whatever the build root's
// rpm writes by itself, also where a later stage adds a package, and the same in
// another build.
func TestRPMDatabaseKind(t *testing.T) {
	needDistribution(t)
	repo := repository(t, rpmdistro.Base)
	stages := []any{dnf(repo, nil, "example-ndb", "example-reason3"), dnf(repo, nil, "example-words"), dnf(repo, object{"operation": "autoremove"}, "example-reason3")}
	box := toolbox(t)
	for name, m := range map[string]object{"four": {"stages": stages}, "five": dnf5Manifest(t, stages...)} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			m := m
			tar := stage("org.osbuild.tar", object{"filename": "image.tar"})
			if p, ok := m["pipeline"].(object); ok {
				p["assembler"] = tar
			} else {
				m["assembler"] = tar
			}
			build(t, "-o", out, "--verify-reproducible=tree,assembler", manifestFile(t, "image.json", m))
			archive := filepath.Join(out, "image.tar")
			tree := readTree(t, archive, nil)
			want := []string{"usr/lib/sysimage/rpm/Index.db", "usr/lib/sysimage/rpm/Packages.db"}
			if diff := cmp.Diff(want, databaseFiles(tree)); diff != "" {
				t.Errorf("the database (-want +got):\n%s", diff)
			}
			if _, ok := tree["etc/dnf/aliases.d"]; ok {
				t.Error("/etc/dnf/aliases.d is left")
			}
			extract(t, archive, filepath.Join(box, "trees", name))
			rows := strings.Fields(query(t, box, name, "-qa", "--qf", "%{NAME}\n"))
			slices.Sort(rows)
			if diff := cmp.Diff([]string{"example-ndb", "example-words", "filesystem", "gpg-pubkey", "setup"}, rows); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

// toolboxWith returns a manifest whose build root is the toolbox, changed by a
// script.
func toolboxWith(t *testing.T, script string, stages ...any) object {
	t.Helper()
	var box struct{ Stages []any }
	if err := json.Unmarshal(examples.Toolbox, &box); err != nil {
		t.Fatal(err)
	}
	root := append(box.Stages, stage("org.osbuild.script", object{"script": script}))
	return object{"pipeline": object{"build": object{"runner": "org.osbuild.linux", "pipeline": object{"stages": root}}, "stages": stages}}
}

// TestRPMDatabasePlace installs with a build root whose rpm has a command in the
// place of the directory of its database, as that of Debian 12, from a repository
// that does not say where it is.
func TestRPMDatabasePlace(t *testing.T) {
	needDistribution(t)
	repo, out := repository(t, rpmdistro.Base), t.TempDir()
	m := toolboxWith(t, "mkdir -p /etc/rpm; echo '%_dbpath %(bash -c \"echo ~/.rpmdb\")' > /etc/rpm/macros\n", dnf(repo, object{"exclude_packages": []string{"rpm"}}, "example-words"))
	build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", m))
	tree := readTree(t, filepath.Join(out, "tree.tar"), nil)
	if diff := cmp.Diff([]string{"var/lib/rpm/rpmdb.sqlite"}, databaseFiles(tree)); diff != "" {
		t.Errorf("the database (-want +got):\n%s", diff)
	}
}

// TestRPMBerkeley has a tree with a database that no newer rpm writes.
func TestRPMBerkeley(t *testing.T) {
	s := needDistribution(t)
	sum, url := keyArchive(t, "var/lib/rpm/Packages")
	from := rpmSources{t: t, server: s, urls: object{sum: object{"url": url}}}
	old := stage("org.osbuild.copy", object{"source": object{"type": "archive", "checksum": sum}})
	sources := object{"org.osbuild.files": object{"urls": from.urls}}
	for name, add := range map[string]any{
		"dnf": dnf(repository(t, rpmdistro.Base), nil, "example-words"),
		"rpm": stage("org.osbuild.rpm", object{"packages": []string{from.add("setup", "sha256")}}),
	} {
		dir := filepath.Join(t.TempDir(), "out")
		p := startBuild(t, "-o", dir, "--target", "tree", manifestFile(t, "image.json", firstFormat(sources, old, add))).wait()
		want := "…the tree has its database of RPM packages, /var/lib/rpm/Packages, in the form of Berkeley DB, …: use a build root of the tree's own release…"
		if p.code() != 1 || !matchText(want, p.text()) {
			t.Errorf("%s: exit code %d\ngot:\n%s\nwant:\n%s", name, p.code(), p.text(), want)
		}
	}
}

// TestRPMDnf5Modules uses what dnf 5 has of modules, and is told what it has not.
func TestRPMDnf5Modules(t *testing.T) {
	needDistribution(t)
	repo := repository(t, rpmdistro.Base)
	platform := func(operation string) object {
		return object{"operation": operation, "module_platform_id": "platform:example1"}
	}
	out, text := t.TempDir(), ""
	build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", dnf5Manifest(t,
		dnf(repo, platform("module"), "enable", "example:2"), dnf(repo, platform("install"), "example-tool"))))
	tree := readTree(t, filepath.Join(out, "tree.tar"), func(name string, data []byte) {
		if name == "usr/share/example/tool" {
			text = string(data)
		}
	})
	if text != "two\n" {
		t.Errorf("/usr/share/example/tool holds %q", text)
	}
	for name := range tree {
		if strings.HasSuffix(name, ".lock") && !strings.HasPrefix(name, "etc/") {
			t.Errorf("/%s is left", name)
		}
	}
	for _, tt := range []struct {
		options  object
		packages []string
		want     string
	}{
		{platform("install"), []string{"example-words", "@example:2/common"}, `…options/packages/1: "@example:2/common" is a module, and the build root has dnf 5, which installs none: enable its stream in a stage before …`},
		{platform("module"), []string{"install", "example:2"}, `…options/packages/0: the build root has dnf 5, which knows no "module install" but only "module enable", …`},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		p := startBuild(t, "-o", dir, "--target", "tree", manifestFile(t, "image.json", dnf5Manifest(t, dnf(repo, tt.options, tt.packages...)))).wait()
		if p.code() != 1 || !matchText(tt.want, p.text()) {
			t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), p.text(), tt.want)
		}
	}
}
