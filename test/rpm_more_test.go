//go:build e2e

package test

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// firstFormat returns a manifest in osbuild's first format.
func firstFormat(sources object, stages ...any) object {
	return object{"sources": sources, "pipeline": object{"stages": stages}}
}

// TestRPMYum installs with the older name of the stage, as manifests of format
// v1 have it: what comes of it is what org.osbuild.dnf makes, and what was
// installed can be removed.
func TestRPMYum(t *testing.T) {
	s := needDistribution(t)
	key := publicKey(t, rpmdistro.PublicKey)
	keys, err := rpmmd.ParseKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	yum := func(options object, packages ...string) any {
		repo := object{"id": "fedora", "baseurl": s.BaseURL("m2", rpmdistro.Base), "checksum": pin(t, rpmdistro.Base), "gpgkey": keys.Fingerprints()[0]}
		all := object{"releasever": "30", "basearch": "x86_64", "repos": []any{repo}, "packages": packages, "gpgkeys": []string{key}}
		maps.Copy(all, options)
		return stage("org.osbuild.yum", all)
	}
	tree := func(manifest object) map[string]entry {
		t.Helper()
		out := t.TempDir()
		build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", manifest))
		return readTree(t, filepath.Join(out, "tree.tar"), nil)
	}
	// A recommended package is taken, too.
	packages := []string{"example-data", "example-optional"}
	ours := tree(firstFormat(object{}, yum(object{"verbosity": "warn", "timeout": 60}, packages...)))
	repo := repository(t, rpmdistro.Base)
	repo["id"] = "fedora"
	theirs := tree(object{"stages": []any{dnf(repo, nil, packages...)}})
	if diff := differences(theirs, ours, true); len(diff) > 0 {
		t.Errorf("%d differences between what dnf and yum install:\n%s", len(diff), strings.Join(diff[:min(30, len(diff))], "\n"))
	}
	for _, name := range []string{"usr/share/example/data", "usr/share/example/optional", "usr/share/example/tool"} {
		if _, ok := ours[name]; !ok {
			t.Errorf("/%s is missing", name)
		}
	}
	removed := tree(firstFormat(object{}, yum(nil, packages...), yum(object{"operation": "remove"}, "example-optional")))
	for name, want := range map[string]bool{"usr/share/example/data": true, "usr/share/example/optional": false, "usr/share/example/tool": false} {
		if _, ok := removed[name]; ok != want {
			t.Errorf("after the removal /%s is there: %v", name, ok)
		}
	}
}

