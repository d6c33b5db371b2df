package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// generated is the first line of a page.
const generated = "<!-- Made from the modules and the types of their options by \"go generate ./...\"; do not edit. -->\n"

// Pages returns a page for each name of a module, as Markdown, and README.md,
// which lists them, by the name of the file. A page says what Describe says. A
// stage and an assembler with the same name share theirs.
func (c *Catalog) Pages() (map[string]string, error) {
	helps := map[string][]*Help{}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range c.Names(kind) {
			h, err := c.Help(kind, name)
			if err != nil {
				return nil, err
			}
			helps[name] = append(helps[name], h)
		}
	}
	pages := map[string]string{}
	var index strings.Builder
	index.WriteString(generated + indexText)
	for _, name := range slices.Sorted(maps.Keys(helps)) {
		var b strings.Builder
		fmt.Fprintf(&b, "%s# %s\n", generated, name)
		for _, h := range helps[name] {
			level := "##"
			if len(helps[name]) > 1 {
				fmt.Fprintf(&b, "\n## The %s\n", h.Kind)
				level = "###"
			}
			h.markdown(&b, level)
			fmt.Fprintf(&index, "| [%s](%s.md) | %s | %s | %s | %s |\n", name, name, h.Kind, joinWords(h.Sandboxes), h.Ledger,
				strings.ReplaceAll(escape(strings.TrimSuffix(h.Summary, ".")), "|", "\\|"))
		}
		b.WriteString("\n[All stages and assemblers](README.md)\n")
		pages[name+".md"] = b.String()
	}
	pages["README.md"] = index.String()
	return pages, nil
}

// markdown writes the help, with headings of a level such as "##".
func (h *Help) markdown(b *strings.Builder, level string) {
	fmt.Fprintf(b, "\n%s\n", escape(h.Summary))
	for i, p := range h.Paragraphs {
		if i == 0 {
			p = strings.ToUpper(string(h.Kind)[:1]) + string(h.Kind)[1:] + ". " + p
		}
		fmt.Fprintf(b, "\n%s\n", escape(p))
	}
	fmt.Fprintf(b, "\n%s Options\n", level)
	switch {
	case h.Any:
		b.WriteString("\nAny.\n")
	case len(h.Options) == 0:
		b.WriteString("\nNone.\n")
	}
	for _, o := range h.Options {
		fmt.Fprintf(b, "\n- %s (%s)\n", codeSpan(o.Name), o.notes(codeSpan))
		for _, p := range o.Description {
			fmt.Fprintf(b, "\n  %s\n", escape(strings.Join(strings.Fields(p), " ")))
		}
		if limits := o.Limits(codeSpan); limits != "" {
			fmt.Fprintf(b, "\n  %s\n", limits)
		}
	}
	if h.Example != nil {
		fmt.Fprintf(b, "\n%s Example\n\n```json\n%s\n```\n", level, h.use())
	}
}

// codeSpan marks a text as code.
func codeSpan(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// escape writes plain text as Markdown. A line between letters is no emphasis.
func escape(s string) string {
	var b strings.Builder
	letter := func(i int) bool {
		return i >= 0 && i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || s[i] >= 0x80)
	}
	for i := range len(s) {
		switch s[i] {
		case '_':
			if !letter(i-1) || !letter(i+1) {
				b.WriteByte('\\')
			}
		case '\\', '*', '`', '<', '[', ']':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

const indexText = `# Stages and assemblers

This page lists the stages and assemblers that a manifest can name. Each has a page with what ` + "`osbuildkit stages NAME`" + ` prints: its options with
their types, defaults and limits, and an example. Options inside others are written with dots: ` + "`a.b`" + ` is the key ` + "`b`" + ` of ` + "`a`, `a[]`" + ` an element of the list ` + "`a`" + `, and ` + "`a.NAME`" + `
a key that can be chosen.

The *sandbox* says what a module sees as its root: *edit* nothing but the tree, *tools* the build root, *inside* the tree itself. The
*ledger* keeps labels and attributes of files that layers lose ([architecture](../architecture.md#the-ledger)); most modules do not use it.
Stages and assemblers of your own: [modules of your own](../modules-of-your-own.md). Editors take options from a
[schema](../manifest.md#in-an-editor).

| name | kind | sandbox | ledger | |
| --- | --- | --- | --- | --- |
`
