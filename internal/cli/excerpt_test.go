package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// TestExcerptsInAnyOrder shows places of files, in any order, as they are shown one by one.
func TestExcerptsInAnyOrder(t *testing.T) {
	t.Parallel()
	long := []byte("\ufeff{\n" + strings.Repeat("é", 1000) + "x" + strings.Repeat("y", 1000) + "\r\n\tz\x1b[2J\u009b1m\n")
	span := func(line, from, to int) manifest.Span {
		return manifest.Span{Start: manifest.Position{Line: line, Column: from}, End: manifest.Position{Line: line, Column: to}}
	}
	cut := strings.Repeat("é", 40) + "x" + strings.Repeat("y", 119)
	tests := []struct {
		span manifest.Span
		want string
	}{
		{span(2, 1001, 1002), fmt.Sprintf("     2 | %s\n       | %s^\n", cut, strings.Repeat(" ", 40))},
		{span(2, 1001, 5000), fmt.Sprintf("     2 | %s\n       | %s%s\n", cut, strings.Repeat(" ", 40), strings.Repeat("^", 120))},
		{span(2, 2, 4), fmt.Sprintf("     2 | %s\n       |  ^^\n", strings.Repeat("é", 160))},
		{span(3, 2, 3), "     3 | \tz\ufffd[2J\ufffd1m\n       | \t^\n"},
		{span(1, 1, 2), "     1 | {\n       | ^\n"},
		{span(9, 1, 2), ""},
		{span(3, 2, 3), "     3 | \tz\ufffd[2J\ufffd1m\n       | \t^\n"},
	}
	var out bytes.Buffer
	a := &app{stderr: &out}
	for _, tt := range tests {
		out.Reset()
		a.excerpt(long, tt.span)
		if got := out.String(); got != tt.want {
			t.Errorf("%v:\n%q, want\n%q", tt.span, got, tt.want)
		}
	}
}
