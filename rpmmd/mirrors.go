package rpmmd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of lists of mirrors.
const (
	// MaxMirrorFile bounds a metalink or a mirror list, in bytes.
	MaxMirrorFile = 4 << 20
	maxMirrors    = 1000
	maxURL        = 2000
	maxExpected   = 100
)

const repomdPath = "repodata/repomd.xml"

// Mirror is one place that has the repository.
type Mirror struct {
	// URL is the address of the repository, without repodata/repomd.xml and
	// without a slash at the end of its path.
	URL string
	// Preference is what the metalink says, up to 100 for the best one.
	Preference int
	// Location is the country that the metalink says, such as "US".
	Location string
}

// Metalink says which mirrors have a repository and what its repomd.xml is.
type Metalink struct {
	// Mirrors is sorted by preference, the best one first; of equal ones those
	// with https come first and then by address, so that the order that a
	// server shuffles does not matter.
	Mirrors []Mirror
	// Expected lists the states of repomd.xml that mirrors may have, the
	// newest one first: mirrors lag behind.
	Expected []Expected
}

// Expected is one state of repomd.xml.
type Expected struct {
	Timestamp int64
	// Size is zero where the metalink does not say it.
	Size int64
	// Checksums has at least one, the strongest one first.
	Checksums []Checksum
}

// Matches reports whether data is this state.
func (e *Expected) Matches(data []byte) bool {
	if e.Size > 0 && int64(len(data)) != e.Size || len(e.Checksums) == 0 {
		return false
	}
	for _, c := range e.Checksums {
		if !c.Matches(data) {
			return false
		}
	}
	return true
}

type xmlState struct {
	Timestamp []string `xml:"timestamp"`
	Size      []string `xml:"size"`
	Hashes    []struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	} `xml:"verification>hash"`
}

type xmlMetalink struct {
	XMLName xml.Name `xml:"metalink"`
	Files   []struct {
		Name string `xml:"name,attr"`
		xmlState
		Alternates []xmlState `xml:"alternates>alternate"`
		Resources  []struct {
			URLs []struct {
				Protocol   string `xml:"protocol,attr"`
				Preference string `xml:"preference,attr"`
				Location   string `xml:"location,attr"`
				Value      string `xml:",chardata"`
			} `xml:"url"`
		} `xml:"resources"`
	} `xml:"files>file"`
}

// ParseMetalink reads a metalink of version 3.0 for repomd.xml, as Fedora's
// mirror manager serves it. Mirrors that are neither http nor https are passed
// over. Variables in their addresses are expanded. The metalink itself is only
// as good as the way it came: an author who wants more pins repomd.xml by its
// checksum.
func ParseMetalink(data []byte, v Variables) (*Metalink, error) {
	if len(data) > MaxMirrorFile {
		return nil, fmt.Errorf("the metalink is larger than %d MiB", MaxMirrorFile>>20)
	}
	var doc xmlMetalink
	if err := decodeXML(data, &doc); err != nil {
		return nil, fmt.Errorf("the metalink: %w%s", err, serverSays(data))
	}
	if len(doc.Files) != 1 || doc.Files[0].Name != "repomd.xml" {
		return nil, errors.New("the metalink is not one for a repository: it must be for the one file repomd.xml; is the address right?" + serverSays(data))
	}
	f := doc.Files[0]
	m := &Metalink{}
	if len(f.Alternates) > maxExpected {
		return nil, fmt.Errorf("the metalink has more than %d alternates", maxExpected)
	}
	for i, s := range append([]xmlState{f.xmlState}, f.Alternates...) {
		e, err := s.expected()
		if err != nil && i == 0 {
			return nil, fmt.Errorf("the metalink: %w", err)
		}
		if err == nil { // an alternate that proves nothing is of no use
			m.Expected = append(m.Expected, *e)
		}
	}
	var urls []Mirror
	for _, r := range f.Resources {
		for _, u := range r.URLs {
			preference, err := strconv.Atoi(strings.TrimSpace(u.Preference))
			if err != nil || preference < 0 || preference > 100 {
				preference = 0
			}
			base, ok := cutRepomd(strings.TrimSpace(u.Value))
			if !ok {
				continue
			}
			urls = append(urls, Mirror{URL: base, Preference: preference, Location: u.Location})
		}
	}
	var err error
	if m.Mirrors, err = usableMirrors(urls, v); err != nil {
		return nil, fmt.Errorf("the metalink: %w", err)
	}
	slices.SortStableFunc(m.Mirrors, func(a, b Mirror) int {
		if a.Preference != b.Preference {
			return b.Preference - a.Preference
		}
		if s, t := strings.HasPrefix(a.URL, "https:"), strings.HasPrefix(b.URL, "https:"); s != t {
			if s {
				return -1
			}
			return 1
		}
		return strings.Compare(a.URL, b.URL)
	})
	return m, nil
}

