package module

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, data, want string }{
		{"without the end of the line", "word", "word"},
		{"echo", "word\n", "word"},
		{"an editor of Windows", "word\r\n", "word"},
		{"blanks belong to it", "\tBasic Zm9v \n", "\tBasic Zm9v "},
		{"not ASCII", "Schlüssel\n", "Schlüssel"},
		{"nothing", "", ""},
		{"an empty line", "\n", ""},
		{"two ends", "word\n\n", "word\n\n"},
		{"two lines", "one\ntwo\n", "one\ntwo\n"},
		{"PEM", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"},
		{"binary", "\x00\x01\n", "\x00\x01\n"},
		{"not UTF-8", "\xff\xfe\n", "\xff\xfe\n"},
		{"a carriage return alone", "word\r", "word\r"},
		{"a carriage return inside", "wo\rrd\n", "wo\rrd\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := SecretLine([]byte(tt.data)); string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzSecretLine(f *testing.F) {
	for _, s := range []string{"", "\n", "a\r\n", "a\nb\n", "\xff\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := SecretLine(data)
		if end := string(data[len(got):]); !bytes.HasPrefix(data, got) || end != "" && end != "\n" && end != "\r\n" {
			t.Errorf("%q has become %q", data, got)
		}
	})
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct{ name, data, want, fails string }{
		{"line", "word\n", "word", ""},
		{"empty", "", "", "it is empty"},
		{"blank", "\r\n", "", "it is empty"},
		{"large", strings.Repeat("x", MaxSecret+1), "", "it is larger than"},
		{"missing", "", "", "the build has no such secret: give it with --secret id=missing,src=FILE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, tt.name)
			if tt.name != "missing" {
				if err := os.WriteFile(file, []byte(tt.data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := (&Input{Secrets: map[string]string{tt.name: file}}).ReadSecret(tt.name)
			if string(got) != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if _, err := (&Input{}).ReadSecret("word"); err == nil {
		t.Error("a secret without a file is read")
	}
}
