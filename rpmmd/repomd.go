package rpmmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

// Bounds of repomd.xml and of what it lists.
const (
	// MaxRepomd bounds repomd.xml, in bytes.
	MaxRepomd = 4 << 20
	// MaxRepomdSignature bounds repomd.xml.asc, in bytes.
	MaxRepomdSignature = 1 << 20
	// MaxMetadata bounds one metadata file, in bytes.
	MaxMetadata = 4 << 30
	maxData     = 200
)

// Repomd is the table of contents of a repository.
type Repomd struct {
	// Revision is the repository's own name of this state, often a time.
	Revision string
	// Data lists the metadata files in the order of the file.
	Data []Data
}

// Data is one metadata file.
type Data struct {
	// Type says what the file is: "primary", "filelists", "group", "modules"…
	Type string
	// Location is the file's path relative to the repository.
	Location string
	// Checksum is that of the file, OpenChecksum that of its content without
	// compression; the latter may be missing.
	Checksum, OpenChecksum Checksum
	// Size is that of the file and OpenSize that of its content, in bytes;
	// zero is unknown.
	Size, OpenSize int64
	// Timestamp is the file's time in seconds.
	Timestamp int64
	// DatabaseVersion is that of an SQLite file; zero for others.
	DatabaseVersion int
}

type xmlSum struct {
	Type  string `xml:"type,attr"`
	Value string `xml:",chardata"`
}

type xmlData struct {
	Type         string   `xml:"type,attr"`
	Checksum     []xmlSum `xml:"checksum"`
	OpenChecksum []xmlSum `xml:"open-checksum"`
	Location     []struct {
		Href string `xml:"href,attr"`
		Base string `xml:"base,attr"`
	} `xml:"location"`
	Timestamp []string `xml:"timestamp"`
	Size      []string `xml:"size"`
	OpenSize  []string `xml:"open-size"`
	Version   []string `xml:"database_version"`
}

type xmlRepomd struct {
	XMLName  xml.Name  `xml:"repomd"`
	Revision []string  `xml:"revision"`
	Data     []xmlData `xml:"data"`
}

// ParseRepomd reads a repomd.xml. It is to be called with a text that was
// found genuine: see CheckPin, Metalink.Check and VerifyRepomd.
func ParseRepomd(data []byte) (*Repomd, error) {
	if len(data) > MaxRepomd {
		return nil, fmt.Errorf("repomd.xml is larger than %d MiB", MaxRepomd>>20)
	}
	var doc xmlRepomd
	if err := decodeXML(data, &doc); err != nil {
		return nil, fmt.Errorf("repomd.xml: %w; is the repository's address right?", err)
	}
	if len(doc.Data) == 0 || len(doc.Data) > maxData {
		return nil, fmt.Errorf("repomd.xml lists %d files; want 1 to %d", len(doc.Data), maxData)
	}
	r := &Repomd{}
	if len(doc.Revision) > 0 {
		r.Revision = strings.TrimSpace(doc.Revision[0])
	}
	if !printable(r.Revision) {
		return nil, fmt.Errorf("repomd.xml: %.40q is no valid revision", r.Revision)
	}
	types, locations := map[string]bool{}, map[string]bool{}
	for i := range doc.Data {
		d, err := doc.Data[i].data()
		if err != nil {
			return nil, fmt.Errorf("repomd.xml: file of type %.40q: %w", doc.Data[i].Type, err)
		}
		if types[d.Type] {
			return nil, fmt.Errorf("repomd.xml lists two files of type %q", d.Type)
		}
		if locations[d.Location] {
			return nil, fmt.Errorf("repomd.xml lists %s twice", d.Location)
		}
		types[d.Type], locations[d.Location] = true, true
		r.Data = append(r.Data, *d)
	}
	return r, nil
}

func (x *xmlData) data() (*Data, error) {
	d := &Data{Type: x.Type}
	if !validChars(d.Type, 64, "._-") {
		return nil, errors.New("the type is no plain name")
	}
	if len(x.Checksum) != 1 || len(x.OpenChecksum) > 1 {
		return nil, errors.New("must have one checksum, and one open-checksum at most")
	}
	var err error
	if d.Checksum, err = newChecksum(x.Checksum[0].Type, x.Checksum[0].Value); err != nil {
		return nil, err
	}
	if len(x.OpenChecksum) == 1 {
		if d.OpenChecksum, err = newChecksum(x.OpenChecksum[0].Type, x.OpenChecksum[0].Value); err != nil {
			return nil, fmt.Errorf("open-checksum: %w", err)
		}
	}
	if len(x.Location) != 1 {
		return nil, errors.New("must have one location")
	}
	if x.Location[0].Base != "" {
		return nil, fmt.Errorf("its location is relative to another place, %.100q, which is not supported", x.Location[0].Base)
	}
	if d.Location = x.Location[0].Href; !validLocation(d.Location) {
		return nil, fmt.Errorf("%.200q is no location below the repository", d.Location)
	}
	for _, n := range []struct {
		name  string
		texts []string
		to    *int64
	}{{"size", x.Size, &d.Size}, {"open-size", x.OpenSize, &d.OpenSize}} {
		if len(n.texts) == 0 {
			continue
		}
		*n.to, err = strconv.ParseInt(strings.TrimSpace(n.texts[0]), 10, 64)
		if len(n.texts) > 1 || err != nil || *n.to < 0 || *n.to > MaxMetadata {
			return nil, fmt.Errorf("%.40q is no valid %s", n.texts[0], n.name)
		}
	}
	if len(x.Timestamp) > 0 {
		// Some write fractions of seconds; it only says how old the file is.
		whole, _, _ := strings.Cut(strings.TrimSpace(x.Timestamp[0]), ".")
		if d.Timestamp, err = strconv.ParseInt(whole, 10, 64); err != nil || d.Timestamp < 0 {
			return nil, fmt.Errorf("%.40q is no valid timestamp", x.Timestamp[0])
		}
	}
	if len(x.Version) > 0 {
		if d.DatabaseVersion, err = strconv.Atoi(strings.TrimSpace(x.Version[0])); err != nil || d.DatabaseVersion < 0 {
			return nil, fmt.Errorf("%.40q is no valid database version", x.Version[0])
		}
	}
	return d, nil
}

