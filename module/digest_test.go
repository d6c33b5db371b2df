package module

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
)

// digestInput gives secrets to a module.
func digestInput(t *testing.T, secrets map[string]string) *Input {
	t.Helper()
	in, dir := &Input{Secrets: map[string]string{}}, t.TempDir()
	for name, value := range secrets {
		in.Secrets[name] = filepath.Join(dir, name)
		if err := os.WriteFile(in.Secrets[name], []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func TestSecretsDigest(t *testing.T) {
	t.Parallel()
	type secrets = map[string]string
	sum := func(salt string, cost SecretCost, s secrets) string {
		t.Helper()
		d := SecretsDigest{Salt: salt, Cost: cost}
		if err := d.Compute(digestInput(t, s)); err != nil {
			t.Fatal(err)
		}
		if raw, err := hex.DecodeString(d.Sum); err != nil || len(raw) != 32 {
			t.Errorf("the sum is %q", d.Sum)
		}
		return d.Sum
	}
	plain := secrets{"a": "word"}
	// A cost below the least one changes nothing.
	first := sum("s", SecretCost{Passes: 1, Memory: 32, Threads: 1}, plain)
	for name, other := range map[string]string{
		"another secret":   sum("s", SecretCost{}, secrets{"a": "words"}),
		"another salt":     sum("t", SecretCost{}, plain),
		"more passes":      sum("s", SecretCost{Passes: 4}, plain),
		"more memory":      sum("s", SecretCost{Memory: 65 << 10}, plain),
		"PBKDF2 before it": sum("s", SecretCost{Iterations: 1000}, plain),
	} {
		if other == first {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

func TestAllSecrets(t *testing.T) {
	t.Parallel()
	type secrets = map[string]string
	seen := map[string]secrets{}
	for _, s := range []secrets{
		{"a": "word"}, {"b": "word"}, {"a": "words"}, {"a": "word", "b": "c"}, {"a": "wordb", "b": "c"}, {"a": "c", "b": "word"},
		{"a": "word\x00\x00\x00\x01b\x00\x00\x00\x01c"}, {"a": "word", "b": "c", "c": "c"},
	} {
		key, err := digestInput(t, s).allSecrets()
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(key)] != nil {
			t.Errorf("%v and %v are the same", seen[string(key)], s)
		}
		seen[string(key)] = s
	}
	// The end of a line is no part of a secret.
	key, err := digestInput(t, secrets{"a": "word\n"}).allSecrets()
	if err != nil || seen[string(key)]["a"] != "word" {
		t.Errorf("%q, %v", key, err)
	}
}

// TestSecretsDigestIsSlow compares a digest with what RFC 9106 recommends, so
// that nobody makes it cheap by accident: it may be published.
func TestSecretsDigestIsSlow(t *testing.T) {
	t.Parallel()
	d := SecretsDigest{Salt: "s"}
	if err := d.Compute(digestInput(t, map[string]string{"a": "word"})); err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString("b7e422be32ca4f336a5222bd5d91fbd8505f3fc1866c93c7c215a78ea7ad25c3")
	if err != nil {
		t.Fatal(err)
	}
	want := argon2.IDKey([]byte("\x00\x00\x00\x01a\x00\x00\x00\x04word"), salt, 3, 64<<10, 4, 32)
	if d.Sum != hex.EncodeToString(want) {
		t.Errorf("%s, want %x", d.Sum, want)
	}
}

func TestCheckSecrets(t *testing.T) {
	t.Parallel()
	in := digestInput(t, map[string]string{"a": "word"})
	if err := in.CheckSecrets(); err != nil {
		t.Errorf("without a digest: %v", err)
	}
	d := SecretsDigest{Salt: "s"}
	if err := d.Compute(in); err != nil {
		t.Fatal(err)
	}
	in.SecretsDigest = &d
	if err := in.CheckSecrets(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(in.Secrets["a"], []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := in.CheckSecrets(); err == nil || !strings.Contains(err.Error(), "build again") || strings.Contains(err.Error(), d.Sum) {
		t.Errorf("changed: %v", err)
	}
	if err := os.Remove(in.Secrets["a"]); err != nil {
		t.Fatal(err)
	}
	if err := in.CheckSecrets(); err == nil || !strings.Contains(err.Error(), "--secret id=a,src=FILE") {
		t.Errorf("missing: %v", err)
	}
}

// BenchmarkSecretsDigest is what each build pays for a stage with secrets.
func BenchmarkSecretsDigest(b *testing.B) {
	file := filepath.Join(b.TempDir(), "a")
	if err := os.WriteFile(file, []byte("word"), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d := SecretsDigest{Salt: "s"}
		if err := d.Compute(&Input{Secrets: map[string]string{"a": file}}); err != nil {
			b.Fatal(err)
		}
	}
}
