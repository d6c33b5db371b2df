package image

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestCheckVMDK(t *testing.T) {
	t.Parallel()
	embedded := func(text string) string {
		b := make([]byte, 1024+len(text))
		copy(b, "KDMV")
		binary.LittleEndian.PutUint64(b[28:], 2)
		binary.LittleEndian.PutUint64(b[36:], 20)
		copy(b[1024:], text)
		return string(b)
	}
	const head = "# Disk DescriptorFile\nversion=1\n"
	for _, c := range []struct{ text, want string }{
		{head + "parentCID=ffffffff\nRW 100 FLAT \"disk-flat.vmdk\" 0\nddb.x = \"/y\"\n", ""},
		{head + "parentCID = FFFFFFFF\nRW 100 ZERO\n", ""},
		{head + "parentCID=12345678\n", "has a parent"},
		{head + "parentFileNameHint=\"base.vmdk\"\n", "has a parent"},
		{head + "RW 100 FLAT \"/etc/shadow\" 0\n", `the file "/etc/shadow"`},
		{head + "RDONLY 100 FLAT \"../x\" 0\n", `the file "../x"`},
		{head + "  RW 100 FLAT \"json:{}\" 0\n", `the file "json:{}"`},
		{embedded(head + "RW 100 SPARSE \"disk.vmdk\"\n"), ""},
		{embedded(head + "RW 100 FLAT \"/dev/sda\" 0\n"), "/dev/sda"},
		{"KDMV", "unexpected EOF"},
	} {
		err := checkVMDK(bytes.NewReader([]byte(c.text)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.text[:min(40, len(c.text))], err, c.want)
		}
		if c.want != "" {
			if _, err := Open(t.Context(), write(t, "disk.vmdk", []byte(c.text))); err == nil {
				t.Errorf("%q is opened", c.text[:min(40, len(c.text))])
			}
		}
	}
}
