package rpmmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/pgp"
)

// Bounds of repomd.xml and of what it lists.
const (
	// maxTimestamp is the last second that fits 32 bits, in the year 2106. The
	// time becomes that of a build, and file systems have none after it.
	maxTimestamp = 1<<32 - 1
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
	// Unusable says by type what is wrong with files that are not in Data: a
	// repository may have such, as long as nobody needs them.
	Unusable map[string]string
}

// Data is one metadata file.
type Data struct {
	// Type says what the file is: "primary", "filelists", "group", "modules"…
	Type string
	// Location is the file's path relative to the repository, as it is listed:
	// see URL and File.
	Location string
	// Base is the address that Location is relative to where that is not the
	// repository's own.
	Base string
	// Checksum is that of the file, OpenChecksum that of its content without
	// compression; the latter may be missing, or of a kind that proves nothing.
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
	for i := range doc.Data {
		r.add(&doc.Data[i])
	}
	return r, nil
}

// add adds a file, or says why it cannot be used.
func (r *Repomd) add(x *xmlData) {
	d, err := x.data()
	if err == nil && r.Lookup(d.Type) != nil {
		// Nobody can tell which one is meant.
		err = errors.New("there are two of them")
		r.Data = slices.DeleteFunc(r.Data, func(other Data) bool { return other.Type == d.Type })
	}
	if err == nil && r.Unusable[d.Type] == "" {
		r.Data = append(r.Data, *d)
		return
	}
	if r.Unusable == nil {
		r.Unusable = map[string]string{}
	}
	if r.Unusable[x.Type] == "" {
		r.Unusable[x.Type] = err.Error()
	}
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
			d.OpenChecksum = Checksum{} // it is no loss
		}
	}
	if len(x.Location) != 1 {
		return nil, errors.New("must have one location")
	}
	d.Location, d.Base = x.Location[0].Href, x.Location[0].Base
	if err := checkLocation(d.Location); err != nil {
		return nil, err
	}
	if d.Base != "" {
		if err := checkURL(d.Base); err != nil {
			return nil, fmt.Errorf("its location is relative to another place: %w", err)
		}
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
		if d.Timestamp, err = strconv.ParseInt(whole, 10, 64); err != nil || d.Timestamp < 0 || d.Timestamp > maxTimestamp {
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
	var out []Data
	places := map[string]bool{}
	groups := slices.ContainsFunc(r.Data, func(d Data) bool { return strings.HasPrefix(d.Type, "group") })
	for _, typ := range solveTypes {
		d := r.Lookup(typ)
		reason := r.Unusable[typ]
		switch {
		case reason != "" && strings.HasPrefix(typ, "group") && groups:
			// There is one in another form.
		case reason != "":
			return nil, fmt.Errorf("repomd.xml: file of type %q: %s", typ, reason)
		case d == nil:
		case places[d.File()]:
			return nil, fmt.Errorf("repomd.xml lists %s twice", d.Location)
		default:
			places[d.File()] = true
			out = append(out, *d)
		}
	}
	if r.Lookup("primary") == nil {
		err := errors.New("repomd.xml lists no file of type \"primary\": the repository has no list of its packages")
		if r.Lookup("primary_db") != nil {
			err = fmt.Errorf("%w but that in SQLite (primary_db), which dnf does not read either; createrepo_c writes both", err)
		}
		return nil, err
	}
	return out, nil
}

// File returns the path under which a copy of the repository has the file: its
// location, unless that leads elsewhere.
func (d *Data) File() string {
	if d.Base == "" && validLocation(d.Location) {
		return d.Location
	}
	name := "repodata/" + d.Type
	if ext := path.Ext(d.Location); slices.Contains(compressions, ext) {
		name += ext
	}
	return name
}

// Opened returns what there is where a server has sent the file without its
// compression; false if the checksum of that is not known.
func (d *Data) Opened() (Data, bool) {
	ext := path.Ext(d.File())
	if d.OpenChecksum.Algorithm == "" || !slices.Contains(compressions, ext) {
		return *d, false
	}
	o := *d
	o.Location, o.Base = strings.TrimSuffix(d.File(), ext), ""
	o.Checksum, o.Size = d.OpenChecksum, d.OpenSize
	return o, true
}

// Local returns the file as a copy of the repository lists it.
func (d *Data) Local() Data {
	l := *d
	l.Location, l.Base = d.File(), ""
	return l
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
		base := ""
		if d.Base != "" {
			base = fmt.Sprintf("xml:base=\"%s\" ", text(d.Base))
		}
		fmt.Fprintf(&out, "    <location %shref=\"%s\"/>\n    <timestamp>%d</timestamp>\n", base, text(d.Location), d.Timestamp)
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
