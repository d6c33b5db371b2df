package blocks

import (
	"errors"
	"fmt"
)

// ErrShared says that a part of a file is used for two blocks of the disk.
var ErrShared = errors.New("the image uses a part of its file twice")

// Claims notes which parts of a file are used. 64 parts that lie together take
// a few bytes.
type Claims struct {
	words map[uint64]uint64
	key   uint64 // of the word that was used last
	word  uint64
}

// NewClaims returns an empty set.
func NewClaims() *Claims { return &Claims{words: map[uint64]uint64{}} }

// Add notes a part, which must not be there.
func (c *Claims) Add(part uint64) error {
	if key := part / 64; key != c.key {
		c.words[c.key] = c.word
		c.key, c.word = key, c.words[key]
	}
	bit := uint64(1) << (part % 64)
	if c.word&bit != 0 {
		return fmt.Errorf("%w: the one with the number %d", ErrShared, part)
	}
	c.word |= bit
	return nil
}
