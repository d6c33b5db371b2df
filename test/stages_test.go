//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve serves what handler gives on a free port of loopback, which the steps
// of the embedded engine reach, and returns the address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	go s.Serve(l) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// archiveOf makes a compressed archive of files with a directory around them.
func archiveOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name, text := range files {
		h := &tar.Header{Name: "files-1.0/" + name, Mode: 0o640, Uid: 3, Gid: 4, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestStages runs the stages that need real programs in one system: a script
// without and with the network, firewalld's own program, and a copy out of an
// archive.
func TestStages(t *testing.T) {
	need(t)
	archive := archiveOf(t, map[string]string{"app.conf": "conf"})
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/files.tar.gz" {
			w.Write(archive)
			return
		}
		io.WriteString(w, "from the network")
	}))
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	checksum := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	const look = "ls /sys/class/net >/etc/NAME.net\nid -u >/etc/NAME.uid\ncp /etc/resolv.conf /etc/NAME.resolv 2>/dev/null || true\nenv | sort >/etc/NAME.env\n"
	script := func(name, more string) string {
		return "#!/bin/bash -e\n" + strings.ReplaceAll(look, "NAME", name) + more
	}
	manifest := object{
		"pipeline": object{"stages": []any{
			bootstrap(),
			stage("org.osbuildkit.apt", object{"packages": []string{"firewalld"}}),
			stage("org.osbuild.copy", object{
				"source": object{"type": "archive", "checksum": checksum}, "paths": []any{object{"from": "/app.conf", "to": "/etc/app/"}},
			}),
			stage("org.osbuild.script", object{"script": script("offline",
				"if (exec 3<>/dev/tcp/127.0.0.1/"+port+") 2>/dev/null; then exit 9; fi\nprintf 'nameserver 192.0.2.1\\n' >/etc/resolv.conf\n"+
					"chmod 4711 /etc/offline.uid\nuseradd --system robot\n")}),
			stage("org.osbuild.script", object{"network": true, "script": script("online",
				"exec 3<>/dev/tcp/127.0.0.1/"+port+"\nprintf 'GET /x HTTP/1.0\\r\\n\\r\\n' >&3\ncat <&3 >/etc/online.page\n")}),
			stage("org.osbuild.firewall", object{
				"default_zone": "internal", "ports": []string{"8080:tcp"}, "enabled_services": []string{"https"}, "disabled_services": []string{"mdns"},
				"zones": []any{object{"name": "ours", "sources": []string{"192.0.2.0/24"}}, object{"name": "trusted", "sources": []string{"198.51.100.7"}}},
			}),
		}},
		"sources": object{"org.osbuild.curl": object{"urls": object{checksum: "http://" + address + "/files.tar.gz"}}},
	}
	dir := t.TempDir()
	// The server that the script asks listens on this machine's loopback.
	p := build(t, "--allow", "network.host", "-o", dir, "--target", "tree", manifestFile(t, "stages.json", manifest))
	t.Logf("built in %.1f s", p.took.Seconds())
	if !strings.Contains(p.text(), "ScriptWithNetwork") {
		t.Errorf("nobody warns of the script with the network: %s", p.text())
	}
	checkStages(t, readTree(t, filepath.Join(dir, "tree.tar"), nil))
	if again := build(t, "--allow", "network.host", "-o", dir, "--target", "tree", manifestFile(t, "stages.json", manifest)).ran(); len(again) > 0 {
		t.Errorf("nothing has changed, and these steps ran: %q", again)
	}
}

