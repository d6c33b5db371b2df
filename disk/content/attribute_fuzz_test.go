package content

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// A list of a hostile tree is refused or one that a file system takes: it is read
// again as it is written. Capabilities become no more than they were.
func FuzzAttributes(f *testing.F) {
	f.Add(EncodeACL([]ACLEntry{{aclUserObj, 7, 0}, {aclUser, 5, 1000}, {aclGroupObj, 5, 0}, {aclMask, 7, 0}, {aclOther, 4, 0}}), uint32(unix.S_IFREG|0o750))
	f.Add(EncodeACL([]ACLEntry{{aclUserObj, 7, 0}, {aclGroupObj, 5, 0}, {aclOther, 4, 0}}), uint32(unix.S_IFDIR|0o755))
	f.Add([]byte{2, 0, 0, 0}, uint32(unix.S_IFDIR))
	f.Add([]byte("\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe8\x03\x00\x00"), uint32(unix.S_IFREG))
	f.Add([]byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), uint32(unix.S_IFREG))
	f.Fuzz(func(t *testing.T, value []byte, mode uint32) {
		given := bytes.Clone(value)
		for _, access := range []bool{true, false} {
			list, err := ParseACL(value, mode, access)
			if err != nil || len(list) == 0 {
				continue
			}
			again, err := ParseACL(EncodeACL(list), mode, access)
			if err != nil || !bytes.Equal(EncodeACL(again), EncodeACL(list)) {
				t.Errorf("%x, mode %o: %v becomes %v, %v", value, mode, list, again, err)
			}
		}
		plain := PlainCapability(value)
		if len(plain) > len(value) || len(plain) != len(value) && len(plain) != 20 {
			t.Errorf("%x becomes %x", value, plain)
		}
		if again := PlainCapability(plain); !bytes.Equal(again, plain) {
			t.Errorf("%x becomes %x, and then %x", value, plain, again)
		}
		if !bytes.Equal(given, value) {
			t.Errorf("%x was changed to %x", given, value)
		}
	})
}
