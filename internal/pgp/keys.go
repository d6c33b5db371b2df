package pgp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// MaxKeys bounds the text of a keyring, in bytes.
const MaxKeys = 4 << 20

// Keys is a set of public keys.
type Keys struct {
	entities openpgp.EntityList
}

const (
	beginPublic  = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	beginPrivate = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
)

// ReadKeys reads public keys, armored (any number of blocks, each of any
// number of keys, with any text around them) or binary.
func ReadKeys(data []byte) (*Keys, error) {
	if len(data) > MaxKeys {
		return nil, fmt.Errorf("the keyring is larger than %d MiB", MaxKeys>>20)
	}
	text := string(data)
	if strings.Contains(text, beginPrivate) {
		return nil, errors.New("the keyring holds a private key; give the public one, which \"gpg --armor --export\" prints")
	}
	keys := &Keys{}
	if !strings.Contains(text, beginPublic) {
		list, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("the keyring is neither armored nor a binary OpenPGP keyring: %w", err)
		}
		keys.entities = list
	}
	for i, block := range strings.Split(text, beginPublic) {
		if i == 0 {
			continue // what stands before the first block
		}
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(beginPublic + block))
		if err != nil {
			return nil, fmt.Errorf("block %d of the keyring: %w", i, err)
		}
		keys.entities = append(keys.entities, list...)
	}
	if len(keys.entities) == 0 {
		return nil, errors.New("the keyring holds no key")
	}
	return keys, nil
}

// Len returns the number of keys.
func (k *Keys) Len() int { return len(k.entities) }

// Fingerprints lists the fingerprints of the primary keys, in hex, in the
// order of the text that they were read from.
func (k *Keys) Fingerprints() []string {
	out := make([]string, 0, len(k.entities))
	for _, e := range k.entities {
		out = append(out, fingerprint(e))
	}
	return out
}

// Key describes one key.
type Key struct {
	// Fingerprint is that of the primary key, in hex.
	Fingerprint string
	// Expires is zero if the key never does.
	Expires time.Time
}

// List describes the keys in the order of the text that they were read from.
func (k *Keys) List() []Key {
	out := make([]Key, 0, len(k.entities))
	for _, e := range k.entities {
		out = append(out, Key{fingerprint(e), keyExpiry(e)})
	}
	return out
}

// Has reports whether a key, or a subkey, has the given key id.
func (k *Keys) Has(id uint64) bool { return len(k.entities.KeysById(id)) > 0 }

// ErrNoSuchKey says that a fingerprint is that of no key of a set.
var ErrNoSuchKey = errors.New("there is no key")

// Find returns the set of the one key that has the fingerprint, or that has a
// subkey with it: 40 or 64 hex digits, in groups or not, or the last 16 of
// them. The old short form of eight digits is refused: anybody can make a key
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
	found := map[string]*openpgp.Entity{}
	for _, e := range k.entities {
		if strings.HasSuffix(fingerprint(e), want) {
			found[fingerprint(e)] = e
		}
		for _, sub := range e.Subkeys {
			if strings.HasSuffix(hex.EncodeToString(sub.PublicKey.Fingerprint), want) {
				found[fingerprint(e)] = e
			}
		}
	}
	switch len(found) {
	case 0:
		given := "none is given"
		if k.Len() > 0 {
			given = "given are " + strings.Join(k.Fingerprints(), ", ")
		}
		return nil, fmt.Errorf("%w %s: %s", ErrNoSuchKey, want, given)
	case 1:
		for _, e := range found {
			return &Keys{entities: openpgp.EntityList{e}}, nil
		}
	}
	return nil, fmt.Errorf("%d of the given keys have the id %s; give the fingerprint", len(found), want)
}

// Merge returns the set of the keys of all sets.
func Merge(sets ...*Keys) *Keys {
	out := &Keys{}
	seen := map[string]bool{}
	for _, s := range sets {
		for _, e := range s.entities {
			if !seen[fingerprint(e)] {
				seen[fingerprint(e)] = true
				out.entities = append(out.entities, e)
			}
		}
	}
	return out
}

// Armor returns the keys as armored text, one block for each.
func (k *Keys) Armor() ([]byte, error) {
	var out bytes.Buffer
	for _, e := range k.entities {
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err != nil {
			return nil, err
		}
		if err := e.Serialize(w); err != nil {
			return nil, fmt.Errorf("key %s: %w", fingerprint(e), err)
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

func fingerprint(e *openpgp.Entity) string { return hex.EncodeToString(e.PrimaryKey.Fingerprint) }

// keyExpiry is when the key expires, or zero.
func keyExpiry(e *openpgp.Entity) time.Time {
	sig, _ := e.PrimarySelfSignature()
	if sig == nil || sig.KeyLifetimeSecs == nil || *sig.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return e.PrimaryKey.CreationTime.Add(time.Duration(*sig.KeyLifetimeSecs) * time.Second)
}