func checkStages(t *testing.T, tree map[string]entry) {
	t.Helper()
	for name, want := range map[string]string{
		"etc/app/app.conf": "conf", "etc/offline.net": "lo\n", "etc/offline.uid": "0\n", "etc/resolv.conf": "nameserver 192.0.2.1\n",
	} {
		if e, ok := tree[name]; !ok || string(e.Data) != want {
			t.Errorf("/%s holds %q, want %q", name, e.Data, want)
		}
	}
	for name, want := range map[string]string{
		"etc/online.page":                  "from the network",
		"etc/passwd":                       "\nrobot:x:",
		"etc/firewalld/firewalld.conf":     "\nDefaultZone=internal\n",
		"etc/firewalld/zones/internal.xml": `<port port="8080" protocol="tcp"/>`,
		"etc/firewalld/zones/ours.xml":     `<source address="192.0.2.0/24"/>`,
		"etc/firewalld/zones/trusted.xml":  `<source address="198.51.100.7"/>`,
	} {
		if e := tree[name]; !strings.Contains(string(e.Data), want) {
			t.Errorf("/%s holds %q, want one with %q", name, e.Data, want)
		}
	}
	internal := string(tree["etc/firewalld/zones/internal.xml"].Data)
	if !strings.Contains(internal, `<service name="https"/>`) || strings.Contains(internal, "mdns") {
		t.Errorf("the zone internal is %s", internal)
	}
	if online := string(tree["etc/online.resolv"].Data); !strings.Contains(online, "nameserver") || strings.Contains(online, "192.0.2.1") {
		t.Errorf("with the network resolv.conf was %q, want the builder's", online)
	}
	if a, b := string(tree["etc/offline.env"].Data), string(tree["etc/online.env"].Data); a != b || strings.Contains(a, "TRACEPARENT") || !strings.Contains(a, "SOURCE_DATE_EPOCH=") {
		t.Errorf("the environments are\n%s\n%s", a, b)
	}
	if e := tree["etc/app/app.conf"]; e.Mode&0o7777 != 0o640 || e.Uid != 3 || e.Gid != 4 {
		t.Errorf("app.conf is %s", describe(tree, "etc/app/app.conf", false))
	}
	if e := tree["etc/offline.uid"]; e.Mode&0o7777 != 0o4711 {
		t.Errorf("offline.uid is %s", describe(tree, "etc/offline.uid", false))
	}
	for name := range tree {
		if strings.HasPrefix(name, "run/") || strings.Contains(name, "osbuild") || name == "var/log/firewalld" || strings.HasSuffix(name, "__pycache__/firewalld") {
			t.Errorf("/%s is left", name)
		}
	}
}

// TestStagesErrors wants a clear word about what a tree lacks.
func TestStagesErrors(t *testing.T) {
	need(t)
	boot := `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "` + suite + `"}}`
	for name, c := range map[string]struct{ stage, want string }{
		"script":     {`{"name": "org.osbuild.script", "options": {"script": "exit 7"}}`, "the script failed: exit code 7"},
		"rpm-ostree": {`{"name": "org.osbuild.rpm-ostree"}`, "there is no program rpm-ostree in the build root: install rpm-ostree"},
		"firewall":   {`{"name": "org.osbuild.firewall", "options": {"ports": ["1:tcp"]}}`, "there is no program firewall-offline-cmd in the tree: install firewalld there first"},
	} {
		file := textFile(t, name+".json", `{"build": {"stages": [`+boot+`]}, "stages": [`+boot+`, `+c.stage+`]}`)
		p := startBuild(t, "-o", t.TempDir(), "--target", "tree", file).wait()
		if p.code() != 1 || !strings.Contains(p.text(), c.want) {
			t.Errorf("%s: code %d, %s", name, p.code(), p.text())
		}
	}
}

