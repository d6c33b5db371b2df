package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

type nodeKind uint8

const (
	kindNull nodeKind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// String names a kind for messages, with its article.
func (k nodeKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is one JSON value with its place in the text.
type node struct {
	kind             nodeKind
	start, end       int // byte offsets of the value
	keyStart, keyEnd int // byte offsets of the key; keyEnd is 0 without a key
	key              string
	// text is the decoded string, or the literal of a number or boolean.
	text string
	// kids are the members of an object or the elements of an array.
	kids   []*node
	byName map[string]*node // of objects with many members
	// from says that the value stands in the place of a marker.
	from *origin
}

// get returns the member of an object, or nil.
func (n *node) get(key string) *node {
	if n.byName != nil {
		return n.byName[key]
	}
	for _, kid := range n.kids {
		if kid.key == key {
			return kid
		}
	}
	return nil
}

// Bounds of what is read. BuildKit takes no entry file above 16 MiB.
const (
	// MaxSize is the largest size of a manifest in bytes.
	MaxSize = 16 << 20

	maxDepth    = 200
	maxValues   = 500_000
	maxNumber   = 1000 // characters of a number
	maxExponent = 400  // a 64 bit float ends well below
	// mapFrom is the number of members from which an object gets a map.
	mapFrom = 12
)

// fault is an error at a place of the text that ends the reading.
type fault struct {
	start, end    int
	pointer       string
	message, hint string
	// open is the offset of a bracket that is not closed, plus one, or 0.
	open int
}

func (f *fault) Error() string { return f.message }

type parser struct {
	text   string
	pos    int
	values int
	path   []pathStep
	open   []int // offsets of the brackets around the current place
	// duplicates are keys that stand twice in an object.
	duplicates []*duplicate
}

// pathStep is a key of an object or the index of an element.
type pathStep struct {
	key     string
	index   int
	element bool
}

// pointer writes the path of the current value.
func (p *parser) pointer() string {
	tokens := make([]string, len(p.path))
	for i, step := range p.path {
		tokens[i] = step.key
		if step.element {
			tokens[i] = strconv.Itoa(step.index)
		}
	}
	return JoinPointer("", tokens...)
}

type duplicate struct {
	pointer       string
	first, second *node
}

// parseDocument reads the one value of the text from an offset on.
func parseDocument(text string, offset int) (*parser, *node, *fault) {
	p := &parser{text: text, pos: offset}
	p.space()
	if p.pos == len(text) {
		return p, nil, &fault{message: "the file is empty", hint: "the smallest manifest is {}", start: p.pos, end: p.pos}
	}
	n, f := p.value("a JSON object")
	if f != nil {
		return p, nil, f
	}
	p.space()
	if p.pos < len(text) {
		return p, nil, &fault{start: p.pos, end: len(text),
			message: "unexpected " + p.found() + " after the end of the JSON value",
			hint:    "a manifest is one JSON object; remove what follows it"}
	}
	return p, n, nil
}

func (p *parser) fault(start, end int, hint, format string, args ...any) *fault {
	return &fault{start: start, end: min(end, len(p.text)), pointer: p.pointer(),
		message: fmt.Sprintf(format, args...), hint: hint}
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// word returns the letters and digits at the current place.
func (p *parser) word() string {
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '$' && r != '-' && r != '.' && r != '+'
	})
	if end < 0 {
		end = len(rest)
	}
	return rest[:end]
}

// found describes what stands at the current place.
func (p *parser) found() string {
	if p.pos >= len(p.text) {
		return "the end of the file"
	}
	if p.text[p.pos] == '"' {
		return "a string"
	}
	if w := p.word(); w != "" {
		return quote(w)
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return quote(string(r))
}

// unexpected makes the fault of something else than what is wanted.
func (p *parser) unexpected(want string) *fault {
	end := p.pos + 1
	if w := p.word(); w != "" {
		end = p.pos + len(w)
	} else if _, size := utf8.DecodeRuneInString(p.text[p.pos:]); size > 0 {
		end = p.pos + size
	}
	f := p.fault(p.pos, end, p.advice(want), "expected %s, found %s", want, p.found())
	if p.pos == len(p.text) && len(p.open) > 0 {
		f.open = p.open[len(p.open)-1] + 1
	}
	return f
}

// advice knows the usual slips of people who write JSON by hand.
func (p *parser) advice(want string) string {
	rest := p.text[p.pos:]
	switch {
	case strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, "#"), strings.HasPrefix(rest, "/*"):
		return "JSON has no comments; only lines such as # syntax=… may stand before the first bracket"
	case strings.HasPrefix(rest, "'"):
		return "strings stand in double quotes"
	case rest != "" && (rest[0] == '}' || rest[0] == ']') && p.lastSign() == ',':
		return "remove the comma before it"
	}
	switch w := p.word(); w {
	case "":
	case "True", "TRUE":
		return "write true"
	case "False", "FALSE":
		return "write false"
	case "None", "NULL", "Null", "nil":
		return "write null"
	case "NaN", "Infinity", "-Infinity":
		return "JSON has no such number"
	default:
		if r, _ := utf8.DecodeRuneInString(w); unicode.IsLetter(r) && !strings.HasPrefix(want, `","`) {
			return "strings and keys stand in double quotes"
		}
	}
	return ""
}

// lastSign is the last character before the current place that is no space.
func (p *parser) lastSign() byte {
	before := strings.TrimRight(p.text[:p.pos], " \t\r\n")
	if before == "" {
		return 0
	}
	return before[len(before)-1]
}

// value reads one value; want says in a message what is expected here.
func (p *parser) value(want string) (*node, *fault) {
	if p.values++; p.values > maxValues {
		return nil, p.fault(p.pos, p.pos+1, "", "more than %d values", maxValues)
	}
	n := &node{start: p.pos}
	var f *fault
	switch c := p.peek(); {
	case c == '{', c == '[':
		if p.open = append(p.open, p.pos); len(p.open) > maxDepth {
			return nil, p.fault(p.pos, p.pos+1, "", "nested more than %d deep", maxDepth)
		}
		if c == '{' {
			f = p.object(n)
		} else {
			f = p.array(n)
		}
		p.open = p.open[:len(p.open)-1]
	case c == '"':
		n.kind = kindString
		n.text, f = p.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = kindNumber
		n.text, f = p.number()
	default:
		f = p.literal(n, want)
	}
	n.end = p.pos
	return n, f
}

func (p *parser) literal(n *node, want string) *fault {
	w := p.word()
	switch w {
	case "true", "false":
		n.kind = kindBool
	case "null":
		n.kind = kindNull
	default:
		return p.unexpected(want)
	}
	n.text = w
	p.pos += len(w)
	return nil
}

func (p *parser) object(n *node) *fault {
	n.kind = kindObject
	p.pos++
	for first := true; ; first = false {
		p.space()
		if first && p.peek() == '}' {
			p.pos++
			return nil
		}
		if p.peek() != '"' {
			if first {
				return p.unexpected(`a key or "}"`)
			}
			return p.unexpected("a key")
		}
		keyStart := p.pos
		key, f := p.str()
		if f != nil {
			return f
		}
		keyEnd := p.pos
		p.path = append(p.path, pathStep{key: key})
		p.space()
		if p.peek() != ':' {
			return p.unexpected(`":" after the key`)
		}
		p.pos++
		p.space()
		kid, f := p.value("a value")
		if f != nil {
			return f
		}
		kid.key, kid.keyStart, kid.keyEnd = key, keyStart, keyEnd
		p.add(n, kid)
		p.path = p.path[:len(p.path)-1]
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return nil
		default:
			return p.unexpected(`"," or "}" after the value`)
		}
	}
}

