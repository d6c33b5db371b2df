package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// osbuildMeta is the file NAME.meta.json of osbuild.
type osbuildMeta struct {
	Summary     string          `json:"summary"`
	Description json.RawMessage `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Schema2     *struct {
		Options     json.RawMessage `json:"options"`
		Definitions json.RawMessage `json:"definitions"`
	} `json:"schema_2"`
}

// ParseOsbuildMeta reads what osbuild's NAME.meta.json says about a module. It
// is read as osbuild does: what is not known is passed over, and the schema is
// of draft 4. The options of format v2 are taken where there is no schema for
// format v1: the program that reads them is the same.
func ParseOsbuildMeta(data []byte) (*ModuleFile, error) {
	var meta osbuildMeta
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, fmt.Errorf("is not what osbuild describes a module with: %w", err)
	}
	m := &ModuleFile{Sandbox: module.Tools, Summary: oneLineSummary(meta.Summary)}
	var lines []string
	if text := ""; json.Unmarshal(meta.Description, &text) == nil {
		lines = strings.Split(text, "\n")
	} else {
		_ = json.Unmarshal(meta.Description, &lines) // anything else says nothing
	}
	m.Description = plainParagraphs(lines)
	schema, definitions := meta.Schema, json.RawMessage(nil)
	if len(schema) == 0 && meta.Schema2 != nil {
		schema, definitions = meta.Schema2.Options, meta.Schema2.Definitions
	}
	var err error
	m.Schema, err = osbuildSchema(schema, definitions)
	return m, err
}

// ParseOsbuildSource reads what a module of osbuild says about itself in its
// text, as it did in 2020: a schema in SCHEMA, or in STAGE_OPTS, each mostly
// without the outer braces; and what it does in STAGE_DESC and STAGE_INFO, or
// in the text at the top.
func ParseOsbuildSource(text []byte) (*ModuleFile, error) {
	m := &ModuleFile{Sandbox: module.Tools}
	top := docstring(text)
	summary, rest, _ := strings.Cut(strings.TrimSpace(top), "\n")
	for _, name := range []string{"STAGE_DESC", "ASSEMBLER_DESC"} {
		if s := pythonVariable(text, name); s != "" {
			summary, rest = s, top
		}
	}
	for _, name := range []string{"STAGE_INFO", "ASSEMBLER_INFO"} {
		if s := pythonVariable(text, name); s != "" {
			rest = s
		}
	}
	m.Summary = oneLineSummary(summary)
	m.Description = plainParagraphs(strings.Split(rest, "\n"))
	schema := ""
	for _, name := range []string{"SCHEMA", "STAGE_OPTS", "ASSEMBLER_OPTS"} {
		if schema = strings.TrimSpace(pythonVariable(text, name)); schema != "" {
			break
		}
	}
	if schema != "" && !strings.HasPrefix(schema, "{") {
		schema = "{" + schema + "}"
	}
	var err error
	m.Schema, err = osbuildSchema(json.RawMessage(schema), nil)
	return m, err
}

// osbuildSchema makes a schema of draft 4 for an object.
func osbuildSchema(schema, definitions json.RawMessage) ([]byte, error) {
	if len(schema) == 0 || string(schema) == "null" {
		return []byte(AnyOptions), nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(schema, &keys); err != nil {
		return nil, fmt.Errorf("its schema of the options is no JSON object: %w", err)
	}
	add := `"$schema": "` + draft4 + `", `
	if keys["$schema"] != nil {
		add = ""
	}
	if keys["type"] == nil {
		add += `"type": "object", `
	}
	if keys["definitions"] == nil && len(definitions) > 0 {
		add += `"definitions": ` + string(definitions) + `, `
	}
	// The text keeps its order, which the help shows.
	body := bytes.TrimSpace(bytes.TrimSpace(schema)[1:])
	if len(keys) == 0 {
		add = strings.TrimSuffix(add, ", ")
	}
	text := append([]byte("{"+add), body...)
	if compiled := compileSchema(text); compiled.err != nil {
		return nil, fmt.Errorf("its schema of the options cannot be used: %s", oneLine(compiled.err))
	}
	return text, nil
}

func oneLineSummary(s string) string {
	return strings.TrimRight(printable(strings.Join(strings.Fields(s), " ")), ".")
}

// plainParagraphs makes a description of lines.
func plainParagraphs(lines []string) string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimSpace(printable(strings.ReplaceAll(line, "\t", " ")))
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

// Strings of Python, by what they begin with. A text of one quote ends in its
// line.
var (
	pythonTop    = regexp.MustCompile(`^(?:[ \t]*(?:#[^\n]*)?\r?\n)*`)
	pythonPrefix = regexp.MustCompile(`^([rRuU]?)("""|'''|"|')`)
)

// docstring returns the string that a program in Python begins with.
func docstring(text []byte) string {
	return pythonLiteral(text[len(pythonTop.Find(text)):])
}

// pythonVariable returns the string that is given to a variable at the left
// margin, or "" if there is none.
func pythonVariable(text []byte, name string) string {
	at := regexp.MustCompile(`(?m)^` + name + `[ \t]*=[ \t]*\(?[ \t]*`).FindIndex(text)
	if at == nil {
		return ""
	}
	return pythonLiteral(text[at[1]:])
}

// pythonLiteral returns the value of the literal that a text begins with, or ""
// if it begins with none or with one that does not end.
func pythonLiteral(text []byte) string {
	at := pythonPrefix.FindSubmatch(text)
	if at == nil {
		return ""
	}
	raw, quote, rest := strings.EqualFold(string(at[1]), "r"), string(at[2]), string(text[len(at[0]):])
	var out strings.Builder
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case strings.HasPrefix(rest[i:], quote):
			return out.String()
		case c == '\n' && len(quote) == 1:
			return ""
		case c == '\\' && i+1 < len(rest):
			i++
			if !raw {
				out.WriteString(pythonEscape(rest[i]))
			} else {
				out.WriteString(rest[i-1 : i+1])
			}
		default:
			out.WriteByte(c)
		}
	}
	return ""
}

// pythonEscape returns what stands for a character after a backslash. Those
// with numbers are kept as they are: JSON has them as well.
func pythonEscape(c byte) string {
	switch c {
	case '\n':
		return ""
	case '\\', '\'', '"':
		return string(c)
	case 'n':
		return "\n"
	case 't':
		return "\t"
	}
	return "\\" + string(c)
}
