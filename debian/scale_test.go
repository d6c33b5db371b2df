package debian

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes f allocates. What grows with the square of
// its input shows here and not in a time, which depends on the machine.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestReadManyLines reads a field of many lines. It does not run beside other
// tests, whose memory would count.
func TestReadManyLines(t *testing.T) {
	const lines = 20000
	text := strings.TrimSuffix(stanza("a", "1", "Depends: b,"+strings.Repeat("\n c (>= 1),", lines)), "\n") + "Provides: d\n"
	var x *Index
	if got := allocated(func() { x = newTestIndex(t, text) }); got > 16<<20 {
		t.Errorf("reading %d bytes allocated %d", len(text), got)
	}
	e := x.Lookup("a")
	if want := len("b,") + lines*len(" c (>= 1),"); len(e.Depends) != want || e.Provides != "d" {
		t.Errorf("Depends has %d bytes, want %d; Provides is %q", len(e.Depends), want, e.Provides)
	}
}

// TestSolveManyConflicts has packages that each exclude many, and virtual
// packages with many providers.
func TestSolveManyConflicts(t *testing.T) {
	const packages, conflicts = 400, 60
	var index strings.Builder
	var names []string
	for i := range packages {
		var excluded []string
		for c := range conflicts {
			excluded = append(excluded, fmt.Sprintf("old%d (<< %d)", (i+c)%packages, c+1))
		}
		name := fmt.Sprintf("p%03d", i)
		names = append(names, name)
		index.WriteString(stanza(name, "1", "Provides: old"+fmt.Sprint(i)+", all", "Conflicts: "+strings.Join(excluded, ", "), "Depends: all"))
	}
	x := newTestIndex(t, index.String())
	got := allocated(func() {
		list, err := x.Solve(Request{Packages: names})
		if err != nil || len(list.Packages) != packages {
			t.Errorf("%v: %v", list, err)
		}
	})
	if got > 64<<20 {
		t.Errorf("solving %d bytes allocated %d", index.Len(), got)
	}
}

// TestSolveFirstConflict names the first two by name, and the relation that
// stands first.
func TestSolveFirstConflict(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, stanza("a", "1", "Breaks: z, virtual, d (<< 1)", "Conflicts: y (<< 2)")+
		stanza("c", "1", "Provides: virtual")+stanza("d", "1")+stanza("y", "1", "Conflicts: a")+stanza("z", "1"))
	_, err := x.Solve(Request{Packages: []string{"a", "c", "d", "y", "z"}})
	if want := "package a 1 conflicts with c (virtual); leave one of them out"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func BenchmarkSolveManyConflicts(b *testing.B) {
	var index strings.Builder
	var names []string
	for i := range 250 {
		var excluded []string
		for c := range 51 {
			excluded = append(excluded, fmt.Sprintf("old%d-%d", i, c))
		}
		name := fmt.Sprintf("p%03d", i)
		names = append(names, name)
		index.WriteString(stanza(name, "1", "Provides: v", "Conflicts: "+strings.Join(excluded, ", ")))
	}
	for b.Loop() {
		if _, err := newTestIndex(b, index.String()).Solve(Request{Packages: names}); err != nil {
			b.Fatal(err)
		}
	}
}