// add appends a member to an object, unless the object has its key already.
func (p *parser) add(n, kid *node) {
	if first := n.get(kid.key); first != nil {
		if len(p.duplicates) <= maxErrors {
			p.duplicates = append(p.duplicates, &duplicate{pointer: p.pointer(), first: first, second: kid})
		}
		return
	}
	n.kids = append(n.kids, kid)
	if n.byName != nil {
		n.byName[kid.key] = kid
	} else if len(n.kids) == mapFrom {
		n.byName = make(map[string]*node, 2*mapFrom)
		for _, k := range n.kids {
			n.byName[k.key] = k
		}
	}
}

func (p *parser) array(n *node) *fault {
	n.kind = kindArray
	p.pos++
	for {
		p.space()
		if len(n.kids) == 0 && p.peek() == ']' {
			p.pos++
			return nil
		}
		want := "a value"
		if len(n.kids) == 0 {
			want = `a value or "]"`
		}
		p.path = append(p.path, pathStep{index: len(n.kids), element: true})
		kid, f := p.value(want)
		if f != nil {
			return f
		}
		n.kids = append(n.kids, kid)
		p.path = p.path[:len(p.path)-1]
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return nil
		default:
			return p.unexpected(`"," or "]" after the value`)
		}
	}
}

func (p *parser) digits() int {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos - start
}