func (s *xmlState) expected() (*Expected, error) {
	e := &Expected{}
	if len(s.Size) > 1 {
		return nil, errors.New("must say the size of repomd.xml once")
	}
	if len(s.Size) == 1 {
		var err error
		if e.Size, err = strconv.ParseInt(strings.TrimSpace(s.Size[0]), 10, 64); err != nil || e.Size <= 0 || e.Size > MaxRepomd {
			return nil, fmt.Errorf("%.40q is no valid size of repomd.xml", s.Size[0])
		}
	}
	if len(s.Timestamp) > 0 {
		// It only says which state is newer.
		e.Timestamp, _ = strconv.ParseInt(strings.TrimSpace(s.Timestamp[0]), 10, 64)
	}
	for _, h := range s.Hashes {
		if n := sumLengths[strings.ToLower(h.Type)]; n == 0 {
			continue // the weak ones stand beside the strong ones
		}
		c, err := newChecksum(h.Type, h.Value)
		if err != nil {
			return nil, err
		}
		e.Checksums = append(e.Checksums, c)
	}
	if len(e.Checksums) == 0 {
		return nil, errors.New("has no SHA-256 or SHA-512 of repomd.xml")
	}
	slices.SortStableFunc(e.Checksums, func(a, b Checksum) int { return len(b.Hex) - len(a.Hex) })
	return e, nil
}

// Check reports whether data is a repomd.xml that the metalink knows.
func (m *Metalink) Check(data []byte) error {
	for i := range m.Expected {
		if m.Expected[i].Matches(data) {
			return nil
		}
	}
	return errors.New("repomd.xml has none of the checksums in the metalink: the mirror is out of date, or somebody has changed the file; try another mirror")
}

// Allows reports whether the metalink knows a repomd.xml with the checksum, so
// that a pinned state that is gone is noticed before any mirror is asked. It
// is true where the metalink says nothing in this kind of checksum.
func (m *Metalink) Allows(pin Checksum) bool {
	comparable := false
	for _, e := range m.Expected {
		for _, c := range e.Checksums {
			if c == pin {
				return true
			}
			comparable = comparable || c.Algorithm == pin.Algorithm
		}
	}
	return !comparable
}

// ParseMirrorlist reads a list of mirrors: one address of the repository in
// each line, the best one first, in which variables are expanded; lines that
// begin with # are comments.
func ParseMirrorlist(data []byte, v Variables) ([]Mirror, error) {
	if len(data) > MaxMirrorFile {
		return nil, fmt.Errorf("the mirror list is larger than %d MiB", MaxMirrorFile>>20)
	}
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		if bytes.Contains(text, []byte("<metalink")) {
			return nil, errors.New("the mirror list is a metalink; use the option \"metalink\" for it")
		}
		return nil, errors.New("the mirror list is a web page; is its address right?")
	}
	var urls []Mirror
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		base, _ := cutRepomd(line)
		urls = append(urls, Mirror{URL: base})
	}
	mirrors, err := usableMirrors(urls, v)
	if err != nil {
		return nil, fmt.Errorf("the mirror list: %w%s", err, serverSays(data))
	}
	return mirrors, nil
}

// cutRepomd returns the address of the repository that has a repomd.xml, or the
// address itself if it is not one of a repomd.xml. What stands behind a question
// mark is the same in both.
func cutRepomd(address string) (base string, ok bool) {
	base, query, asked := strings.Cut(address, "?")
	base, ok = strings.CutSuffix(base, "/"+repomdPath)
	base = strings.TrimRight(base, "/")
	if asked {
		base += "?" + query
	}
	return base, ok
}

// usableMirrors keeps what can be fetched, each address once.
func usableMirrors(in []Mirror, v Variables) ([]Mirror, error) {
	if len(in) > maxMirrors {
		return nil, fmt.Errorf("more than %d mirrors", maxMirrors)
	}
	var out []Mirror
	seen := map[string]bool{}
	var unknown error
	for _, m := range in {
		var err error
		if m.URL, err = v.Expand(m.URL); err != nil {
			unknown = err
			continue
		}
		if checkURL(m.URL) != nil || seen[m.URL] {
			continue
		}
		seen[m.URL] = true
		out = append(out, m)
	}
	if len(out) == 0 {
		if unknown != nil {
			return nil, fmt.Errorf("has no mirror that can be used: %w", unknown)
		}
		return nil, errors.New("has no mirror with http or https")
	}
	return out, nil
}

// serverSays quotes the comment that servers answer a wrong address with.
func serverSays(data []byte) string {
	for line := range strings.Lines(string(data[:min(len(data), 4096)])) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.Contains(strings.ToLower(line), "error") {
			return fmt.Sprintf("; the server says %.200q", line)
		}
	}
	return ""
}
