package rpmdistro

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// Key signs packages and metadata.
type Key struct {
	entity *openpgp.Entity
	config *packet.Config
}

// NewKey makes an RSA key, as the distributions have. Its time is the given
// one, and that of its signatures too.
func NewKey(name string, when time.Time) (*Key, error) {
	config := &packet.Config{
		Algorithm: packet.PubKeyAlgoRSA, RSABits: 3072, DefaultHash: crypto.SHA256, Time: func() time.Time { return when },
		// Programs that know nothing of notations read the signatures.
		NonDeterministicSignaturesViaNotation: packet.BoolPointer(false),
	}
	entity, err := openpgp.NewEntity(name, "", "packages@example.org", config)
	if err != nil {
		return nil, err
	}
	return &Key{entity, config}, nil
}

// Public returns the armored public key.
func (k *Key) Public() (string, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return "", err
	}
	if err := errors.Join(k.entity.Serialize(w), w.Close()); err != nil {
		return "", err
	}
	return b.String() + "\n", nil
}

// Old returns the armored public key as it would be if it had been made before
// 2023 and renewed after all that it signed: it certifies itself with SHA-1.
func (k *Key) Old() (string, error) {
	when := k.config.Now()
	packets, err := testkey.Public(k.entity.PrivateKey, "Old <packages@example.org>",
		testkey.Certification{Hash: crypto.SHA1, Made: when, Lifetime: 24 * time.Hour},
		testkey.Certification{Hash: crypto.SHA1, Made: when.Add(12 * time.Hour)})
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return "", err
	}
	_, err = w.Write(packets)
	err = errors.Join(err, w.Close())
	return b.String() + "\n", err
}

// Armored returns the armored detached signature of data, as stands in
// repomd.xml.asc.
func (k *Key) Armored(data []byte) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.ArmoredDetachSign(&b, k.entity, bytes.NewReader(data), k.config)
	return b.Bytes(), err
}

const (
	leadSize         = 96
	sigTagRegion     = 62
	sigTagRSA        = 268
	sigTagSHA1       = 269
	sigTagSHA256     = 273
	sigTagMD5        = 1004
	sigTagReserved   = 1008
	tagFileSizes     = 1028
	typeString       = 6
	typeBinary       = 7
	headerEntrySize  = 16
	headerIntroSize  = 16
	signatureAligned = 8
)

// value is one entry of the signature header.
type value struct {
	tag, typ, count uint32
	data            []byte
}

// SignFile signs the package in a file: the signature is over its header,
// which has the checksum of the payload.
func (k *Key) SignFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	signed, err := k.sign(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, signed, 0o644)
}

func (k *Key) sign(rpm []byte) ([]byte, error) {
	values, rest, err := signatureHeader(rpm)
	if err != nil {
		return nil, err
	}
	header, err := headerSize(rest)
	if err != nil {
		return nil, err
	}
	var sig bytes.Buffer
	if err := openpgp.DetachSign(&sig, k.entity, bytes.NewReader(rest[:header]), k.config); err != nil {
		return nil, err
	}
	values = slices.DeleteFunc(values, func(v value) bool { return v.tag == sigTagReserved || v.tag == sigTagRSA })
	values = append(values, value{sigTagRSA, typeBinary, uint32(sig.Len()), sig.Bytes()})
	return slices.Concat(rpm[:leadSize], writeSignatureHeader(values), rest), nil
}

