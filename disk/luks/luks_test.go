package luks

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	xtslib "golang.org/x/crypto/xts"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/disk/used"
)

const passphrase = "correct horse battery staple"

// cheap is a KDF for tests.
var cheap = KDF{Iterations: 1, Memory: 64, Threads: 1}

func options() Options {
	return Options{UUID: disk.UUID{1, 2, 3}, Label: "a label", Passphrase: []byte(passphrase), KDF: cheap}
}

// plain is what a volume holds before it is encrypted: 2 MiB with holes, and a
// few zeros that are in use.
func plain() []byte {
	b := make([]byte, 2<<20)
	copy(b, bytes.Repeat([]byte("some text of a file system\n"), 1000))
	copy(b[1<<20+4096:], "alone")
	copy(b[len(b)-5:], "the end")
	return b
}

var inUse = []used.Range{{Start: 100 << 10, End: 200<<10 + 1}, {Start: 1 << 20, End: 1<<20 + 512}}

// volume makes a disk with a volume.
func volume(t *testing.T, o Options, offset int64, zerosAsData bool) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := Format(offsetWriter{f, offset}, o)
	if err != nil {
		t.Fatal(err)
	}
	data := plain()
	if err := f.Truncate(offset + v.Offset + int64(len(data))); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 4096 {
		if b := data[at : at+4096]; zerosAsData || !bytes.Equal(b, make([]byte, 4096)) {
			if _, err := f.WriteAt(b, offset+v.Offset+int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := v.Encrypt(t.Context(), offsetWriter{f, offset + v.Offset}, sparse.Section(sparse.File{File: f}, offset+v.Offset, int64(len(data))), int64(len(data)), inUse); err != nil {
		t.Fatal(err)
	}
	return name
}

type writerAt func(p []byte, at int64) (int, error)

func (w writerAt) WriteAt(p []byte, at int64) (int, error) { return w(p, at) }

type offsetWriter struct {
	io.WriterAt
	offset int64
}

func (w offsetWriter) WriteAt(p []byte, at int64) (int, error) {
	return w.WriterAt.WriteAt(p, w.offset+at)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, sector := range []int{512, 4096} {
		for _, k := range []KDF{cheap, {Method: PBKDF2, Iterations: 1000}} {
			o := options()
			o.SectorSize, o.KDF = sector, k
			f, err := os.Open(volume(t, o, 8192, false))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			all := io.NewSectionReader(f, 8192, 1<<40)
			v, err := Open(all, o.Passphrase)
			if err != nil {
				t.Fatal(err)
			}
			r, err := v.Reader(all)
			if err != nil {
				t.Fatal(err)
			}
			want := plain()
			got, raw := make([]byte, len(want)), make([]byte, len(want))
			if _, err := r.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := all.ReadAt(raw, v.Offset); err != nil {
				t.Fatal(err)
			}
			free := 0
			for at := 0; at < len(want); at += 4096 {
				w, g, c := want[at:at+4096], got[at:at+4096], raw[at:at+4096]
				zero := bytes.Equal(w, make([]byte, 4096))
				use := at < 204<<10 && at >= 100<<10 || at == 1<<20
				if zero && !use {
					free++
					if !bytes.Equal(c, w) {
						t.Errorf("free space at %d is not zero", at)
					}
				} else if !bytes.Equal(w, g) || bytes.Equal(c, w) {
					t.Errorf("block at %d: decrypted is the same: %v, encrypted is not: %v", at, bytes.Equal(w, g), !bytes.Equal(c, w))
				}
			}
			if free < 300 {
				t.Errorf("%d blocks are free", free)
			}
			small := make([]byte, 9)
			if _, err := r.ReadAt(small, 500); err != nil || !bytes.Equal(small, want[500:509]) {
				t.Errorf("part of a sector: %q, %v", small, err)
			}
			if _, err := Open(all, []byte("wrong")); !errors.Is(err, ErrPassphrase) {
				t.Errorf("another passphrase: %v", err)
			}
		}
	}
}

// feed runs a program with a text as its standard input.
func feed(t *testing.T, in, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestCryptsetup lets cryptsetup read headers and open volumes, which it does
// without a device unless it maps them.
func TestCryptsetup(t *testing.T) {
	t.Parallel()
	program, err := tool.Find("cryptsetup-bin", "cryptsetup")
	if err != nil {
		t.Skip(err)
	}
	run := func(in string, args ...string) (string, error) { return feed(t, in, program, args...) }
	for _, tc := range []struct {
		sector int
		kdf    KDF
		derive bool
		want   []string
	}{
		{512, KDF{}, false, []string{"argon2id", "Time cost:  3", "Memory:     65536", "Threads:    4", "512 [bytes]"}},
		{4096, KDF{Iterations: 5, Memory: 1 << 10, Threads: 2}, true, []string{"Time cost:  5", "4096 [bytes]"}},
		{512, KDF{Method: PBKDF2, Iterations: 2000}, false, []string{"pbkdf2", "Iterations: 2000"}},
	} {
		o := options()
		o.SectorSize, o.KDF, o.Derive = tc.sector, tc.kdf, tc.derive
		name := volume(t, o, 0, false)
		dump, err := run("", "luksDump", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range append(tc.want, "UUID:          \t"+o.UUID.String(), "a label", "aes-xts-plain64", "512 bits", "16777216 [bytes]") {
			if !strings.Contains(dump, want) {
				t.Errorf("%q is not in what luksDump says: %s", want, dump)
			}
		}
		if out, err := run(passphrase, "open", "--test-passphrase", "--key-file=-", name); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if out, err := run("wrong", "open", "--test-passphrase", "--key-file=-", name); err == nil {
			t.Errorf("another passphrase opens the volume: %s", out)
		}
		key := filepath.Join(t.TempDir(), "key")
		if out, err := run(passphrase, "luksDump", "--batch-mode", "--key-file=-", "--dump-volume-key", "--volume-key-file", key, name); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Open(f, o.Passphrase)
		f.Close()
		if got, _ := os.ReadFile(key); err != nil || !bytes.Equal(got, v.key) {
			t.Errorf("cryptsetup has another volume key, %v", err)
		}
	}
}

// TestDecrypt lets cryptsetup take the encryption off again, which it does with a
// cipher of its own.
func TestDecrypt(t *testing.T) {
	t.Parallel()
	program, err := tool.Find("cryptsetup-bin", "cryptsetup")
	if err != nil {
		t.Skip(err)
	}
	for _, sector := range []int{512, 4096} {
		o := options()
		// Memory and passes that cryptsetup does not take for a mistake.
		o.SectorSize, o.KDF = sector, KDF{Iterations: 4, Memory: 64, Threads: 1}
		name := volume(t, o, 0, false)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		out, err := feed(t, passphrase, program, "reencrypt", "--decrypt", "--force-offline-reencrypt", "--batch-mode", "--header", name+".header", "--key-file=-", name)
		if err != nil {
			f.Close()
			if strings.Contains(out, "unknown option") {
				t.Skip("this cryptsetup is too old")
			}
			t.Fatalf("%v: %s", err, out)
		}
		want := plain()
		got := make([]byte, len(want))
		_, err = f.ReadAt(got, 0)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(want); at += 4096 {
			w, use := want[at:at+4096], at < 204<<10 && at >= 100<<10 || at == 1<<20
			if (use || !bytes.Equal(w, make([]byte, 4096))) && !bytes.Equal(w, got[at:at+4096]) {
				t.Errorf("sectors of %d: the block at %d differs", sector, at)
			}
		}
	}
}

// TestSecondHeader damages the first copy of a header; cryptsetup writes it anew.
func TestSecondHeader(t *testing.T) {
	t.Parallel()
	name := volume(t, options(), 0, false)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt([]byte("x"), 5000)
	if _, err := Open(f, []byte(passphrase)); err != nil {
		t.Error(err)
	}
	if program, err := tool.Find("cryptsetup-bin", "cryptsetup"); err == nil {
		if out, err := tool.Run(t.Context(), nil, program, "repair", "--batch-mode", name); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	f.WriteAt([]byte("x"), 5000)
	f.WriteAt([]byte("x"), copySize+5000)
	if _, err := Open(f, []byte(passphrase)); err == nil {
		t.Error("two damaged headers are read")
	}
}

// TestDerived makes the same volume twice, from holes and from zeros.
func TestDerived(t *testing.T) {
	t.Parallel()
	read := func(o Options, zeros bool) []byte {
		t.Helper()
		data, err := os.ReadFile(volume(t, o, 0, zeros))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	o := options()
	if bytes.Equal(read(o, false), read(o, false)) {
		t.Error("random keys are the same")
	}
	o.Derive = true
	one := read(o, false)
	if !bytes.Equal(one, read(o, true)) {
		t.Error("derived keys give other bytes")
	}
	for _, change := range []func(o *Options){
		func(o *Options) { o.Passphrase = []byte("another one") },
		func(o *Options) { o.UUID[0]++ },
		func(o *Options) { o.KDF.Iterations++ },
	} {
		other := o
		change(&other)
		if bytes.Equal(one[HeaderSize:HeaderSize+4096], read(other, false)[HeaderSize:HeaderSize+4096]) {
			t.Error("another passphrase, UUID or effort gives the same key")
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		change func(o *Options)
		want   string
	}{
		{func(o *Options) { o.Passphrase = nil }, "the passphrase is empty"},
		{func(o *Options) { o.Passphrase = make([]byte, 600) }, "the passphrase has 600 bytes"},
		{func(o *Options) { o.Label = strings.Repeat("l", 48) }, "that of LUKS2 can have 47"},
		{func(o *Options) { o.Label = "a\nb" }, "control character"},
		{func(o *Options) { o.SectorSize = 1024 }, "use 512 or 4096"},
		{func(o *Options) { o.KDF.Method = "argon2i" }, "use argon2id or pbkdf2"},
		{func(o *Options) { o.KDF.Memory = 5 << 20 }, "KiB of memory"},
		{func(o *Options) { o.KDF.Threads = 9 }, "from 1 to 4 lanes"},
		{func(o *Options) { o.KDF.Iterations = -1 }, "iterations"},
		{func(o *Options) { o.KDF = KDF{Method: PBKDF2, Iterations: 999} }, "pbkdf2 makes from 1000"},
		{func(o *Options) { o.KDF = KDF{Method: PBKDF2, Memory: 1} }, "neither memory nor lanes"},
	} {
		o := options()
		tc.change(&o)
		if _, err := Format(nil, o); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), passphrase) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// TestHostile reads headers that say what cannot be.
func TestHostile(t *testing.T) {
	t.Parallel()
	o := options()
	o.Derive = true
	data, err := os.ReadFile(volume(t, o, 0, false))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := parseHeader(data[:copySize])
	if !ok {
		t.Fatal("the header cannot be read")
	}
	for _, pair := range [][2]string{
		{`"memory":64`, `"memory":1073741824`}, {`"time":1`, `"time":2147483647`}, {`"stripes":4000`, `"stripes":4`},
		{`"offset":"32768"`, `"offset":"-9"`}, {`"offset":"32768"`, `"offset":"9223372036854775807"`}, {`"sector_size":512`, `"sector_size":0`},
		{`"iterations":100000`, `"iterations":0`}, {`"0"`, `"1"`}, {`"key_size":64`, `"key_size":-1`},
	} {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(string(text), pair[0], pair[1], 1)
		if edited == string(text) {
			t.Fatalf("%s is not in %s", pair[0], text)
		}
		var bad metadata
		if err := json.Unmarshal([]byte(edited), &bad); err != nil {
			t.Fatal(err)
		}
		h, err := headers(o.UUID, "", &bad, [2][]byte{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(append(h, data[len(h):]...)), o.Passphrase); err == nil {
			t.Errorf("%s is taken", pair[1])
		}
	}
	for _, n := range []int{0, 4096, copySize, 2 * copySize, slotOffset + 1000} {
		if _, err := Open(bytes.NewReader(slices.Clone(data[:n])), o.Passphrase); err == nil {
			t.Errorf("%d bytes are a volume", n)
		}
	}
}

// TestXTS compares with another implementation.
func TestXTS(t *testing.T) {
	t.Parallel()
	key := make([]byte, 64)
	for i := range key {
		key[i] = byte(i * 7)
	}
	mine, err := newXTS(key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := xtslib.NewCipher(aes.NewCipher, key)
	if err != nil {
		t.Fatal(err)
	}
	var tw tweaks
	for _, size := range []int{512, 4096} {
		for _, sector := range []uint64{0, 1, 8, 1<<32 + 5, 1<<64 - 1} {
			text := bytes.Repeat([]byte("0123456789abcdef!"), 300)[:size]
			want, got := make([]byte, size), bytes.Clone(text)
			theirs.Encrypt(want, text, sector)
			if mine.encrypt(got, sector, &tw); !bytes.Equal(got, want) {
				t.Errorf("sector %d of %d bytes differs", sector, size)
			}
			if mine.decrypt(got, sector, &tw); !bytes.Equal(got, text) {
				t.Errorf("sector %d of %d bytes is not decrypted", sector, size)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile(volume(t, options(), 0, false), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := Open(f, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Encrypt(ctx, f, sparse.File{File: f}, 2<<20, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := v.Encrypt(t.Context(), f, sparse.File{File: f}, 2<<20+1, nil); err == nil {
		t.Error("half a sector is encrypted")
	}
	full := writerAt(func([]byte, int64) (int, error) { return 0, io.ErrShortWrite })
	if err := v.Encrypt(t.Context(), full, sparse.File{File: f}, 2<<20, nil); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

func BenchmarkEncrypt(b *testing.B) {
	name := filepath.Join(b.TempDir(), "data")
	const size = 256 << 20
	if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcdef"), size/16), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	v := &Volume{key: bytes.Repeat([]byte("key of the test."), 4), sectorSize: 512}
	b.SetBytes(size)
	for b.Loop() {
		if err := v.Encrypt(b.Context(), f, sparse.File{File: f}, size, nil); err != nil {
			b.Fatal(err)
		}
	}
}
