package packages

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestUnpackManyFiles unpacks packages of many files with long names, of which
// one replaces the other's, and all are configuration files. What it allocates
// grows with the packages and not with their square. It does not run beside
// other tests, whose memory would count.
func TestUnpackManyFiles(t *testing.T) {
	const files = 4000
	long := "./" + strings.Repeat("d", 200) + "/"
	old := testDeb{name: "a", data: []entry{dir(long)}}
	var conf strings.Builder
	for i := range files {
		name := fmt.Sprintf("%s%s%d", long, strings.Repeat("f", 200), i)
		old.data = append(old.data, file(name, ""))
		conf.WriteString(name[1:] + "\n")
	}
	old.info = []entry{file("./conffiles", conf.String())}
	replacing := testDeb{name: "b", extra: "Replaces: a\n", info: old.info, data: old.data}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	root, err := unpackTest(t, testOptions(), old, replacing)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<30 {
		t.Errorf("%d files allocated %d MiB", files, got>>20)
	}
	if got, want := strings.Count(read(t, root, "var/lib/dpkg/info/b.list"), "\n"), files+2; got != want {
		t.Errorf("the package has %d entries, want %d", got, want)
	}
	if got, want := strings.Count(read(t, root, "var/lib/dpkg/info/a.list"), "\n"), 2; got != want {
		t.Errorf("the replaced package has %d entries, want %d", got, want)
	}
}
