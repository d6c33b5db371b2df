package module

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/crypto/argon2"
)

// SecretsDigestFile is the file in which the step that looks for secrets leaves
// their digest.
const SecretsDigestFile = "digest"

// SecretCost says how expensive it is to try a value of a secret where the
// module has put it. What is zero, or cheaper than the least, is the least.
type SecretCost struct {
	// Passes, Memory in KiB and Threads are those of Argon2id.
	Passes  uint32 `json:"passes,omitempty"`
	Memory  uint32 `json:"memory,omitempty"`
	Threads uint8  `json:"threads,omitempty"`
	// Iterations are those of PBKDF2, which comes before Argon2id.
	Iterations int `json:"iterations,omitempty"`
}

// leastCost is the second choice of RFC 9106, 4, which LUKS headers have here by
// default. It costs more than any hash in etc/shadow that is made here.
var leastCost = SecretCost{Passes: 3, Memory: 64 << 10, Threads: 4}

// Max returns a cost that is as high as both.
func (c SecretCost) Max(d SecretCost) SecretCost {
	return SecretCost{
		Passes: max(c.Passes, d.Passes), Memory: max(c.Memory, d.Memory), Threads: max(c.Threads, d.Threads),
		Iterations: max(c.Iterations, d.Iterations),
	}
}

// SecretsDigest stands for the content of a step's secrets in its cache key:
// other secrets are another step. Whoever has the key can try values against it,
// so a guess must not cost less than it does on what the step makes.
type SecretsDigest struct {
	// Salt tells the digests of equal secrets of two steps apart.
	Salt string `json:"salt"`
	// Cost is the cost of a guess.
	Cost SecretCost `json:"cost,omitzero"`
	// Sum is the digest in hex.
	Sum string `json:"sum,omitempty"`
}

// allSecrets returns the names and values of all secrets, so that no two sets of
// them have the same bytes.
func (in *Input) allSecrets() ([]byte, error) {
	var key []byte
	put := func(b []byte) {
		key = binary.BigEndian.AppendUint32(key, uint32(len(b)))
		key = append(key, b...)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(in.Secrets)) {
		value, err := in.ReadSecret(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("the secret %s: %w", name, err))
		}
		put([]byte(name))
		put(value)
	}
	return key, errors.Join(errs...)
}

// Compute sets the sum from the secrets of a step. There is one for all of them:
// the cost is that of one, and who wants to try one has to know the others.
func (d *SecretsDigest) Compute(in *Input) error {
	key, err := in.allSecrets()
	if err != nil {
		return err
	}
	salt := sha256.Sum256([]byte("osbuildkit secrets digest 1\x00" + d.Salt))
	cost := d.Cost.Max(leastCost)
	if cost.Iterations > 0 {
		if key, err = pbkdf2.Key(sha256.New, string(key), salt[:], cost.Iterations, sha256.Size); err != nil {
			return err
		}
	}
	d.Sum = hex.EncodeToString(argon2.IDKey(key, salt[:], cost.Passes, cost.Memory, cost.Threads, sha256.Size))
	return nil
}

// CheckSecrets reports secrets that are not those of the step's key. The build
// reads them twice, and what is made of others must not be found under this key.
func (in *Input) CheckSecrets() error {
	if in.SecretsDigest == nil {
		return nil
	}
	found := *in.SecretsDigest
	if err := found.Compute(in); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(found.Sum), []byte(in.SecretsDigest.Sum)) != 1 {
		return errors.New("a secret was changed while the build ran: build again")
	}
	return nil
}