func printable(s string) bool {
	if len(s) > 200 {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Lookup returns the file of the type, or nil.
func (r *Repomd) Lookup(typ string) *Data {
	for i := range r.Data {
		if r.Data[i].Type == typ {
			return &r.Data[i]
		}
	}
	return nil
}

// solveTypes are what a solver reads: packages, files that packages may
// require, groups of packages under the names they have had, and module
// streams. What only describes updates, or is the same in another form for
// other programs, is left away.
var solveTypes = []string{"primary", "filelists", "group", "group_gz", "group_xz", "group_zst", "modules"}

// SolveFiles lists the files that a solver needs.
func (r *Repomd) SolveFiles() ([]Data, error) {
	if r.Lookup("primary") == nil {
		return nil, errors.New("repomd.xml lists no file of type \"primary\": the repository has no list of its packages")
	}
	var out []Data
	for _, typ := range solveTypes {
		if d := r.Lookup(typ); d != nil {
			out = append(out, *d)
		}
	}
	return out, nil
}

// Subset returns a repomd.xml that lists only the given types: the table of
// contents of a local copy that has no other files. A solver that reads it
// does not look for those that were left away.
func (r *Repomd) Subset(types ...string) []byte {
	var out bytes.Buffer
	text := func(s string) string {
		var b bytes.Buffer
		xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
		return b.String()
	}
	out.WriteString(xml.Header + `<repomd xmlns="http://linux.duke.edu/metadata/repo">` + "\n")
	if r.Revision != "" {
		fmt.Fprintf(&out, "  <revision>%s</revision>\n", text(r.Revision))
	}
	for _, d := range r.Data {
		if !slices.Contains(types, d.Type) {
			continue
		}
		fmt.Fprintf(&out, "  <data type=\"%s\">\n    <checksum type=\"%s\">%s</checksum>\n", text(d.Type), d.Checksum.Algorithm, d.Checksum.Hex)
		if d.OpenChecksum.Algorithm != "" {
			fmt.Fprintf(&out, "    <open-checksum type=\"%s\">%s</open-checksum>\n", d.OpenChecksum.Algorithm, d.OpenChecksum.Hex)
		}
		fmt.Fprintf(&out, "    <location href=\"%s\"/>\n    <timestamp>%d</timestamp>\n", text(d.Location), d.Timestamp)
		if d.Size > 0 {
			fmt.Fprintf(&out, "    <size>%d</size>\n", d.Size)
		}
		if d.OpenSize > 0 {
			fmt.Fprintf(&out, "    <open-size>%d</open-size>\n", d.OpenSize)
		}
		if d.DatabaseVersion > 0 {
			fmt.Fprintf(&out, "    <database_version>%d</database_version>\n", d.DatabaseVersion)
		}
		out.WriteString("  </data>\n")
	}
	out.WriteString("</repomd>\n")
	return out.Bytes()
}

// RepomdChecksum returns the checksum of a repomd.xml in the form of the
// option "checksum".
func RepomdChecksum(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// CheckPin reports whether a repomd.xml is the one that the option "checksum"
// names.
func CheckPin(data []byte, pin string) error {
	want, err := ParseChecksum(pin)
	if err != nil {
		return fmt.Errorf("the option \"checksum\": %w", err)
	}
	if !want.Matches(data) {
		return fmt.Errorf("repomd.xml is not the one that the option \"checksum\" names: it is %s, want %s; the repository has changed since, use a snapshot of it or the new checksum", RepomdChecksum(data), want)
	}
	return nil
}

// VerifyRepomd checks the signature repomd.xml.asc, armored or binary, of a
// repomd.xml: what repo_gpgcheck asks for. Whether the key was valid is judged
// at the time of the signature; Signer.CheckNow asks about now.
func VerifyRepomd(data, signature []byte, keys *Keys) (*Signer, error) {
	sigs, err := pgp.Dearmor(signature)
	if err != nil {
		return nil, fmt.Errorf("the signature repomd.xml.asc: %w", err)
	}
	signer, err := keys.VerifyText(sigs, func() io.Reader { return bytes.NewReader(data) })
	if err != nil {
		return nil, signatureError("repomd.xml", err)
	}
	return signer, nil
}
