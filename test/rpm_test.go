//go:build e2e

package test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// distribution is the made-up RPM distribution that the tests install.
var distribution struct {
	once   sync.Once
	server *RPMServer
	dir    string
}

// needDistribution makes the distribution if no test has, by a build with an
// assembler of the tests' own: its tree is the demo's before it is configured,
// so that most of the work is done already. It returns its server.
func needDistribution(t testing.TB) *RPMServer {
	t.Helper()
	need(t)
	distribution.once.Do(func() {
		dir := filepath.Join(shared.store, "rpm-distribution")
		lib := t.TempDir()
		if err := DistributionModule(t.Context(), lib); err != nil {
			t.Fatal(err)
		}
		_, text := demo(t)
		var m struct{ Stages []any }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		p := build(t, "--libdir", lib, "-o", dir, manifestFile(t, "distribution.json", DistributionManifest(m.Stages[:2], nil)))
		t.Logf("the distribution was made in %.1f s", p.took.Seconds())
		server, err := StartRPMServer(dir)
		if err != nil {
			t.Fatal(err)
		}
		distribution.server, distribution.dir = server, dir
	})
	if distribution.server == nil {
		t.Fatal("the distribution could not be made")
	}
	return distribution.server
}

// stopDistribution ends what needDistribution has started.
func stopDistribution() error {
	if distribution.server == nil {
		return nil
	}
	return distribution.server.Close()
}

