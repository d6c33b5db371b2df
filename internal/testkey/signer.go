package testkey

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Signer signs release files as an archive does, with a key that nobody else has.
type Signer struct {
	t      testing.TB
	entity *openpgp.Entity
}

// NewSigner returns a signer with a new key; the configuration may be nil.
func NewSigner(t testing.TB, config *packet.Config) *Signer {
	t.Helper()
	e, err := openpgp.NewEntity("Made Up", "", "made-up@example.org", config)
	if err != nil {
		t.Fatal(err)
	}
	return &Signer{t, e}
}

// Keyring returns the public key in ASCII armor.
func (s *Signer) Keyring() string {
	s.t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(s.entity.Serialize(w), w.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// Clear returns a text with its signature around it, as in InRelease.
func (s *Signer) Clear(text string) string {
	s.t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, s.entity.PrivateKey, nil)
	if err == nil {
		_, err = io.WriteString(w, text)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// Detached returns the signature alone, as in Release.gpg.
func (s *Signer) Detached(text string) string {
	s.t.Helper()
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&out, s.entity, strings.NewReader(text), nil); err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}
