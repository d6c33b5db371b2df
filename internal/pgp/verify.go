package pgp

import (
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Bounds of a text of signatures.
const (
	maxSignatures    = 16
	maxSignatureText = 1 << 20
	// maxCandidates bounds the keys that are tried for one signature: keys
	// of one id are made on purpose.
	maxCandidates = 4
)

// Signer says who signed.
type Signer struct {
	// Fingerprint is that of the primary key, in hex.
	Fingerprint string
	// Signed is the time of the signature as the signer gave it.
	Signed time.Time
	// KeyExpires is when the first of the signature, the key that made it and
	// its primary key stops being valid; it is zero if none ever does.
	KeyExpires time.Time
	// Revoked says that KeyExpires is the time at which the key was given up or
	// replaced.
	Revoked bool
	// KeyVersion is that of the format of the primary key: those newer than 4
	// are read by the newest programs only.
	KeyVersion int
}

// CheckNow reports a signature that was good when it was made and is not now.
// What is not named by its checksum must pass it: whoever has got hold of an
// old key can sign with any date.
func (s *Signer) CheckNow(now time.Time) error {
	if s.KeyExpires.IsZero() || now.Before(s.KeyExpires) {
		return nil
	}
	what := "expired"
	if s.Revoked {
		what = "was revoked"
	}
	return fmt.Errorf("the key %s that signed it %s on %s", s.Fingerprint, what, s.KeyExpires.Format(time.DateOnly))
}

// UnknownKeyError says that nothing but keys that were not given signed.
type UnknownKeyError struct {
	// IDs are the key ids, in hex.
	IDs []string
}

// Error implements error.
func (e *UnknownKeyError) Error() string {
	return "signed by " + strings.Join(e.IDs, " and ") + ", and no such key was given"
}

// ErrNotSigned says that there was no signature at all.
var ErrNotSigned = errors.New("holds no signature")

// Dearmor returns the signatures of an armored text, or the text itself where
// it is not armored.
func Dearmor(sigs []byte) ([]byte, error) {
	if len(sigs) > maxSignatureText {
		return nil, fmt.Errorf("is larger than %d MiB", maxSignatureText>>20)
	}
	if !Armored(sigs) {
		return sigs, nil
	}
	blocks, err := dearmor(sigs, signatureBlock, "signature")
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("is an armored block and no signature")
	}
	return slices.Concat(blocks...), nil
}

// Verify checks signatures, which are not armored, over what the readers that
// signed returns hold. One good signature by one of the keys is enough: an
// archive signs with its old and its new key for some years, and a package by
// keys of two kinds. Where several are good, the signer is the one whose key
// more programs know. The error is meant to stand after "NAME: " and may be
// ErrNotSigned or *UnknownKeyError.
//
// Whether a key was valid is judged by its newest signature on itself, for the
// time of the signature; Signer.CheckNow asks for more.
func (k *Keys) Verify(sigs []byte, signed func() io.Reader) (*Signer, error) {
	return k.verify(sigs, signed, false)
}

// VerifyText is like Verify and also takes signatures over a text whatever its
// line ends are. Where several are good, the signer is the one whose key is
// valid longest.
func (k *Keys) VerifyText(sigs []byte, signed func() io.Reader) (*Signer, error) {
	return k.verify(sigs, signed, true)
}

func (k *Keys) verify(sigs []byte, signed func() io.Reader, text bool) (*Signer, error) {
	if len(sigs) > maxSignatureText {
		return nil, fmt.Errorf("signatures of more than %d MiB", maxSignatureText>>20)
	}
	var unknown []string
	var best *Signer
	var bad error
	for count := 0; count < maxSignatures && len(sigs) > 0; count++ {
		p, rest, err := nextPacket(sigs)
		if err != nil {
			bad = fmt.Errorf("the signature is damaged: %w", err)
			break
		}
		sigs = rest
		if p.tag != tagSignature || len(p.body) == 0 {
			continue
		}
		one, err := readSignature(p)
		if err != nil {
			bad = err
			continue
		}
		if !k.Has(one.issuer) {
			if id := one.id(); !slices.Contains(unknown, id) {
				unknown = append(unknown, id)
			}
			continue
		}
		if !one.isBinary && !text {
			bad = fmt.Errorf("the signature by key %s is one over a text and not over a file", one.id())
			continue
		}
		signer, err := k.verifyOne(one, signed)
		if err != nil {
			bad = fmt.Errorf("the signature by key %s is not good: %w", one.id(), err)
			continue
		}
		if best == nil || signer.better(best, text) {
			best = signer
		}
	}
	switch {
	case best != nil:
		return best, nil
	case bad != nil:
		return nil, bad
	case len(unknown) > 0:
		return nil, &UnknownKeyError{IDs: unknown}
	}
	return nil, ErrNotSigned
}

