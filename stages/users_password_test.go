package stages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/module"
)

// goodHash is what openssl prints for a password.
const goodHash = "$6$Zf1zVqFh$wGoSgrAEtLWzFkWcdqrbYrLYOiVHVoWbRnIoiYCLZFKK4ykmZhHPrdIu9IzV8XZ2n1PbfHPvqZ1u1VJ4MWZ/50"

// What looks like a hash or a lock and is none is not stored as it is.
func TestUsersAmbiguousPassword(t *testing.T) {
	t.Parallel()
	const both = `"openssl passwd -6" prints for it, or "password_hashed": false; if it is to be stored as it is, give "password_hashed": true`
	for _, p := range []string{"!QAZ2wsx", "$ecret$words", "correcthorse1", "$6$salt$short", "*LK*", "_aaaaaaaaaaaaaaaaaaa", "!" + goodHash[1:], "x"} {
		options := `{"users": {"a": {"password": "` + p + `"}}}`
		runChecks(t, "org.osbuild.users", []checkCase{{options, []string{"/users/a/password: " + both}}})
		for _, problem := range module.Find(Modules(), "org.osbuild.users").Check(json.RawMessage(options)) {
			if len(p) > 1 && strings.Contains(problem.Message, p) {
				t.Errorf("%s is repeated: %s", p, problem.Message)
			}
		}
	}
	runChecks(t, "org.osbuild.users", []checkCase{
		{`{"users": {"a": {"password": "!QAZ2wsx", "password_hashed": false}, "b": {"password": "correcthorse1", "password_hashed": true}}}`, nil},
		{`{"users": {"a": {"password": "!"}, "b": {"password": "!!"}, "c": {"password": "*"}, "d": {"password": "!` + goodHash + `"}}}`, nil},
		{`{"users": {"a": {"password": "a:b", "password_hashed": true}}}`, []string{"/users/a/password: a colon"}},
		{`{"users": {"a": {"password_hashed": true}}}`, []string{"/users/a/password_hashed: no password"}},
		{`{"users": {"a": {"password": "a", "password_secret": "b"}}}`, []string{"/users/a/password_secret: give one of them"}},
		{`{"users": {"a": {"password_secret": "../b"}}}`, []string{"/users/a/password_secret: not the name of a secret"}},
		{`{"users": {"a": {"password_secret": "b"}}}`, nil},
	})
	b := accountsTree()
	shadow := func(p string) treetest.Tree { return edit(b, "etc/shadow", "old:!:18000", "old:"+p+":18518") }
	runCases(t, "org.osbuild.users", []treeCase{
		{name: "refused", before: b, options: `{"users": {"old": {"password": "!QAZ2wsx"}}}`, err: "users/old/password: it begins with !"},
		{name: "the password", before: b, options: `{"users": {"old": {"password": "!QAZ2wsx", "password_hashed": false}}}`, after: shadow(hashOf(`{"users": {"old": {}}}`, "old", "!QAZ2wsx"))},
		{name: "a hash that is the password", before: b, options: `{"users": {"old": {"password": "` + goodHash + `", "password_hashed": false}}}`, after: shadow(hashOf(`{"users": {"old": {}}}`, "old", goodHash))},
		{name: "as it is", before: b, options: `{"users": {"old": {"password": "abcdefghijklm", "password_hashed": true}}}`, after: shadow("abcdefghijklm")},
		{name: "a lock", before: b, options: `{"users": {"old": {"password": "!` + goodHash + `"}}}`, after: shadow("!" + goodHash)},
	})
}

