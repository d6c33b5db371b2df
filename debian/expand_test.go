package debian

import (
	"archive/tar"
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// sparseTar is an archive with a file of that size of which one byte is there, in
// one of the three forms that GNU tar has for it.
func sparseTar(t testing.TB, name string, size int64, form string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1, Format: tar.FormatPAX}
	body := "x"
	switch form {
	case "0.1":
		h.PAXRecords = map[string]string{"XXX.sparse.size": fmt.Sprint(size), "XXX.sparse.numblocks": "1", "XXX.sparse.map": fmt.Sprintf("%d,1", size-1)}
	case "1.0":
		h.PAXRecords = map[string]string{"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.realsize": fmt.Sprint(size), "XXX.sparse.name": name}
		list := fmt.Sprintf("1\n%d\n1\n", size-1)
		body = list + strings.Repeat("\x00", 512-len(list)) + "x"
		h.Size = int64(len(body))
	case "old":
		h.Format = tar.FormatGNU
	}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := bytes.ReplaceAll(out.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse."))
	if form == "old" {
		b := data[:512]
		b[156] = 'S'
		copy(b[386:], fmt.Sprintf("%011o\x00%011o\x00", size-1, 1))
		copy(b[483:], fmt.Sprintf("%011o\x00", size))
		sum := 0
		copy(b[148:], "        ")
		for _, c := range b {
			sum += int(c)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	}
	return data
}

// A package of a few kilobytes cannot take gigabytes of memory: a control member
// holds no sparse files, and what it holds has a limit.
func TestControlMemberExpands(t *testing.T) {
	const size = 3 << 30
	for _, form := range []string{"0.1", "1.0", "old"} {
		for _, name := range []string{"postinst", "control"} {
			deb := makeAr(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", compress(t, ".gz", sparseTar(t, name, size, form))}, member{"data.tar", makeTar(t)})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := OpenDeb(bytes.NewReader(deb))
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), name+`": it is a sparse file, which a package cannot hold`) {
				t.Errorf("%s, %s: %v", form, name, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%s, %s: %d bytes of a package of %d took %d MiB of memory", form, name, size, len(deb), used>>20)
			}
		}
	}
	large := makeTar(t, tarEntry{name: "control", body: control}, tarEntry{name: "templates", body: strings.Repeat("a", maxControlMember)})
	deb := makeAr(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", compress(t, ".gz", large)}, member{"data.tar", makeTar(t)})
	if _, err := OpenDeb(bytes.NewReader(deb)); err == nil || !strings.Contains(err.Error(), "it holds more than 64 MiB") {
		t.Error(err)
	}
}
