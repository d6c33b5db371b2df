package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// compilePattern compiles a pattern that is cheap to match.
func compilePattern(text string) (*regexp.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("the expression has %d bytes; the limit is %d", len(text), maxPattern)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPatternOp {
		return nil, errors.New("the expression is too large: its repetitions multiply")
	}
	return regexp.Compile(text)
}

// parse reads a value that was given as text. The second result says what is
// wrong with it.
func (a *argument) parse(text string) (*node, string) {
	n := &node{kind: kindString, text: text}
	switch a.Type {
	case IntegerArg, NumberArg:
		p := &parser{text: text}
		literal, f := p.number()
		if f != nil || p.pos < len(text) {
			break
		}
		n.kind, n.text = kindNumber, literal
	case BooleanArg:
		if text == "true" || text == "false" {
			n.kind = kindBool
		}
	}
	if !utf8.ValidString(text) {
		return nil, "is not UTF-8"
	}
	return n, ""
}

// accept says what is wrong with a value, or "", and what to do about it.
func (a *argument) accept(n *node) (message, hint string) {
	if !a.fits(n) {
		found := n.kind.String()
		switch n.kind {
		case kindNumber:
			found = "the number " + describe(n)
		case kindString:
			found = "the string " + describe(n)
		}
		return fmt.Sprintf("must be %s, found %s", kinds([]string{string(a.Type)}), found), a.advice(n)
	}
	if len(n.text) > maxArgValue {
		return fmt.Sprintf("may have at most %d bytes, found %d", maxArgValue, len(n.text)), ""
	}
	if a.Name == EpochArg {
		if v, err := strconv.ParseInt(n.text, 10, 64); err != nil || v < 0 {
			return "must be a number of seconds since 1970, found " + describe(n), ""
		}
	}
	if a.pattern != nil && !a.pattern.MatchString(n.text) {
		return fmt.Sprintf("is %s, which does not match the pattern %s", describe(n), clip(a.Pattern, 200)), firstSentence(a.Description)
	}
	if a.enum == nil {
		return "", ""
	}
	words := make([]string, len(a.enum))
	names := make([]string, len(a.enum))
	for i, e := range a.enum {
		if same(e, n) {
			return "", ""
		}
		words[i], names[i] = describe(e), e.text
	}
	if a.Type == StringArg {
		hint = didYouMean(n.text, names)
	}
	return fmt.Sprintf("must be %s, found %s", list(words, "or"), describe(n)), hint
}

// fits reports whether a value has the argument's type.
func (a *argument) fits(n *node) bool {
	switch a.Type {
	case StringArg:
		return n.kind == kindString
	case IntegerArg:
		return n.kind == kindNumber && !strings.ContainsAny(n.text, ".eE")
	case NumberArg:
		return n.kind == kindNumber
	case BooleanArg:
		return n.kind == kindBool
	}
	return false
}

// advice knows the usual slips.
func (a *argument) advice(n *node) string {
	if v, wrong := a.parse(n.text); n.kind == kindString && wrong == "" && a.fits(v) {
		return "write it without quotes"
	}
	if a.Type == BooleanArg {
		return "write true or false"
	}
	if a.Type == IntegerArg && n.kind == kindNumber {
		return "write it without fraction and exponent"
	}
	if a.Type != StringArg && n.kind == kindString {
		return "write the digits alone, without a unit"
	}
	return ""
}

// same reports whether two values are equal. Numbers are compared by value.
func same(a, b *node) bool {
	if a.kind != b.kind || a.text == b.text {
		return a.kind == b.kind
	}
	if a.kind != kindNumber {
		return false
	}
	x, okX := new(big.Rat).SetString(a.text)
	y, okY := new(big.Rat).SetString(b.text)
	return okX && okY && x.Cmp(y) == 0
}

// encode writes a string, number or boolean as JSON. Numbers keep their
// literal.
func (n *node) encode() json.RawMessage {
	if n.kind == kindString {
		return writeString(nil, n.text)
	}
	return json.RawMessage(n.text)
}

// firstSentence is the first sentence of a description, for a hint.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if i := strings.Index(text, ". "); i >= 0 {
		text = text[:i]
	}
	return printable(clip(strings.TrimSuffix(text, "."), 300))
}
