package debian

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEncodeInstalled(t *testing.T) {
	t.Parallel()
	const status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.3\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n" +
		"Package: base-files\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 13\n"
	sum := strings.Repeat("a", 64)
	list := &PackageList{
		Repositories: []Repository{{Suite: "trixie"}},
		Packages: []Package{
			{Name: "zlib1g", Version: "1:1.3", Architecture: "amd64", Path: "pool/z.deb", File: "z.deb", Size: 1, SHA256: sum},
			{Name: "removed", Version: "1", Architecture: "amd64", Path: "pool/r.deb", File: "r.deb", Size: 1, SHA256: sum},
		},
	}
	data, err := EncodeInstalled([]byte(status), list)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Repositories []Repository
		Packages     []map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Packages) != 2 || len(got.Repositories) != 1 || !strings.HasSuffix(string(data), "}\n") {
		t.Fatalf("%s", data)
	}
	base, zlib := got.Packages[0], got.Packages[1]
	if base["name"] != "base-files" || len(base) != 3 || zlib["path"] != "pool/z.deb" || zlib["sha256"] != sum || zlib["version"] != "1:1.3" {
		t.Errorf("%s", data)
	}
	// All that is installed is known: the list is that of the stages.
	list.Packages = list.Packages[:1]
	data, err = EncodeInstalled([]byte(status[:strings.Index(status, "\n\n")+1]), list)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := list.Encode(); err != nil || string(data) != string(want) {
		t.Errorf("%s\nwant %s (%v)", data, want, err)
	}
	for _, bad := range []string{"Package: ../x\nStatus: a b installed\n", "Package: a\nStatus: a b installed\nVersion: \x01\nArchitecture: all\n", "no field\n"} {
		if _, err := EncodeInstalled([]byte(bad), list); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzEncodeInstalled gives hostile databases: whatever is taken is valid JSON.
func FuzzEncodeInstalled(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if out, err := EncodeInstalled(data, &PackageList{}); err == nil && !json.Valid(out) {
			t.Errorf("%q", out)
		}
	})
}
