package frontend

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// TestPlainPasswordStaysOut looks for passwords and credentials of a manifest in
// all that BuildKit is given: operations, and the text that they refer to.
func TestPlainPasswordStaysOut(t *testing.T) {
	t.Parallel()
	const text = "\ufeff" + `{
	"args": {"pw": {"type": "string", "default": "hunter-three"}},
	"pipeline": {"stages": [{"name": "org.osbuild.users", "options": {"users": {
		"a": {"password": "hunter-öne"}, "b": {"password": {"$arg": "pw"}},
		"c": { "password" : "hunter-\u0066our" }, "d": {"password": "a\"hunter"}}}}, {"name": "org.osbuild.hostname", "options": {"hostname": "a"}}]},
	"sources": {"org.osbuild.files": {"urls": {"sha256:0000000000000000000000000000000000000000000000000000000000000000": "https://me:hunter-five@example.org/a"}}}
}`
	f := newFake(text)
	if _, err := Build(t.Context(), f, config()); err != nil {
		t.Fatal(err)
	}
	infos := 0
	for _, def := range f.solved {
		all := def.String()
		for _, op := range def.Def {
			all += string(op)
		}
		for _, info := range def.GetSource().GetInfos() {
			if len(info.Data) == 0 {
				continue
			}
			infos++
			got := string(info.Data)
			all += got
			if utf8.RuneCountInString(got) != utf8.RuneCountInString(f.manifest) || strings.Count(got, "\n") != strings.Count(f.manifest, "\n") {
				t.Errorf("characters of the manifest have another place:\n%s", got)
			}
			for _, kept := range []string{`"org.osbuild.users"`, `"hostname": "a"`, `"me:`, "me:xxxxxxxxxxx@example.org", `"a": {"password": xxxxxxxxxxxx}, "b"`, `"$arg"`} {
				if strings.Contains(got, kept) == (kept == `"me:` || kept == `"$arg"`) {
					t.Errorf("%s: it is there, or it is not:\n%s", kept, got)
				}
			}
		}
		if strings.Contains(all, "hunter") || strings.Contains(all, "u0066our") {
			t.Errorf("a password is in %.3000q", all)
		}
	}
	if infos == 0 {
		t.Error("no definition has the text of the manifest")
	}
}

// BenchmarkPublic makes the text of a manifest with 20000 plain passwords, each
// hashed before the text is made.
func BenchmarkPublic(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"stages": [{"name": "org.osbuild.users", "options": {"users": {`)
	for i := range 20000 {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, `"u%d": {"password": "hunter %d"}`, i, i)
	}
	text.WriteString(`}}}]}`)
	m, err := manifest.Load("image.json", []byte(text.String()), catalog.Builtin())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f := &build{m: m, catalog: catalog.Builtin()}
		if got := f.public([]byte(text.String())); strings.Contains(string(got), "hunter") {
			b.Fatal("a password is there")
		}
	}
}

// FuzzPublic hides passwords in texts that are no manifests at all.
func FuzzPublic(f *testing.F) {
	f.Add(`{"a": "hunter", "hunter": 1}`, "hunter")
	f.Add("\"\\u0068unter\"\n\"x\\\"", "hunter")
	f.Add("\ufeff\"a", "a")
	f.Fuzz(func(t *testing.T, text, password string) {
		if !utf8.ValidString(text) || !utf8.ValidString(password) || password == "" {
			return
		}
		line := []rune(text)
		hideValues(line, map[string]bool{password: true})
		if got := string(line); utf8.RuneCountInString(got) != utf8.RuneCountInString(text) || strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q becomes %q", text, got)
		}
		if got := string((&build{}).public([]byte(text))); utf8.RuneCountInString(got) != utf8.RuneCountInString(text) || strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
