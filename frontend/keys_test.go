package frontend

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/rpmmd"
)

// The files of the named context "keys" are read in every form.
func TestKeysOfFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rpmmd/testdata/rsa.asc")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rpmmd.ReadKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	normal := string(keys.Armor())
	for _, tt := range []struct {
		name, want, err string
		data            []byte
	}{
		{name: "armored", data: text, want: normal},
		{name: "binary", data: keys.Packets(), want: normal},
		{name: "in one line", data: bytes.ReplaceAll(text, []byte("\n"), []byte(" ")), want: normal},
		{name: "another file", data: []byte("# keys\n")},
		{name: "a binary file", data: []byte("\x7fELF\x02\x01\x01")},
		{name: "cut off", data: text[:len(text)-60], err: "block 1 of the keyring"},
	} {
		got, err := keysOfFile(tt.data)
		if got != tt.want || (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
}
