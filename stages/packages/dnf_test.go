package packages

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// rpmTestdata reads a file of the test data of package rpmmd: packages, keys
// and a repository.
func rpmTestdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../rpmmd/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCheckDnf(t *testing.T) {
	t.Parallel()
	key := string(rpmTestdata(t, "rsa.asc"))
	keys, err := rpmmd.ParseKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	repo := func(more map[string]any) map[string]any {
		r := map[string]any{"baseurl": "https://m.example/$releasever", "gpgkey": key}
		for k, v := range more {
			if v == nil {
				delete(r, k)
			} else {
				r[k] = v
			}
		}
		return r
	}
	cases := []struct {
		name    string
		options map[string]any
		repos   []map[string]any
		want    []module.Problem
	}{
		{name: "good"},
		{name: "by fingerprint", options: map[string]any{"gpgkeys": []string{key}}, repos: []map[string]any{repo(map[string]any{"gpgkey": keys.Fingerprints()[0]})}},
		{name: "fingerprint of a key that the build may give", repos: []map[string]any{repo(map[string]any{"gpgkey": keys.Fingerprints()[0]})}},
		{name: "short key id", repos: []map[string]any{repo(map[string]any{"gpgkey": "deadbeef"})}, want: []module.Problem{{Pointer: "/repos/0/gpgkey"}}},
		{name: "key at an address", repos: []map[string]any{repo(map[string]any{"gpgkey": "https://m.example/key"})}, want: []module.Problem{{Pointer: "/repos/0/gpgkey"}}},
		{name: "no key", repos: []map[string]any{repo(map[string]any{"gpgkey": nil})}, want: []module.Problem{
			{Pointer: "/repos/0", Message: `the signatures of packages are to be verified, and there is no key: give "gpgkey"`}}},
		{name: "no signatures asked for", repos: []map[string]any{repo(map[string]any{"gpgkey": nil, "gpgcheck": false})}},
		{name: "nowhere", repos: []map[string]any{repo(map[string]any{"baseurl": nil})}, want: []module.Problem{
			{Pointer: "/repos/0", Message: `it is not said where the repository is: give "metalink", "mirrorlist" or "baseurl"`}}},
		{name: "unknown variable", repos: []map[string]any{repo(map[string]any{"metalink": "https://m.example/$nothing"})}, want: []module.Problem{{Pointer: "/repos/0/metalink"}}},
		{name: "file", repos: []map[string]any{repo(map[string]any{"mirrorlist": "file:///etc/mirrors"})}, want: []module.Problem{{Pointer: "/repos/0/mirrorlist"}}},
		{name: "several addresses", repos: []map[string]any{repo(map[string]any{"baseurl": "https://a.example https://b.example"})}},
		{name: "certificate", repos: []map[string]any{repo(map[string]any{"baseurl": "https://cdn.example", "sslcacert": "ca", "sslclientcert": "/etc/cert", "sslclientkey": "key"})}},
		{name: "key without certificate", repos: []map[string]any{repo(map[string]any{"baseurl": "https://cdn.example", "sslclientkey": "key"})}, want: []module.Problem{
			{Pointer: "/repos/0/sslclientkey", Message: "there is no certificate that the key is for: give \"sslclientcert\""}}},
		{name: "certificate for http", repos: []map[string]any{repo(map[string]any{"baseurl": "http://cdn.example", "sslclientcert": "cert"})}, want: []module.Problem{
			{Pointer: "/repos/0", Message: "certificates have a meaning for https addresses only"}}},
		{name: "same id", repos: []map[string]any{repo(map[string]any{"id": "repo1"}), repo(nil)}, want: []module.Problem{{Pointer: "/repos/1"}}},
		{name: "option as package", options: map[string]any{"packages": []string{"--nogpgcheck"}}, want: []module.Problem{{Pointer: "/packages/0", Message: `"--nogpgcheck" is no package`}}},
		{name: "file as package", options: map[string]any{"packages": []string{"a", "/root/a.rpm"}}, want: []module.Problem{{Pointer: "/packages/1"}}},
		{name: "option as exclusion", options: map[string]any{"exclude_packages": []string{"-x"}}, want: []module.Problem{{Pointer: "/exclude_packages/0"}}},
		{name: "operation", options: map[string]any{"operation": "shell"}, want: []module.Problem{{Pointer: "/operation"}}},
		{name: "release", options: map[string]any{"releasever": "3 0"}, want: []module.Problem{{Pointer: "/releasever"}, {Pointer: "/repos/0/baseurl"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := map[string]any{"releasever": "30", "packages": []string{"@Core", "grub2-pc", "/usr/bin/vi", "nodejs:12/default"}, "repos": []map[string]any{repo(nil)}}
			if c.repos != nil {
				o["repos"] = c.repos
			}
			for k, v := range c.options {
				o[k] = v
			}
			data, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			got := checkDnf(data)
			if len(got) != len(c.want) {
				t.Fatalf("problems %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i].Pointer != c.want[i].Pointer || c.want[i].Message != "" && got[i].Message != c.want[i].Message || got[i].Message == "" {
					t.Errorf("problem %v, want %v", got[i], c.want[i])
				}
			}
		})
	}
}

// Neither an address nor a checksum is in the options of the parts, and no key
// in those of the one that decides.
func TestDnfJob(t *testing.T) {
	t.Parallel()
	yes := true
	o := DnfOptions{
		Releasever: "30", Packages: []string{"a"}, Fastestmirror: &yes, Timeout: 3,
		Repos: []DnfRepository{{Baseurl: "https://m.example", Checksum: "sha256:00", Gpgkey: string(rpmTestdata(t, "rsa.asc")), Priority: 5}},
	}.WithDefaults("x86_64")
	j, err := o.Job()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(j.Repos[0].Keys, "BEGIN PGP PUBLIC KEY") {
		t.Errorf("keys %q", j.Repos[0].Keys)
	}
	data, err := json.Marshal(j.ForSolve())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"packages":["a"],"releasever":"30","basearch":"x86_64","operation":"install","weak_deps":true,"repos":[{"id":"repo0","priority":5}]}`
	if d := cmp.Diff(want, string(data)); d != "" {
		t.Error(d)
	}
}

// listOf makes a list of test packages: files by name, all of one repository.
func listOf(t *testing.T, dir string, names ...string) *rpmmd.PackageList {
	t.Helper()
	list := &rpmmd.PackageList{}
	for _, name := range names {
		data := rpmTestdata(t, name)
		f, err := rpmmd.ReadFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		list.Packages = append(list.Packages, rpmmd.Package{
			Name: f.Name, Epoch: f.Epoch, Version: f.Version, Release: f.Release, Arch: f.Arch, File: name, Location: "Packages/" + name,
			Size: int64(len(data)), SHA256: strings.TrimPrefix(rpmmd.RepomdChecksum(data), "sha256:"),
		})
	}
	return list
}

func TestVerifyPackages(t *testing.T) {
	t.Parallel()
	rsa, ed := string(rpmTestdata(t, "rsa.asc")), string(rpmTestdata(t, "ed25519.asc"))
	cases := []struct {
		name, keys string
		files      []string
		change     func(t *testing.T, dir string, l *rpmmd.PackageList)
		err        string
		signed     int
	}{
		{name: "good", keys: rsa + "\n" + ed, files: []string{"rsa.rpm", "ed25519.rpm"}, signed: 2},
		{name: "not signed", keys: rsa, files: []string{"unsigned.rpm"}, err: "is not signed"},
		{name: "not signed and need not be", files: []string{"unsigned.rpm"}},
		{name: "wrong key", keys: ed, files: []string{"rsa.rpm"}, err: `give the public key in the option "gpgkey"`},
		{name: "another file", keys: rsa, files: []string{"rsa.rpm"}, err: "is not the one in the list", change: func(t *testing.T, dir string, _ *rpmmd.PackageList) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "rsa.rpm"), rpmTestdata(t, "unsigned.rpm"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "another package", keys: rsa, files: []string{"rsa.rpm"}, err: "is package", change: func(_ *testing.T, _ string, l *rpmmd.PackageList) {
			l.Packages[0].Version = "9"
		}},
		{name: "another package that is not signed", files: []string{"unsigned.rpm"}, err: "is package", change: func(_ *testing.T, _ string, l *rpmmd.PackageList) {
			l.Packages[0].Name = "bash"
		}},
		{name: "missing", keys: rsa, files: []string{"rsa.rpm"}, err: "no such file", change: func(t *testing.T, dir string, _ *rpmmd.PackageList) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, "rsa.rpm")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "unknown repository", keys: rsa, files: []string{"rsa.rpm"}, err: "there is no repository 4", change: func(_ *testing.T, _ string, l *rpmmd.PackageList) {
			l.Packages[0].Repository = 4
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			list := listOf(t, dir, c.files...)
			if c.change != nil {
				c.change(t, dir, list)
			}
			s, err := verifyPackages(t.Context(), dir, list, []DnfJobRepository{{ID: "repo0", Keys: c.keys}})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "repo") {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.signed != c.signed || s.keys.Len() != c.signed {
				t.Errorf("%d signed by %d keys, want %d", s.signed, s.keys.Len(), c.signed)
			}
		})
	}
}

// testRepository lays the test repository out as the builder does, and leaves
// out the compressed form of the groups, which the test data do not have.
func testRepository(t *testing.T) *rpmRepository {
	t.Helper()
	dir := t.TempDir()
	r, err := rpmmd.ParseRepomd(rpmTestdata(t, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeRepomd(dir, r.Subset("primary", "filelists", "group")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"primary.xml.gz", "filelists.xml.gz", "comps.xml"} {
		if err := os.WriteFile(filepath.Join(dir, "repodata", name), rpmTestdata(t, "repodata/"+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repo := &rpmRepository{dir: dir}
	if err := repo.read(); err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestReducedRepository(t *testing.T) {
	t.Parallel()
	repo := testRepository(t)
	sum := strings.TrimPrefix(rpmmd.RepomdChecksum(rpmTestdata(t, "rsa.rpm")), "sha256:")
	for name, c := range map[string]struct {
		sum      string
		groups   bool
		packages int
	}{"with it": {sum, true, 1}, "without it": {strings.Repeat("0", 64), false, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			list := &rpmmd.PackageList{Packages: []rpmmd.Package{{SHA256: c.sum, Location: "Packages/h/hello-2.10-3~rc1.noarch.rpm"}}}
			if err := repo.reduce(dir, 0, list, c.groups); err != nil {
				t.Fatal(err)
			}
			reduced := &rpmRepository{dir: dir}
			if err := reduced.read(); err != nil {
				t.Fatal(err)
			}
			if got := reduced.repomd.Lookup("group") != nil; got != c.groups {
				t.Errorf("groups: %v", got)
			}
			if err := reduced.link(filepath.Join(t.TempDir(), "seen")); err != nil {
				t.Fatal(err)
			}
			content, err := reduced.open(*reduced.repomd.Lookup("primary"))
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			n := 0
			if err := rpmmd.ReadPrimary(content, func(*rpmmd.PrimaryPackage) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			if n != c.packages {
				t.Errorf("%d packages, want %d", n, c.packages)
			}
		})
	}
}

func TestDamagedRepository(t *testing.T) {
	t.Parallel()
	repo := testRepository(t)
	if err := os.WriteFile(filepath.Join(repo.dir, "repodata", "filelists.xml.gz"), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := repo.link(filepath.Join(t.TempDir(), "seen"))
	if err == nil || !strings.Contains(err.Error(), "repodata/filelists.xml.gz") {
		t.Error(err)
	}
}

func TestStandInMachineID(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]string{"none": "", "its own": "0123456789abcdef0123456789abcdef\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if own != "" {
				if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "etc/machine-id"), []byte(own), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			root, err := tree.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			undo, err := standInMachineID(root)
			if err != nil {
				t.Fatal(err)
			}
			during, err := root.ReadFile(machineID)
			if err != nil {
				t.Fatal(err)
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			after, err := root.ReadFile(machineID)
			if err != nil {
				t.Fatal(err)
			}
			want := own
			if own == "" {
				want = standInMachine
			}
			if string(during) != want || string(after) != own {
				t.Errorf("during %q, after %q", during, after)
			}
		})
	}
}

func TestExplainDnf(t *testing.T) {
	t.Parallel()
	repo := testRepository(t)
	failed := &command.Error{Argv: []string{"dnf"}, Err: os.ErrInvalid, Output: "No match for argument: helo\nError: Unable to find a match: helo"}
	err := explainDnf(failed, DnfJob{Packages: []string{"helo", "hello", "/usr/bin/x"}}, []*rpmRepository{repo})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `"helo"`) || !strings.HasSuffix(err.Error(), "did you mean hello?") {
		t.Error(err)
	}
	if got := inShort(failed).Error(); strings.Contains(got, "No match") || !strings.HasSuffix(got, "Error: Unable to find a match: helo") {
		t.Error(got)
	}
	other := &command.Error{Argv: []string{"dnf"}, Err: os.ErrInvalid, Output: "disk full"}
	if got := explainDnf(other, DnfJob{Packages: []string{"helo"}}, []*rpmRepository{repo}); got != nil {
		t.Error(got)
	}
}

func TestInspectRPMs(t *testing.T) {
	t.Parallel()
	rpms, out := t.TempDir(), t.TempDir()
	data := rpmTestdata(t, "rsa.rpm")
	p := RPMPackage{Checksum: rpmmd.RepomdChecksum(data)}
	if err := os.WriteFile(filepath.Join(rpms, p.File()), data, 0o644); err != nil {
		t.Fatal(err)
	}
	in := &module.Input{Tree: t.TempDir(), OutputDir: out, Inputs: map[string]string{"rpms": rpms}, Options: []byte(`{"packages": ["` + p.Checksum + `", {"checksum": "` + p.Checksum + `"}]}`)}
	if err := inspectRPMs(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	list, err := readRPMList(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Packages) != 1 || list.Packages[0].Name != "hello" || "sha256:"+list.Packages[0].SHA256 != p.Checksum {
		t.Errorf("%+v", list)
	}
	built, err := os.ReadFile(filepath.Join(out, BuiltFile))
	if err != nil || string(built) != "1735689600" {
		t.Errorf("%s, %v", built, err)
	}
	// The checksums and signatures are looked at before anything is installed.
	verify := func(o RPMOptions) error {
		keys, err := givenKeys(o.Gpgkeys)
		if err != nil {
			t.Fatal(err)
		}
		return o.verify(rpms, keys)
	}
	signed := RPMOptions{Packages: []RPMPackage{{Checksum: p.Checksum, CheckGPG: true}}, Gpgkeys: []string{string(rpmTestdata(t, "ed25519.asc"))}}
	if err := verify(signed); err == nil || !strings.Contains(err.Error(), "no such key was given") {
		t.Error(err)
	}
	signed.Gpgkeys = []string{string(rpmTestdata(t, "rsa.asc"))}
	if err := verify(signed); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(rpms, p.File()), data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := verify(signed); err == nil || !strings.Contains(err.Error(), "has the checksum") {
		t.Error(err)
	}
}
