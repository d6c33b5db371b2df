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
	// want is what stands on standard error. FILE is the manifest's name, SERVER
	// the server's address, and … stands for what is dnf's or the engine's.
	want string
}

// What stands before and after each error: the place in the manifest.
const (
	atStage = "FILE:3:5: "
	marked  = "     3 |     {\n       |     ^\n"
	zeros   = "0000000000000000000000000000000000000000000000000000000000000000"
)

// inStep is what stands before the log of a part of the stage.
func inStep(part string) string {
	return atStage + "[tree 1/1] org.osbuild.dnf: " + part + " failed: exit code: 1\n" + marked + "the end of its log:\n"
}

var rpmFailures = []rpmFailure{
	{
		name: "another checksum", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) { repo["checksum"] = "sha256:" + zeros },
		want:   atStage + "org.osbuild.dnf: repository repo0: the metalink does not know the state of the repository that \"checksum\" names, sha256:" + zeros + ", but sha256:…: the repository has changed since, use a snapshot of it or the new checksum\n" + marked,
	},
	{
		name: "another key", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) { repo["gpgkey"] = publicKey(t, rpmdistro.OtherKey) },
		want:   inStep("install") + "  | org.osbuild.dnf.apply: repository repo0: package setup-1-1.noarch: signed by …, and no such key was given; give the public key in the option \"gpgkey\"\n",
	},
	{
		name: "metadata signed by another key", repo: rpmdistro.Base, packages: []string{"setup"},
		change: func(t *testing.T, repo object) {
			repo["gpgkey"], repo["repo_gpgcheck"] = publicKey(t, rpmdistro.OtherKey), true
			delete(repo, "checksum")
		},
		want: atStage + "org.osbuild.dnf: repository repo0: none of 3 mirrors has the repository:\n  SERVER/m1/base: repomd.xml: signed by …, and no such key was given; give the public key in the option \"gpgkey\"\n  SERVER/m2/base: …\n  SERVER/m3/base: …\n" + marked,
	},
	{name: "a package that is not signed", repo: rpmdistro.Broken, packages: []string{"bad-unsigned"}, want: inStep("install") + "  | org.osbuild.dnf.apply: repository repo0: package bad-unsigned-1-1.noarch is not signed: holds no signature\n"},
	{name: "a package that a stranger has signed", repo: rpmdistro.Broken, packages: []string{"bad-stranger"}, want: inStep("install") + "  | org.osbuild.dnf.apply: repository repo0: package bad-stranger-1-1.noarch: signed by …, and no such key was given; give the public key in the option \"gpgkey\"\n"},
	{name: "no such package", repo: rpmdistro.Base, packages: []string{"htpd"}, want: inStep("solve") + "…  | org.osbuild.dnf.solve: there is no package \"htpd\" in the repositories; did you mean httpd?\n  | dnf install htpd: exit status 1\n  | Error: Unable to find a match: htpd\n"},
	{name: "no such group", repo: rpmdistro.Base, packages: []string{"@Cor"}, want: inStep("solve") + "…  | org.osbuild.dnf.solve: there is no group \"Cor\" in the repositories; did you mean Core?\n  | dnf install @Cor: exit status 1\n  | Error: Nothing to do.\n"},
	{name: "packages that conflict", repo: rpmdistro.Broken, packages: []string{"httpd", "bad-conflict"}, want: inStep("solve") + "…  | org.osbuild.dnf.solve: dnf install httpd bad-conflict: exit status 1\n  | Error: \n  |  Problem: package bad-conflict-1-1.noarch from repo0 conflicts with httpd provided by httpd-…\n  |   - conflicting requests\n…"},
	{name: "a dependency that nothing provides", repo: rpmdistro.Broken, packages: []string{"bad-requires"}, want: inStep("solve") + "…  | org.osbuild.dnf.solve: dnf install bad-requires: exit status 1\n  | Error: \n  |  Problem: conflicting requests\n  |   - nothing provides unobtainium >= 2 needed by bad-requires-1-1.noarch from repo0\n…"},
	{name: "packages with the same file", repo: rpmdistro.Broken, packages: []string{"bad-file", "example-data"}, want: inStep("install") + "…  | org.osbuild.dnf.apply: dnf install bad-file example-data: exit status 1\n  | Error: Transaction test error:\n  |   file /usr/share/example/data conflicts between attempted installs of bad-file-1-1.noarch and example-data-1-1.noarch\n"},
	{name: "a script before the installation fails", repo: rpmdistro.Broken, packages: []string{"bad-pre"}, want: inStep("install") + "…  | the disk is on fire\n…  | error: %prein(bad-pre-1-1.noarch) scriptlet failed, exit status 7\n…  | org.osbuild.dnf.apply: dnf install bad-pre: exit status 1\n  | Error: Transaction failed\n"},
	{name: "no room on the disk", repo: rpmdistro.Broken, packages: []string{"bad-huge"}, want: inStep("install") + "…installing package bad-huge-1-1.noarch needs …MB more space on the / filesystem…"},
	{
		name: "all mirrors are gone", repo: rpmdistro.Base, packages: []string{rpmdistro.Plain(0)},
		faults: map[string]FaultKind{"m?/base/" + rpmdistro.Pool + "/example-plain*": NotFound}, want: atStage + "…none of 3 mirrors has example-plain0-1-1.noarch.rpm:\n  SERVER/m1/base/Packages/example-plain0-1-1.noarch.rpm: digest mismatch …: the mirror returned another file, or an error page\n  SERVER/m2/base/…\n  SERVER/m3/base/…\n" + marked,
	},
	{
		name: "all mirrors damage a package", repo: rpmdistro.Base, packages: []string{rpmdistro.Plain(1)},
		faults: map[string]FaultKind{"m?/base/" + rpmdistro.Pool + "/example-plain*": Corrupt}, want: atStage + "…none of 3 mirrors has example-plain1-1-1.noarch.rpm:\n  SERVER/m1/base/Packages/example-plain1-1-1.noarch.rpm: …digest mismatch …: the mirror returned another file, or an error page\n  SERVER/m2/base/…\n  SERVER/m3/base/…\n" + marked,
	},
	{
		name: "the server of the metalink hangs", repo: rpmdistro.Base, packages: []string{"setup"}, options: object{"timeout": 2},
		faults: map[string]FaultKind{"metalink": Hang}, want: atStage + "org.osbuild.dnf: repository repo0: the metalink SERVER/metalink?repo=base-30&arch=x86_64: no answer within 2s; the option \"timeout\" sets how long one may take\n" + marked,
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
		// The package is fetched for the first time.
		plain string
	}{
		{"the first mirror of the metalink is gone", nil, map[string]FaultKind{"m1/*/*/*": NotFound}, rpmdistro.Plain(2)},
		{"the first mirror goes in the middle", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": NotFound}, rpmdistro.Plain(3)},
		{"the first mirror breaks off", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": Truncate}, rpmdistro.Plain(4)},
		{"the first mirror changes packages, the second hangs", nil, map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/*": Corrupt, "m2/base/" + rpmdistro.Pool + "/*": Hang}, rpmdistro.Plain(5)},
		{"the first mirror is out of date", nil, map[string]FaultKind{"m1/base/repodata/repomd.xml": Corrupt}, rpmdistro.Plain(6)},
		{"the first mirror of the list is gone", func(repo object) { delete(repo, "metalink"); repo["mirrorlist"] = s.Mirrorlist(rpmdistro.Base) }, map[string]FaultKind{"m1/*/*/*": NotFound}, rpmdistro.Plain(7)},
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
			build(t, "-o", t.TempDir(), "--target", "tree", manifestFile(t, "image.json", object{"stages": []any{dnf(repo, object{"timeout": 3}, tt.plain)}}))
			if downloads(s) == before {
				t.Skip("the package is in the kept store")
			}
		})
	}
}