// publicKey returns a key of the distribution's directory.
func publicKey(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(distribution.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pin returns the checksum of a repository's repomd.xml.
func pin(t testing.TB, repo string) string {
	t.Helper()
	data, err := distribution.server.Repomd(repo)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

// repository returns a repository of the stage's options, by its metalink.
func repository(t testing.TB, repo string) object {
	t.Helper()
	return object{
		"metalink": distribution.server.Metalink(repo),
		"checksum": pin(t, repo),
		"gpgkey":   publicKey(t, rpmdistro.PublicKey),
	}
}

// dnf returns the stage that installs packages from a repository, and does what
// more the options say.
func dnf(repo object, options object, packages ...string) object {
	all := object{"releasever": "30", "basearch": "x86_64", "repos": []any{repo}, "packages": packages}
	for k, v := range options {
		all[k] = v
	}
	return stage("org.osbuild.dnf", all)
}

// fedora is the example with only addresses, checksum and key changed.
func fedora(t testing.TB) object {
	t.Helper()
	data, err := os.ReadFile("../examples/fedora-30.json")
	if err != nil {
		t.Fatal(err)
	}
	var m object
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	first := m["stages"].([]any)[0].(object)
	options := first["options"].(object)
	if first["name"] != "org.osbuild.dnf" || len(options["repos"].([]any)) != 1 {
		t.Fatal("the example does not begin with org.osbuild.dnf and one repository")
	}
	options["repos"] = []any{repository(t, rpmdistro.Base)}
	return m
}

// TestRPMBoot builds the example on the made-up distribution and boots it.
func TestRPMBoot(t *testing.T) {
	need(t, "qemu-system-x86_64", "qemu-img")
	needDistribution(t)
	out := t.TempDir()
	p := build(t, "-o", out, manifestFile(t, "fedora.json", fedora(t)))
	t.Logf("built in %.1f s, %d steps ran", p.took.Seconds(), len(p.ran()))
	image := filepath.Join(out, "example.qcow2")
	port := freePort(t)
	bootImage(t, image, "--forward", fmt.Sprintf("%d:80", port), "--wait-for", "login:", "--wait-for", fmt.Sprintf("http://127.0.0.1:%d/", port))
}

// toolbox extracts the toolbox into a directory, in which its programs can be
// run with chroot, and trees can be put below /trees.
func toolbox(t testing.TB) string {
	t.Helper()
	need(t, "tar", "unshare", "chroot")
	dir, out := filepath.Join(t.TempDir(), "toolbox"), t.TempDir()
	build(t, "-o", out, "--target", "tree", filepath.Join("..", "examples", "toolbox.json"))
	extract(t, filepath.Join(out, "tree.tar"), dir)
	if err := os.MkdirAll(filepath.Join(dir, "trees"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func extract(t testing.TB, archive, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, "tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", dir, "-xpf", archive)
}

// TestRPMTree looks at what the packages' scripts, triggers and traps have
// come to in the example's tree, and lets rpm verify it.
func TestRPMTree(t *testing.T) {
	needDistribution(t)
	out, m := t.TempDir(), fedora(t)
	// The archive of the target "tree" is BuildKit's, which gives all files the
	// time of the build; this one keeps the packages' times.
	m["assembler"] = stage("org.osbuild.tar", object{"filename": "example.tar"})
	build(t, "-o", out, manifestFile(t, "fedora.json", m))
	archive := filepath.Join(out, "example.tar")
	tree := readTree(t, archive, nil)
	checkScriptlets(t, tree)

	box := toolbox(t)
	extract(t, archive, filepath.Join(box, "trees/example"))
	if got, err := exec.CommandContext(t.Context(), "chroot", box, "rpm", "--root", "/trees/example", "--dbpath", RPMDatabase, "-Va").CombinedOutput(); err != nil || len(got) > 0 {
		t.Errorf("rpm -Va: %v\n%s", err, got)
	}
}

func checkScriptlets(t *testing.T, tree map[string]entry) {
	t.Helper()
	for name, want := range map[string]string{
		"etc/hosts":                   "127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n",
		"var/lib/example/lua":         "written by lua\n",
		"var/lib/example/triggered":   "/usr/share/example/network-defaults\n/usr/share/example/data\n/usr/share/example/ÄÖ ü\n",
		"var/lib/example/transaction": "/usr/share/example/data\n/usr/share/example/network-defaults\n/usr/share/example/ÄÖ ü\n",
		"etc/machine-id":              "",
	} {
		if e, ok := tree[name]; !ok || string(e.Data) != want {
			t.Errorf("/%s holds %q, want %q", name, e.Data, want)
		}
	}
	if e := tree["etc/resolv.conf"]; e.Header == nil || e.Typeflag != tar.TypeSymlink || e.Linkname != "../run/systemd/resolve/resolv.conf" {
		t.Errorf("/etc/resolv.conf is not the link that a scriptlet made: %v", e.Header)
	}
	if got := string(tree["etc/passwd"].Data); !strings.Contains(got, "\napache:x:48:48::/var/www:/usr/sbin/nologin\n") {
		t.Errorf("/etc/passwd has no apache:\n%s", got)
	}
	if e := tree["var/lib/httpd"]; e.Header == nil || e.Uid != 48 || e.Gid != 48 || e.Mode&0o7777 != 0o750 {
		t.Errorf("/var/lib/httpd is not apache's: %v", e.Header)
	}
	if e := tree["usr/bin/nstat"]; e.Header == nil || e.PAXRecords["SCHILY.xattr.security.capability"] == "" {
		t.Error("/usr/bin/nstat has no capability")
	}
	for name, mode := range map[string]int64{"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755} {
		if e, ok := tree[name]; !ok || e.Mode&0o7777 != mode {
			t.Errorf("/%s is %v", name, e.Header)
		}
	}
	var initrds, entries []string
	for name, e := range tree {
		switch {
		case strings.HasPrefix(name, "boot/initrd.img-") && e.Size > 1<<20:
			initrds = append(initrds, name)
		case strings.HasPrefix(name, "boot/loader/entries/") && strings.HasSuffix(name, ".conf"):
			entries = append(entries, name)
		}
	}
	if len(initrds) != 1 || len(entries) != 1 {
		t.Errorf("initrds %q and entries of the boot menu %q; want one each", initrds, entries)
	}
	if _, ok := tree[strings.TrimPrefix(RPMDatabase, "/")+"/rpmdb.sqlite"]; !ok {
		t.Errorf("no database of packages in %s", RPMDatabase)
	}
	for _, name := range []string{"usr/share/httpd/noindex/index.html", "etc/ld.so.cache", "usr/share/example/data"} {
		if _, ok := tree[name]; !ok {
			t.Errorf("/%s is missing", name)
		}
	}
	if _, ok := tree["usr/share/example/optional"]; ok {
		t.Error("an optional package of the group is installed")
	}
}

// downloads counts the requests for packages.
func downloads(s *RPMServer) int {
	return s.Requests("m?/*/" + rpmdistro.Pool + "/*.rpm")
}

// TestRPMDownloads changes the list of packages, and then the state of the
// repository: what is there is not fetched again.
func TestRPMDownloads(t *testing.T) {
	s := needDistribution(t)
	install := func(repo string, options object, packages ...string) (*process, int) {
		t.Helper()
		before := downloads(s)
		m := object{"stages": []any{dnf(repository(t, repo), options, packages...)}}
		p := build(t, "-o", t.TempDir(), "--target", "tree", manifestFile(t, "image.json", m))
		return p, downloads(s) - before
	}
	first, second := rpmdistro.Plain(8), rpmdistro.Plain(9)
	if _, n := install(rpmdistro.Base, nil, first); n == 0 {
		t.Skip("the packages are in the kept store")
	}
	if _, n := install(rpmdistro.Base, nil, first, second); n != 1 {
		t.Errorf("%d packages are fetched after one name was added, want 1", n)
	}
	if _, n := install(rpmdistro.NextState, nil, first, second, rpmdistro.Next); n != 1 {
		t.Errorf("%d packages are fetched from the repository's next state, want 1", n)
	}
	p, n := install(rpmdistro.NextState, nil, first, second, rpmdistro.Next)
	if ran := p.ran(); n != 0 || len(ran) != 0 {
		t.Errorf("the second time %d packages are fetched, and these ran: %q", n, ran)
	}
}

// TestRPMOptions installs few packages with the options that say which, and one
// whose script fails when it is there already, which is no more than a warning.
func TestRPMOptions(t *testing.T) {
	needDistribution(t)
	tests := []struct {
		name     string
		repo     string
		options  object
		packages []string
		want     map[string]string
	}{
		{"a recommended package, of the module's default stream", rpmdistro.Base, nil, []string{"example-optional"}, map[string]string{"optional": "optional\n", "tool": "one\n"}},
		{"no recommended packages", rpmdistro.Base, object{"install_weak_deps": false}, []string{"example-optional"}, map[string]string{"optional": "optional\n"}},
		{"an excluded package", rpmdistro.Base, object{"exclude_packages": []string{"example-t*"}}, []string{"example-optional"}, map[string]string{"optional": "optional\n"}},
		{"another stream of the module", rpmdistro.Base, nil, []string{"@example:2/common"}, map[string]string{"tool": "two\n"}},
		{"a script after the installation fails", rpmdistro.Broken, nil, []string{"bad-post"}, map[string]string{"post": "post\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, got := t.TempDir(), map[string]string{}
			options := object{"module_platform_id": "platform:example1"}
			maps.Copy(options, tt.options)
			build(t, "-o", out, "--target", "tree", manifestFile(t, "image.json", object{"stages": []any{dnf(repository(t, tt.repo), options, tt.packages...)}}))
			readTree(t, filepath.Join(out, "tree.tar"), func(name string, data []byte) {
				if file, ok := strings.CutPrefix(name, "usr/share/example/"); ok {
					got[file] = string(data)
				}
			})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}
