package ext4

import "github.com/osbuildkit/osbuildkit/disk/content"

// storeACL turns an access control list from the form of the system calls into
// that of ext4, which has ids only where they mean something. nil is a list
// that says no more than the mode.
func storeACL(value []byte, mode uint16, access bool) ([]byte, error) {
	const diskVersion = 1
	list, err := content.ParseACL(value, uint32(mode), access)
	if list == nil {
		return nil, err
	}
	out := le.AppendUint32(nil, diskVersion)
	for _, e := range list {
		out = le.AppendUint16(le.AppendUint16(out, e.Tag), e.Perm)
		if e.Named() {
			out = le.AppendUint32(out, e.ID)
		}
	}
	return out, nil
}
