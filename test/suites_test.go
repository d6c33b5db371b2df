//go:build e2e

package test

import (
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// TestSuites makes a system from a made-up Debian with three suites, as it was at a
// time and as it is. The system gets what has been in the security suite since, from
// the addresses that the distribution's own apt names.
func TestSuites(t *testing.T) {
	need(t, "unshare", "chroot", "tar")
	a := newMadeArchive(t)
	const moment = "20261121T000000Z"
	then := time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)
	now := time.Now()
	for suite, tool := range map[string]string{"trixie": "1.0", "trixie-updates": "", "trixie-security": "1.1"} {
		archive, label := madeMirror, "Debian"
		if strings.HasSuffix(suite, "-security") {
			archive, label = madeMirror+"-security", "Debian-Security"
		}
		a.publish(archive+"/"+moment, suite, label, tool, then)
		a.publish(archive, suite, label, tool, now.Add(-time.Hour))
	}
	a.publish(madeLive, "trixie", "Debian", "1.0", now)
	a.publish(madeLive, "trixie-updates", "Debian", "1.1", now)
	a.publish(madeLive+"-security", "trixie-security", "Debian-Security", "1.2", now)

	out := t.TempDir()
	of := func(options object) string {
		options["suite"], options["mirror"], options["keyring"] = suite, a.server.URL+"/"+madeMirror, a.key.Keyring()
		options["path_excludes"] = []string{"/usr/share/doc/*"}
		return manifestFile(t, "image.json", object{"stages": []any{
			stage("org.osbuildkit.debootstrap", options), stage("org.osbuildkit.apt", object{"packages": []string{madeTool}}),
		}})
	}
	args := func(file string) []string {
		return []string{"-o", out, "--target", "tree", "--build-arg", "SOURCE_DATE_EPOCH=1790000000", file}
	}
	file := of(object{"snapshot": moment})
	if p := build(t, args(file)...); strings.Contains(p.text(), "left out") {
		t.Error(p.text())
	}
	text := map[string]string{}
	readTree(t, filepath.Join(out, "tree.tar"), func(name string, data []byte) {
		if strings.HasPrefix(name, "etc/apt/") || name == "usr/share/"+madeTool {
			text[name] = string(data)
		}
	})
	if got := text["usr/share/"+madeTool]; got != "1.1" {
		t.Errorf("the system has version %q, not that of the security suite", got)
	}
	for _, want := range []string{"URIs: " + a.server.URL + "/" + madeLive + "\nSuites: trixie trixie-updates\nComponents: main\n", "URIs: " + a.server.URL + "/" + madeLive + "-security\nSuites: trixie-security\n"} {
		if !strings.Contains(text["etc/apt/sources.list.d/debian.sources"], want) {
			t.Errorf("the sources lack %q:\n%s", want, text["etc/apt/sources.list.d/debian.sources"])
		}
	}
	for _, name := range a.taken() {
		if strings.Contains(name, "dists/") && !strings.Contains(name, moment) {
			t.Errorf("%s is not of the time", name)
		}
	}
	t.Run("upgrade", func(t *testing.T) { upgradeTree(t, filepath.Join(out, "tree.tar")) })

	t.Run("cache", func(t *testing.T) {
		if p := build(t, args(file)...); len(p.ran()) != 0 {
			t.Errorf("nothing has changed, and these ran: %q", p.ran())
		}
		// The newest state has the same packages.
		file := of(object{})
		if p := build(t, args(file)...); slices.ContainsFunc(p.ran(), notSolve) {
			t.Errorf("the packages are the same, and these ran: %q", p.ran())
		}
		a.publish(madeMirror+"-security", "trixie-security", "Debian-Security", "1.1", now)
		if p := build(t, args(file)...); len(p.ran()) == 0 || slices.ContainsFunc(p.ran(), notSolve) {
			t.Errorf("the archive was signed anew, and these ran: %q", p.ran())
		}
	})
	t.Run("lacking", func(t *testing.T) {
		a.withdraw(madeMirror+"-security", "trixie-security")
		options := object{"suite": suite, "mirror": a.server.URL + "/" + madeMirror, "keyring": a.key.Keyring(), "variant": "required", "packages": []string{madeTool}}
		p := build(t, args(manifestFile(t, "image.json", object{"stages": []any{stage("org.osbuildkit.debootstrap", options)}}))...)
		if !strings.Contains(p.text(), "the security updates of trixie-security are left out: ") {
			t.Errorf("no warning: %s", p.text())
		}
		readTree(t, filepath.Join(out, "tree.tar"), func(name string, data []byte) {
			if name == "usr/share/"+madeTool && string(data) != "1.0" {
				t.Errorf("the system has version %s", data)
			}
		})
	})
}

// notSolve says whether a step is none of those that look at the index.
func notSolve(step string) bool {
	return !strings.HasSuffix(step, ": solve") && !strings.HasSuffix(step, ": repositories")
}

// upgradeTree runs a system's own apt.
func upgradeTree(t *testing.T, archive string) {
	dir := t.TempDir()
	output(t, "tar", "--numeric-owner", "-C", dir, "-xpf", archive)
	const script = `mount -t proc proc $1/proc && mount --rbind /dev $1/dev && mount -t tmpfs tmpfs $1/tmp && ` +
		`exec chroot $1 env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -ec "apt-get update && apt-get -y upgrade"`
	for _, d := range []string{"proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(output(t, "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", dir))
	if got := string(readFile(t, filepath.Join(dir, "usr/share", madeTool))); got != "1.2" {
		t.Errorf("the upgraded system has version %s", got)
	}
}
