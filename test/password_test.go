//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPasswordSecret gives a user a password that is a secret of the build: its
// hash is in the tree, and the password is nowhere.
func TestPasswordSecret(t *testing.T) {
	need(t)
	const password = "!Correct-Horse$7731"
	file := manifestFile(t, "password.json", object{"stages": []any{
		bootstrap(),
		stage("org.osbuild.users", object{"users": object{"root": object{"password_secret": "root-password", "password_hashed": false}}}),
	}})
	dir := t.TempDir()
	p := startBuild(t, "-o", dir, "--target", "tree", file).wait()
	if text := p.text(); p.code() == 0 || !strings.Contains(text, "--secret id=root-password,src=FILE") || !strings.Contains(text, "password.json:") {
		t.Errorf("without the secret: exit code %d: %s", p.code(), text)
	}
	for _, step := range p.ran() {
		if !strings.HasSuffix(step, ": look for its secrets") {
			t.Errorf("without the secret the step %q ran", step)
		}
	}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = build(t, "-o", dir, "--target", "tree", "--secret", "id=root-password,src="+secret, file)
	if strings.Contains(p.text(), password) || strings.Contains(p.stdout.String(), password) {
		t.Error("the password is shown")
	}
	shadow := ""
	readTree(t, filepath.Join(dir, "tree.tar"), func(name string, data []byte) {
		if name == "etc/shadow" {
			shadow = string(data)
		}
		if strings.Contains(string(data), password) {
			t.Errorf("the password is in %s", name)
		}
	})
	checkPassword(t, shadow, password)
	if where := holds(t, password, shared.store, dir); len(where) > 0 {
		t.Errorf("the password is in %q", where)
	}
}
