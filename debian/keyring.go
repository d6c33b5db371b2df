package debian

import (
	"bytes"
	"embed"
	"io/fs"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

// The keys of Debian's archives, as the package debian-archive-keyring ships
// them. keyring/README.md gives fingerprints and dates.
//
//go:embed keyring/*.asc
var keyringFiles embed.FS

// DefaultKeyring returns the embedded keyring: the archive, security and
// stable release keys of Debian 12 (bookworm) and 13 (trixie), as armored
// blocks one after the other.
func DefaultKeyring() []byte {
	var out bytes.Buffer
	names, _ := fs.Glob(keyringFiles, "keyring/*.asc")
	for _, name := range names {
		data, err := keyringFiles.ReadFile(name)
		if err == nil {
			out.Write(data)
		}
	}
	return out.Bytes()
}

// readKeyring reads public keys, armored (any number of blocks) or binary.
// An empty text means the embedded keyring.
func readKeyring(data []byte) (*pgp.Keys, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = DefaultKeyring()
	}
	return pgp.ReadKeys(data)
}

// CheckKeyring reports whether data can be read as a keyring, and has a key that
// is of a kind and size to be one of an archive.
func CheckKeyring(data []byte) error {
	keys, err := readKeyring(data)
	if err != nil {
		return err
	}
	return keys.Check()
}
