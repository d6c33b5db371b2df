package test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // repositories that are to be refused or passed over have it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// FormPackage is a package of a repository that is written by hand, so that it
// has a form that no mirror of the tests has.
type FormPackage struct {
	// Name and File are the package's name and its file's content.
	Name string
	File []byte
	// Location and Base are where the repository says that the file lies.
	Location, Base string
	// Requires is what it needs, and Files are the files in it.
	Requires string
	Files    []string
	// Build is when it was built, in seconds.
	Build string
}

// FormRepository says which form a repository has.
type FormRepository struct {
	// Kind is the kind of all checksums, "sha256" if it is empty.
	Kind string
	// Compression is the ending of the metadata's names, ".gz" if it is empty;
	// "-" is none.
	Compression string
	// NoFilelists leaves out the lists of files.
	NoFilelists bool
	// Repomd changes repomd.xml; it may be nil.
	Repomd func(string) string
	// Packages are those of the repository.
	Packages []FormPackage
}

// FormServer serves files by their paths, as a server that is strict: a plus sign
// in a path is a space to it, as to those of S3.
type FormServer struct {
	// Address is its host and port, and Address6 that for version 6 of the
	// protocol, or the same where the machine has none.
	Address, Address6 string

	mu       sync.Mutex
	files    map[string][]byte
	rules    map[string]FormRule
	requests []string
	server   *http.Server
}

// FormRule sees a request before the server answers it, and says whether it has
// answered itself.
type FormRule func(http.ResponseWriter, *http.Request) bool

// StartFormServer starts a server on loopback until Close.
func StartFormServer() (*FormServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &FormServer{Address: l.Addr().String(), Address6: l.Addr().String(), files: map[string][]byte{}, rules: map[string]FormRule{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		s.Address6 = l.Addr().String()
		go func() { _ = s.server.Serve(l) }()
	}
	return s, nil
}

// Close ends the server.
func (s *FormServer) Close() error { return s.server.Close() }

// Add serves a file at a path, in which nothing is escaped.
func (s *FormServer) Add(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path.Clean("/"+name)] = data
}

// Rule lets a rule see the requests below a directory of the root first.
func (s *FormServer) Rule(dir string, rule FormRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules["/"+dir] = rule
}

// Requests lists the addresses that were asked for.
func (s *FormServer) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// ServeHTTP answers one request.
func (s *FormServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.RequestURI)
	data, ok := s.files[path.Clean(r.URL.Path)]
	rule := s.rules["/"+strings.Split(strings.TrimLeft(r.URL.Path, "/")+"/", "/")[0]]
	s.mu.Unlock()
	switch {
	case strings.Contains(r.URL.EscapedPath(), "+"):
		http.Error(w, "no access", http.StatusForbidden)
	case rule != nil && rule(w, r):
	case !ok:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", fmt.Sprintf("\"%x\"", sha256.Sum256(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// AddRepository writes the metadata of a repository below a directory, and
// returns its repomd.xml. The packages' files are added by Add.
func (s *FormServer) AddRepository(dir string, f FormRepository) ([]byte, error) {
	if f.Kind == "" {
		f.Kind = "sha256"
	}
	if f.Compression == "" {
		f.Compression = ".gz"
	}
	var primary, filelists strings.Builder
	fmt.Fprintf(&primary, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"%d\">\n", len(f.Packages))
	fmt.Fprintf(&filelists, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<filelists xmlns=\"http://linux.duke.edu/metadata/filelists\" packages=\"%d\">\n", len(f.Packages))
	for _, p := range f.Packages {
		primary.WriteString(p.primary(f.Kind))
		filelists.WriteString(p.filelists(f.Kind))
	}
	primary.WriteString("</metadata>\n")
	filelists.WriteString("</filelists>\n")
	types := []struct{ name, text string }{
		{"primary", primary.String()}, {"filelists", filelists.String()},
		{"other", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<otherdata xmlns=\"http://linux.duke.edu/metadata/other\" packages=\"0\">\n</otherdata>\n"},
	}
	if f.NoFilelists {
		types = append(types[:1], types[2:]...)
	}
	repomd := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n<revision>1700000000</revision>\n"
	for _, t := range types {
		packed, err := compress(f.Compression, []byte(t.text))
		if err != nil {
			return nil, err
		}
		href := "repodata/" + t.name + ".xml" + strings.TrimPrefix(f.Compression, "-")
		s.Add(path.Join(dir, href), packed)
		repomd += fmt.Sprintf("<data type=%q><checksum type=%q>%s</checksum><open-checksum type=%q>%s</open-checksum><location href=%q/><timestamp>1700000000</timestamp><size>%d</size><open-size>%d</open-size></data>\n",
			t.name, f.Kind, FormSum(f.Kind, packed), f.Kind, FormSum(f.Kind, []byte(t.text)), href, len(packed), len(t.text))
	}
	repomd += "</repomd>\n"
	if f.Repomd != nil {
		repomd = f.Repomd(repomd)
	}
	s.Add(path.Join(dir, "repodata/repomd.xml"), []byte(repomd))
	return []byte(repomd), nil
}

// FormSum returns a checksum in hex, as metadata have it.
func FormSum(kind string, data []byte) string {
	switch kind {
	case "sha", "sha1":
		return fmt.Sprintf("%x", sha1.Sum(data)) //nolint:gosec // see the import
	case "sha384":
		return fmt.Sprintf("%x", sha512.Sum384(data))
	case "sha512":
		return fmt.Sprintf("%x", sha512.Sum512(data))
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

func compress(ending string, data []byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	case ".zst":
		w, err = zstd.NewWriter(&out)
	default:
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

func escapeXML(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer never fails
	return b.String()
}

func (p FormPackage) primary(kind string) string {
	base, requires := "", ""
	if p.Base != "" {
		base = "xml:base=\"" + escapeXML(p.Base) + "\" "
	}
	if p.Requires != "" {
		requires = "<rpm:requires><rpm:entry name=\"" + escapeXML(p.Requires) + "\"/></rpm:requires>"
	}
	return fmt.Sprintf(`<package type="rpm"><name>%s</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>
<checksum type="%s" pkgid="YES">%s</checksum><summary>x</summary><description>x</description><time file="1700000000" build="%[8]s"/>
<size package="%[4]d" installed="10" archive="1000"/><location %[5]shref="%[6]s"/>
<format><rpm:license>x</rpm:license><rpm:sourcerpm>forms-1-1.src.rpm</rpm:sourcerpm>
<rpm:provides><rpm:entry name="%[1]s" flags="EQ" epoch="0" ver="1" rel="1"/></rpm:provides>%[7]s</format></package>
`, p.Name, kind, FormSum(kind, p.File), len(p.File), base, escapeXML(p.Location), requires, p.Build)
}

func (p FormPackage) filelists(kind string) string {
	out := fmt.Sprintf("<package pkgid=%q name=%q arch=\"noarch\"><version epoch=\"0\" ver=\"1\" rel=\"1\"/>\n", FormSum(kind, p.File), p.Name)
	for _, f := range p.Files {
		out += "<file>" + escapeXML(f) + "</file>\n"
	}
	return out + "</package>\n"
}
