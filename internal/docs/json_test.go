package docs

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/cli"
	"github.com/osbuildkit/osbuildkit/module"
)

// template makes a manifest of a fragment that a page shows: FRAGMENT stands for it,
// and SOURCES for sources that have all that it refers to.
type template struct{ page, text string }

const (
	debian = `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}`
	esp    = `{"size": 131072, "filesystem": {"type": "vfat", "uuid": "7B77-95E7", "mountpoint": "/boot/efi"}}`
	ext4   = `{"size": 2097152, "filesystem": {"type": "ext4", "uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "mountpoint": "/"}}`
	disk   = `{"stages": [], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": "disk.raw", `
	large  = disk + `"size": 17179869184, "pttype": "gpt", "ptuuid": "0a3b4c5d-1111-4222-8333-444455556666", `
)

// templates are tried in their order; a fragment has to be right in one.
var templates = []template{
	{"", `{"stages": [FRAGMENT]}`},
	{"", `{"assembler": FRAGMENT}`},
	{"", `{FRAGMENT, "stages": []}`},
	{"", `{"stages": [` + debian + `, FRAGMENT]}`},
	{"docs/modules/", `{"pipeline": {"stages": [FRAGMENT]}, "sources": SOURCES}`},
	{"docs/", disk + `"ptuuid": "0a3b4c5d-1111-4222-8333-444455556666", FRAGMENT}}}`},
	{"docs/", disk + `"pttype": "gpt", "ptuuid": "0a3b4c5d-1111-4222-8333-444455556666", FRAGMENT}}}`},
	{"docs/", disk + `"root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", FRAGMENT}}}`},
	{"docs/", large + `FRAGMENT}}}`},
	{"docs/", large + `"partitions": [` + esp + `, ` + ext4 + `], FRAGMENT}}}`},
	{"docs/disks.md", large + `"partitions": [` + ext4 + `, FRAGMENT]}}}`},
	{"docs/disks.md", large + `"partitions": [` + esp + `, FRAGMENT], "bootloader": {"type": "uki"}}}}`},
	{"docs/rpm.md", `{"stages": [{"name": "org.osbuild.dnf", "options": {"releasever": "9", "packages": ["bash"], "repos": [FRAGMENT]}}]}`},
	{"docs/sources/", `{"pipeline": {"stages": []}, FRAGMENT}`},
}

// fill makes a manifest of a fragment.
func (x template) fill(fragment string) string {
	urls, commits := map[string]string{}, map[string]any{}
	for _, m := range regexp.MustCompile(`"((?:sha256:)?[0-9a-f]{64})"`).FindAllStringSubmatch(fragment, -1) {
		if strings.Contains(m[1], ":") {
			urls[m[1]] = "https://example.com/" + m[1]
		} else {
			commits[m[1]] = map[string]any{"remote": map[string]string{"url": "https://example.com/repo"}}
		}
	}
	sources, _ := json.Marshal(map[string]any{ // texts alone
		"org.osbuild.curl": map[string]any{"urls": urls}, "org.osbuild.ostree": map[string]any{"commits": commits},
	})
	text := strings.NewReplacer("FRAGMENT", fragment, "SOURCES", string(sources)).Replace(x.text)
	if strings.Contains(text, `"args":`) {
		return text
	}
	// An argument that it refers to is declared elsewhere on the page.
	args := map[string]any{}
	for _, m := range regexp.MustCompile(`"\$arg": "(\w+)"|\$\{(\w+)\}`).FindAllStringSubmatch(fragment, -1) {
		args[m[1]+m[2]] = map[string]string{"type": "string"}
	}
	if len(args) == 0 {
		return text
	}
	declared, _ := json.Marshal(args) // as above
	return `{"args": ` + string(declared) + `, ` + text[1:]
}

// argValues are the values of arguments that examples declare without a default.
var argValues = map[string]string{
	"host": "web1", "SSH_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQpH3SFPS9bKYt1gXE9IWNbWn4jAWsy8JxVl9YDDQfM",
}

