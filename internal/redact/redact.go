// Package redact makes text fit to be shown: it takes credentials out of
// addresses, and commands to the terminal out of what others have written.
package redact

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hidden stands in the place of what is not shown, as in net/url.
const hidden = "xxxxx"

var (
	// authority is the beginning of an address up to what stands before its host.
	authority = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#"'<>@]*(?:@[^\s/?#"'<>@]*)*)@`)
	// secret are the parameters of a query whose names say that they are secrets.
	secret = regexp.MustCompile(`(?i)([?&;][A-Za-z0-9_.%-]*(?:token|secret|passw(?:or)?d|passwd|signature|credential|api[_-]?key|access[_-]?key|auth|jwt|sig)[A-Za-z0-9_.%-]*=)([^\s&;#"'<>]+)`)
)

// Text returns a text without the credentials of the addresses in it: what
// stands before the host, apart from the name of a user with a password, and
// the parameters of a query whose names say that they are secrets.
func Text(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	s = authority.ReplaceAllStringFunc(s, func(m string) string {
		p := authority.FindStringSubmatch(m)
		user, _, password := strings.Cut(p[2], ":")
		if !password {
			return p[1] + hidden + "@" // a token
		}
		return p[1] + user + ":" + hidden + "@"
	})
	return secret.ReplaceAllString(s, "${1}"+hidden)
}

// URL returns an address without its credentials.
func URL(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil && u.Host != "" {
		if _, ok := u.User.Password(); ok {
			s = u.Redacted()
		}
	}
	return Text(s)
}

// Mask returns a line in which each character of a credential is an x, so that
// every other character keeps its place.
func Mask(line []rune) []rune {
	s := string(line)
	if !strings.Contains(s, "://") {
		return line
	}
	out := []rune(s)
	mask := func(from, to int) {
		first := utf8.RuneCountInString(s[:from])
		for i := range utf8.RuneCountInString(s[from:to]) {
			out[first+i] = 'x'
		}
	}
	for _, m := range authority.FindAllStringSubmatchIndex(s, -1) {
		from := m[4]
		if colon := strings.IndexByte(s[m[4]:m[5]], ':'); colon >= 0 {
			from += colon + 1
		}
		mask(from, m[5])
	}
	for _, m := range secret.FindAllStringSubmatchIndex(s, -1) {
		mask(m[4], m[5])
	}
	return out
}

// Control takes out of a text what a terminal obeys: the control characters but
// tab and the ends of lines.
func Control(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return utf8.RuneError
		}
		return r
	}, s)
}

// Shown is what may be shown of a text: neither credentials nor commands.
func Shown(s string) string { return Control(Text(s)) }

// Log makes the pieces of a log fit to be shown. A piece may end inside a
// character, which then is held back.
type Log struct{ rest []byte }

// Next returns what may be shown of the next piece.
func (l *Log) Next(piece []byte) []byte {
	data := append(l.rest, piece...)
	cut := len(data)
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if c := data[len(data)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(data[len(data)-i:]) {
				cut = len(data) - i
			}
			break
		}
	}
	l.rest = append([]byte(nil), data[cut:]...)
	return []byte(Shown(string(data[:cut])))
}

// Error returns an error whose text has no credentials, and that is otherwise
// the same.
func Error(err error) error {
	if err == nil || Text(err.Error()) == err.Error() {
		return err
	}
	return &redacted{err}
}

type redacted struct{ err error }

// Error returns the text without credentials.
func (r *redacted) Error() string { return Text(r.err.Error()) }

// Unwrap returns the error itself.
func (r *redacted) Unwrap() error { return r.err }
