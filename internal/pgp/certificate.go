package pgp

import (
	"bytes"
	"crypto/dsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // fingerprints are made with it
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Bounds of keys. What is shorter proves nothing any more; what is longer
// takes more than its share of time, eight times as much for twice the length
// of a DSA key, and no program makes such keys: gpg makes RSA keys of up to
// 4096 bits, and DSA ends at 3072 (FIPS 186-4).
const (
	minRSABits = 2048
	maxRSABits = 8192
	minDSABits = 2048
	maxDSABits = 3072
	maxDSASubs = 256
)

// Bounds of the keys of one text, which has some dozens, and of the subkeys of
// one key. To read one of some kinds takes a fifth of a millisecond.
const (
	maxPublicKeys = 2000
	maxSubkeys    = 200
)

// certificate is a public key with all that stands around it: its names, its
// subkeys and the signatures on them. The packets are kept as they were read,
// so that other programs get the key as its owner made it.
type certificate struct {
	primary *publicKey
	// direct are the signatures on the key itself, users those on names.
	direct []*selfSignature
	users  []*component
	// subkeys are keys of their own, each with the signatures on it.
	subkeys []*publicKey

	mu sync.Mutex
	// bound caches what the signatures say of a key: they are looked at when
	// the key has signed something, as most never do.
	bound map[*publicKey]*binding
}

// component is a name, and the signatures on it.
type component struct {
	packet     rawPacket
	signatures []*selfSignature
}

// publicKey is one key: the primary one or a subkey.
type publicKey struct {
	packet      rawPacket
	fingerprint []byte
	id          uint64
	algorithm   packet.PublicKeyAlgorithm
	version     int
	// key is nil if the key is of a kind that is not known here; problem says
	// why nothing that it signed can be judged.
	key     *packet.PublicKey
	problem error
	// signatures are those on a subkey.
	signatures []*selfSignature
}

// selfSignature is a signature that stands in a key; whose it is and whether
// it holds is seen when it matters.
type selfSignature struct {
	packet rawPacket
	parsed *packet.Signature
	done   bool
}

// signature returns the signature as the library knows it, or nil.
func (s *selfSignature) signature() *packet.Signature {
	if !s.done {
		s.done = true
		if p, err := s.packet.parse(); err == nil {
			s.parsed, _ = p.(*packet.Signature)
		}
	}
	return s.parsed
}

// errOldKey says that a key is of the kind of 1991.
var errOldKey = errors.New("it is of version 3, which proves nothing any more")

// readCertificates reads keys, one after the other.
func readCertificates(data []byte) ([]*certificate, error) {
	packets, err := readPackets(data)
	if err != nil {
		return nil, err
	}
	var out []*certificate
	var at *[]*selfSignature
	var old, current = 0, (*certificate)(nil)
	count := 0
	for _, p := range packets {
		if p.tag == tagPublicKey || p.tag == tagPublicSubkey {
			if count++; count > maxPublicKeys {
				return nil, fmt.Errorf("it has more than %d keys", maxPublicKeys)
			}
		}
		switch p.tag {
		case tagSecretKey, tagSecretSubkey:
			return nil, errPrivate
		case tagMarker, tagTrust, tagPadding:
			continue // a program's own notes, and nothing
		case tagPublicKey:
			key, err := readPublicKey(p)
			if errors.Is(err, errOldKey) {
				old++
				current, at = nil, nil
				continue
			}
			if err != nil {
				return nil, err
			}
			current = &certificate{primary: key, bound: map[*publicKey]*binding{}}
			out = append(out, current)
			at = &current.direct
			continue
		}
		if current == nil {
			if old == 0 {
				return nil, fmt.Errorf("it begins with a packet of kind %d and not with a public key", p.tag)
			}
			continue
		}
		switch p.tag {
		case tagUserID, tagUserAttribute:
			u := &component{packet: p}
			current.users = append(current.users, u)
			at = &u.signatures
		case tagPublicSubkey:
			key, err := readPublicKey(p)
			if errors.Is(err, errOldKey) {
				at = nil
				continue
			}
			if err != nil {
				return nil, err
			}
			if len(current.subkeys) == maxSubkeys {
				return nil, fmt.Errorf("key %s has more than %d subkeys", current.fingerprint(), maxSubkeys)
			}
			current.subkeys = append(current.subkeys, key)
			at = &key.signatures
		case tagSignature:
			if at != nil {
				*at = append(*at, &selfSignature{packet: p})
			}
		}
	}
	if len(out) == 0 && old > 0 {
		return nil, fmt.Errorf("the key cannot be used: %w", errOldKey)
	}
	return out, nil
}

var errPrivate = errors.New("the keyring holds a private key; give the public one, which \"gpg --armor --export\" prints")

// readPublicKey reads a key whatever its algorithm is.
func readPublicKey(p rawPacket) (*publicKey, error) {
	if len(p.body) < 6 {
		return nil, errCutOff
	}
	k := &publicKey{packet: p, version: int(p.body[0]), algorithm: packet.PublicKeyAlgorithm(p.body[5])}
	switch k.version {
	case 2, 3:
		return nil, errOldKey
	case 4:
		h := sha1.New() //nolint:gosec // the format's
		h.Write([]byte{0x99, byte(len(p.body) >> 8), byte(len(p.body))})
		h.Write(p.body)
		k.fingerprint = h.Sum(nil)
		k.id = binary.BigEndian.Uint64(k.fingerprint[12:])
		if len(p.body) > 0xffff {
			return nil, errors.New("a key of more than 64 KiB")
		}
	default:
		h := sha256.New()
		h.Write(binary.BigEndian.AppendUint32([]byte{0x95 + byte(k.version)}, uint32(len(p.body))))
		h.Write(p.body)
		k.fingerprint = h.Sum(nil)
		k.id = binary.BigEndian.Uint64(k.fingerprint)
	}
	parsed, err := p.parse()
	if err != nil {
		k.problem = fmt.Errorf("a key of version %d with %s cannot be used here: %w", k.version, algorithmName(k.algorithm), err)
		return k, nil
	}
	key, ok := parsed.(*packet.PublicKey)
	if !ok || !bytes.Equal(key.Fingerprint, k.fingerprint) {
		k.problem = errors.New("the key is not in the one form that its fingerprint is of")
		return k, nil
	}
	k.key, k.problem = key, checkSize(key)
	return k, nil
}

// checkSize reports what is too short to prove something, and what is too long
// to be looked at. Nothing is calculated before.
func checkSize(key *packet.PublicKey) error {
	switch pub := key.PublicKey.(type) {
	case *rsa.PublicKey:
		return checkBits("RSA", pub.N.BitLen(), minRSABits, maxRSABits)
	case *dsa.PublicKey:
		if n := pub.Q.BitLen(); n > maxDSASubs {
			return fmt.Errorf("a DSA key with a subgroup of %d bits, and %d is the most", n, maxDSASubs)
		}
		if max(pub.G.BitLen(), pub.Y.BitLen()) > pub.P.BitLen() {
			return errors.New("a DSA key whose numbers are larger than its prime")
		}
		return checkBits("DSA", pub.P.BitLen(), minDSABits, maxDSABits)
	}
	return nil
}

func checkBits(kind string, bits, least, most int) error {
	switch {
	case bits < least:
		return fmt.Errorf("%s key of %d bits proves nothing any more, it needs %d", article(kind), bits, least)
	case bits > most:
		return fmt.Errorf("%s key of %d bits takes too long to look at; %d is the most", article(kind), bits, most)
	}
	return nil
}

func article(kind string) string {
	if strings.HasPrefix(kind, "R") {
		return "an " + kind
	}
	return "a " + kind
}

var algorithmNames = map[packet.PublicKeyAlgorithm]string{
	packet.PubKeyAlgoRSA: "RSA", packet.PubKeyAlgoRSAEncryptOnly: "RSA", packet.PubKeyAlgoRSASignOnly: "RSA",
	packet.PubKeyAlgoElGamal: "ElGamal", packet.PubKeyAlgoDSA: "DSA", packet.PubKeyAlgoECDH: "ECDH", packet.PubKeyAlgoECDSA: "ECDSA",
	packet.PubKeyAlgoEdDSA: "EdDSA", packet.PubKeyAlgoEd25519: "Ed25519", packet.PubKeyAlgoEd448: "Ed448",
	packet.PubKeyAlgoMldsa65Ed25519: "ML-DSA-65+Ed25519", packet.PubKeyAlgoMldsa87Ed448: "ML-DSA-87+Ed448",
	packet.PubKeyAlgoSlhdsaShake128s: "SLH-DSA-SHAKE-128s", packet.PubKeyAlgoSlhdsaShake128f: "SLH-DSA-SHAKE-128f",
	packet.PubKeyAlgoSlhdsaShake256s: "SLH-DSA-SHAKE-256s",
}

func algorithmName(a packet.PublicKeyAlgorithm) string {
	if name, ok := algorithmNames[a]; ok {
		return name
	}
	return fmt.Sprintf("algorithm %d", a)
}

func (c *certificate) fingerprint() string { return hex.EncodeToString(c.primary.fingerprint) }

// keys lists the primary key and the subkeys.
func (c *certificate) keys() []*publicKey {
	return append([]*publicKey{c.primary}, c.subkeys...)
}

// merge returns the key that copies of it make up: one that was fetched later
// has renewals and revocations that another lacks. Each packet is looked at
// once, as there may be many.
func merge(copies []*certificate) *certificate {
	if len(copies) == 1 {
		return copies[0]
	}
	out := &certificate{primary: copies[0].primary, bound: map[*publicKey]*binding{}}
	seen := map[string]bool{}
	add := func(to *[]*selfSignature, owner string, from []*selfSignature) {
		for _, s := range from {
			if key := owner + "\x00" + string(s.packet.body); !seen[key] {
				seen[key] = true
				*to = append(*to, &selfSignature{packet: s.packet})
			}
		}
	}
	users, subkeys := map[string]*component{}, map[string]*publicKey{}
	for _, c := range copies {
		add(&out.direct, "", c.direct)
		for _, u := range c.users {
			owner := hashed(u.packet)
			if users[owner] == nil {
				users[owner] = &component{packet: u.packet}
				out.users = append(out.users, users[owner])
			}
			add(&users[owner].signatures, owner, u.signatures)
		}
		for _, s := range c.subkeys {
			owner := hashed(s.packet)
			if subkeys[owner] == nil {
				one := *s
				one.signatures = nil
				subkeys[owner] = &one
				out.subkeys = append(out.subkeys, &one)
			}
			add(&subkeys[owner].signatures, owner, s.signatures)
		}
	}
	return out
}

// hashed is a short name of a packet.
func hashed(p rawPacket) string {
	sum := sha256.Sum256(p.body)
	return string(append([]byte{p.tag}, sum[:]...))
}

// serialize returns the packets of the key in the order of the format.
func (c *certificate) serialize() []byte {
	var out bytes.Buffer
	signatures := func(all []*selfSignature) {
		for _, s := range all {
			out.Write(s.packet.raw)
		}
	}
	out.Write(c.primary.packet.raw)
	signatures(c.direct)
	for _, u := range c.users {
		out.Write(u.packet.raw)
		signatures(u.signatures)
	}
	for _, s := range c.subkeys {
		out.Write(s.packet.raw)
		signatures(s.signatures)
	}
	return out.Bytes()
}
