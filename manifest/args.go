package manifest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ArgType is the type of a build argument's value.
type ArgType string

// The types of build arguments.
const (
	StringArg  ArgType = "string"
	IntegerArg ArgType = "integer"
	NumberArg  ArgType = "number"
	BooleanArg ArgType = "boolean"
)

var argTypes = []string{string(StringArg), string(IntegerArg), string(NumberArg), string(BooleanArg)}

// Arg is a build argument that a manifest declares under "args".
type Arg struct {
	// Name is what the argument is given and used by.
	Name string
	// Type is the type of its value.
	Type ArgType
	// Default is the value without one given, as JSON. It is nil for an
	// argument that must be given.
	Default json.RawMessage
	// Description is what the author says about it.
	Description string
	// Enum lists the values that are allowed, as JSON. It is empty if all are.
	Enum []json.RawMessage
	// Pattern is the regular expression that a string must match, or empty.
	Pattern string
	// Pointer is the JSON pointer of the declaration in the manifest.
	Pointer string
	// Span is the place of the name there.
	Span Span
	// Given says that Value was given and is not the default.
	Given bool
	// Value is the value that was used, as JSON. Numbers are kept as written.
	Value json.RawMessage
	// Uses is the number of markers in the manifest that name the argument.
	Uses int
}

// Required reports whether the argument must be given.
func (a *Arg) Required() bool { return a.Default == nil }

// Text is the value that was used as a person would give it: a string without
// its quotes.
func (a *Arg) Text() string {
	var s string
	if a.Type == StringArg && json.Unmarshal(a.Value, &s) == nil {
		return s
	}
	return string(a.Value)
}

// WithArgs gives the build arguments of this build, by name. Those that the
// manifest does not declare change nothing; Manifest.UndeclaredArgs tells them.
func WithArgs(given map[string]string) Option {
	given = maps.Clone(given)
	return func(l *loader) { l.given = given }
}

// EpochArg is the build argument that BuildKit takes the time of the build
// from. A manifest may declare it, as an integer: its options can then refer to
// it, and its default is the time of a build that is given none.
const EpochArg = "SOURCE_DATE_EPOCH"

// Bounds of build arguments.
const (
	maxArgs      = 256
	maxArgName   = 64
	maxArgValue  = 64 << 10 // bytes
	maxArgEnum   = 100
	maxPattern   = 1000
	maxPatternOp = 5000 // instructions of a compiled pattern
	// maxExpansion bounds what arguments add to a manifest, in bytes.
	maxExpansion = MaxSize
)

var argName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// owner says whose name a build argument has, if it may not be declared.
func owner(name string) string {
	switch upper := strings.ToUpper(name); upper {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY":
		return "names the proxy of the builder"
	case "TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
		"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT":
		if name == upper {
			return "is BuildKit's name for a platform"
		}
	}
	switch {
	case strings.HasPrefix(name, "BUILDKIT_"):
		return "belongs to BuildKit"
	case strings.HasPrefix(name, "OSBUILDKIT_"):
		return "belongs to osbuildkit"
	}
	return ""
}

// UndeclaredArg is a build argument that was given and is not declared.
type UndeclaredArg struct {
	// Name is the name that was given.
	Name string
	// Nearest is a declared or known name that may have been meant, or empty.
	Nearest string
	// Span is where a declaration would stand: the key "args", or the start of
	// the manifest without one.
	Span Span
}

// Warning says in one line what is wrong and what to do.
func (u UndeclaredArg) Warning() string {
	text := "the build argument " + quote(u.Name) + " is not declared and has no effect; "
	if u.Nearest != "" {
		return text + "did you mean " + quote(u.Nearest) + "?"
	}
	return text + `declare it under "args"`
}

// UndeclaredArgs returns the build arguments that were given to Load and that
// the manifest does not declare, sorted by name. Names that belong to BuildKit
// are left out, and so are those that the caller knows and uses itself.
func (m *Manifest) UndeclaredArgs(known ...string) []UndeclaredArg {
	candidates := slices.Clone(known)
	for _, a := range m.Args {
		candidates = append(candidates, a.Name)
	}
	var out []UndeclaredArg
	for _, name := range slices.Sorted(maps.Keys(m.given)) {
		ours := strings.HasPrefix(name, "OSBUILDKIT_")
		if name == EpochArg || slices.Contains(candidates, name) || owner(name) != "" && !ours {
			continue
		}
		out = append(out, UndeclaredArg{Name: name, Nearest: Nearest(name, candidates), Span: m.ArgsPlace()})
	}
	return out
}