// better reports whether s tells more than another good signature.
func (s *Signer) better(than *Signer, longest bool) bool {
	if !longest && (s.KeyVersion > 4) != (than.KeyVersion > 4) {
		return s.KeyVersion <= 4
	}
	if than.KeyExpires.IsZero() {
		return false
	}
	return s.KeyExpires.IsZero() || s.KeyExpires.After(than.KeyExpires)
}

// signature is a signature of version 3 or one that the library knows.
type signature struct {
	issuer   uint64
	hash     crypto.Hash
	made     time.Time
	isBinary bool

	// One of these is there.
	old *signatureV3
	new *packet.Signature
}

func (s *signature) id() string { return fmt.Sprintf("%016X", s.issuer) }

func readSignature(p rawPacket) (*signature, error) {
	if p.body[0] == 3 {
		old, err := readV3(p.body)
		if err != nil {
			return nil, err
		}
		return &signature{issuer: old.issuer, hash: old.hash, made: old.made, isBinary: old.kind == 0, old: old}, nil
	}
	parsed, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("the signature cannot be read: %w", err)
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil {
		return nil, errors.New("the signature does not say which key made it")
	}
	return &signature{
		issuer: *sig.IssuerKeyId, hash: sig.Hash, made: sig.CreationTime.UTC(),
		isBinary: sig.SigType == packet.SigTypeBinary, new: sig,
	}, nil
}

// check reports what is wrong with a signature whoever made it.
func (s *signature) check() error {
	switch s.hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA224, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return fmt.Errorf("it was made with %s, which proves nothing any more", s.hash)
	}
	if !s.isBinary && (s.old != nil || s.new.SigType != packet.SigTypeText) {
		return errors.New("it is none over a file")
	}
	if s.new != nil && hasCriticalNotation(s.new) {
		return errors.New("it is bound to words (a critical notation) that are not known here")
	}
	return nil
}

func (k *Keys) verifyOne(sig *signature, signed func() io.Reader) (*Signer, error) {
	if err := sig.check(); err != nil {
		return nil, err
	}
	last := errNotForSigning
	for i, c := range k.byID(sig.issuer) {
		if i == maxCandidates {
			return nil, fmt.Errorf("more than %d keys have its id", maxCandidates)
		}
		if sig.new != nil && c.key.key != nil && !sig.new.CheckKeyIdOrFingerprint(c.key.key) {
			continue
		}
		signer, err := sig.verify(c, signed)
		if err == nil {
			return signer, nil
		}
		last = err
	}
	return nil, last
}

// verify checks a signature with one key.
func (s *signature) verify(c candidate, signed func() io.Reader) (*Signer, error) {
	b := c.cert.binding(c.key)
	switch {
	case b.problem != nil:
		return nil, b.problem
	case !b.signs:
		return nil, errNotForSigning
	case s.made.Before(c.key.key.CreationTime):
		return nil, fmt.Errorf("it is older than its key, which was made on %s", c.key.key.CreationTime.UTC().Format(time.DateOnly))
	case !b.until.IsZero() && !s.made.Before(b.until) && b.revoked:
		return nil, fmt.Errorf("the key had been revoked when it signed, on %s", b.until.Format(time.DateOnly))
	case !b.until.IsZero() && !s.made.Before(b.until):
		return nil, fmt.Errorf("the key had expired when it signed, on %s", b.until.Format(time.DateOnly))
	}
	if err := s.holds(c.key.key, signed()); err != nil {
		return nil, err
	}
	signer := &Signer{Fingerprint: c.cert.fingerprint(), Signed: s.made, KeyExpires: b.until, Revoked: b.revoked, KeyVersion: c.cert.primary.version}
	if s.new != nil && s.new.SigLifetimeSecs != nil && *s.new.SigLifetimeSecs > 0 {
		if end := s.made.Add(time.Duration(*s.new.SigLifetimeSecs) * time.Second); signer.KeyExpires.IsZero() || end.Before(signer.KeyExpires) {
			signer.KeyExpires, signer.Revoked = end, false
		}
	}
	return signer, nil
}

// holds reports that what is signed is not what the key signed.
func (s *signature) holds(key *packet.PublicKey, signed io.Reader) error {
	h := s.hash.New
	if s.new != nil {
		prepared, err := s.new.PrepareVerify()
		if err != nil {
			return err
		}
		h = func() hash.Hash { return prepared }
	}
	sum := h()
	to := sum
	if !s.isBinary {
		to = openpgp.NewCanonicalTextHash(sum)
	}
	if _, err := io.Copy(to, signed); err != nil {
		return err
	}
	if s.old != nil && s.old.holds(key, sum) || s.new != nil && key.VerifySignature(sum, s.new) == nil {
		return nil
	}
	return errors.New("the text was changed after it was signed")
}
