package luks

import (
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
)

// Volume is an encrypted volume whose key is known.
type Volume struct {
	key        []byte
	sectorSize int
	// Offset is where the data starts, counted from that of the volume, in
	// bytes.
	Offset int64
}

// source gives the bytes that are not chosen: the volume key, salts and what
// the key is split with.
type source func(purpose string, n int) ([]byte, error)

func random(_ string, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := rand.Read(b)
	return b, err
}

// derived returns a source of bytes that follow from the passphrase and the
// UUID. To try a passphrase on what comes out is as expensive as to try it on
// the key slot, as both begin with the same function.
func derived(o *Options) (source, error) {
	salt := sha256.Sum256([]byte("osbuildkit LUKS2 " + o.UUID.String()))
	secret, err := stretch(o.KDF, o.Passphrase, salt[:])
	if err != nil {
		return nil, err
	}
	return func(purpose string, n int) ([]byte, error) {
		// HKDF gives up to 255 digests for one purpose.
		const piece = 4096
		out := make([]byte, 0, n)
		for i := 0; len(out) < n; i++ {
			b, err := hkdf.Expand(sha256.New, secret, fmt.Sprintf("%s %d", purpose, i), min(piece, n-len(out)))
			if err != nil {
				return nil, err
			}
			out = append(out, b...)
		}
		return out, nil
	}, nil
}

// stretch turns a passphrase into a key.
func stretch(k KDF, passphrase, salt []byte) ([]byte, error) {
	if k.Method == PBKDF2 {
		return pbkdf2.Key(sha256.New, string(passphrase), salt, k.Iterations, keySize)
	}
	return argon2.IDKey(passphrase, salt, uint32(k.Iterations), uint32(k.Memory), uint8(k.Threads), keySize), nil
}

// Format writes the header of a volume to the start of w and returns the volume.
// Of the first HeaderSize bytes it writes what is used; the rest stays zero.
func Format(w io.WriterAt, o Options) (*Volume, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	give := source(random)
	if o.Derive {
		var err error
		if give, err = derived(&o); err != nil {
			return nil, err
		}
	}
	parts := map[string][]byte{}
	for _, p := range []struct {
		name string
		size int
	}{{"volume key", keySize}, {"slot salt", saltSize}, {"digest salt", saltSize}, {"header salt", 64}, {"second header salt", 64}, {"stripes", keySize * (stripes - 1)}} {
		var err error
		if parts[p.name], err = give(p.name, p.size); err != nil {
			return nil, err
		}
	}
	v := &Volume{key: parts["volume key"], sectorSize: o.SectorSize, Offset: HeaderSize}
	digest, err := digestOf(v.key, parts["digest salt"], digestTurns)
	if err != nil {
		return nil, err
	}
	slotKey, err := stretch(o.KDF, o.Passphrase, parts["slot salt"])
	if err != nil {
		return nil, err
	}
	slot := make([]byte, slotSize)
	copy(slot, split(v.key, parts["stripes"]))
	x, err := newXTS(slotKey)
	if err != nil {
		return nil, err
	}
	// cryptsetup encrypts what the stripes take, not the whole area.
	var t tweaks
	for i := 0; i < keySize*stripes; i += slotSector {
		x.encrypt(slot[i:i+slotSector], uint64(i/slotSector), &t)
	}
	h, err := headers(o.UUID, o.Label, newMetadata(&o, parts["slot salt"], parts["digest salt"], digest), [2][]byte{parts["header salt"], parts["second header salt"]})
	if err != nil {
		return nil, err
	}
	if _, err := w.WriteAt(slot, slotOffset); err != nil {
		return nil, err
	}
	_, err = w.WriteAt(h, 0)
	return v, err
}

func digestOf(key, salt []byte, turns int) ([]byte, error) {
	return pbkdf2.Key(sha256.New, string(key), salt, turns, digestSize)
}

// ErrPassphrase says that a volume has another passphrase.
var ErrPassphrase = errors.New("the passphrase does not open the volume")

// Open reads the header of a volume that Format has made and returns the volume.
// A damaged first copy of the header is made up for by the second.
func Open(r io.ReaderAt, passphrase []byte) (*Volume, error) {
	b := make([]byte, 2*copySize)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, err
	}
	m, ok := parseHeader(b[:copySize])
	if !ok {
		if m, ok = parseHeader(b[copySize:]); !ok {
			return nil, errors.New("there is no header of LUKS2, or it is damaged")
		}
	}
	slot, seg, dig := m.Keyslots["0"], m.Segments["0"], m.Digests["0"]
	k := KDF{Method: slot.KDF.Type, Iterations: max(slot.KDF.Iterations, slot.KDF.Time), Memory: slot.KDF.Memory, Threads: slot.KDF.CPUs}
	if err := k.Check(); err != nil {
		return nil, fmt.Errorf("the key slot: %w", err)
	}
	o := Options{SectorSize: seg.SectorSize, Passphrase: passphrase, KDF: k}
	if err := o.check(); err != nil {
		return nil, err
	}
	known := slot.Area.Encryption == mode && seg.Encryption == mode && slot.KeySize == keySize && slot.Area.KeySize == keySize &&
		slot.AF.Stripes == stripes && seg.SectorSize != 0 && seg.Offset >= 0 && dig.Iterations >= 1 && dig.Iterations <= 1<<30
	if !known {
		return nil, errors.New("the volume has a form that is not read here")
	}
	key, err := stretch(k, passphrase, slot.KDF.Salt)
	if err != nil {
		return nil, err
	}
	x, err := newXTS(key)
	if err != nil {
		return nil, err
	}
	area := make([]byte, keySize*stripes)
	if _, err := r.ReadAt(area, int64(slot.Area.Offset)); err != nil {
		return nil, err
	}
	var t tweaks
	for i := 0; i < len(area); i += slotSector {
		x.decrypt(area[i:i+slotSector], uint64(i/slotSector), &t)
	}
	v := &Volume{key: join(area), sectorSize: seg.SectorSize, Offset: int64(seg.Offset)}
	digest, err := digestOf(v.key, dig.Salt, dig.Iterations)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(digest, dig.Digest) != 1 {
		return nil, ErrPassphrase
	}
	return v, nil
}

// split spreads a key over all stripes, so that without any one of them it is
// gone: the anti-forensic splitter of LUKS. All stripes but the last are given.
func split(key, others []byte) []byte {
	sum := make([]byte, keySize)
	for s := 0; s < len(others); s += keySize {
		subtle.XORBytes(sum, sum, others[s:s+keySize])
		diffuse(sum)
	}
	out := append(make([]byte, 0, keySize*stripes), others...)
	subtle.XORBytes(sum, sum, key)
	return append(out, sum...)
}

// join is the reverse of split.
func join(area []byte) []byte {
	last := len(area) - keySize
	sum := make([]byte, keySize)
	for s := 0; s < last; s += keySize {
		subtle.XORBytes(sum, sum, area[s:s+keySize])
		diffuse(sum)
	}
	subtle.XORBytes(sum, sum, area[last:])
	return sum
}

// diffuse replaces each digest's length by the digest of its number and itself.
func diffuse(b []byte) {
	for i := 0; i*sha256.Size < len(b); i++ {
		part := b[i*sha256.Size:][:sha256.Size]
		sum := sha256.Sum256(append(be.AppendUint32(nil, uint32(i)), part...))
		copy(part, sum[:])
	}
}
