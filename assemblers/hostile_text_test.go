package assemblers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/hostiletest"
)

// textOptions has for each assembler options in which every text is given that
// goes into a configuration, a command line or a name.
var textOptions = map[string][]string{
	"org.osbuild.qemu": {
		layerOptions,
		`{"format": "raw", "filename": "d", "size": 1073741824, "pttype": "gpt", "ptuuid": "d209c89e-ea5e-4fbd-b161-b461cce297e0",
			"bootloader": {"type": "uki", "kernel_opts": "quiet"}, "partitions": [
			{"size": 1048576, "type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "name": "esp", "filesystem": {"type": "vfat", "label": "EFI", "mountpoint": "/boot/efi"}},
			{"uuid": "d209c89e-ea5e-4fbd-b161-b461cce297e1", "filesystem": {"type": "ext4", "label": "root", "uuid": "d209c89e-ea5e-4fbd-b161-b461cce297e2", "mountpoint": "/"}}]}`,
	},
	"org.osbuild.rawfs":         {`{"filename": "f", "root_fs_uuid": "d209c89e-ea5e-4fbd-b161-b461cce297e0", "size": 1073741824}`},
	"org.osbuild.tar":           {`{"filename": "a.tar.gz", "compression": "gzip"}`},
	"org.osbuild.oci-archive":   {`{"filename": "a.tar", "architecture": "amd64"}`},
	"org.osbuild.ostree.commit": {`{"ref": "a/b", "parent": "` + strings.Repeat("a", 64) + `", "tar": {"filename": "c.tar"}}`},
}

// TestHostileText puts line ends and NUL bytes into every text: none is accepted,
// apart from those that become a text of JSON.
func TestHostileText(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		if m.Internal() || m.Name == "org.osbuild.noop" || m.Name == "org.osbuild.error" {
			continue
		}
		if len(textOptions[m.Name]) == 0 {
			t.Errorf("textOptions has nothing for %s", m.Name)
		}
		for _, options := range textOptions[m.Name] {
			hostiletest.Each(t, &m, options, hostiletest.Lines, func(at, hostile string, _ json.RawMessage) {
				t.Errorf("%s accepts %q at %s", m.Name, hostile, at)
			})
		}
	}
}
