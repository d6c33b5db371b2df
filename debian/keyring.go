package debian

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// The keys of Debian's archives, as the package debian-archive-keyring ships
// them. keyring/README.md gives fingerprints and dates.
//
//go:embed keyring/*.asc
var keyringFiles embed.FS

// maxKeyring bounds the text of a keyring.
const maxKeyring = 4 << 20

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
func readKeyring(data []byte) (openpgp.EntityList, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = DefaultKeyring()
	}
	if len(data) > maxKeyring {
		return nil, fmt.Errorf("the keyring is larger than %d MiB", maxKeyring>>20)
	}
	var keys openpgp.EntityList
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	text := string(data)
	if !strings.Contains(text, begin) {
		list, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("the keyring is neither armored nor a binary OpenPGP keyring: %w", err)
		}
		keys = list
	}
	for i, block := range strings.Split(text, begin) {
		if i == 0 {
			continue // what stands before the first block
		}
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + block))
		if err != nil {
			return nil, fmt.Errorf("block %d of the keyring: %w", i, err)
		}
		keys = append(keys, list...)
	}
	if len(keys) == 0 {
		return nil, errors.New("the keyring holds no key")
	}
	return keys, nil
}

// CheckKeyring reports whether data can be read as a keyring.
func CheckKeyring(data []byte) error {
	_, err := readKeyring(data)
	return err
}
