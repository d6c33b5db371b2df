//go:build e2e

package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/internal/testkey"
)

// madeTool is the package of which the suites of a madeArchive have versions.
const madeTool = "made-tool"

// madeArchive is a Debian of the test's own with three suites. That of the release
// has what a minimal system needs, from the real one, and an apt that says in its
// example of sources that the live archive is at madeLive. Suites are served below
// several paths, each in a state of its own.
type madeArchive struct {
	t      *testing.T
	key    *testkey.Signer
	server *httptest.Server
	// base is the index of the release without madeTool.
	base string

	mu    sync.Mutex
	files map[string][]byte
	asked []string
}

// Paths below which the archive is: where builds ask, and where the system does.
const (
	madeMirror = "mirror/debian"
	madeLive   = "live/debian"
)

func newMadeArchive(t *testing.T) *madeArchive {
	t.Helper()
	a := &madeArchive{t: t, key: testkey.NewSigner(t, nil), files: map[string][]byte{}}
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	stanzas := minimalSystem(t)
	apt := a.ownApt(packageField(stanzas["apt"], "Filename"))
	a.files["pool/own-apt.deb"] = apt
	stanzas["apt"] = regexp.MustCompile(`(?m)^(Filename|Size|SHA256|MD5sum): .*\n`).ReplaceAllString(stanzas["apt"]+"\n", "") + poolFields("pool/own-apt.deb", apt)
	var index strings.Builder
	for _, name := range slices.Sorted(keys(stanzas)) {
		index.WriteString(strings.TrimSpace(stanzas[name]) + "\n\n")
	}
	a.base = index.String()
	return a
}

// ServeHTTP serves the suites, the packages that were made up, and from the real
// mirror all other packages.
func (a *madeArchive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if i := strings.Index(name, "/pool/"); i >= 0 {
		name = name[i+1:]
	}
	a.mu.Lock()
	a.asked = append(a.asked, name)
	data, ok := a.files[name]
	a.mu.Unlock()
	switch {
	case ok:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	case strings.HasPrefix(name, "pool/"):
		http.Redirect(w, r, shared.mirror.URL()+"/"+name, http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}

// taken returns what was asked for since the last time.
func (a *madeArchive) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.asked
	a.asked = nil
	return out
}

// publish makes the state of a suite below a path: with madeTool in the given
// version, or without it.
func (a *madeArchive) publish(at, suite, label, tool string, date time.Time) {
	a.t.Helper()
	index := ""
	kind := strings.TrimPrefix(suite, "trixie")
	if kind == "" {
		index = a.base
	}
	if tool != "" {
		file := "pool/" + madeTool + "_" + tool + ".deb"
		control := "Package: " + madeTool + "\nVersion: " + tool + "\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nInstalled-Size: 1\n"
		deb := packDeb(a.t, control+"Description: made up\n", func(w *tar.Writer) error { return addFile(w, "usr/share/"+madeTool, tool) })
		index += control + poolFields(file, deb) + "Description: made up\n\n"
		a.mu.Lock()
		a.files[file] = deb
		a.mu.Unlock()
	}
	release := "Origin: Debian\nLabel: " + label + "\nSuite: stable" + kind + "\nCodename: " + suite + "\nVersion: 13.1\nArchitectures: amd64\nComponents: main\nDate: " +
		date.UTC().Format(time.RFC1123) + "\nNo-Support-for-Architecture-all: Packages\nSHA256:\n" + fmt.Sprintf(" %x %d main/binary-amd64/Packages\n", sha256.Sum256([]byte(index)), len(index))
	a.mu.Lock()
	defer a.mu.Unlock()
	dir := at + "/dists/" + suite
	a.files[dir+"/InRelease"], a.files[dir+"/main/binary-amd64/Packages"] = []byte(a.key.Clear(release)), []byte(index)
}

// withdraw takes a suite away.
func (a *madeArchive) withdraw(at, suite string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.files, at+"/dists/"+suite+"/InRelease")
}

