package manifest

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func loadBad(t *testing.T, c badCase) Errors {
	t.Helper()
	var options []Option
	if c.env != "" {
		options = append(options, WithBuildEnv("env.json", []byte(c.env)))
	}
	m, err := Load("a.json", []byte(c.manifest), testCatalog, options...)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) == 0 || m != nil {
		t.Fatalf("got %v and the error %v of type %T", m, err, err)
	}
	return errs
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for i := range badCases {
		c := badCases[i]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := loadBad(t, c).Error()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	text := `{"name": "` + strings.Repeat("x", MaxSize) + `"}`
	got := loadBad(t, badCase{manifest: text}).Error()
	want := "a.json:1:1: the file has 16777228 bytes; the limit is 16777216 (16 MiB); split it, or let a source carry the large part"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A hostile file has its errors counted and its reading bounded, and which ones
// are shown does not depend on the order of a map.
func TestManyErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []badCase{
		{name: "stages", manifest: `{"stages": [` + strings.Repeat("1,", 50_000) + `1]}`},
		{name: "keys", manifest: `{` + numbered(50_000) + `"a": 1}`},
		{name: "duplicates", manifest: `{` + strings.Repeat(`"a": 1,`, 50_000) + `"a": 1}`},
		{name: "options", manifest: hostnameStage(`{` + numbered(20_000) + `"hostname": "x"}`)},
		{name: "elements", manifest: hostnameStage(`{"hostname": "x", "aliases": [` + strings.Repeat("1,", 20_000) + `1]}`)},
		{name: "values", manifest: `[` + strings.Repeat("1,", maxValues) + `1]`},
		{name: "depth", manifest: strings.Repeat(`{"a":`, 1_000_000)},
		{name: "digits", manifest: `[` + strings.Repeat("1", 1_000_000) + `]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			first, second := loadBad(t, c), loadBad(t, c)
			if first.Error() != second.Error() {
				t.Error("two runs report different errors")
			}
			if len(first) > maxErrors {
				t.Errorf("%d errors", len(first))
			}
			if len(first) == maxErrors && !strings.HasSuffix(first.Error(), ": more than 99 errors; the others are not shown") {
				t.Errorf("the last error is %q", first[maxErrors-1])
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"k` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strconv.Itoa(i) + `": 1, `)
	}
	return b.String()
}

func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	_, err := Load("a.json", []byte(`{"stages": [1]}`), testCatalog)
	var one *Error
	if !errors.As(err, &one) {
		t.Fatalf("no *Error in %v", err)
	}
	want := Span{Start: Position{1, 13}, End: Position{1, 14}}
	if one.Span != want || one.Position != want.Start || one.Pointer != "/stages/0" || one.File != "a.json" {
		t.Errorf("got %+v", one)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"org.osbuild.hostname", "org.osbuild.systemd", "org.osbuild.users", "org.osbuild.qemu", "stages", "build", "base"}
	for name, want := range map[string]string{
		"":                        "",
		"stage":                   "stages",
		"Stages":                  "stages",
		"buidl":                   "build",
		"bsae":                    "base",
		"x":                       "",
		"systemd":                 "org.osbuild.systemd",
		"sytemd":                  "org.osbuild.systemd",
		"org.osbuild.sytemd":      "org.osbuild.systemd",
		"org.osbuild.user":        "org.osbuild.users",
		"org.osbuild.selinux":     "",
		"org.osbuild.qcow":        "",
		strings.Repeat("x", 5000): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%.30q) = %q, want %q", name, got, want)
		}
	}
	if got := Nearest("ab", nil); got != "" {
		t.Errorf("without candidates: %q", got)
	}
}
