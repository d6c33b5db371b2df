package rpmmd

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func TestParseRepomd(t *testing.T) {
	t.Parallel()
	text := testdata(t, "repodata/repomd.xml")
	r, err := ParseRepomd(text)
	if err != nil {
		t.Fatal(err)
	}
	if r.Revision != "1735689600" || len(r.Data) != 5 {
		t.Fatalf("got %+v", r)
	}
	want := &Data{
		Type: "primary", Location: "repodata/primary.xml.gz", Size: 635, OpenSize: 1295, Timestamp: 1735689600,
		Checksum:     Checksum{"sha256", "14fc6a1f8aca8e47ddb071555c877c4d28baa25923879dc919a4a32eefc767df"},
		OpenChecksum: Checksum{"sha256", "1a5f68495788a5bb70ba490b4068585053582ff3934968de638cb48b1e2d1666"},
	}
	if diff := cmp.Diff(want, r.Lookup("primary")); diff != "" {
		t.Error(diff)
	}
	files, err := r.SolveFiles()
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, d := range files {
		types = append(types, d.Type)
	}
	if got := strings.Join(types, " "); got != "primary filelists group group_gz" {
		t.Errorf("a solver needs %s", got)
	}
	// A subset says the same of what it keeps.
	less, err := ParseRepomd(r.Subset(types...))
	if err != nil {
		t.Fatal(err)
	}
	again := &Repomd{Revision: r.Revision}
	for _, d := range r.Data {
		if d.Type != "other" {
			again.Data = append(again.Data, d)
		}
	}
	if diff := cmp.Diff(again, less); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(r.Subset("primary"), r.Subset("primary")) || r.Lookup("nothing") != nil {
		t.Error("not the same twice")
	}
}