// TestRPMKeys installs from a repository whose key the manifest names by its
// fingerprint alone, as old manifests do: the key is given with the build.
func TestRPMKeys(t *testing.T) {
	needDistribution(t)
	keys, err := rpmmd.ParseKeys(publicKey(t, rpmdistro.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	repo := repository(t, rpmdistro.Base)
	repo["gpgkey"] = keys.Fingerprints()[0]
	file := manifestFile(t, "image.json", object{"stages": []any{dnf(repo, nil, "example-words")}})
	for _, tt := range []struct{ name, key, want string }{
		{"given", rpmdistro.PublicKey, ""},
		{"another one", rpmdistro.OtherKey, "FILE:3:5: org.osbuild.dnf: repository repo0: gpgkey: there is no key …: given are …; put the text of the key into \"gpgkeys\", or give it with the build: --build-context keys=DIRECTORY, with a file that has it\n" + marked},
		{"none", "", "FILE:3:5: org.osbuild.dnf: the named context \"keys\": no file at its top has a public key\n" + marked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.key != "" {
				if err := os.WriteFile(filepath.Join(dir, "RPM-GPG-KEY-example"), []byte(publicKey(t, tt.key)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(t.TempDir(), "out")
			p := startBuild(t, "-o", out, "--target", "tree", "--build-context", "keys="+dir, file).wait()
			got := strings.ReplaceAll(p.text(), file, "FILE")
			if tt.want == "" && (p.code() != 0 || len(files(t, out)) == 0) || tt.want != "" && (p.code() != 1 || !matchText(tt.want, got)) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), got, tt.want)
			}
		})
	}
}

// rpmSources are files of the distribution as sources of a manifest.
type rpmSources struct {
	t      *testing.T
	server *RPMServer
	urls   object
}

// add makes a package a source and returns the checksum it has there.
func (s *rpmSources) add(name, algorithm string) string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(distribution.dir, rpmdistro.Pool, name+"-1-1.*.rpm"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("package %s: %q, %v", name, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		s.t.Fatal(err)
	}
	sum := map[string]string{
		"md5":    fmt.Sprintf("md5:%x", md5.Sum(data)),
		"sha256": fmt.Sprintf("sha256:%x", sha256.Sum256(data)),
		"sha512": fmt.Sprintf("sha512:%x", sha512.Sum512(data)),
	}[algorithm]
	s.urls[sum] = s.server.BaseURL("m1", rpmdistro.Base) + "/" + rpmdistro.Pool + "/" + filepath.Base(found[0])
	return sum
}

// rpmFilesCase is a build with the stage org.osbuild.rpm.
type rpmFilesCase struct {
	name     string
	packages []string
	options  object
	// seen is what a script has found around it.
	seen string
	// want are the files of interest that are there.
	want []string
	// database is where rpm's is.
	database string
	// keys is the number of public keys that the system's rpm has: one that
	// signs packages, and one from the tree.
	keys int
}

var rpmFilesCases = []rpmFilesCase{
	{
		name: "as it is", packages: []string{"setup", "filesystem", "example-words"}, database: "/var/lib/rpm",
		seen: "50-dracut.install is not there\n51-dracut-rescue.install is not there\nostree not booted\nmachine ffffffffffffffffffffffffffffffff\n",
		want: []string{"usr/share/doc/example-words/README", "usr/share/example-words/de", "usr/share/example-words/fr", "usr/share/example-words/seen", "usr/share/example-words/words"},
	},
	{
		name: "with all options", packages: []string{"setup", "filesystem", "example-words"}, database: "/usr/lib/sysimage/rpm", keys: 2,
		options: object{"dbpath": "/usr/lib/sysimage/rpm", "disable_dracut": true, "exclude": object{"docs": true}, "install_langs": []string{"de", "en_US"}, "ostree_booted": true},
		seen:    "50-dracut.install /dev/null\n51-dracut-rescue.install /dev/null\nostree booted\nmachine ffffffffffffffffffffffffffffffff\n",
		want:    []string{"usr/share/example-words/de", "usr/share/example-words/seen", "usr/share/example-words/words"},
	},
	{
		name: "without what is needed", packages: []string{"example-words"}, database: "/var/lib/rpm", options: object{"nodeps": true},
		seen: "50-dracut.install is not there\n51-dracut-rescue.install is not there\nostree not booted\nmachine ffffffffffffffffffffffffffffffff\n",
		want: []string{"usr/share/doc/example-words/README", "usr/share/example-words/de", "usr/share/example-words/fr", "usr/share/example-words/seen", "usr/share/example-words/words"},
	},
}

// TestRPMFiles installs package files that are sources of the manifest.
func TestRPMFiles(t *testing.T) {
	s := needDistribution(t)
	box := toolbox(t)
	for i, tt := range rpmFilesCases {
		t.Run(tt.name, func(t *testing.T) {
			from := rpmSources{t: t, server: s, urls: object{}}
			options := object{}
			maps.Copy(options, tt.options)
			var packages []any
			for j, p := range tt.packages {
				// Each kind of checksum, as text and as an object.
				sum := from.add(p, []string{"sha256", "sha512", "md5"}[j%3])
				packages = append(packages, sum)
				if tt.keys > 0 {
					packages[j] = object{"checksum": sum, "check_gpg": true}
					options["gpgkeys"] = []string{publicKey(t, rpmdistro.PublicKey)}
				}
			}
			options["packages"] = packages
			stages := []any{stage("org.osbuild.rpm", options)}
			if tt.keys > 1 {
				const name = "etc/pki/rpm-gpg/RPM-GPG-KEY-other"
				options["gpgkeys.fromtree"] = []string{"/" + name}
				sum, url := keyArchive(t, name)
				from.urls[sum] = object{"url": url}
				stages = append([]any{stage("org.osbuild.copy", object{"source": object{"type": "archive", "checksum": sum}})}, stages...)
			}
			// Both names of the source mean the same.
			source := []string{"org.osbuild.files", "org.osbuild.curl"}[i%2]
			out := t.TempDir()
			build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", firstFormat(object{source: object{"urls": from.urls}}, stages...)))
			var got []string
			seen := ""
			tree := readTree(t, filepath.Join(out, "tree.tar"), func(name string, data []byte) {
				if strings.Contains(name, "/example-words/") {
					got = append(got, name)
				}
				if strings.HasSuffix(name, "/example-words/seen") {
					seen = string(data)
				}
			})
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.seen, seen); diff != "" {
				t.Errorf("what a script has seen (-want +got):\n%s", diff)
			}
			if e := tree["etc/machine-id"]; e.Header == nil || e.Size != 0 || e.Mode&0o7777 != 0o444 {
				t.Errorf("/etc/machine-id is %v", e.Header)
			}
			if _, ok := tree["etc/kernel/install.d/50-dracut.install"]; ok {
				t.Error("the link that keeps dracut from running is left")
			}
			dir := fmt.Sprintf("files-%d", i)
			extract(t, filepath.Join(out, "tree.tar"), filepath.Join(box, "trees", dir))
			rows := strings.Fields(output(t, "chroot", box, "rpm", "--root", "/trees/"+dir, "--dbpath", tt.database, "-qa", "--qf", "%{NAME}\n"))
			slices.Sort(rows)
			want := slices.Sorted(slices.Values(append(slices.Repeat([]string{"gpg-pubkey"}, tt.keys), tt.packages...)))
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("packages in %s (-want +got):\n%s", tt.database, diff)
			}
		})
	}
}

