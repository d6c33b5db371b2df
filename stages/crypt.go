package stages

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// cryptAlphabet are the digits of crypt(5), which are not those of base64.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	// sha512Rounds is the number of rounds of a hash that names none.
	sha512Rounds = 5000
	// maxPassword is the length of passwords that crypt(3) takes.
	maxPassword = 512
)

// hashPassword returns the hash of a plain password as crypt(5) has it, made
// with SHA-512.
func hashPassword(salt, password string) string {
	return "$6$" + salt + "$" + sha512Crypt([]byte(password), []byte(salt), sha512Rounds)
}

// saltSeed is what the salts of passwords are made of. It follows from what the
// manifest and the repositories say of the build, so that the same build gives the
// same image. Nothing of a password is in it: a salt can be read, and would tell at
// the cost of one fast hash whether a guess is right.
type saltSeed [sha512.Size]byte

func (o *UsersOptions) saltSeed(epoch int64) saltSeed {
	public := UsersOptions{Users: maps.Clone(o.Users)}
	for name, u := range public.Users {
		u.Password, u.PasswordSecret, u.PasswordHashed = nil, nil, nil
		public.Users[name] = u
	}
	text, err := json.Marshal(public)
	if err != nil {
		panic(err) // texts and numbers
	}
	return sha512.Sum512(fmt.Appendf(nil, "osbuildkit password salt 2\x00%d\x00%s", epoch, text))
}

// of returns the salt of a user: two users with one password have different hashes.
func (s saltSeed) of(user string) string {
	sum := sha512.Sum512(append(s[:], user...))
	salt := make([]byte, 16)
	for i := range salt {
		salt[i] = cryptAlphabet[sum[i]&63]
	}
	return string(salt)
}

// sha512Crypt returns the last part of a hash of crypt(5)'s method 6, which is
// described in "Unix crypt using SHA-256 and SHA-512" by Ulrich Drepper. The
// salt has at most 16 bytes.
func sha512Crypt(key, salt []byte, rounds int) string {
	// B: key, salt, key. It is used up to the length of the key.
	b := sha512.New()
	b.Write(key)
	b.Write(salt)
	b.Write(key)
	sumB := b.Sum(nil)

	// A: key, salt, B for each byte of the key, and B or the key for each bit
	// of the key's length.
	a := sha512.New()
	a.Write(key)
	a.Write(salt)
	a.Write(repeat(sumB, len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(sumB)
		} else {
			a.Write(key)
		}
	}
	sum := a.Sum(nil)

	// P and S: sequences as long as the key and the salt.
	dp := sha512.New()
	for range key {
		dp.Write(key)
	}
	p := repeat(dp.Sum(nil), len(key))
	ds := sha512.New()
	for range 16 + int(sum[0]) {
		ds.Write(salt)
	}
	s := repeat(ds.Sum(nil), len(salt))

	c := sha512.New()
	for i := range rounds {
		c.Reset()
		first, last := sum, p
		if i%2 != 0 {
			first, last = p, sum
		}
		c.Write(first)
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		c.Write(last)
		sum = c.Sum(sum[:0:0])
	}
	return encodeSHA512(sum)
}

// repeat returns the first n bytes of b, over and over.
func repeat(b []byte, n int) []byte { return bytes.Repeat(b, n/len(b)+1)[:n] }

// encodeSHA512 writes a sum with four digits for three bytes each, in the
// order of crypt(5): of each three, the first is 21 bytes before the second and
// so on, all of them modulo 63, and their roles rotate.
func encodeSHA512(sum []byte) string {
	var out strings.Builder
	digits := func(v uint32, n int) {
		for ; n > 0; n-- {
			out.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		digits(uint32(sum[x])<<16|uint32(sum[y])<<8|uint32(sum[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	digits(uint32(sum[63]), 2)
	return out.String()
}
