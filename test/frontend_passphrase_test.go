//go:build e2e

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFrontendPassphrase builds an encrypted disk, and a user with a password,
// through buildx: with two secrets at once, with one of them again, and from an
// exported cache. Each build has what its own secret makes.
func TestFrontendPassphrase(t *testing.T) {
	needFrontend(t)
	need(t, "cryptsetup", "debugfs", "openssl")
	dir := buildDir(t, syntax(object{
		"stages": []any{
			bootstrap(),
			stage("org.osbuild.users", object{"users": object{"root": object{"password_secret": "key"}}}),
		},
		"assembler": stage("org.osbuild.qemu", object{
			"format": "raw", "filename": "disk.raw", "pttype": "gpt", "size": 2 << 30,
			"ptuuid": fmt.Sprintf("d209c89e-ea5e-4fbd-b161-%012x", time.Now().UnixNano()&(1<<48-1)),
			"partitions": []object{
				partition(1<<21, "", filesystem("ext4", rootID, "/")),
				{"luks": object{"passphrase_secret": "key", "pbkdf": object{"memory": 8192}}, "filesystem": filesystem("ext4", "", "/srv")},
			},
		}),
	}))
	type result struct {
		out, passphrase string
		p               *process
	}
	begin := func(d *daemon, passphrase string, more ...string) result {
		t.Helper()
		out, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte(passphrase+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"-f", filepath.Join(dir, "image.json"), dir, "-o", out, "--secret", "id=key,src=" + key}
		return result{out, passphrase, startBuildx(t, d, append(args, more...)...)}
	}
	check := func(r result, other string, made bool) {
		t.Helper()
		if r.p.wait(); r.p.code() != 0 {
			t.Fatalf("exit code %d: %s", r.p.code(), r.p.text())
		}
		ran := withoutSolves(r.p.ran())
		t.Logf("%s: %.1f s, ran %q", r.passphrase, r.p.took.Seconds(), ran)
		looks := 0
		for _, name := range ran {
			if strings.HasSuffix(name, ": look for its secrets") {
				looks++
			} else if !made {
				t.Errorf("%s: the step %q ran", r.passphrase, name)
			}
		}
		if looks != 2 || strings.Contains(r.p.text(), r.passphrase) {
			t.Errorf("%s: %d steps looked for secrets, or the passphrase is shown", r.passphrase, looks)
		}
		image := filepath.Join(r.out, "disk.raw")
		checkPassphrase(t, image, 2, r.passphrase, other)
		checkPassword(t, inspect(t, image, "cat /etc/shadow"), r.passphrase)
	}
	builder := frontend.daemon
	one, two := begin(builder, "first-passphrase"), begin(builder, "second-passphrase")
	check(one, "second-passphrase", true)
	check(two, "first-passphrase", true)
	check(begin(builder, "first-passphrase"), "second-passphrase", false)

	// Another builder, of which only an exported cache is left.
	cache := filepath.Join(t.TempDir(), "cache")
	check(begin(builder, "second-passphrase", "--cache-to", "type=local,mode=max,dest="+cache), "first-passphrase", false)
	empty := newDaemon(t, "import-passphrase")
	check(begin(empty, "third-passphrase", "--cache-from", "type=local,src="+cache), "second-passphrase", true)
	check(begin(empty, "second-passphrase", "--cache-from", "type=local,src="+cache), "third-passphrase", false)
}

// checkPassword wants root to have a password, by what openssl makes of it.
func checkPassword(t *testing.T, shadow, password string) {
	t.Helper()
	_, root, _ := strings.Cut("\n"+shadow, "\nroot:")
	hash, _, _ := strings.Cut(root, ":")
	salt := strings.Split(hash, "$")
	if len(salt) != 4 {
		t.Errorf("/etc/shadow has %q for root", hash)
		return
	}
	if want := strings.TrimSpace(output(t, "openssl", "passwd", "-6", "-salt", salt[2], password)); want != hash {
		t.Errorf("/etc/shadow has %q for root, want %q", hash, want)
	}
}
