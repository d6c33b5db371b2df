package rpmmd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/internal/redact"
)

// maxLocation bounds a location, in bytes.
const maxLocation = 1000

// JoinURL returns the address of a file, such as repodata/repomd.xml, of the
// repository at base: what stands behind a question mark in base, as the token
// of a customer, stays at the end. A location may lead above the repository,
// and never to another server.
func JoinURL(base, location string) (string, error) {
	return address(base, "", location, escapeMetadata)
}

// URL returns the address of the package's file where the repository is at
// mirror. A package may lie elsewhere on the server of the mirror, and nowhere
// else: who asks one server for files does not want to send requests to others
// that it names.
func (p *Package) URL(mirror string) (string, error) {
	return address(mirror, p.Base, p.Location, escapePackage)
}

// URL returns the address of the metadata file where the repository is at
// mirror, as Package.URL does.
func (d *Data) URL(mirror string) (string, error) {
	return address(mirror, d.Base, d.Location, escapeMetadata)
}

func address(mirror, base, location string, escape func(string) string) (string, error) {
	if err := checkURL(mirror); err != nil {
		return "", err
	}
	if err := checkLocation(location); err != nil {
		return "", err
	}
	out := ""
	switch {
	case strings.Contains(location, "://"):
		base, out = location, location
	case base != "":
		out = concat(base, escape(location))
	default:
		return cleanURL(concat(mirror, escape(location)))
	}
	if err := checkURL(base); err != nil {
		return "", fmt.Errorf("the repository says that %.200q lies elsewhere: %w", location, err)
	}
	if err := sameServer(mirror, base); err != nil {
		return "", fmt.Errorf("the repository says that %.200q lies elsewhere: %w", path.Base(location), err)
	}
	return cleanURL(out)
}

// concat puts a location behind the path of an address, before its query.
func concat(base, location string) string {
	base, query, asked := strings.Cut(base, "?")
	base = strings.TrimRight(base, "/") + "/" + strings.TrimLeft(location, "/")
	if asked {
		base += "?" + query
	}
	return base
}

// cleanURL resolves the dots in the path of an address, as all clients do before
// they send it: those that lead above the root lead to the root.
func cleanURL(s string) (string, error) {
	rest, query, asked := strings.Cut(s, "?")
	scheme, rest, _ := strings.Cut(rest, "://")
	host, rest, _ := strings.Cut(rest, "/")
	var out []string
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch {
		case p == "..":
			out = out[:max(0, len(out)-1)]
		case p != ".":
			out = append(out, p)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	s = strings.ToLower(scheme) + "://" + host + "/" + strings.Join(out, "/")
	if asked {
		s += "?" + query
	}
	return s, checkURL(s)
}

// sameServer reports that an address is not of the server of the mirror.
func sameServer(mirror, address string) error {
	m, err := url.Parse(mirror)
	if err != nil {
		return err
	}
	a, err := url.Parse(address)
	if err != nil {
		return err
	}
	if m.Scheme != a.Scheme || server(m) != server(a) {
		return fmt.Errorf("at %.200q, and not at the server of the repository, %s://%s; if that server is meant, give the repository's address there as a further \"baseurl\"", redact.URL(address), m.Scheme, m.Host)
	}
	if a.User != nil && (m.User == nil || a.User.String() != m.User.String()) {
		return errors.New("its address names a user, who is not the one of the repository's address")
	}
	return nil
}

// server is the host and the port of an address in one form.
func server(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), port)
}

// checkLocation reports what can be no location. Dots that lead above the
// repository can.
func checkLocation(s string) error {
	bad := s == "" || len(s) > maxLocation || !utf8.ValidString(s) || strings.HasSuffix(s, "/")
	for i := range len(s) {
		bad = bad || s[i] < ' ' || s[i] == 0x7f
	}
	if last := path.Base(s); bad || last == "." || last == ".." || last == "/" {
		return fmt.Errorf("%.200q is no location of a file", s)
	}
	return nil
}

// validLocation reports whether s is a plain path below the repository, under
// which a file can be laid down and found again, whoever resolves it.
func validLocation(s string) bool {
	if s == "" || len(s) > maxLocation || strings.ContainsAny(s, "?#\\:%") || path.Clean(s) != s || s[0] == '/' || s == "." || s == ".." || strings.HasPrefix(s, "../") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// escapePackage escapes the location of a package as dnf does, in which
// nothing is escaped yet: all but what never needs it. Some servers (S3) take a
// plus sign for a space.
func escapePackage(s string) string {
	return escape(s, func(i int) bool { return validChars(s[i:i+1], 1, "-._~/") })
}

// escapeMetadata escapes what cannot stand in an address. A location of a
// metadata file is an address as it is, to dnf too, so that what looks escaped
// is.
func escapeMetadata(s string) string {
	return escape(s, func(i int) bool {
		if s[i] == '%' {
			return i+2 < len(s) && isHex(strings.ToLower(s[i+1:i+3]))
		}
		return validChars(s[i:i+1], 1, "-._~/!$&'()*,;=:@")
	})
}

func escape(s string, plain func(i int) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if plain(i) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// checkURL accepts what can be fetched without a program of its own.
func checkURL(s string) error {
	if len(s) > maxURL {
		return fmt.Errorf("an address of %d characters, more than %d", len(s), maxURL)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("the address %q holds a character that must be escaped", s)
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("the address %q: %w", s, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("the address %q is neither http nor https", redact.URL(s))
	case strings.Contains(s, "#"):
		return fmt.Errorf("the address %q has a fragment (#…), which no server is asked for", redact.URL(s))
	}
	return nil
}
