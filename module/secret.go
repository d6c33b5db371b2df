package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"
)

// MaxSecret bounds a secret, in bytes.
const MaxSecret = 64 << 10

// ReadSecret reads a secret of the build, a word that somebody could type: a
// passphrase, a password, credentials. It returns what SecretLine makes of it,
// and an error if the secret is missing or empty.
func (in *Input) ReadSecret(name string) ([]byte, error) {
	file := in.Secrets[name]
	if file == "" {
		return nil, errors.New("the contract names no file for it")
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the build has no such secret: give it with --secret id=%s,src=FILE", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSecret {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxSecret)
	}
	if data = SecretLine(data); len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	return data, nil
}

// SecretLine returns a secret that is one line of text without the end of the
// line, which editors and echo add and nobody types. Anything else, such as
// keys in PEM form and binary data, stays as it is.
func SecretLine(data []byte) []byte {
	line, found := bytes.CutSuffix(data, []byte("\n"))
	if !found {
		return data
	}
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if !utf8.Valid(line) || bytes.ContainsFunc(line, control) {
		return data
	}
	return line
}