// ownApt is the real package apt with another example of sources, and the key of the
// archive.
func (a *madeArchive) ownApt(file string) []byte {
	a.t.Helper()
	d, err := debian.OpenDeb(bytes.NewReader(fetched(a.t, file)))
	if err != nil {
		a.t.Fatal(err)
	}
	defer d.Close()
	example := fmt.Sprintf("# an example\nTypes: deb\nURIs: %[1]s/%[2]s\nSuites: trixie trixie-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/made-up.asc\n\n"+
		"Types: deb\nURIs: %[1]s/%[2]s-security\nSuites: trixie-security\nComponents: main contrib\nSigned-By: /usr/share/keyrings/made-up.asc\n", a.server.URL, madeLive)
	return packDeb(a.t, d.Control.String(), func(w *tar.Writer) error {
		for t := d.Data(); ; {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				return addFile(w, "usr/share/keyrings/made-up.asc", a.key.Keyring())
			}
			if err != nil {
				return err
			}
			var body io.Reader = t
			if strings.HasSuffix(h.Name, "/examples/debian.sources") {
				h.Size, body = int64(len(example)), strings.NewReader(example)
			}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.Copy(w, body); err != nil {
				return err
			}
		}
	}, d.Files...)
}

func addFile(w *tar.Writer, name, text string) error {
	err := w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg, ModTime: time.Unix(1_700_000_000, 0)})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	return err
}

// packDeb makes a package.
func packDeb(t *testing.T, control string, data func(*tar.Writer) error, scripts ...debian.ControlFile) []byte {
	t.Helper()
	archive := func(fill func(*tar.Writer) error) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if err := errors.Join(fill(w), w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	info := archive(func(w *tar.Writer) error {
		err := addFile(w, "control", control)
		for _, s := range scripts {
			if err == nil {
				err = w.WriteHeader(&tar.Header{Name: "./" + s.Name, Mode: int64(s.Mode.Perm()), Size: int64(len(s.Data)), Typeflag: tar.TypeReg})
			}
			if err == nil {
				_, err = w.Write(s.Data)
			}
		}
		return err
	})
	return arFile([]arMember{{"debian-binary", []byte("2.0\n")}, {"control.tar", info}, {"data.tar", archive(data)}})
}

// arMember is a file in an archive of ar.
type arMember struct {
	name string
	data []byte
}

// arFile makes an archive of ar, which a Debian package is.
func arFile(members []arMember) []byte {
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 1_700_000_000, 0, 0, "100644", len(m.data))
		out.Write(m.data)
		if len(m.data)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

func poolFields(file string, deb []byte) string {
	return fmt.Sprintf("Filename: %s\nSize: %d\nSHA256: %x\n", file, len(deb), sha256.Sum256(deb))
}

// fetched returns a file of the real mirror.
func fetched(t *testing.T, name string) []byte {
	t.Helper()
	code, body, _, err := get(t, t.Context(), shared.mirror.URL()+"/"+name)
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d, %v", name, code, err)
	}
	return []byte(body)
}

func packageField(stanza, name string) string {
	for line := range strings.Lines(stanza) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

var needed = regexp.MustCompile(`(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)`)

// minimalSystem returns the stanzas of the real index that a minimal system needs, by
// the names of the packages.
func minimalSystem(t *testing.T) map[string]string {
	t.Helper()
	dists := "dists/" + suite + "/"
	release, err := debian.ParseInRelease(fetched(t, dists+"InRelease"), nil)
	if err != nil {
		t.Fatal(err)
	}
	indexes, err := release.PackagesIndexes([]string{"main"}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	all, provided := map[string]string{}, map[string][]string{}
	var todo []string
	for _, f := range indexes {
		r, err := debian.Decompress(f.Path, bytes.NewReader(fetched(t, dists+f.Path)))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for stanza := range strings.SplitSeq(string(data), "\n\n") {
			name := packageField(stanza, "Package")
			all[name] = stanza
			for _, m := range needed.FindAllStringSubmatch(packageField(stanza, "Provides"), -1) {
				provided[m[1]] = append(provided[m[1]], name)
			}
			if packageField(stanza, "Priority") == "required" {
				todo = append(todo, name)
			}
		}
	}
	out := map[string]string{}
	for todo = append(todo, "apt", "usr-is-merged"); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if out[name] != "" {
			continue
		}
		if all[name] == "" {
			if p := provided[name]; len(p) > 0 && len(p) < 5 {
				todo = append(todo, p...)
			}
			continue
		}
		out[name] = all[name]
		for _, field := range []string{"Pre-Depends", "Depends"} {
			for _, m := range needed.FindAllStringSubmatch(packageField(all[name], field), -1) {
				todo = append(todo, m[1])
			}
		}
	}
	return out
}
