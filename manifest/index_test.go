package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	text := "\ufeff#!/usr/bin/env osbuildkit\r\n" + // line 1
		"# syntax=registry.example.com/osbuildkit/frontend\r\n" + // line 2
		"{\r\n" + // line 3
		"\t\"name\": \"äß😀\", \"stages\": [\r\n" + // line 4
		"  {\"name\": \"org.osbuild.noop\",\r\n" + // line 5
		"   \"options\": {\"a/b~\": [ 1,\t-2.50 ], \"é\": {}}}\r\n" + // line 6
		" ]\r\n" + // line 7
		"}\r\n"
	x := load(t, text).Index
	tests := []struct{ pointer, value, key, member string }{
		{"", "3:1-8:2", "", "3:1-8:2"},
		{"/name", "4:10-4:15", "4:2-4:8", "4:2-4:15"},
		{"/stages", "4:27-7:3", "4:17-4:25", "4:17-7:3"},
		{"/stages/0", "5:3-6:47", "", "5:3-6:47"},
		{"/stages/0/name", "5:12-5:30", "5:4-5:10", "5:4-5:30"},
		{"/stages/0/options", "6:15-6:46", "6:4-6:13", "6:4-6:46"},
		{"/stages/0/options/a~1b~0", "6:24-6:36", "6:16-6:22", "6:16-6:36"},
		{"/stages/0/options/a~1b~0/0", "6:26-6:27", "", "6:26-6:27"},
		{"/stages/0/options/a~1b~0/1", "6:29-6:34", "", "6:29-6:34"},
		{"/stages/0/options/é", "6:43-6:45", "6:38-6:41", "6:38-6:45"},
		{"/stages/1", "", "", ""},
		{"/stages/00", "", "", ""},
		{"/stages/-", "", "", ""},
		{"/name/x", "", "", ""},
		{"name", "", "", ""},
		{"/", "", "", ""},
	}
	show := func(s Span, ok bool) string {
		if !ok {
			return ""
		}
		return fmt.Sprintf("%d:%d-%d:%d", s.Start.Line, s.Start.Column, s.End.Line, s.End.Column)
	}
	for _, test := range tests {
		if got := show(x.Value(test.pointer)); got != test.value {
			t.Errorf("Value(%q) = %s, want %s", test.pointer, got, test.value)
		}
		if got := show(x.Key(test.pointer)); got != test.key {
			t.Errorf("Key(%q) = %s, want %s", test.pointer, got, test.key)
		}
		if got := show(x.Member(test.pointer)); got != test.member {
			t.Errorf("Member(%q) = %s, want %s", test.pointer, got, test.member)
		}
	}
	var none *Index
	if _, ok := none.Value(""); ok {
		t.Error("a nil index knows a value")
	}
}

// Columns of a long line come from marks in between; they must be those that
// plain counting gives.
func TestPositionsOfALongLine(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("aé😀", 1000) + "\n" + strings.Repeat("ß", 3000)
	l := newLines(text)
	line, column := 1, 1
	for offset, r := range text {
		if got := l.position(offset); got != (Position{line, column}) {
			t.Fatalf("offset %d: got %v, want %d:%d", offset, got, line, column)
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	if got := l.position(len(text) + 5); got != (Position{line, column}) {
		t.Errorf("the end: %v, want %d:%d", got, line, column)
	}
}

func TestJoinPointer(t *testing.T) {
	t.Parallel()
	if got := JoinPointer("/a", "b/c", "~", ""); got != "/a/b~1c/~0/" {
		t.Error(got)
	}
}

func TestPreamble(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{}", "\ufeff{}", "#!/x\n{}", "# syntax=x\n{}", "//syntax = x\r\n\n{}", "\ufeff#!/x\n\n// syntax=x\n# check=skip=all\n{}", " \n# syntax=x\n{}",
	} {
		m := load(t, text)
		want := strings.Count(text, "\n") + 1
		if span, ok := m.Index.Value(""); !ok || span.Start.Line != want || string(m.Data) != text {
			t.Errorf("%q: the object begins at %v", text, span.Start)
		}
	}
}
