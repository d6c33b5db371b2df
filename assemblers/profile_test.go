package assemblers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/module"
)

func TestProfileOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]content.Profile{
		"ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n":           content.EL7,
		"ID=\"rhel\"\nVERSION_ID=\"8.10\"\nID_LIKE=\"fedora\"\n":               content.EL8,
		"VERSION_ID='9.4'\nID='rhel'\n":                                        content.EL9,
		"ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.9\"": content.EL8,
		"ID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"7.9\"\n":                  content.EL7,
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"10.0\"\n":  content.EL9,
		"ID=fedora\nVERSION_ID=30\n":                                           content.EL8,
		"ID=fedora\nVERSION_ID=43\n":                                           content.EL9,
		"ID=debian\nVERSION_ID=\"10\"\n":                                       content.EL7,
		"ID=debian\nVERSION_ID=\"13\"\n":                                       content.EL9,
		"ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"20.04\"\n":                    content.EL8,
		"ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"18.04\"\n":                    content.EL7,
		"ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n":      content.EL7,
		"ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n":               content.EL9,
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.3\"": content.EL8,
		"ID=\"opensuse-tumbleweed\"\nVERSION_ID=\"20261101\"\n":                content.EL9,
		"ID=example\nID_LIKE=\"debian\"\nVERSION_ID=2\n":                       content.EL9,
		"ID=debian\n": content.EL9,
		"":            content.EL9,
		"ID=rhel\nVERSION_ID=99999999999999999999\n": content.EL9,
	} {
		if got := profileOf(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestParseProfile(t *testing.T) {
	t.Parallel()
	if _, err := content.ParseProfile("el6"); err == nil || err.Error() != `unknown file system profile "el6": use el7, el8, el9` {
		t.Error(err)
	}
}

// TestProfileOfTree makes images of trees of several systems: the superblocks
// have what the system can read, and an option overrides it.
func TestProfileOfTree(t *testing.T) {
	t.Parallel()
	const xfsRO, xfsIncompat, ext4RO = 212, 216, 1024 + 0x64
	for _, tc := range []struct {
		release, option string
		xfsRO, incompat uint32
		ext4RO          uint32
	}{
		{"ID=centos\nVERSION_ID=7\n", "", 0, 1, 0x7b},
		{"ID=rhel\nVERSION_ID=8.9\n", "", 5, 3, 0x46b},
		{"ID=debian\nVERSION_ID=13\n", "", 0xd, 0xb, 0x46b},
		{"ID=debian\nVERSION_ID=13\n", "el8", 5, 3, 0x46b},
		{"ID=centos\nVERSION_ID=7\n", "el9", 0xd, 0xb, 0x46b},
	} {
		tree := smallTree(t)
		if err := errors.Join(os.MkdirAll(filepath.Join(tree, "etc"), 0o755), os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte(tc.release), 0o600)); err != nil {
			t.Fatal(err)
		}
		head := func(kind string) []byte {
			out := t.TempDir()
			options := map[string]any{"filename": "fs", "root_fs_uuid": "76a22bf4-f153-4541-b6c7-0332c0dfaeac", "size": 128 << 20, "fs_type": kind}
			if tc.option != "" {
				options["profile"] = tc.option
			}
			text, err := json.Marshal(options)
			if err != nil {
				t.Fatal(err)
			}
			if err := module.Find(Modules(), "org.osbuild.rawfs").Run(t.Context(), &module.Input{Tree: tree, OutputDir: out, Epoch: 1, Options: text, Log: io.Discard}); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(filepath.Join(out, "fs"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, 4096)
			if _, err := io.ReadFull(f, b); err != nil {
				t.Fatal(err)
			}
			return b
		}
		x, e := head("xfs"), head("ext4")
		got := []uint32{binary.BigEndian.Uint32(x[xfsRO:]), binary.BigEndian.Uint32(x[xfsIncompat:]), binary.LittleEndian.Uint32(e[ext4RO:])}
		if want := []uint32{tc.xfsRO, tc.incompat, tc.ext4RO}; !slices.Equal(got, want) {
			t.Errorf("%q with profile %q: features %#x, want %#x", tc.release, tc.option, got, want)
		}
	}
}
