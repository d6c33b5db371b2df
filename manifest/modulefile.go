package manifest

import (
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// MaxModuleFile is the largest size in bytes of the description of a module.
const MaxModuleFile = 1 << 20

// ModuleFile is what the file NAME.json beside a module of the user says about
// it. The zero value stands for a module without such a file, but for the
// sandbox and the schema, which ParseModuleFile fills in.
type ModuleFile struct {
	// Summary says in one line what the module does.
	Summary string
	// Description is the longer text, in paragraphs.
	Description string
	// Sandbox is module.Tools or module.Inside.
	Sandbox module.Sandbox
	// Network says that the module's steps have access to the network.
	Network bool
	// Schema is the JSON schema of the options; it names its draft if that is
	// another one than 2020-12.
	Schema []byte
}

// AnyOptions is the schema of a module whose options are not described.
const AnyOptions = `{"type": "object"}`

// Keys of the description of a module.
var (
	moduleKeys     = []string{"summary", "description", "sandbox", "network", "schema"}
	moduleKeyHints = map[string]string{
		"schema_2":     `it is of osbuild's format v2, which is not supported yet; "schema" describes the options`,
		"capabilities": "a step has the capabilities of BuildKit's default sandbox and no others; remove it",
		"options":      `give the schema of the options as "schema"`,
		"kind":         `the directory says it: stages or assemblers; the sandbox is "sandbox"`,
	}
)

// ParseModuleFile reads the description of a module of the given kind. The
// file name is only used in messages. The error is of type Errors and holds
// everything that is wrong.
func ParseModuleFile(file string, kind module.Kind, data []byte) (*ModuleFile, error) {
	text, root, r := readText(file, data, 0)
	l := &loader{text: text, reporter: r}
	m := &ModuleFile{Sandbox: module.Tools, Schema: []byte(AnyOptions)}
	if root != nil && l.want(root, "", "the description of a module", kindObject) {
		l.moduleFile(root, kind, m)
	}
	if len(r.list) > 0 {
		return nil, r.list.sorted()
	}
	return m, nil
}

func (l *loader) moduleFile(root *node, kind module.Kind, m *ModuleFile) {
	l.keys(root, "", "description of a module", moduleKeys, ignoredKeys, moduleKeyHints)
	if n := root.get("summary"); n != nil && l.want(n, "/summary", `"summary"`, kindString) {
		m.Summary = oneLineSummary(n.text)
	}
	if n := root.get("description"); n != nil {
		m.Description = l.paragraphs(n)
	}
	if n := root.get("sandbox"); n != nil {
		m.Sandbox = l.sandbox(n, kind)
	}
	if n := root.get("network"); n != nil && l.want(n, "/network", `"network"`, kindBool) {
		m.Network = n.text == "true"
	}
	if n := root.get("schema"); n != nil && l.want(n, "/schema", `"schema"`, kindObject) {
		m.Schema = l.moduleSchema(n)
	}
}

// paragraphs reads a text, or as in osbuild's descriptions a list of lines.
func (l *loader) paragraphs(n *node) string {
	if !l.want(n, "/description", `"description"`, kindString, kindArray) {
		return ""
	}
	lines := strings.Split(n.text, "\n")
	for i, kid := range n.kids {
		if l.want(kid, elementPointer("/description", i), "a line of the description", kindString) {
			lines = append(lines, strings.Split(kid.text, "\n")...)
		}
	}
	return plainParagraphs(lines)
}

func (l *loader) sandbox(n *node, kind module.Kind) module.Sandbox {
	const pointer = "/sandbox"
	if !l.want(n, pointer, `"sandbox"`, kindString) {
		return module.Tools
	}
	switch s := module.Sandbox(n.text); {
	case s == module.Tools:
	case s == module.Inside && kind == module.Assembler:
		l.value(n, pointer, `write "tools", or leave it out`, "an assembler reads a finished tree and runs in the build root, not in the tree")
	case s == module.Inside:
		return s
	case s == module.Edit:
		l.value(n, pointer, `write "tools": the module then runs in the build root`, `a step of kind "edit" has no file system that a program of yours could run in`)
	default:
		hint := didYouMean(n.text, []string{"tools", "inside"})
		if hint == "" {
			hint = `write "tools" for the build root or "inside" for the tree`
		}
		l.value(n, pointer, hint, "unknown sandbox %s", quote(n.text))
	}
	return module.Tools
}
