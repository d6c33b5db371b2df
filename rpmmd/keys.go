package rpmmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

// Keys is a set of public keys.
type Keys = pgp.Keys

// Signer says which key signed and when.
type Signer = pgp.Signer

// Key describes one public key.
type Key = pgp.Key

// MaxKeys bounds the text of a set of keys, in bytes.
const MaxKeys = pgp.MaxKeys

// ReadKeys reads public keys, armored or binary, in whatever form gpg and rpm
// read them.
func ReadKeys(data []byte) (*Keys, error) { return pgp.ReadKeys(data) }

// MergeKeys returns the set of the keys of all sets.
func MergeKeys(sets ...*Keys) *Keys { return pgp.Merge(sets...) }

// ParseKeys reads the keys of an option such as "gpgkey": armored text with
// any number of keys.
func ParseKeys(text string) (*Keys, error) {
	keys, err := pgp.ReadKeys([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("gpgkey: %w", err)
	}
	return keys, nil
}

// GPGKey reads one value of the option "gpgkey": the text of keys, or the
// fingerprint of one of the given keys. Given may be nil. No key is ever
// fetched from elsewhere.
func GPGKey(value string, given *Keys) (*Keys, error) {
	if pgp.Armored([]byte(value)) {
		return ParseKeys(value)
	}
	if strings.Contains(value, "://") || strings.HasPrefix(value, "/") {
		return nil, fmt.Errorf("gpgkey: %.200q is an address; keys are not fetched, as nobody would know whose they are: give the key's text", value)
	}
	if given == nil {
		given = &Keys{}
	}
	keys, err := given.Find(value)
	if err != nil {
		return nil, fmt.Errorf("gpgkey: %w", err)
	}
	return keys, nil
}

// ErrNoSuchKey says that a fingerprint is that of none of the given keys.
var ErrNoSuchKey = pgp.ErrNoSuchKey

// ErrNotSigned says that a file has no signature at all.
var ErrNotSigned = pgp.ErrNotSigned

func signatureError(what string, err error) error {
	var unknown *pgp.UnknownKeyError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: %w; give the public key in the option \"gpgkey\"", what, err)
	case errors.Is(err, pgp.ErrNotSigned):
		return fmt.Errorf("%s is not signed: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