// TestStagesOSTree commits a small system, reads the commit back with ostree,
// and deploys it from where it is served, with ostree of a build root.
func TestStagesOSTree(t *testing.T) {
	need(t, "ostree")
	system := archiveOf(t, map[string]string{
		"usr/etc/os-name": "x", "usr/lib/os-release": "NAME=Small\nID=small\nVERSION_ID=1\nPRETTY_NAME=\"Small 1\"\n",
		"usr/lib/modules/6.1/vmlinuz": "kernel", "usr/lib/modules/6.1/initramfs.img": "initramfs", "boot/x": "x", "var/lib/x": "x",
		"usr/lib/tmpfiles.d/home.conf": "d /var/home 0755 root root -\nd /var/other 0755 root root -\n",
	})
	repos := t.TempDir()
	files := http.FileServer(http.Dir(repos))
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/system.tar.gz" {
			w.Write(system)
			return
		}
		files.ServeHTTP(w, r)
	}))
	checksum := fmt.Sprintf("sha256:%x", sha256.Sum256(system))
	labels := object{"/usr/lib/os-release": object{"xattrs": object{"security.selinux": "system_u:object_r:etc_t:s0\x00"}}}
	commit := object{
		"pipeline": object{
			"stages": []any{
				stage("org.osbuild.copy", object{"source": object{"type": "archive", "checksum": checksum}}),
				stage("org.osbuildkit.attributes", object{"paths": labels}),
			},
			"assembler": stage("org.osbuild.ostree.commit", object{"ref": "small/1", "os_version": "1.0"}),
		},
		"sources": object{"org.osbuild.curl": object{"urls": object{checksum: "http://" + address + "/system.tar.gz"}}},
	}
	build(t, "-o", repos, manifestFile(t, "commit.json", commit))
	repo := "--repo=" + filepath.Join(repos, "repo")
	output(t, "ostree", "fsck", repo)
	id := strings.TrimSpace(output(t, "ostree", "rev-parse", repo, "small/1"))
	for want, text := range map[string]string{
		"Version: 1.0":                                   output(t, "ostree", "show", repo, id),
		"system_u:object_r:etc_t:s0":                     output(t, "ostree", "ls", repo, "-X", id, "/usr/lib/os-release"),
		"-00640 3 4      6 /usr/lib/modules/6.1/vmlinuz": output(t, "ostree", "ls", repo, id, "/usr/lib/modules/6.1/vmlinuz"),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	if data, err := os.ReadFile(filepath.Join(repos, "compose.json")); err != nil || !strings.Contains(string(data), id) {
		t.Errorf("compose.json is %s, %v", data, err)
	}

	deploy := object{
		"pipeline": object{
			"build": object{"runner": "org.osbuild.linux", "pipeline": object{"stages": []any{
				bootstrap(), stage("org.osbuildkit.apt", object{"packages": []string{"ostree", "systemd"}}),
			}}},
			"stages": []any{stage("org.osbuild.ostree", object{
				"commit": id, "osname": "small", "ref": "small/1", "rootfs": object{"label": "root"}, "kernel_opts": []string{"ro", "quiet"},
				"mounts": []any{object{"path": "/boot/efi", "mode": 448}}, "populate_var": true,
				"remotes": []any{object{"name": "up", "url": "https://example.org/repo", "branches": []string{"small/1"}}},
			})},
		},
		"sources": object{"org.osbuild.ostree": object{"commits": object{id: object{"remote": object{"url": "http://" + address + "/repo"}}}}},
	}
	dir := t.TempDir()
	p := build(t, "--allow", "network.host", "-o", dir, "--target", "tree", manifestFile(t, "deploy.json", deploy))
	t.Logf("deployed in %.1f s", p.took.Seconds())
	texts := map[string]string{}
	tree := readTree(t, filepath.Join(dir, "tree.tar"), func(name string, data []byte) { texts[name] = string(data) })
	root := "ostree/deploy/small/deploy/" + id + ".0/"
	for _, name := range []string{root + "usr/lib/os-release", root + "etc/os-name", "ostree/deploy/small/var/home", "ostree/repo/refs/heads/small/1", "boot/efi", root + "var"} {
		if _, ok := tree[name]; !ok {
			t.Errorf("/%s is missing", name)
		}
	}
	if _, ok := tree["ostree/deploy/small/var/other"]; ok {
		t.Error("a directory was made that nobody asked for")
	}
	entry := ""
	for name, text := range texts {
		if strings.HasPrefix(name, "boot/loader") && strings.HasSuffix(name, ".conf") {
			entry += text
		}
	}
	if !strings.Contains(entry, "options root=LABEL=root ro quiet ostree=/ostree/boot.") {
		t.Errorf("the boot entries are %q", entry)
	}
	if config := texts["ostree/repo/config"]; !strings.Contains(config, `[remote "up"]`) || !strings.Contains(config, "branches=small/1") {
		t.Errorf("the configuration is %s", config)
	}
	if config := texts["ostree/repo/config"]; strings.Contains(config, address) {
		t.Errorf("the address of the build is left in %s", config)
	}
}
