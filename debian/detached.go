package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

var errNoIndex = errors.New("the release file lists no file Packages beside it, compressed with xz, gzip, zstd, bzip2 or not at all")

// MaxSignature bounds a file Release.gpg, in bytes.
const MaxSignature = 1 << 20

// ParseSignedRelease is ParseInRelease for repositories that have two files in
// the place of InRelease: the text, Release, and its signature, Release.gpg,
// which is armored or binary.
func ParseSignedRelease(text, signature, keyring []byte) (*Release, error) {
	if len(text) > MaxInRelease {
		return nil, fmt.Errorf("the Release file is larger than %d MiB", MaxInRelease>>20)
	}
	if len(signature) > MaxSignature {
		return nil, fmt.Errorf("the signature Release.gpg is larger than %d MiB", MaxSignature>>20)
	}
	keys, err := readKeyring(keyring)
	if err != nil {
		return nil, err
	}
	sigs, err := pgp.Dearmor(signature)
	if err != nil {
		return nil, fmt.Errorf("the signature Release.gpg: %w", err)
	}
	signer, err := keys.VerifyText(sigs, func() io.Reader { return bytes.NewReader(text) })
	var unknown *pgp.UnknownKeyError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("the Release file is signed by %s, and the keyring has no such key; give the repository's public key in the option \"keyring\"", strings.Join(unknown.IDs, " and "))
	}
	if err != nil {
		return nil, fmt.Errorf("the Release file: %w", err)
	}
	rel, err := parseRelease(text)
	if err != nil {
		return nil, fmt.Errorf("the Release file: %w", err)
	}
	rel.signed(signer)
	return rel, nil
}
