package pgp

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Bounds of a text of signatures.
const (
	maxSignatures    = 16
	maxSignatureText = 1 << 20
)

// minRSABits is the length below which a key proves nothing any more.
const minRSABits = 2048

// Signer says who signed.
type Signer struct {
	// Fingerprint is that of the primary key, in hex.
	Fingerprint string
	// Signed is the time of the signature as the signer gave it.
	Signed time.Time
	// KeyExpires is when the key expires; it is zero if it never does.
	KeyExpires time.Time
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
	if !bytes.Contains(sigs, []byte("-----BEGIN PGP")) {
		return sigs, nil
	}
	block, err := armor.Decode(bytes.NewReader(sigs))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("is a block %q and no signature", block.Type)
	}
	return io.ReadAll(io.LimitReader(block.Body, maxSignatureText))
}

// Verify checks signatures, which are not armored, over what the readers that
// signed returns hold. One good signature by one of the keys is enough: an
// archive signs with its old and its new key for some years. The error is
// meant to stand after "NAME: " and may be ErrNotSigned or *UnknownKeyError.
func (k *Keys) Verify(sigs []byte, signed func() io.Reader) (*Signer, error) {
	return k.verify(sigs, signed, false)
}

// VerifyText is like Verify and also takes signatures over a text whatever its
// line ends are.
func (k *Keys) VerifyText(sigs []byte, signed func() io.Reader) (*Signer, error) {
	return k.verify(sigs, signed, true)
}

func (k *Keys) verify(sigs []byte, signed func() io.Reader, text bool) (*Signer, error) {
	if len(sigs) > maxSignatureText {
		return nil, fmt.Errorf("signatures of more than %d MiB", maxSignatureText>>20)
	}
	var unknown []string
	var bad error
	r := packet.NewOpaqueReader(bytes.NewReader(sigs))
	for count := 0; count < maxSignatures; count++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the signature is damaged: %w", err)
		}
		if p.Tag != tagSignature || len(p.Contents) == 0 {
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
		if !one.binary && !text {
			bad = fmt.Errorf("the signature by key %s is one over a text and not over a file", one.id())
			continue
		}
		signer, err := k.verifyOne(one, signed())
		if err == nil {
			return signer, nil
		}
		bad = fmt.Errorf("the signature by key %s is not good: %s", one.id(), problem(err))
	}
	switch {
	case bad != nil:
		return nil, bad
	case len(unknown) > 0:
		return nil, &UnknownKeyError{IDs: unknown}
	}
	return nil, ErrNotSigned
}

const tagSignature = 2

// signature is a signature of version 3 or one that the library knows.
type signature struct {
	issuer uint64
	hash   crypto.Hash
	made   time.Time
	binary bool

	old *signatureV3
	raw []byte
}

func (s *signature) id() string { return fmt.Sprintf("%016X", s.issuer) }

func readSignature(p *packet.OpaquePacket) (*signature, error) {
	if p.Contents[0] == 3 {
		old, err := readV3(p.Contents)
		if err != nil {
			return nil, err
		}
		return &signature{issuer: old.issuer, hash: old.hash, made: old.made, binary: old.kind == 0, old: old}, nil
	}
	parsed, err := p.Parse()
	if err != nil {
		return nil, fmt.Errorf("the signature cannot be read: %w", err)
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil {
		return nil, errors.New("the signature does not say which key made it")
	}
	var raw bytes.Buffer
	if err := p.Serialize(&raw); err != nil {
		return nil, err
	}
	return &signature{
		issuer: *sig.IssuerKeyId, hash: sig.Hash, made: sig.CreationTime,
		binary: sig.SigType == packet.SigTypeBinary, raw: raw.Bytes(),
	}, nil
}

func (k *Keys) verifyOne(sig *signature, signed io.Reader) (*Signer, error) {
	if sig.hash != crypto.SHA256 && sig.hash != crypto.SHA384 && sig.hash != crypto.SHA512 &&
		sig.hash != crypto.SHA224 && sig.hash != crypto.SHA3_256 && sig.hash != crypto.SHA3_512 {
		return nil, fmt.Errorf("it was made with %s, which proves nothing any more", sig.hash)
	}
	for _, key := range k.entities.KeysById(sig.issuer) {
		if pub, ok := key.PublicKey.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits proves nothing any more, it needs %d", pub.N.BitLen(), minRSABits)
		}
		if key.PublicKey.PubKeyAlgo == packet.PubKeyAlgoDSA {
			if bits, err := key.PublicKey.BitLength(); err != nil || bits < minRSABits {
				return nil, fmt.Errorf("a DSA key of %d bits proves nothing any more, it needs %d", bits, minRSABits)
			}
		}
	}
	var e *openpgp.Entity
	var err error
	if sig.old != nil {
		e, err = sig.old.verify(k.entities, signed)
	} else {
		config := &packet.Config{Time: func() time.Time { return sig.made }}
		e, err = openpgp.CheckDetachedSignature(k.entities, signed, bytes.NewReader(sig.raw), config)
	}
	if err != nil {
		return nil, err
	}
	return &Signer{Fingerprint: fingerprint(e), Signed: sig.made, KeyExpires: keyExpiry(e)}, nil
}

func problem(err error) string {
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "the key had expired when it signed"
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "the key is revoked"
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "the signature has expired"
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "the key is not one for signing"
	}
	var sigErr pgperrors.SignatureError
	if errors.As(err, &sigErr) {
		return "the text was changed after it was signed"
	}
	return err.Error()
}