// keyArchive serves an archive with a public key in it, for the stage
// org.osbuild.copy, and returns its checksum and address.
func keyArchive(t *testing.T, name string) (sum, url string) {
	t.Helper()
	key, err := os.ReadFile("../rpmmd/testdata/rsa.asc")
	if err != nil {
		t.Fatal(err)
	}
	return keyTree(t, name, key)
}

// TestRPMFilesFailures checks what is said about package files that must not,
// or cannot, be installed.
func TestRPMFilesFailures(t *testing.T) {
	s := needDistribution(t)
	tests := []struct {
		name      string
		packages  []string
		algorithm string
		options   object
		check     bool
		faults    map[string]FaultKind
		want      string
	}{
		{name: "not signed", packages: []string{"bad-unsigned"}, algorithm: "sha256", check: true, want: "org.osbuild.rpm.apply: package SUM: package bad-unsigned-1-1.noarch is not signed: holds no signature\n"},
		{name: "signed by a stranger", packages: []string{"bad-stranger"}, algorithm: "sha256", check: true, want: "org.osbuild.rpm.apply: package SUM: package bad-stranger-1-1.noarch: signed by …, and no such key was given; give the public key in the option …"},
		{name: "another file, sha512", packages: []string{"example-words"}, algorithm: "sha512", faults: map[string]FaultKind{"m1/base/" + rpmdistro.Pool + "/example-words*": Corrupt}, want: "org.osbuild.rpm.inspect: package SUM: the file that was downloaded has the checksum sha512:…"},
		{name: "what is needed is missing", packages: []string{"example-words"}, algorithm: "md5", want: "filesystem is needed by example-words-1-1.noarch\n"},
		{name: "a script fails", packages: []string{"bad-pre"}, algorithm: "sha256", options: object{"nodeps": true}, want: "error: bad-pre-1-1.noarch: install failed\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := rpmSources{t: t, server: s, urls: object{}}
			options := object{"gpgkeys": []string{publicKey(t, rpmdistro.PublicKey)}}
			maps.Copy(options, tt.options)
			var packages []any
			sum := ""
			for _, p := range tt.packages {
				sum = from.add(p, tt.algorithm)
				packages = append(packages, object{"checksum": sum, "check_gpg": tt.check})
			}
			options["packages"] = packages
			for pattern, kind := range tt.faults {
				defer s.Inject(kind, pattern).Lift()
			}
			dir := filepath.Join(t.TempDir(), "out")
			p := startBuild(t, "-o", dir, "--target", "tree", manifestFile(t, "image.json", firstFormat(object{"org.osbuild.files": object{"urls": from.urls}}, stage("org.osbuild.rpm", options)))).wait()
			want := "…" + strings.ReplaceAll(tt.want, "SUM", sum) + "…"
			if p.code() != 1 || !matchText(want, p.text()) {
				t.Errorf("exit code %d\ngot:\n%s\nwant:\n%s", p.code(), p.text(), want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left in the output directory: %q", left)
			}
		})
	}
}
