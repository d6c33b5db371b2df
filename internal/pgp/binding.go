package pgp

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxChecks bounds the signatures that are checked to learn whether one key
// is valid: of each name the newest one and the revocations. On the slowest
// curve they take a second or two.
const maxChecks = 100

// binding is what the newest signature of a key on itself, or on a subkey,
// says of it.
type binding struct {
	// until is when the key stops being valid; it is zero if it never does.
	until time.Time
	// revoked says that until is the time of a revocation.
	revoked bool
	// signs says that the key is one for signing.
	signs bool
	// problem says why nothing that the key has signed is good, whenever it
	// was: it is too short, has no signature that holds, or is revoked for all
	// times.
	problem error
}

// Errors about keys, in the words of what follows "the signature by key …".
var (
	errNotForSigning = errors.New("the key is not one for signing")
	errNoSelf        = errors.New("the key has no signature of its own that holds, so nobody knows whose it is")
	errNoBinding     = errors.New("the subkey has no signature of its primary key that holds")
	errManyChecks    = fmt.Errorf("the key has more than %d signatures on itself", maxChecks)
)

// binding says what holds for one of the keys of the certificate, the primary
// key included: a subkey is valid no longer than that.
func (c *certificate) binding(k *publicKey) binding {
	c.mu.Lock()
	defer c.mu.Unlock()
	primary := c.bindingOf(c.primary)
	if k == c.primary || primary.problem != nil {
		return *primary
	}
	out := *c.bindingOf(k)
	if out.until.IsZero() || !primary.until.IsZero() && primary.until.Before(out.until) {
		out.until, out.revoked = primary.until, primary.revoked
	}
	return out
}

func (c *certificate) bindingOf(k *publicKey) *binding {
	b, ok := c.bound[k]
	if !ok {
		b = &binding{}
		switch {
		case k.problem != nil:
			b.problem = k.problem
		case k == c.primary:
			c.bindPrimary(b)
		default:
			c.bindSubkey(k, b)
		}
		c.bound[k] = b
	}
	return b
}

// checker counts the signatures that are checked.
type checker struct{ left int }

// Kinds of signatures as they matter here.
func isCertification(t packet.SignatureType) bool {
	return t >= packet.SigTypeGenericCert && t <= packet.SigTypePositiveCert
}

