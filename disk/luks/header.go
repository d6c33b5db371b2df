package luks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/osbuildkit/osbuildkit/disk"
)

// Where things are in the header, in bytes.
const (
	binarySize  = 4096
	copySize    = 16 << 10 // of one of the two copies, with its JSON
	jsonSize    = copySize - binarySize
	slotOffset  = 2 * copySize
	keySize     = 64
	stripes     = 4000
	slotSize    = (keySize*stripes + 4095) / 4096 * 4096
	slotSector  = 512
	digestSize  = 32
	saltSize    = 32
	mode        = "aes-xts-plain64"
	digestTurns = 100_000
)

// number is an integer that JSON of LUKS2 has as a string.
type number int64

func (n number) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

func (n *number) UnmarshalText(b []byte) error {
	v, err := strconv.ParseInt(string(b), 10, 64)
	*n = number(v)
	return err
}

// The JSON of a header.
type (
	metadata struct {
		Keyslots map[string]keyslot   `json:"keyslots"`
		Tokens   map[string]struct{}  `json:"tokens"`
		Segments map[string]segment   `json:"segments"`
		Digests  map[string]keyDigest `json:"digests"`
		Config   struct {
			JSONSize number `json:"json_size"`
			Keyslots number `json:"keyslots_size"`
		} `json:"config"`
	}
	keyslot struct {
		Type    string `json:"type"`
		KeySize int    `json:"key_size"`
		AF      struct {
			Type    string `json:"type"`
			Stripes int    `json:"stripes"`
			Hash    string `json:"hash"`
		} `json:"af"`
		Area struct {
			Type       string `json:"type"`
			Offset     number `json:"offset"`
			Size       number `json:"size"`
			Encryption string `json:"encryption"`
			KeySize    int    `json:"key_size"`
		} `json:"area"`
		KDF slotKDF `json:"kdf"`
	}
	slotKDF struct {
		Type       string `json:"type"`
		Salt       []byte `json:"salt"`
		Hash       string `json:"hash,omitempty"`
		Iterations int    `json:"iterations,omitempty"`
		Time       int    `json:"time,omitempty"`
		Memory     int    `json:"memory,omitempty"`
		CPUs       int    `json:"cpus,omitempty"`
	}
	segment struct {
		Type       string `json:"type"`
		Offset     number `json:"offset"`
		Size       string `json:"size"`
		Tweak      number `json:"iv_tweak"`
		Encryption string `json:"encryption"`
		SectorSize int    `json:"sector_size"`
	}
	keyDigest struct {
		Type       string   `json:"type"`
		Keyslots   []string `json:"keyslots"`
		Segments   []string `json:"segments"`
		Hash       string   `json:"hash"`
		Iterations int      `json:"iterations"`
		Salt       []byte   `json:"salt"`
		Digest     []byte   `json:"digest"`
	}
)

// newMetadata returns what is said about a volume with one passphrase.
func newMetadata(o *Options, slotSalt, digestSalt, digest []byte) *metadata {
	var slot keyslot
	slot.Type, slot.KeySize = "luks2", keySize
	slot.AF.Type, slot.AF.Stripes, slot.AF.Hash = "luks1", stripes, "sha256"
	slot.Area.Type, slot.Area.Offset, slot.Area.Size = "raw", slotOffset, slotSize
	slot.Area.Encryption, slot.Area.KeySize = mode, keySize
	slot.KDF = slotKDF{Type: o.KDF.Method, Salt: slotSalt}
	if o.KDF.Method == PBKDF2 {
		slot.KDF.Hash, slot.KDF.Iterations = "sha256", o.KDF.Iterations
	} else {
		slot.KDF.Time, slot.KDF.Memory, slot.KDF.CPUs = o.KDF.Iterations, o.KDF.Memory, o.KDF.Threads
	}
	m := &metadata{
		Keyslots: map[string]keyslot{"0": slot},
		Tokens:   map[string]struct{}{},
		Segments: map[string]segment{"0": {Type: "crypt", Offset: HeaderSize, Size: "dynamic", Encryption: mode, SectorSize: o.SectorSize}},
		Digests: map[string]keyDigest{"0": {
			Type: PBKDF2, Keyslots: []string{"0"}, Segments: []string{"0"}, Hash: "sha256", Iterations: digestTurns, Salt: digestSalt, Digest: digest,
		}},
	}
	m.Config.JSONSize, m.Config.Keyslots = jsonSize, HeaderSize-slotOffset
	return m
}

var be = binary.BigEndian

// Places in the binary part of a header.
const (
	atLabel, lenLabel = 24, 48
	atSum, lenSum     = 448, 64
	atUUID, lenUUID   = 168, 40
)

// headers returns both copies of the header, one after the other.
func headers(id disk.UUID, label string, m *metadata, salts [2][]byte) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 2*copySize)
	for i, magic := range []string{"LUKS\xba\xbe", "SKUL\xba\xbe"} {
		b := out[i*copySize:][:copySize]
		copy(b, magic)
		be.PutUint16(b[6:], 2)
		be.PutUint64(b[8:], copySize)
		be.PutUint64(b[16:], 1) // how often it was written
		copy(b[atLabel:], label)
		copy(b[72:], "sha256")
		copy(b[104:168], salts[i])
		copy(b[atUUID:], id.String())
		be.PutUint64(b[256:], uint64(i*copySize))
		copy(b[binarySize:], text)
		sum := sha256.Sum256(b)
		copy(b[atSum:], sum[:])
	}
	return out, nil
}

// parseHeader reads a copy of the header, of copySize bytes, and checks it.
func parseHeader(b []byte) (*metadata, bool) {
	magic := string(b[:6])
	if magic != "LUKS\xba\xbe" && magic != "SKUL\xba\xbe" || be.Uint16(b[6:]) != 2 || be.Uint64(b[8:]) != copySize {
		return nil, false
	}
	b = bytes.Clone(b)
	want := sha256.Sum256(append(append(bytes.Clone(b[:atSum]), make([]byte, lenSum)...), b[atSum+lenSum:]...))
	if !bytes.Equal(b[atSum:][:len(want)], want[:]) {
		return nil, false
	}
	text, _, _ := bytes.Cut(b[binarySize:], []byte{0})
	var m metadata
	if json.Unmarshal(text, &m) != nil {
		return nil, false
	}
	return &m, true
}
