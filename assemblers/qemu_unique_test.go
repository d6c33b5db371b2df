package assemblers

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Identifiers that two parts of a disk have are errors at the second place,
// whatever they belong to.
func TestUniqueIdentifiers(t *testing.T) {
	t.Parallel()
	const (
		a = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
		b = "76A22BF4-F153-4541-B6C7-0332C0DFAEAC" // the same
		c = "0a3b4c5d-1111-4222-8333-444455556666"
	)
	fs := func(more, mountpoint string) string {
		return `"filesystem": {"type": "ext4", "mountpoint": "` + mountpoint + `"` + more + `}`
	}
	part := func(text string) string { return `{"size": 65536, ` + text + `}` }
	for _, tc := range []struct {
		name, pttype string
		parts        []string
		want         map[string]string
	}{
		{"all different", "gpt", []string{part(`"uuid": "` + a + `", ` + fs(`, "uuid": "`+a+`"`, "/")), part(`"uuid": "` + c + `", ` + fs(`, "uuid": "`+c+`"`, "/home"))}, nil},
		{"partitions", "gpt", []string{part(`"uuid": "` + a + `", ` + fs("", "/")), part(`"uuid": "` + b + `", ` + fs("", "/home"))},
			map[string]string{"/partitions/1/uuid": a + " is the PARTUUID of partition 1 too, and the system could not tell them apart: give each its own"}},
		{"file systems", "gpt", []string{part(fs(`, "uuid": "`+a+`"`, "/")), part(fs(`, "uuid": "`+b+`"`, "/home"))},
			map[string]string{"/partitions/1/filesystem/uuid": a + " is the UUID of the file system of / too, and the system could not tell them apart: give each its own"}},
		{"of a DOS partition table", "dos", []string{part(fs(`, "uuid": "`+a+`"`, "/")), part(`"filesystem": {"type": "swap", "uuid": "` + a + `"}`)},
			map[string]string{"/partitions/1/filesystem/uuid": a + " is the UUID of the file system of / too, and the system could not tell them apart: give each its own"}},
		{"FATs", "gpt", []string{part(fs("", "/")), part(`"filesystem": {"type": "vfat", "mountpoint": "/boot/efi", "uuid": "7B77-95E7"}`), part(`"filesystem": {"type": "vfat", "mountpoint": "/data", "uuid": "7b77-95e7"}`)},
			map[string]string{"/partitions/2/filesystem/uuid": "7B77-95E7 is the UUID of the file system of /boot/efi too, and the system could not tell them apart: give each its own"}},
		{"a volume and what is in it", "gpt", []string{part(fs("", "/")), part(`"luks": {"passphrase_secret": "x", "uuid": "` + c + `"}, ` + fs(`, "uuid": "`+c+`"`, "/home"))},
			map[string]string{"/partitions/1/filesystem/uuid": c + " is the UUID of the encrypted volume of partition 2 too, and the system could not tell them apart: give each its own"}},
		{"names of volumes and groups", "gpt", []string{part(fs("", "/")),
			part(`"lvm": {"name": "g", "volumes": [{"name": "v", "size": 8192}, {"name": "v", "size": 8192}]}`), part(`"lvm": {"name": "g", "volumes": [{"name": "w", "size": 40960, ` + fs("", "/srv") + `}]}`)},
			map[string]string{"/partitions/1/lvm/volumes/1/name": "g/v is the name of volume 1 of partition 2 too, and the system could not tell them apart: give each its own",
				"/partitions/2/lvm/name": "g is the name of the volume group of partition 2 too, and the system could not tell them apart: give each its own"}},
		{"mount points of a volume and a partition", "gpt", []string{part(fs("", "/")), part(fs("", "/srv")), part(`"lvm": {"name": "g", "volumes": [{"name": "w", "size": 40960, ` + fs("", "/srv") + `}]}`)},
			map[string]string{"/partitions/2/lvm/volumes/0/filesystem/mountpoint": "/srv is the mount point of partition 2 already"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parts := ""
			for i, p := range tc.parts {
				if i > 0 {
					parts += ","
				}
				parts += p
			}
			got := map[string]string{}
			for _, p := range checkQemu(json.RawMessage(`{"format": "raw", "filename": "disk.raw", "size": 536870912, "pttype": "` + tc.pttype + `", "partitions": [` + parts + `]}`)) {
				got[p.Pointer] = p.Message
			}
			want := tc.want
			if want == nil {
				want = map[string]string{}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