func TestUsersPasswordSecret(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, content, more string) (shadow, log string, err error) {
		t.Helper()
		dir := treetest.New(t, accountsTree())
		file := filepath.Join(t.TempDir(), "secret")
		if content != "missing" {
			if err := os.WriteFile(file, []byte(content), 0o400); err != nil {
				t.Fatal(err)
			}
		}
		log, err = runInput(t, "org.osbuild.users", &module.Input{Tree: dir, Secrets: map[string]string{"pw": file},
			Options: json.RawMessage(`{"users": {"old": {"password_secret": "pw"` + more + `}}}`)})
		data, readErr := os.ReadFile(filepath.Join(dir, "etc/shadow"))
		if readErr != nil {
			t.Fatal(readErr)
		}
		_, line, _ := strings.Cut(string(data), "old:")
		shadow, _, _ = strings.Cut(line, ":")
		return shadow, log, err
	}
	for _, c := range []struct{ name, content, more, want, err string }{
		{"plain", "hunter two", "", hashOf(`{"users": {"old": {}}}`, "old", "hunter two"), ""},
		{"with the end of a line", "hunter two\n", "", hashOf(`{"users": {"old": {}}}`, "old", "hunter two"), ""},
		{"with the end of a line of Windows", "hunter two\r\n", "", hashOf(`{"users": {"old": {}}}`, "old", "hunter two"), ""},
		{"a hash", goodHash + "\n", "", goodHash, ""},
		{"told to be plain", "!QAZ2wsx", `, "password_hashed": false`, hashOf(`{"users": {"old": {}}}`, "old", "!QAZ2wsx"), ""},
		{"ambiguous", "!QAZ2wsx\n", "", "", "the secret pw: it begins with !"},
		{"two lines", "a\nb\n", "", "", "not one line"},
		{"empty", "\n", "", "", "it is empty"},
		{"too long", strings.Repeat("a", 513), "", "", "at most 512 bytes"},
		{"a file of something else", strings.Repeat("a", module.MaxSecret+1), "", "", "larger than"},
		{"missing", "missing", "", "", "--secret id=pw,src=FILE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, log, err := run(t, c.content, c.more)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "QAZ2") {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%q, want %q: %v", got, c.want, err)
			}
			if strings.Contains(log, strings.TrimSpace(c.content)) {
				t.Errorf("the log has the secret: %s", log)
			}
		})
	}
	secrets := module.Find(Modules(), "org.osbuild.users").Secrets(json.RawMessage(`{"users": {"b": {"password_secret": "x"}, "a": {"password_secret": "y"}, "c": {"password": "z"}}}`))
	if d := cmp.Diff([]module.Secret{{Name: "y", Pointer: "/users/a/password_secret"}, {Name: "x", Pointer: "/users/b/password_secret"}}, secrets); d != "" {
		t.Error(d)
	}
}

// TestSealPasswords looks what becomes part of a step.
func TestSealPasswords(t *testing.T) {
	t.Parallel()
	m := module.Find(Modules(), "org.osbuild.users")
	hash := hashOf(`{"users": {"old": {"gid": 10}}}`, "old", "hunter two")
	for _, c := range []struct{ options, want, plain string }{
		{`{"users": {}}`, "", ""},
		{`{ "users": {"old": {"gid": 10}}}`, "", ""},
		{`{ "users": {"old": {"password": "` + goodHash + `"}}}`, "", ""},
		{`{ "users": {"old": {"password": "!"}}}`, "", ""},
		{`{ "users": {"old": {"password": ""}}}`, "", ""},
		{`{ "users": {"old": {"password_secret": "s", "password_hashed": false}}}`, "", ""},
		{`{"users": {"old": {"gid": 10, "password": "hunter two"}}}`, `{"users":{"old":{"gid":10,"password":"` + hash + `","password_hashed":true}}}`, "/users/old/password"},
		{`{"users": {"old": {"gid": 10, "password": "hunter two", "password_hashed": false}}}`, `{"users":{"old":{"gid":10,"password":"` + hash + `","password_hashed":true}}}`, "/users/old/password"},
	} {
		if c.want == "" {
			c.want = c.options
		}
		got, err := m.Seal(json.RawMessage(c.options), testEpoch)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.options, got, err, c.want)
		}
		if plain := strings.Join(m.Plain(json.RawMessage(c.options)), ","); plain != c.plain {
			t.Errorf("%s: plain is %s", c.options, plain)
		}
		if again, err := m.Seal(got, testEpoch); err != nil || string(again) != string(got) || len(m.Plain(got)) > 0 {
			t.Errorf("%s: sealed twice: %s, %v", c.options, again, err)
		}
	}
	// The step does the same with what is sealed and what is not.
	run := func(options string) string {
		dir := treetest.New(t, accountsTree())
		if _, err := runInput(t, "org.osbuild.users", &module.Input{Tree: dir, Epoch: testEpoch, Options: json.RawMessage(options)}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "etc/shadow"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const options = `{"users": {"old": {"gid": 10, "password": "hunter two"}, "new": {"password": "x y"}}}`
	sealed, err := m.Seal(json.RawMessage(options), testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := run(options), run(string(sealed)); a != b || !strings.Contains(a, "old:"+hashOf(options, "old", "hunter two")+":") {
		t.Errorf("%s\nsealed:\n%s", a, b)
	}
}