func TestParseRepomdErrors(t *testing.T) {
	t.Parallel()
	good := string(testdata(t, "repodata/repomd.xml"))
	sum := "14fc6a1f8aca8e47ddb071555c877c4d28baa25923879dc919a4a32eefc767df"
	primary := `<location href="repodata/primary.xml.gz"/>`
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("there is no %q", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"page":                {"<html></html>", "is the repository's address right"},
		"nothing":             {"", "cut off"},
		"no files":            {"<repomd></repomd>", "lists 0 files"},
		"cut off":             {good[:900], "repomd.xml"},
		"SHA-1":               {change(`<checksum type="sha256">`+sum, `<checksum type="sha">`+sum[:40]), "made with SHA-256"},
		"MD5":                 {change(`<checksum type="sha256">`+sum, `<checksum type="md5">`+sum[:32]), "proves nothing"},
		"unknown kind":        {change(`type="sha256"`, `type="crc"`), "no known kind"},
		"short":               {change(sum, sum[:63]), "no sha256 checksum"},
		"no checksum":         {change(`<checksum type="sha256">`+sum+`</checksum>`, ""), "must have one checksum"},
		"two checksums":       {change(`<checksum type="sha256">`+sum+`</checksum>`, strings.Repeat(`<checksum type="sha256">`+sum+`</checksum>`, 2)), "must have one checksum"},
		"no file":             {change("repodata/primary.xml.gz", "../.."), "no location of a file"},
		"another base":        {change(`<location href=`, `<location xml:base="file:///etc/" href=`), "another place"},
		"no location":         {change(primary, ""), "must have one location"},
		"two locations":       {change(primary, primary+primary), "must have one location"},
		"the same location":   {change("repodata/filelists.xml.gz", "repodata/primary.xml.gz"), "twice"},
		"the same type":       {change(`type="filelists"`, `type="primary"`), "file of type \"primary\": there are two of them"},
		"bad type":            {change(`type="primary"`, `type="a b"`), "no file of type \"primary\""},
		"SQLite alone":        {change(`type="primary"`, `type="primary_db"`), "but that in SQLite"},
		"bad size":            {change("<size>635", "<size>-635"), "no valid size"},
		"too large":           {change("<open-size>1295", "<open-size>99999999999999"), "no valid open-size"},
		"a time after 2106":   {change("<timestamp>1735689600", "<timestamp>4294967296"), "no valid timestamp"},
		"a time of 22 digits": {change("<timestamp>1735689600", "<timestamp>9999999999999999999999"), "no valid timestamp"},
		"a time before 1970":  {change("<timestamp>1735689600", "<timestamp>-1"), "no valid timestamp"},
		"bad time":            {change("<timestamp>1735689600", "<timestamp>x"), "no valid timestamp"},
		"bad revision":        {change("<revision>1735689600", "<revision>a\nb"), "no valid revision"},
		"too many":            {"<repomd>" + strings.Repeat("<data/>", 300) + "</repomd>", "lists 300 files"},
		"large":               {strings.Repeat(" ", MaxRepomd+1), "larger than"},
		"two roots":           {good + good[strings.Index(good, "<repomd"):], "more than one root"},
	} {
		r, err := ParseRepomd([]byte(tt.text))
		if err == nil {
			_, err = r.SolveFiles()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
	r, err := ParseRepomd([]byte(change(`type="primary"`, `type="primary_zck"`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SolveFiles(); err == nil || !strings.Contains(err.Error(), "no file of type \"primary\"") {
		t.Errorf("got %v", err)
	}
}

// What nobody needs may be as it likes, and what is needed may lie elsewhere.
func TestParseRepomdForms(t *testing.T) {
	t.Parallel()
	good := string(testdata(t, "repodata/repomd.xml"))
	r, err := ParseRepomd([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	other, group := r.Lookup("other").Checksum.Hex, r.Lookup("group").Checksum.Hex
	primary, file := r.Lookup("primary").Checksum.Hex, "repodata/primary.xml.gz"
	change := func(pairs ...string) string {
		text := good
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("there is no %q", pairs[i])
			}
			text = strings.Replace(text, pairs[i], pairs[i+1], 1)
		}
		return text
	}
	sum := `<checksum type="sha256">`
	extra := func(data string) string { return change("</repomd>", data+"</repomd>") }
	for name, tt := range map[string]struct{ text, types, file, url string }{
		"plain":                     {good, "primary filelists group group_gz", file, "https://x/os/" + file},
		"SHA-1 of other":            {change(sum+other, `<checksum type="sha">`+other[:40]), "primary filelists group group_gz", file, ""},
		"MD5 of other":              {change(sum+other, `<checksum type="md5">`+other[:32]), "primary filelists group group_gz", file, ""},
		"SHA-1 of one form":         {change(sum+group, `<checksum type="sha1">`+group[:40]), "primary filelists group_gz", file, ""},
		"weak open-checksum":        {change(`<open-checksum type="sha256">`, `<open-checksum type="sha1">`), "primary filelists group group_gz", file, ""},
		"SHA-512":                   {change(sum+primary, `<checksum type="sha512">`+primary+primary), "primary filelists group group_gz", file, ""},
		"SHA-384":                   {change(sum+primary, `<checksum type="sha384">`+primary+primary[:32]), "primary filelists group group_gz", file, ""},
		"two of another type":       {extra(`<data type="x"/><data type="x"/>`), "primary filelists group group_gz", file, ""},
		"another type, all wrong":   {extra(`<data type="../x"><location href=""/></data>`), "primary filelists group group_gz", file, ""},
		"no file lists":             {change(`type="filelists"`, `type="filelists-ext"`), "primary group group_gz", file, ""},
		"above":                     {change(file, "../../store/p+q.xml.gz"), "primary filelists group group_gz", "repodata/primary.gz", "https://x/store/p%2Bq.xml.gz"},
		"base":                      {change(`<location href="`+file, `<location xml:base="https://x/a/" href="p.xml.zst`), "primary filelists group group_gz", "repodata/primary.zst", "https://x/a/p.xml.zst"},
		"base of another server":    {change(`<location href="`+file, `<location xml:base="https://y/a/" href="p.xml`), "primary filelists group group_gz", "repodata/primary", ""},
		"address":                   {change(file, "https://x/a/p.xml.gz"), "primary filelists group group_gz", "repodata/primary.gz", "https://x/a/p.xml.gz"},
		"address of another server": {change(file, "http://x/a/p.xml.gz"), "primary filelists group group_gz", "repodata/primary.gz", ""},
	} {
		r, err := ParseRepomd([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		files, err := r.SolveFiles()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var types []string
		for _, d := range files {
			types = append(types, d.Type)
		}
		if got := strings.Join(types, " "); got != tt.types {
			t.Errorf("%s: a solver needs %s, want %s", name, got, tt.types)
		}
		if got := files[0].File(); got != tt.file {
			t.Errorf("%s: the file is %s, want %s", name, got, tt.file)
		}
		got, err := files[0].URL("https://x/a/../os")
		if strings.Contains(name, "another server") {
			if err == nil || !strings.Contains(err.Error(), `not at the server of the repository, https://x; if that server is meant, give`) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		} else if err != nil || tt.url != "" && got != tt.url {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tt.url)
		}
	}
}

func TestDataOpened(t *testing.T) {
	t.Parallel()
	sum, open := Checksum{"sha512", strings.Repeat("0", 128)}, Checksum{"sha256", strings.Repeat("1", 64)}
	d := Data{Type: "primary", Location: "../p.xml.gz", Base: "https://x", Checksum: sum, OpenChecksum: open, Size: 3, OpenSize: 9}
	o, ok := d.Opened()
	want := Data{Type: "primary", Location: "repodata/primary", Checksum: open, OpenChecksum: open, Size: 9, OpenSize: 9}
	if diff := cmp.Diff(want, o); !ok || diff != "" {
		t.Error(ok, diff)
	}
	if l := d.Local(); l.Location != "repodata/primary.gz" || l.Base != "" || l.Checksum != sum {
		t.Errorf("got %+v", l)
	}
	d.Location = "p.xml"
	if _, ok := d.Opened(); ok {
		t.Error("a file without compression has another form")
	}
	d.Location, d.OpenChecksum = "p.xml.gz", Checksum{}
	if _, ok := d.Opened(); ok {
		t.Error("the content has no checksum")
	}
}

func TestVerifyRepomd(t *testing.T) {
	t.Parallel()
	text, sig := testdata(t, "repodata/repomd.xml"), testdata(t, "repodata/repomd.xml.asc")
	rsa := testKeys(t, "rsa")
	signer, err := VerifyRepomd(text, sig, testKeys(t, "ed25519", "rsa"))
	if err != nil || signer.Fingerprint != rsa.Fingerprints()[0] {
		t.Errorf("got %+v, %v", signer, err)
	}
	for name, tt := range map[string]struct {
		text, sig []byte
		key, want string
	}{
		"changed":      {append(bytes.Clone(text), '\n'), sig, "rsa", "changed after it was signed"},
		"another key":  {text, sig, "ed25519", "give the public key in the option \"gpgkey\""},
		"no signature": {text, nil, "rsa", "is not signed"},
		"a page":       {text, []byte("<html></html>"), "rsa", "repomd.xml"},
		"a key":        {text, testdata(t, "rsa.asc"), "rsa", "no signature"},
		"large":        {text, make([]byte, MaxRepomdSignature+1), "rsa", "larger than"},
	} {
		if _, err := VerifyRepomd(tt.text, tt.sig, testKeys(t, tt.key)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func TestCheckPin(t *testing.T) {
	t.Parallel()
	text := testdata(t, "repodata/repomd.xml")
	if err := CheckPin(text, RepomdChecksum(text)); err != nil {
		t.Error(err)
	}
	if err := CheckPin(text, strings.ToUpper(RepomdChecksum(text))); err != nil {
		t.Error(err)
	}
	for pin, want := range map[string]string{
		RepomdChecksum(nil):                 "the repository has changed since",
		"sha1:" + strings.Repeat("0", 40):   "proves nothing",
		"0123":                              "no checksum such as",
		"sha256:":                           "no sha256 checksum",
		"sha256:" + strings.Repeat("g", 64): "no sha256 checksum",
		"":                                  "no checksum such as",
	} {
		if err := CheckPin(text, pin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", pin, err, want)
		}
	}
}

func TestGPGKey(t *testing.T) {
	t.Parallel()
	both := testKeys(t, "ed25519", "rsa")
	text := string(testdata(t, "ed25519.asc")) + "\n" + string(testdata(t, "rsa.asc"))
	if keys, err := GPGKey(text, nil); err != nil || keys.Len() != 2 {
		t.Errorf("got %v, %v", keys, err)
	}
	if keys, err := GPGKey(both.Fingerprints()[1], both); err != nil || keys.Fingerprints()[0] != both.Fingerprints()[1] {
		t.Errorf("got %v, %v", keys, err)
	}
	for value, want := range map[string]string{
		"https://example.org/key.asc":            "keys are not fetched",
		"file:///etc/pki/key":                    "keys are not fetched",
		"/etc/pki/key":                           "keys are not fetched",
		"CFC659B9":                               "short key id",
		both.Fingerprints()[0]:                   "no key",
		"-----BEGIN PGP PUBLIC KEY BLOCK-----\n": "gpgkey: block 1",
	} {
		if _, err := GPGKey(value, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one with %q", value, err, want)
		}
	}
}

// packed is a metadata file with the checksum it should have.
func packed(name string, file []byte) *Data {
	return &Data{Type: "x", Location: name, Checksum: Checksum{"sha256", hexSum(file)}, Size: int64(len(file))}
}

func TestDataOpen(t *testing.T) {
	t.Parallel()
	content := []byte(strings.Repeat("content ", 1000))
	var gz, x, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	xw, err := xz.NewWriter(&x)
	if err != nil {
		t.Fatal(err)
	}
	zw, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{g, xw, zw} {
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(d *Data, file []byte) ([]byte, error) {
		r, err := d.Open(bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	for name, file := range map[string][]byte{"a.xml.gz": gz.Bytes(), "a.xml.xz": x.Bytes(), "a.xml.zst": zst.Bytes(), "a.xml": content} {
		if got, err := read(packed(name, file), file); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if _, err := read(packed(name, file), file[:len(file)-1]); err == nil {
			t.Errorf("%s: can be cut off", name)
		}
		if _, err := read(packed(name, file), append(bytes.Clone(file), 0)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: a byte can be added", name)
		}
		wrong := packed(name, file)
		wrong.Checksum.Hex = hexSum(nil)
		if _, err := read(wrong, file); err == nil || !strings.Contains(err.Error(), "checksum that repomd.xml says") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := read(packed("a.zck", content), content); err == nil || !strings.Contains(err.Error(), "zchunk") {
		t.Errorf("got %v", err)
	}
	if _, err := read(packed("a.gz", content), content); err == nil || !strings.Contains(err.Error(), "a.gz") {
		t.Errorf("got %v", err)
	}
}

func FuzzRepomd(f *testing.F) {
	f.Add(testdata(f, "repodata/repomd.xml"))
	f.Add([]byte(`<repomd><data type="primary"><checksum type="md5">0</checksum></data></repomd>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRepomd(data)
		if err != nil {
			return
		}
		types := []string{}
		for _, d := range r.Data {
			if d.Checksum.Algorithm == "" {
				t.Errorf("%s has no checksum", d.Type)
			}
			if u, err := d.URL("https://x/a"); err == nil && sameServer("https://x", u) != nil {
				t.Errorf("%s is of another server", u)
			}
			if !validLocation(d.File()) {
				t.Errorf("%q is no plain path", d.File())
			}
			types = append(types, d.Type)
		}
		again, err := ParseRepomd(r.Subset(types...))
		if len(types) == 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Unusable = nil
		if diff := cmp.Diff(r, again); diff != "" {
			t.Error(diff)
		}
	})
}
