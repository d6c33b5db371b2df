package rpmmd

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEncodeInstalled(t *testing.T) {
	t.Parallel()
	const inventory = "vim\t2\t9.1\t1.fc43\tx86_64\tVim\nbash\t0\t5.2\t1.fc43\tx86_64\tGPLv3+\n" +
		"gpg-pubkey\t0\t31645531\t66b6dccf\t(none)\tpubkey\n"
	list := &PackageList{Database: "/usr/lib/sysimage/rpm", Packages: []Package{
		{Name: "vim", Epoch: 2, Version: "9.1", Release: "1.fc43", Arch: "x86_64", Location: "v/vim.rpm", File: "vim.rpm", Size: 1, SHA256: strings.Repeat("a", 64)},
		{Name: "vim", Version: "9.0", Release: "1.fc43", Arch: "x86_64", Location: "v/old.rpm", File: "old.rpm", Size: 1, SHA256: strings.Repeat("b", 64)},
	}}
	data, err := EncodeInstalled([]byte(inventory), list)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Database string
		Packages []map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Packages) != 2 || got.Database == "" || got.Packages[0]["name"] != "bash" || len(got.Packages[0]) != 4 ||
		got.Packages[1]["location"] != "v/vim.rpm" {
		t.Errorf("%s", data)
	}
	for _, bad := range []string{"a\t0\t1\n", "a\tx\t1\t1\tx86_64\n", "../a\t0\t1\t1\tx86_64\n"} {
		if _, err := EncodeInstalled([]byte(bad), list); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzEncodeInstalled gives hostile inventories: whatever is taken is valid JSON.
func FuzzEncodeInstalled(f *testing.F) {
	f.Add([]byte("bash\t0\t5.2\t1.fc43\tx86_64\tGPLv3+\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if out, err := EncodeInstalled(data, &PackageList{}); err == nil && !json.Valid(out) {
			t.Errorf("%q", out)
		}
	})
}