// newest returns the newest of the signatures that is of the wanted kind and
// holds. Of two of the same second the one that says less about time is taken.
func (ch *checker) newest(all []*selfSignature, want func(packet.SignatureType) bool, holds func(*packet.Signature) bool) (*packet.Signature, error) {
	var sigs []*packet.Signature
	for _, s := range all {
		if sig := s.signature(); sig != nil && want(sig.SigType) {
			sigs = append(sigs, sig)
		}
	}
	slices.SortStableFunc(sigs, func(a, b *packet.Signature) int {
		if d := b.CreationTime.Compare(a.CreationTime); d != 0 {
			return d
		}
		return compareLifetimes(a, b)
	})
	for _, sig := range sigs {
		ok, err := ch.check(sig, holds)
		if err != nil {
			return nil, err
		}
		if ok {
			return sig, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

func (ch *checker) check(sig *packet.Signature, holds func(*packet.Signature) bool) (bool, error) {
	if ch.left--; ch.left < 0 {
		return false, errManyChecks
	}
	return holds(sig), nil
}

func compareLifetimes(a, b *packet.Signature) int {
	seconds := func(s *packet.Signature) uint64 {
		if s.KeyLifetimeSecs == nil || *s.KeyLifetimeSecs == 0 {
			return 1 << 40
		}
		return uint64(*s.KeyLifetimeSecs)
	}
	switch x, y := seconds(a), seconds(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// bindPrimary looks at the signatures of the primary key on itself.
func (c *certificate) bindPrimary(b *binding) {
	ch := &checker{left: maxChecks}
	key := c.primary.key
	direct := func(sig *packet.Signature) bool {
		return issuedBy(sig, key) && key.VerifyDirectKeySignature(sig) == nil
	}
	newest, err := ch.newest(c.direct, func(t packet.SignatureType) bool { return t == packet.SigTypeDirectSignature }, direct)
	if err != nil {
		b.problem = err
		return
	}
	named, err := c.named(ch)
	if err != nil {
		b.problem = err
		return
	}
	if newest = governing(c.primary.version, newest, named); newest == nil {
		b.problem = errNoSelf
		return
	}
	b.apply(key, newest)
	// Keys of old have no flags; then the algorithm decides.
	b.signs = key.PubKeyAlgo.CanSign() && (!newest.FlagsValid || newest.FlagSign)
	b.revoke(ch, c.direct, packet.SigTypeKeyRevocation, func(sig *packet.Signature) bool {
		return issuedBy(sig, key) && key.VerifyRevocationSignature(sig) == nil
	})
}

// named returns the newest signature of the key on any of its names.
func (c *certificate) named(ch *checker) (newest *packet.Signature, err error) {
	for _, u := range c.users {
		if u.packet.tag != tagUserID {
			continue
		}
		sig, err := ch.user(c.primary.key, u)
		if err != nil {
			return nil, err
		}
		if sig != nil && (newest == nil || newer(sig, newest)) {
			newest = sig
		}
	}
	return newest, nil
}

func newer(a, b *packet.Signature) bool {
	d := a.CreationTime.Compare(b.CreationTime)
	return d > 0 || d == 0 && compareLifetimes(a, b) < 0
}

// governing returns which of the newest signature on the key itself and the
// newest one on a name says how long the key is valid. Names say nothing of it
// in keys of version 6. In others it is mostly a name that does: signatures on
// the key itself often only say who else may revoke it.
func governing(version int, direct, named *packet.Signature) *packet.Signature {
	switch {
	case direct == nil:
		return named
	case named == nil || version >= 6:
		return direct
	case direct.KeyLifetimeSecs != nil && newer(direct, named):
		return direct
	}
	return named
}

// user returns the newest signature of the key on one of its names, unless
// the name has been revoked since.
func (ch *checker) user(key *packet.PublicKey, u *component) (*packet.Signature, error) {
	id := string(u.packet.body)
	holds := func(sig *packet.Signature) bool {
		return issuedBy(sig, key) && key.VerifyUserIdSignature(id, key, sig) == nil
	}
	sig, err := ch.newest(u.signatures, isCertification, holds)
	if err != nil || sig == nil {
		return nil, err
	}
	revocation, err := ch.newest(u.signatures, func(t packet.SignatureType) bool { return t == packet.SigTypeCertificationRevocation }, holds)
	if err != nil {
		return nil, err
	}
	if revocation != nil && !revocation.CreationTime.Before(sig.CreationTime) {
		return nil, nil //nolint:nilnil // the name is no longer one
	}
	return sig, nil
}

// bindSubkey looks at the signatures of the primary key on a subkey.
func (c *certificate) bindSubkey(k *publicKey, b *binding) {
	ch := &checker{left: maxChecks}
	primary := c.primary.key
	newest, err := ch.newest(k.signatures, func(t packet.SignatureType) bool { return t == packet.SigTypeSubkeyBinding }, func(sig *packet.Signature) bool {
		return issuedBy(sig, primary) && primary.VerifySubkeyRevocationSignature(sig, k.key) == nil
	})
	switch {
	case err != nil:
		b.problem = err
		return
	case newest == nil:
		b.problem = errNoBinding
		return
	}
	b.apply(k.key, newest)
	// Who signs with a subkey must have said himself that it belongs to the
	// primary key: else anybody could take the subkey of another as his own.
	b.signs = k.key.PubKeyAlgo.CanSign() && (!newest.FlagsValid || newest.FlagSign) && crossSigned(primary, k.key, newest.EmbeddedSignature)
	b.revoke(ch, k.signatures, packet.SigTypeSubkeyRevocation, func(sig *packet.Signature) bool {
		return issuedBy(sig, primary) && primary.VerifySubkeyRevocationSignature(sig, k.key) == nil
	})
}

// crossSigned reports whether a subkey has signed that it is one of a primary
// key.
func crossSigned(primary, sub *packet.PublicKey, sig *packet.Signature) bool {
	if sig == nil || sig.SigType != packet.SigTypePrimaryKeyBinding {
		return false
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return false
	}
	if primary.SerializeForHash(h) != nil || sub.SerializeForHash(h) != nil {
		return false
	}
	return sub.VerifySignature(h, sig) == nil
}

func issuedBy(sig *packet.Signature, key *packet.PublicKey) bool {
	if len(sig.Notations) > 0 && hasCriticalNotation(sig) {
		return false
	}
	return sig.IssuerKeyId == nil && len(sig.IssuerFingerprint) == 0 || sig.CheckKeyIdOrFingerprint(key)
}

// hasCriticalNotation reports whether a signature is bound to words that are
// not understood here: none are.
func hasCriticalNotation(sig *packet.Signature) bool {
	return slices.ContainsFunc(sig.Notations, func(n *packet.Notation) bool { return n.IsCritical })
}

// apply notes until when a key is valid by a signature on it.
func (b *binding) apply(key *packet.PublicKey, sig *packet.Signature) {
	if s := sig.KeyLifetimeSecs; s != nil && *s > 0 {
		b.end(key.CreationTime.Add(time.Duration(*s)*time.Second), false)
	}
	if s := sig.SigLifetimeSecs; s != nil && *s > 0 {
		b.end(sig.CreationTime.Add(time.Duration(*s)*time.Second), false)
	}
}

func (b *binding) end(t time.Time, revoked bool) {
	if t = t.UTC(); b.until.IsZero() || t.Before(b.until) {
		b.until, b.revoked = t, revoked
	}
}

// revoke looks at all revocations. One because the key was given up or
// replaced says nothing of what was signed before it. Any other may be there
// because somebody else has the key, who can give what he signs any time.
func (b *binding) revoke(ch *checker, all []*selfSignature, kind packet.SignatureType, holds func(*packet.Signature) bool) {
	for _, s := range all {
		sig := s.signature()
		if sig == nil || sig.SigType != kind {
			continue
		}
		ok, err := ch.check(sig, holds)
		switch {
		case err != nil:
			b.problem = err
			return
		case !ok:
			continue
		}
		switch r := sig.RevocationReason; {
		case r != nil && (*r == packet.KeySuperseded || *r == packet.KeyRetired):
			b.end(sig.CreationTime, true)
		case r != nil && *r == packet.KeyCompromised:
			b.problem = errors.New("the key is revoked: somebody else may have it")
		default:
			b.problem = errors.New("the key is revoked, and no reason is given, so somebody else may have it")
		}
	}
}
