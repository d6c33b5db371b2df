package pgp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxKeys bounds the text of a keyring, in bytes, and so the length of its
// lines.
const MaxKeys = 4 << 20

// Keys is a set of public keys.
type Keys struct {
	certs []*certificate
}

// ReadKeys reads public keys: an armored text with any number of blocks, each
// of any number of keys, in whatever form gpg and rpm read it; or binary ones.
// Of a key that stands there twice the copies are one key.
//
// What the signatures on a key say is looked at when the key has signed
// something: that it has expired, is revoked or too short is an error then.
func ReadKeys(data []byte) (*Keys, error) {
	if len(data) > MaxKeys {
		return nil, fmt.Errorf("the keyring is larger than %d MiB", MaxKeys>>20)
	}
	if hasBlock(data, privateKeyBlock) {
		return nil, errPrivate
	}
	var all []*certificate
	if !Armored(data) {
		certs, err := readCertificates(data)
		if errors.Is(err, errPrivate) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("the keyring is neither armored nor a binary OpenPGP keyring: %w", err)
		}
		all = certs
	}
	blocks, err := dearmor(data, publicKeyBlock, "keyring")
	if err != nil {
		return nil, err
	}
	count := 0
	for i, b := range blocks {
		certs, err := readCertificates(b)
		if errors.Is(err, errPrivate) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of the keyring: %w", i+1, err)
		}
		all = append(all, certs...)
		if count += countKeys(certs); count > maxPublicKeys {
			return nil, fmt.Errorf("the keyring has more than %d keys", maxPublicKeys)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the keyring holds no key")
	}
	return unite(all), nil
}

func countKeys(certs []*certificate) int {
	n := 0
	for _, c := range certs {
		n += 1 + len(c.subkeys)
	}
	return n
}

// unite returns the set of keys of which there may be several copies.
func unite(certs []*certificate) *Keys {
	copies := map[string][]*certificate{}
	var order []string
	for _, c := range certs {
		id := string(c.primary.fingerprint)
		if copies[id] == nil {
			order = append(order, id)
		}
		if !slices.Contains(copies[id], c) {
			copies[id] = append(copies[id], c)
		}
	}
	out := &Keys{}
	for _, id := range order {
		out.certs = append(out.certs, merge(copies[id]))
	}
	return out
}

// Len returns the number of keys.
func (k *Keys) Len() int { return len(k.certs) }

// Fingerprints lists the fingerprints of the primary keys, in hex, in the
// order of the text that they were read from.
func (k *Keys) Fingerprints() []string {
	out := make([]string, 0, len(k.certs))
	for _, c := range k.certs {
		out = append(out, c.fingerprint())
	}
	return out
}

// Key describes one key.
type Key struct {
	// Fingerprint is that of the primary key, in hex.
	Fingerprint string
	// Algorithm is the name of that of the primary key.
	Algorithm string
	// Version is that of the format of the key: those newer than 4 are read by
	// the newest programs only.
	Version int
	// Expires is when the key stops being valid; it is zero if it never does.
	Expires time.Time
	// Problem says why nothing that the key signs is good, or is nil.
	Problem error
}

// List describes the keys in the order of the text that they were read from.
func (k *Keys) List() []Key {
	out := make([]Key, 0, len(k.certs))
	for _, c := range k.certs {
		b := c.binding(c.primary)
		out = append(out, Key{
			Fingerprint: c.fingerprint(), Algorithm: algorithmName(c.primary.algorithm), Version: c.primary.version,
			Expires: b.until, Problem: b.problem,
		})
	}
	return out
}

// Check reports that none of the keys can have signed anything that counts, by
// their kinds and sizes alone: what they say of themselves is not looked at.
func (k *Keys) Check() error {
	var problem error
	for _, c := range k.certs {
		if c.primary.problem == nil {
			return nil
		}
		if problem == nil {
			problem = fmt.Errorf("key %s: %w", c.fingerprint(), c.primary.problem)
		}
	}
	return problem
}

// Split returns each key as a set of its own.
func (k *Keys) Split() []*Keys {
	out := make([]*Keys, 0, len(k.certs))
	for _, c := range k.certs {
		out = append(out, &Keys{certs: []*certificate{c}})
	}
	return out
}

// Has reports whether a key, or a subkey, has the given key id.
func (k *Keys) Has(id uint64) bool { return len(k.byID(id)) > 0 }

// candidate is a key that may have made a signature.
type candidate struct {
	cert *certificate
	key  *publicKey
}

func (k *Keys) byID(id uint64) []candidate {
	var out []candidate
	for _, c := range k.certs {
		for _, key := range c.keys() {
			if key.id == id {
				out = append(out, candidate{c, key})
			}
		}
	}
	return out
}

// ErrNoSuchKey says that a fingerprint is that of no key of a set.
var ErrNoSuchKey = errors.New("there is no key")

// Find returns the set of the one key that has the fingerprint, or that has a
// subkey with it: 40 or 64 hex digits, in groups or not, or the 16 that are its
// key id. The old short form of eight digits is refused: anybody can make a key
// with given eight digits.
func (k *Keys) Find(id string) (*Keys, error) {
	want := strings.ToLower(strings.Join(strings.Fields(id), ""))
	want = strings.TrimPrefix(want, "0x")
	if _, err := hex.DecodeString(want); err != nil || want == "" {
		return nil, fmt.Errorf("%.80q is neither a public key nor the fingerprint of one", id)
	}
	switch len(want) {
	case 16, 40, 64:
	case 8:
		return nil, fmt.Errorf("%q is a short key id, which anybody can make a key for; give the key's fingerprint of 40 digits", id)
	default:
		return nil, fmt.Errorf("%.80q has %d digits; a fingerprint has 40 or 64, a key id has 16", id, len(want))
	}
	found := &Keys{}
	for _, c := range k.certs {
		for _, key := range c.keys() {
			if want == hex.EncodeToString(key.fingerprint) || want == fmt.Sprintf("%016x", key.id) {
				found.certs = append(found.certs, c)
				break
			}
		}
	}
	switch found.Len() {
	case 0:
		given := "none is given"
		if k.Len() > 0 {
			given = "given are " + strings.Join(k.Fingerprints(), ", ")
		}
		return nil, fmt.Errorf("%w %s: %s", ErrNoSuchKey, want, given)
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("%d of the given keys have the id %s; give the fingerprint", found.Len(), want)
}

// Merge returns the set of the keys of all sets.
func Merge(sets ...*Keys) *Keys {
	var all []*certificate
	for _, s := range sets {
		all = append(all, s.certs...)
	}
	return unite(all)
}

// Packets returns the packets of the keys as they were read: the binary form.
func (k *Keys) Packets() []byte {
	var out []byte
	for _, c := range k.certs {
		out = append(out, c.serialize()...)
	}
	return out
}

// Armor returns the keys in the one normal form that every program reads: as
// armored text, one block for each, in lines of 64 letters and with a
// checksum. The packets are those that were read.
func (k *Keys) Armor() []byte {
	var out bytes.Buffer
	for _, c := range k.certs {
		encodeArmor(&out, publicKeyBlock, c.serialize())
	}
	return out.Bytes()
}