// number reads a number and returns its literal.
func (p *parser) number() (string, *fault) {
	start := p.pos
	whole := p.word()
	bad := func(hint, message string) (string, *fault) {
		return "", p.fault(start, start+max(1, len(whole)), hint, "%s is not a JSON number: %s", quote(whole), message)
	}
	if p.peek() == '-' {
		p.pos++
	}
	leading := p.peek()
	switch n := p.digits(); {
	case n == 0:
		return bad("", "a digit is missing after the minus sign")
	case n > 1 && leading == '0':
		return bad("write a file mode or another octal number as a string", "it has a leading zero")
	}
	if p.peek() == '.' {
		p.pos++
		if p.digits() == 0 {
			return bad("", "a digit is missing after the decimal point")
		}
	}
	var exponent string
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		from := p.pos
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if p.digits() == 0 {
			return bad("", "a digit is missing in the exponent")
		}
		exponent = p.text[from:p.pos]
	}
	if p.pos-start < len(whole) {
		return bad("", "unexpected "+quote(whole[p.pos-start:]))
	}
	return p.bounded(start, exponent)
}

// bounded refuses numbers that no program could hold: they would only cost
// memory.
func (p *parser) bounded(start int, exponent string) (string, *fault) {
	literal := p.text[start:p.pos]
	if len(literal) > maxNumber {
		return "", p.fault(start, p.pos, "", "the number has more than %d characters", maxNumber)
	}
	if exponent == "" {
		return literal, nil
	}
	e, err := strconv.Atoi(exponent)
	if err != nil || e > maxExponent || e < -maxExponent {
		return "", p.fault(start, p.pos, "", "the number's exponent is out of range")
	}
	if f, _ := strconv.ParseFloat(literal, 64); math.IsInf(f, 0) {
		return "", p.fault(start, p.pos, "", "the number is too large for a 64 bit float")
	}
	return literal, nil
}

// str reads a string and returns it decoded.
func (p *parser) str() (string, *fault) {
	start := p.pos
	p.pos++
	var b strings.Builder
	plain := p.pos // start of what is not yet in b
	for {
		if p.pos >= len(p.text) {
			return "", p.fault(start, p.pos, "add the closing quote", "the string is not closed")
		}
		switch c := p.text[p.pos]; {
		case c == '"':
			if b.Len() == 0 {
				s := p.text[plain:p.pos]
				p.pos++
				return s, nil
			}
			b.WriteString(p.text[plain:p.pos])
			p.pos++
			return b.String(), nil
		case c == '\\':
			b.WriteString(p.text[plain:p.pos])
			if f := p.escape(&b); f != nil {
				return "", f
			}
			plain = p.pos
		case c == '\n':
			return "", p.fault(start, p.pos, `add the closing quote, or write a line end in a string as \n`, "the string is not closed on its line")
		case c < ' ':
			return "", p.fault(p.pos, p.pos+1, fmt.Sprintf(`write it as %s`, escapeControl(c)), "control character in a string")
		default:
			p.pos++
		}
	}
}

func escapeControl(c byte) string {
	switch c {
	case '\t':
		return `\t`
	case '\r':
		return `\r`
	}
	return fmt.Sprintf(`\u%04x`, c)
}

// escape reads one escape sequence.
func (p *parser) escape(b *strings.Builder) *fault {
	start := p.pos
	p.pos++
	c := p.peek()
	if c != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, c)
		if i < 0 || c == 0 {
			_, size := utf8.DecodeRuneInString(p.text[p.pos:])
			return p.fault(start, p.pos+size, `write a backslash as \\`, "unknown escape %s in a string", quote(p.text[start:p.pos+size]))
		}
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		p.pos++
		return nil
	}
	r, ok := p.hex4()
	if ok && utf16.IsSurrogate(r) {
		low := rune(0)
		if strings.HasPrefix(p.text[p.pos:], `\u`) {
			p.pos++
			low, _ = p.hex4()
		}
		if r = utf16.DecodeRune(r, low); r == unicode.ReplacementChar {
			return p.fault(start, p.pos, "", `%s is half of a surrogate pair`, p.text[start:start+6])
		}
	}
	if !ok {
		return p.fault(start, p.pos, "", `\u needs four hex digits`)
	}
	b.WriteRune(r)
	return nil
}

// hex4 reads the u and the four digits of an escape.
func (p *parser) hex4() (rune, bool) {
	p.pos++
	end := min(p.pos+4, len(p.text))
	v, err := strconv.ParseUint(p.text[p.pos:end], 16, 32)
	if err != nil || end-p.pos < 4 {
		return 0, false
	}
	p.pos = end
	return rune(v), true
}