// ArgsPlace returns where a declaration of a build argument would stand: the key
// "args", or the start of the manifest without one.
func (m *Manifest) ArgsPlace() Span {
	if span, ok := m.Index.Key("/args"); ok {
		return span
	}
	span, _ := m.Index.Value("")
	return Span{Start: span.Start, End: Position{Line: span.Start.Line, Column: span.Start.Column + 1}}
}

// Arg returns the declared build argument with the given name, or nil.
func (m *Manifest) Arg(name string) *Arg {
	for _, a := range m.Args {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// ReadArgs returns the build arguments that a manifest declares, in their order,
// for a list of what can be given. It looks at nothing else, so that it needs no
// argument to be given; Given and Uses are not set, and Value is the default.
// The error is as that of Load.
func ReadArgs(file string, data []byte) ([]*Arg, error) {
	text, root, r := readText(file, data, 0)
	l := &loader{outline: true, reporter: r, text: text}
	if root != nil && l.want(root, "", "the manifest", kindObject) {
		l.declare(root)
	}
	if len(r.list) > 0 {
		return nil, r.list.sorted()
	}
	return l.args.public(), nil
}

// public returns the arguments for the model.
func (args *arguments) public() []*Arg {
	if args == nil {
		return nil
	}
	var list []*Arg
	for _, a := range args.list {
		list = append(list, &a.Arg)
	}
	return list
}

// argument is a declaration while the manifest is read.
type argument struct {
	Arg
	node    *node // the declaration
	pattern *regexp.Regexp
	enum    []*node
	// value is nil if the declaration or the given value is wrong, which has
	// been reported.
	value *node
}

// arguments are the build arguments that the current file may use.
type arguments struct {
	list   []*argument
	byName map[string]*argument
	// expanded counts the bytes that markers were replaced with.
	expanded int
	// spoilt says that the declarations could not be read, so that a marker
	// whose argument is not known is not reported.
	spoilt bool
}

// declare reads "args" of the top level. Without the key there are no markers,
// and what looks like one is an option like any other.
func (l *loader) declare(root *node) {
	n := root.get("args")
	if n == nil {
		return
	}
	l.args = &arguments{byName: map[string]*argument{}}
	if !l.want(n, "/args", `"args"`, kindObject) {
		l.args.spoilt = true
		return
	}
	if len(n.kids) > maxArgs {
		l.args.spoilt = true
		l.key(n, "/args", "", "more than %d build arguments", maxArgs)
		return
	}
	for _, kid := range n.kids {
		a := &argument{Arg: Arg{Name: kid.key, Pointer: JoinPointer("/args", kid.key)}, node: kid}
		a.Span, _ = l.text.Index.Key(a.Pointer)
		l.args.list = append(l.args.list, a)
		l.args.byName[a.Name] = a
		if l.argumentName(a) && l.declaration(a) {
			l.assign(a)
		}
	}
}

func (l *loader) argumentName(a *argument) bool {
	switch who := owner(a.Name); {
	case !argName.MatchString(a.Name):
		l.key(a.node, a.Pointer, `use letters, digits and "_", and no digit at the start`, "%s is no name of a build argument", quote(a.Name))
	case len(a.Name) > maxArgName:
		l.key(a.node, a.Pointer, "", "the name of a build argument may have at most %d characters, found %d", maxArgName, len(a.Name))
	case who != "":
		l.key(a.node, a.Pointer, "choose another name", "the build argument %s may not be declared: it %s", quote(a.Name), who)
	default:
		return true
	}
	return false
}

// declaration reads one member of "args" and reports whether it is right.
func (l *loader) declaration(a *argument) bool {
	n := a.node
	if n.kind != kindObject {
		l.value(n, a.Pointer, `write {"type": "string", "default": …}`, "a build argument must be an object, found %s", n.kind)
		return false
	}
	before := len(l.list)
	l.keys(n, a.Pointer, "build argument", []string{"type", "default", "description", "enum", "pattern"}, nil, map[string]string{
		"value":    `the value without one given is its "default"`,
		"required": `an argument without "default" is required`,
	})
	if d := n.get("description"); d != nil && l.want(d, a.Pointer+"/description", `"description"`, kindString) {
		a.Description = d.text
	}
	if l.argumentType(a) {
		l.argumentPattern(a)
		l.argumentEnum(a)
		if d := n.get("default"); d != nil && len(l.list) == before {
			if message, hint := a.accept(d); message != "" {
				l.value(d, a.Pointer+"/default", hint, `"default" %s`, message)
			}
			a.Default = l.raw(d)
		}
	}
	return len(l.list) == before
}

// otherTypes are names of types in other languages.
var otherTypes = map[string]ArgType{"int": IntegerArg, "float": NumberArg, "double": NumberArg, "bool": BooleanArg, "str": StringArg, "text": StringArg}

func (l *loader) argumentType(a *argument) bool {
	t := a.node.get("type")
	if t == nil {
		l.value(a.node, a.Pointer, "the types are "+list(argTypes, "and"), `the build argument %s has no "type"`, quote(a.Name))
		return false
	}
	pointer := a.Pointer + "/type"
	if !l.want(t, pointer, `"type"`, kindString) {
		return false
	}
	a.Type = ArgType(t.text)
	if !slices.Contains(argTypes, t.text) {
		hint := didYouMean(t.text, argTypes)
		if other := otherTypes[t.text]; other != "" {
			hint = "did you mean " + quote(string(other)) + "?"
		}
		l.value(t, pointer, hint, `"type" must be %s, found %s`, list(quoteAll(argTypes), "or"), quote(t.text))
		return false
	}
	if a.Name == EpochArg && a.Type != IntegerArg {
		l.value(t, pointer, "", `the build argument %s must be of the type "integer": it is a number of seconds since 1970`, quote(a.Name))
		return false
	}
	return true
}

func (l *loader) argumentPattern(a *argument) {
	n := a.node.get("pattern")
	if n == nil {
		return
	}
	pointer := a.Pointer + "/pattern"
	if a.Type != StringArg {
		l.key(n, pointer, `remove it, or make the type "string"`, `only a build argument of the type "string" has a "pattern"`)
		return
	}
	if !l.want(n, pointer, `"pattern"`, kindString) {
		return
	}
	var err error
	if a.pattern, err = compilePattern(n.text); err != nil {
		l.value(n, pointer, "it is an expression of the kind RE2, without look-around and back-references", `"pattern": %s`, oneLine(err))
		return
	}
	a.Pattern = n.text
}

func (l *loader) argumentEnum(a *argument) {
	n := a.node.get("enum")
	if n == nil {
		return
	}
	pointer := a.Pointer + "/enum"
	switch {
	case !l.want(n, pointer, `"enum"`, kindArray):
		return
	case len(n.kids) == 0:
		l.value(n, pointer, "list the values that are allowed, or remove it", `"enum" may not be empty`)
		return
	case len(n.kids) > maxArgEnum:
		l.value(n, pointer, `a "pattern" may say the same`, `"enum" may have at most %d elements, found %d`, maxArgEnum, len(n.kids))
		return
	}
	for i, kid := range n.kids {
		if message, hint := a.accept(kid); message != "" {
			l.value(kid, elementPointer(pointer, i), hint, `element %d of "enum" %s`, i+1, message)
		}
	}
	a.enum = n.kids
	for _, kid := range n.kids {
		a.Enum = append(a.Enum, l.raw(kid))
	}
}

// assign gives a well declared argument its value.
func (l *loader) assign(a *argument) {
	text, given := l.given[a.Name]
	if a.Name == EpochArg && text == "" {
		given = false // as BuildKit has it
	}
	value := a.node.get("default")
	if given {
		var message, hint string
		if value, message = a.parse(text); message == "" {
			message, hint = a.accept(value)
		}
		if message != "" {
			l.key(a.node, a.Pointer, hint, "the build argument %s %s", quote(a.Name), message)
			return
		}
	}
	if value == nil && l.outline {
		return
	}
	if value == nil {
		l.key(a.node, a.Pointer, `give it with --build-arg `+a.Name+`=VALUE, or declare a "default"`, "the build argument %s is not given and has no default", quote(a.Name))
		return
	}
	a.Given, a.value, a.Value = given, value, value.encode()
}
