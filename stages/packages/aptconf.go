package packages

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/debian"
)

// aptConf writes files that apt reads. apt knows no way to quote a quote, and a
// line of its configuration may name a command to be run. So what cannot stand
// between quotes as it is, is refused; the first such text is the error.
type aptConf struct {
	b   strings.Builder
	err error
}

// quotable reports why a text cannot stand between the quotes of apt's
// configuration.
func quotable(s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == '"' || r == '\\' || unicode.IsControl(r) }) {
		return fmt.Errorf("%.200q cannot be written into a configuration of apt: it has a quote, a backslash, a line end or another control character", s)
	}
	return nil
}

// word reports why a text is not one word of a sources.list or of preferences.
func word(s string) error {
	if s == "" || strings.ContainsAny(s, "[]#'") || strings.ContainsFunc(s, unicode.IsSpace) {
		return fmt.Errorf("%.200q is no word of a list of package sources", s)
	}
	return quotable(s)
}

func (c *aptConf) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// clear empties a list that other configuration may have filled.
func (c *aptConf) clear(name string) { c.b.WriteString("#clear " + name + ";\n") }

// set gives the item a value.
func (c *aptConf) set(name, value string) {
	c.fail(quotable(value))
	c.b.WriteString(name + " \"" + value + "\";\n")
}

// list gives the item a list of values.
func (c *aptConf) list(name string, values ...string) {
	c.b.WriteString(name + " {")
	for _, v := range values {
		c.fail(quotable(v))
		c.b.WriteString(" \"" + v + "\";")
	}
	c.b.WriteString(" };\n")
}

// line writes a line of words; those before the first value are our own.
func (c *aptConf) line(ours string, values ...string) {
	c.b.WriteString(ours)
	for _, v := range values {
		c.fail(word(v))
		c.b.WriteString(" " + v)
	}
	c.b.WriteByte('\n')
}

// stanza writes fields, each a name and a value of words, and an empty line.
func (c *aptConf) stanza(fields ...[2]string) {
	for _, f := range fields {
		c.line(f[0]+":", strings.Fields(f[1])...)
	}
	c.b.WriteByte('\n')
}

// text returns the whole, or what cannot be written.
func (c *aptConf) text() (string, error) {
	if c.err != nil {
		return "", c.err
	}
	return c.b.String(), nil
}

// statusText is the package database as apt is to see it: a text of what was
// read and found good, so that apt and this program cannot read it differently.
func statusText(stanzas []debian.Stanza) string {
	var b strings.Builder
	for _, s := range stanzas {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}