// makeContext makes the files that stages copy from the context, so that they are
// found beside the manifest.
func makeContext(t *testing.T, dir, text string) {
	t.Helper()
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				visit(x)
			}
		case map[string]any:
			if source, ok := v["source"].(map[string]any); ok && source["type"] == "context" {
				base, _ := source["path"].(string)
				list, _ := v["paths"].([]any)
				for _, x := range list {
					at, _ := x.(map[string]any)
					from, _ := at["from"].(string)
					makeFile(t, filepath.Join(dir, base), from)
				}
			}
			for _, x := range v {
				visit(x)
			}
		}
	}
	var doc any
	if json.Unmarshal([]byte(text), &doc) == nil {
		visit(doc)
	}
}

// makeFile makes a file below a directory, or in the one that the name means.
func makeFile(t *testing.T, base, name string) {
	t.Helper()
	full := filepath.Join(base, name)
	if strings.HasSuffix(name, "/") {
		full = filepath.Join(full, "file")
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// shortened matches keys that a page does not show in full. A fingerprint takes
// their place.
var shortened = regexp.MustCompile(`"gpgkey": "[^"]*…"`)

// libdir makes a directory with the modules of one's own that pages have: with the
// description that the page about them shows, or without any.
func libdir(t *testing.T, described bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "libdir")
	if err := os.MkdirAll(filepath.Join(dir, "stages"), 0o755); err != nil {
		t.Fatal(err)
	}
	const script = "#!/bin/sh\n"
	files := map[string]string{"org.example.fetch": script, "org.example.fetch.json": `{"network": true}`, "org.example.motd": script}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if described && isDescription(b) {
				files["org.example.motd.json"] = b.text
			}
		}
	}
	if described && len(files) != 4 {
		t.Fatal("docs/modules-of-your-own.md has no description of a module any more")
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "stages", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// isDescription tells the description of a module of one's own from a manifest.
func isDescription(b block) bool {
	return b.page == "docs/modules-of-your-own.md" && b.language == "json" && strings.Contains(b.text, `"summary"`)
}

// checked is what "osbuildkit check --json" says of a text.
type checked struct {
	Success  bool
	Warnings []struct{ Rule string }
	Error    struct{ Message string }
}

// check gives a text to the checker.
func check(t *testing.T, dir, text string) checked {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.json")
	makeContext(t, filepath.Dir(file), text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"check", "--json", "--libdir", dir}
	var declared struct {
		Args map[string]struct{ Default any }
	}
	_ = json.Unmarshal([]byte(text), &declared) // text with lines before the JSON declares none
	for name, a := range declared.Args {
		if a.Default == nil && argValues[name] != "" {
			args = append(args, "--build-arg", name+"="+argValues[name])
		}
	}
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), append(args, file), strings.NewReader(""), &out, &errs)
	var c checked
	if err := json.Unmarshal(out.Bytes(), &c); err != nil || c.Success != (code == 0) {
		t.Fatalf("%d, %v, %s, %s", code, err, out.String(), errs.String())
	}
	c.Error.Message = strings.ReplaceAll(c.Error.Message, file, "image.json")
	return c
}

// TestExamples gives every JSON example to the checker.
func TestExamples(t *testing.T) {
	t.Parallel()
	dirs, n := map[bool]string{true: libdir(t, true), false: libdir(t, false)}, 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			switch {
			case b.language == "jsonc":
				if !json.Valid([]byte(b.text)) { // a file of another program
					t.Errorf("%s: no JSON", b)
				}
				continue
			case b.language != "json" || isDescription(b) || excepted(b.page, strings.TrimSpace(b.text)):
				continue
			}
			n++
			t.Run(b.String(), func(t *testing.T) {
				t.Parallel()
				if err := b.check(t, dirs[!strings.HasPrefix(b.page, "docs/lint/")]); err != "" {
					t.Errorf("%s\n%s", err, b.text)
				}
			})
		}
	}
	if n < 100 {
		t.Errorf("only %d examples were found", n)
	}
}

