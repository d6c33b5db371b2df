package stages

import (
	"strings"
	"testing"
)

// FuzzBLS reads entries of boot loaders.
func FuzzBLS(f *testing.F) {
	f.Add("title A\nversion 1\nlinux /vmlinuz\ninitrd /a /b\noptions ro quiet\n")
	f.Add("linux\t/vmlinuz\r\noptions\noptions x\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		e := parseBLS("id", text)
		if e.title == "" || len(e.options) > len(text) || strings.ContainsAny(e.linux, "\n") {
			t.Errorf("%+v", e)
		}
	})
}

// FuzzUnit reads units.
func FuzzUnit(f *testing.F) {
	f.Add("[Unit]\nDescription=x\n[Install]\nWantedBy=a.target \\\n# comment\n b.target\nAlias=c.service\n")
	f.Add(strings.Repeat("\\\n", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		size := 0
		for _, line := range unitLines(text) {
			if size += len(line); strings.TrimSpace(line) != line || line == "" {
				t.Errorf("%q", line)
			}
		}
		if size > 2*len(text) {
			t.Errorf("%d bytes of %d", size, len(text))
		}
		(&install{}).parse(text)
	})
}

// TestUnitOfContinuedLines takes a time that grows with the file: lines that go
// on were put together anew for each of them.
func TestUnitOfContinuedLines(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("\\\n", 1<<20) + "x"
	if lines := unitLines(text); len(lines) != 1 || lines[0] != "x" {
		t.Errorf("%d lines", len(lines))
	}
}
