package pgp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxPackets bounds the packets of one text: a key that thousands have signed
// has as many.
const maxPackets = 50000

// Kinds of packets.
const (
	tagSignature     = 2
	tagSecretKey     = 5
	tagPublicKey     = 6
	tagSecretSubkey  = 7
	tagMarker        = 10
	tagTrust         = 12
	tagUserID        = 13
	tagPublicSubkey  = 14
	tagUserAttribute = 17
	tagPadding       = 21
)

// rawPacket is a packet as it stands in a text.
type rawPacket struct {
	tag byte
	// body is what the packet holds; raw is the whole of it.
	body, raw []byte
}

var errCutOff = errors.New("a packet is cut off")

// readPackets splits a text into its packets.
func readPackets(data []byte) ([]rawPacket, error) {
	var out []rawPacket
	for len(data) > 0 {
		if len(out) == maxPackets {
			return nil, fmt.Errorf("it has more than %d packets", maxPackets)
		}
		p, rest, err := nextPacket(data)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		data = rest
	}
	return out, nil
}

// nextPacket reads a packet of either form (RFC 9580, 4.2). Lengths that are
// not said at once are for what is encrypted or signed as a stream, never for
// keys and signatures.
func nextPacket(data []byte) (p rawPacket, rest []byte, err error) {
	if len(data) < 2 {
		return p, nil, errCutOff
	}
	first, in := data[0], data[1:]
	var size uint32
	switch {
	case first&0x80 == 0:
		return p, nil, fmt.Errorf("a packet begins with 0x%02x, as none does", first)
	case first&0x40 == 0:
		p.tag = first >> 2 & 0xf
		n := []int{1, 2, 4, 0}[first&3]
		if n == 0 || len(in) < n {
			return p, nil, errors.New("a packet of a key does not say its length")
		}
		for _, b := range in[:n] {
			size = size<<8 | uint32(b)
		}
		in = in[n:]
	default:
		p.tag = first & 0x3f
		switch b := in[0]; {
		case b < 192:
			size, in = uint32(b), in[1:]
		case b < 224 && len(in) >= 2:
			size, in = uint32(b-192)<<8+uint32(in[1])+192, in[2:]
		case b == 255 && len(in) >= 5:
			size, in = binary.BigEndian.Uint32(in[1:]), in[5:]
		case b >= 224 && b < 255:
			return p, nil, errors.New("a packet of a key does not say its length")
		default:
			return p, nil, errCutOff
		}
	}
	if p.tag == 0 || uint64(size) > uint64(len(in)) {
		return p, nil, errCutOff
	}
	p.body, rest = in[:size:size], in[size:]
	p.raw = data[:len(data)-len(rest)]
	return p, rest, nil
}

// parse returns the packet as the library knows it.
func (p rawPacket) parse() (packet.Packet, error) {
	return (&packet.OpaquePacket{Tag: p.tag, Contents: p.body}).Parse()
}