// check returns what is wrong with an example.
func (b block) check(t *testing.T, dir string) string {
	rule := strings.TrimSuffix(filepath.Base(b.page), ".md")
	good := b.before != "Bad:"
	b.text = shortened.ReplaceAllString(b.text, `"gpgkey": "`+strings.Repeat("0123456789", 4)+`"`)
	got := check(t, dir, b.text)
	whole := json.Valid([]byte(b.text)) && isManifest(b.text)
	switch {
	case strings.HasPrefix(b.page, "docs/lint/") && rule != "README":
		var rules []string
		for _, w := range got.Warnings {
			rules = append(rules, w.Rule)
		}
		switch {
		case !got.Success:
			return got.Error.Message
		case good && len(rules) > 0:
			return "the good example has findings: " + strings.Join(rules, ", ")
		case !good && !slices.Equal(rules, []string{rule}):
			return "the bad example does not have the one finding, but: " + strings.Join(rules, ", ")
		}
		return ""
	case got.Success && (whole || !json.Valid([]byte(b.text))):
		return ""
	case whole:
		return got.Error.Message
	}
	fragment := strings.TrimSuffix(strings.TrimSpace(b.text), ",")
	message := got.Error.Message
	for _, x := range templates {
		if !strings.HasPrefix(b.page, x.page) {
			continue
		}
		text := x.fill(fragment)
		if !json.Valid([]byte(text)) {
			continue
		}
		got := check(t, dir, text)
		if got.Success {
			return ""
		}
		message += "\n" + got.Error.Message
	}
	return message
}

// isManifest tells a manifest from a part of one: it has a key that only manifests
// have.
func isManifest(text string) bool {
	var top map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &top) != nil {
		return false
	}
	for _, key := range []string{"stages", "pipeline", "assembler", "syntax", "sources"} {
		if _, ok := top[key]; ok && top["name"] == nil || key == "stages" && ok {
			return true
		}
	}
	return false
}

// TestKeysInSentences looks for the keys of JSON that sentences name, and for the
// modules that stand in it.
func TestKeysInSentences(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([^"]+)": *[{\[]`).FindAllStringSubmatch(readFile(t, "schema/osbuildkit.schema.json"), -1) {
		known[m[1]] = true
	}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range builtin.Names(kind) {
			known[name] = true
		}
	}
	n := 0
	for _, p := range pages(t) {
		for _, s := range p.spans {
			if !strings.HasPrefix(s.text, "{") && !strings.HasPrefix(s.text, `"`) || !strings.Contains(s.text, `":`) {
				continue
			}
			for _, m := range regexp.MustCompile(`"([^"]+)":`).FindAllStringSubmatch(s.text, -1) {
				n++
				if !known[m[1]] && !source(t).strings[m[1]] && !excepted(s.page, s.text) {
					t.Errorf("%s: %s: there is no key %q", s, s.text, m[1])
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d keys were found", n)
	}
}

var (
	messageLine = regexp.MustCompile(`^\S+:(\d+):(\d+): (.*)$`)
	sourceLine  = regexp.MustCompile(`^ *(\d+) \| (.*)$`)
	markLine    = regexp.MustCompile(`^ *\| ( *)(\^+)$`)
)

// TestExcerpts looks at messages that pages show with the line that they are about:
// the line, the column and the marks have to agree.
func TestExcerpts(t *testing.T) {
	t.Parallel()
	n := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			lines := strings.Split(b.text, "\n")
			for i := 0; i+2 < len(lines); i++ {
				m, s, k := messageLine.FindStringSubmatch(lines[i]), sourceLine.FindStringSubmatch(lines[i+1]), markLine.FindStringSubmatch(lines[i+2])
				if m == nil || s == nil || k == nil {
					continue
				}
				n++
				column := len(k[1]) + 1
				end := min(column-1+len(k[2]), len(s[2]))
				marked := s[2][min(column-1, end):end]
				if m[1] != s[1] || m[2] != strconv.Itoa(column) || !strings.Contains(m[3], marked) {
					t.Errorf("%s: the message says %s:%s, the marks are at %s:%d under %s", b, m[1], m[2], s[1], column, marked)
				}
			}
		}
	}
	if n == 0 {
		t.Error("no message is shown with its line")
	}
}