// enlarge makes the header of the package in a file say that all its files are
// as large as the header can say. Only the digest of the header is renewed: it
// is signed afterwards.
func enlarge(file string) error {
	rpm, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	values, rest, err := signatureHeader(rpm)
	if err != nil {
		return err
	}
	size, err := headerSize(rest)
	if err != nil {
		return err
	}
	count := int(binary.BigEndian.Uint32(rest[8:]))
	store := rest[headerIntroSize+count*headerEntrySize : size]
	for i := range count {
		e := rest[headerIntroSize+i*headerEntrySize:]
		if binary.BigEndian.Uint32(e) == tagFileSizes {
			sizes := store[binary.BigEndian.Uint32(e[8:]):][:4*binary.BigEndian.Uint32(e[12:])]
			copy(sizes, bytes.Repeat([]byte{0xff}, len(sizes)))
		}
	}
	values = slices.DeleteFunc(values, func(v value) bool { return v.tag == sigTagSHA1 || v.tag == sigTagSHA256 || v.tag == sigTagMD5 })
	digest := fmt.Sprintf("%x\x00", sha256.Sum256(rest[:size]))
	values = append(values, value{sigTagSHA256, typeString, 1, []byte(digest)})
	return os.WriteFile(file, slices.Concat(rpm[:leadSize], writeSignatureHeader(values), rest), 0o644)
}

// headerSize returns the size of the header that data begins with.
func headerSize(data []byte) (int, error) {
	if len(data) < headerIntroSize || !bytes.HasPrefix(data, []byte{0x8e, 0xad, 0xe8, 0x01}) {
		return 0, errors.New("no header of a package")
	}
	size := headerIntroSize + int(binary.BigEndian.Uint32(data[8:]))*headerEntrySize + int(binary.BigEndian.Uint32(data[12:]))
	if size > len(data) {
		return 0, errors.New("the header is cut off")
	}
	return size, nil
}

// signatureHeader returns the entries of the signature header without the
// region, and what follows it.
func signatureHeader(rpm []byte) ([]value, []byte, error) {
	if len(rpm) < leadSize {
		return nil, nil, errors.New("no package")
	}
	header := rpm[leadSize:]
	size, err := headerSize(header)
	if err != nil {
		return nil, nil, err
	}
	count := int(binary.BigEndian.Uint32(header[8:]))
	store := header[headerIntroSize+count*headerEntrySize : size]
	var out []value
	for i := range count {
		e := header[headerIntroSize+i*headerEntrySize:]
		v := value{tag: binary.BigEndian.Uint32(e), typ: binary.BigEndian.Uint32(e[4:]), count: binary.BigEndian.Uint32(e[12:])}
		if v.tag == sigTagRegion {
			continue
		}
		data := store[binary.BigEndian.Uint32(e[8:]):]
		switch v.typ {
		case 4:
			v.data = data[:4*v.count]
		case 5:
			v.data = data[:8*v.count]
		case typeString: // one
			v.data = data[:bytes.IndexByte(data, 0)+1]
		case typeBinary:
			v.data = data[:v.count]
		default:
			return nil, nil, fmt.Errorf("the signature header has a value of type %d", v.typ)
		}
		out = append(out, v)
	}
	padded := (size + signatureAligned - 1) / signatureAligned * signatureAligned
	return out, header[padded:], nil
}

// writeSignatureHeader writes the entries in the order of their tags, values
// in the same order, and the region around them.
func writeSignatureHeader(values []value) []byte {
	slices.SortFunc(values, func(a, b value) int { return int(a.tag) - int(b.tag) })
	var index, store bytes.Buffer
	entry := func(w *bytes.Buffer, fields ...uint32) {
		for _, f := range fields {
			_ = binary.Write(w, binary.BigEndian, f) // to memory
		}
	}
	for _, v := range values {
		if align := map[uint32]int{4: 4, 5: 8}[v.typ]; align > 0 {
			for store.Len()%align != 0 {
				store.WriteByte(0)
			}
		}
		entry(&index, v.tag, v.typ, uint32(store.Len()), v.count)
		store.Write(v.data)
	}
	var region bytes.Buffer
	entry(&region, sigTagRegion, typeBinary, uint32(store.Len()), headerEntrySize)
	entry(&store, sigTagRegion, typeBinary, uint32(-(len(values)+1)*headerEntrySize), headerEntrySize)
	var out bytes.Buffer
	out.Write([]byte{0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0})
	entry(&out, uint32(len(values)+1), uint32(store.Len()))
	out.Write(region.Bytes())
	out.Write(index.Bytes())
	out.Write(store.Bytes())
	for out.Len()%signatureAligned != 0 {
		out.WriteByte(0)
	}
	return out.Bytes()
}
