package pgp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxBlocks bounds the armored blocks of one text: an archive's keyring has
// some dozens.
const maxBlocks = 1000

// Kinds of armored blocks.
const (
	publicKeyBlock  = "PUBLIC KEY BLOCK"
	privateKeyBlock = "PRIVATE KEY BLOCK"
	signatureBlock  = "SIGNATURE"
)

const armorBegin, armorEnd, armorDashes = "-----BEGIN PGP ", "-----END PGP ", "-----"

// Armored reports whether a text has an armored block of OpenPGP.
func Armored(text []byte) bool { return bytes.Contains(text, []byte(armorBegin)) }

// dearmor returns what the armored blocks of one kind hold that stand in a
// text, each at the beginning of a line; what says what the text is, for
// errors. It reads what gpg or rpm read: any text around the blocks, lines of
// any length and with any line ends, blocks and lines that are indented, blanks
// in the line that should be empty, no such line, a whole block in one line,
// and no checksum at the end. A wrong checksum is an error, as it is for gpg.
func dearmor(text []byte, kind, what string) ([][]byte, error) {
	var out [][]byte
	count := 0
	for rest := string(text); ; {
		found, body, more, err := nextBlock(rest)
		if found == "" {
			return out, nil
		}
		if count++; count > maxBlocks {
			return nil, fmt.Errorf("the %s has more than %d armored blocks", what, maxBlocks)
		}
		rest = more
		if err == nil && found != kind {
			continue
		}
		var data []byte
		if err == nil {
			data, err = decodeArmor(body)
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of the %s: %w", count, what, err)
		}
		out = append(out, data)
	}
}

// hasBlock reports whether a text has an armored block of a kind.
func hasBlock(text []byte, kind string) bool {
	return bytes.Contains(text, []byte(armorBegin+kind+armorDashes))
}

// nextBlock finds the first armored block: its kind, what stands between its
// two ends, and the text after it. Kind is empty if there is none.
func nextBlock(text string) (kind, body, rest string, err error) {
	for {
		i := strings.Index(text, armorBegin)
		if i < 0 {
			return "", "", "", nil
		}
		before, after := text[:i], text[i+len(armorBegin):]
		text = after
		line := before[strings.LastIndexAny(before, "\r\n")+1:]
		name, after, ok := strings.Cut(after, armorDashes)
		if !ok || strings.Trim(line, blanks+bom) != "" || strings.ContainsAny(name, "\r\n") {
			continue // words about a block
		}
		body, rest, ok = strings.Cut(after, armorEnd+name+armorDashes)
		if !ok {
			return name, "", "", fmt.Errorf("an armored block \"PGP %.40s\" has no end: the line %q is missing", name, armorEnd+name+armorDashes)
		}
		return name, body, rest, nil
	}
}

const (
	blanks = " \t\v\f\u00a0"
	bom    = "\ufeff"
)

// decodeArmor decodes what stands between the two ends of a block.
func decodeArmor(body string) ([]byte, error) {
	body = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case strings.ContainsRune(blanks+bom, r):
			return ' '
		}
		return r
	}, body)
	text := withoutHeaders(body)
	text = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' {
			return -1
		}
		return r
	}, text)
	data, tail := text, ""
	if i := strings.IndexByte(text, '='); i >= 0 {
		data, tail = text[:i], text[i:]
	}
	out, err := base64.RawStdEncoding.DecodeString(data)
	if err != nil {
		return nil, fmt.Errorf("it is no base64: %w", err)
	}
	// What is left are the marks that fill up the last four letters, and the
	// checksum with one more before it.
	fill := (4 - len(data)%4) % 4
	if n := len(tail) - len(strings.TrimLeft(tail, "=")); n == len(tail) && n <= fill {
		return out, nil
	} else if n != fill+1 || len(tail) != n+4 {
		return nil, errors.New("it does not end as an armored block does, with a checksum of four letters or with none")
	}
	sum, err := base64.StdEncoding.DecodeString(tail[fill+1:])
	if err != nil {
		return nil, fmt.Errorf("its checksum is no base64: %w", err)
	}
	if have := crc24(out); uint32(sum[0])<<16|uint32(sum[1])<<8|uint32(sum[2]) != have {
		return nil, errors.New("it is damaged: it does not have the checksum at its end")
	}
	return out, nil
}

// withoutHeaders returns the text after the lines such as "Version: …" that it
// begins with. They have a colon, which base64 has not.
func withoutHeaders(body string) string {
	if !strings.Contains(strings.TrimSpace(body), "\n") {
		// All in one line: the empty line has become a second blank.
		if i := strings.LastIndexByte(body, ':'); i >= 0 {
			if end := strings.Index(body[i:], "  "); end >= 0 {
				return body[i+end:]
			}
		}
		return body
	}
	for {
		line, rest, ok := strings.Cut(body, "\n")
		if !ok || strings.Trim(line, " ") != "" && !strings.Contains(line, ":") {
			return body
		}
		body = rest
	}
}

// crc24 is the checksum of RFC 9580, 6.1.1.
func crc24(data []byte) uint32 {
	crc := uint32(0xb704ce)
	for _, b := range data {
		crc ^= uint32(b) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return crc & 0xffffff
}

// encodeArmor is the normal form of a block: what every tool reads.
func encodeArmor(out *bytes.Buffer, kind string, data []byte) {
	const width = 64
	fmt.Fprintf(out, "%s%s%s\n\n", armorBegin, kind, armorDashes)
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > width {
		out.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	crc := crc24(data)
	sum := base64.StdEncoding.EncodeToString([]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)})
	fmt.Fprintf(out, "%s\n=%s\n%s%s%s\n", text, sum, armorEnd, kind, armorDashes)
}
