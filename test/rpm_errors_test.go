//go:build e2e

package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// rpmFailure is a build of the stage org.osbuild.dnf that must fail.
type rpmFailure struct {
	name string
	// repo is the repository, whose options change may change.
	repo     string
	change   func(t *testing.T, repo object)
	options  object
	packages []string
	// faults are shown by the server until the build has ended.
	faults map[string]FaultKind
	// want is what stands on standard error after the place in the manifest.
	// SERVER is the server's address.
	want string
}

var rpmFailures = []rpmFailure{
	{
		name: "another checksum", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) { repo["checksum"] = "sha256:" + strings.Repeat("0", 64) },
		want:   `…`,
	},
	{
		name: "another key", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) { repo["gpgkey"] = publicKey(t, rpmdistro.OtherKey) },
		want:   `…`,
	},
	{
		name: "metadata signed by another key", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) {
			repo["gpgkey"], repo["repo_gpgcheck"] = publicKey(t, rpmdistro.OtherKey), true
			delete(repo, "checksum")
		},
		want: `…`,
	},
	{name: "a package that is not signed", repo: rpmdistro.Broken, packages: []string{"bad-unsigned"}, want: `…`},
	{name: "a package that a stranger has signed", repo: rpmdistro.Broken, packages: []string{"bad-stranger"}, want: `…`},
	{name: "no such package", repo: rpmdistro.Base, packages: []string{"htpd"}, want: `…`},
	{name: "no such group", repo: rpmdistro.Base, packages: []string{"@Cor"}, want: `…`},
	{name: "packages that conflict", repo: rpmdistro.Broken, packages: []string{"httpd", "bad-conflict"}, want: `…`},
	{name: "a dependency that nothing provides", repo: rpmdistro.Broken, packages: []string{"bad-requires"}, want: `…`},
	{name: "packages with the same file", repo: rpmdistro.Broken, packages: []string{"bad-file", "example-data"}, want: `…`},
	{name: "a script before the installation fails", repo: rpmdistro.Broken, packages: []string{"bad-pre", "bash", "coreutils"}, want: `…`},
	{
		name: "all mirrors are gone", repo: rpmdistro.Base, packages: []string{"grub2-common"},
		faults: map[string]FaultKind{"m?/base/" + rpmdistro.Pool + "/setup-*": NotFound}, want: `…`,
	},
	{
		name: "all mirrors damage a package", repo: rpmdistro.Base, packages: []string{"grub2-common"},
		faults: map[string]FaultKind{"m?/base/" + rpmdistro.Pool + "/filesystem-*": Corrupt}, want: `…`,
	},
	{
		name: "the server of the metalink hangs", repo: rpmdistro.Base, packages: []string{"setup"}, options: object{"timeout": 2},
		faults: map[string]FaultKind{"metalink": Hang}, want: `…`,
	},
}

// TestRPMFailures checks what is said about builds that cannot succeed, and
// that they leave nothing in the output directory.
func TestRPMFailures(t *testing.T) {
	s := needDistribution(t)
	for _, tt := range rpmFailures {
		t.Run(tt.name, func(t *testing.T) {
			repo := repository(t, tt.repo)
			if tt.change != nil {
				tt.change(t, repo)
			}
			for pattern, kind := range tt.faults {
				defer s.Inject(kind, pattern).Lift()
			}
			file := manifestFile(t, "image.json", object{"stages": []any{dnf(repo, tt.options, tt.packages...)}})
			dir := filepath.Join(t.TempDir(), "out")
			p := startBuild(t, "-o", dir, "--target", "tree", file).wait()
			got := strings.NewReplacer(file, "FILE", s.url(""), "SERVER/").Replace(p.text())
			if p.code() != 1 || !matchText(tt.want, got) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), got, tt.want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left in the output directory: %q", left)
			}
		})
	}
}

// TestRPMMirrors installs although some of the mirrors fail.
func TestRPMMirrors(t *testing.T) {
	s := needDistribution(t)
	tests := []struct {
		name   string
		change func(repo object)
		faults map[string]FaultKind
		// packages differ, so that each is fetched for the first time.
		packages string
	}{
		{"the first mirror of the metalink is gone", nil, map[string]FaultKind{"m1/*/*/*": NotFound}, "rpm"},
		{"the first mirror goes in the middle", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": NotFound}, "libgcc-s1"},
		{"the first mirror breaks off", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": Truncate}, "tzdata"},
		{"the first mirror changes packages, the second hangs", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": Corrupt, "m2/base/" + rpmdistro.Pool + "/*": Hang}, "ncurses-base"},
		{"the first mirror is out of date", nil, map[string]FaultKind{"m1/base/repodata/repomd.xml": Corrupt}, "libaudit-common"},
		{"the first mirror of the list is gone", func(repo object) { delete(repo, "metalink"); repo["mirrorlist"] = s.Mirrorlist(rpmdistro.Base) }, map[string]FaultKind{"m1/*/*/*": NotFound}, "libsemanage-common"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo := repository(t, rpmdistro.Base)
			if tt.change != nil {
				tt.change(repo)
			}
			before := downloads(s)
			for pattern, kind := range tt.faults {
				defer s.Inject(kind, pattern).Lift()
			}
			p := build(t, "-o", t.TempDir(), "--target", "tree", manifestFile(t, "image.json", object{"stages": []any{dnf(repo, object{"timeout": 3, "install_weak_deps": false}, tt.packages)}}))
			if downloads(s) == before {
				t.Errorf("no package was fetched, so that nothing is shown: %s", p.text())
			}
		})
	}
}
