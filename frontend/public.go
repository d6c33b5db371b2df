package frontend

import (
	"bytes"
	"encoding/json"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// byteOrderMark is no character of the first line.
const byteOrderMark = "\ufeff"

// sourceMap is the text of the manifest for what BuildKit keeps of a build: its
// history, and a provenance with the definition of the build. Every character
// but those of passwords and credentials is there, and in its place.
func (b *build) sourceMap() *llb.SourceMap {
	m := *b.source.SourceMap
	m.Data = b.publicText()
	return &m
}

// publicText is the text of the manifest as others may read it.
func (b *build) publicText() []byte {
	b.text.Do(func() { b.textData = b.public(b.source.Data) })
	return b.textData
}

// public returns the text of the manifest without passwords that are not hashed,
// and without the credentials of addresses.
func (b *build) public(data []byte) []byte {
	data, mark := bytes.CutPrefix(data, []byte(byteOrderMark))
	lines := bytes.Split(data, []byte("\n"))
	text := make([][]rune, len(lines))
	for i, line := range lines {
		text[i] = redact.Mask([]rune(string(line)))
	}
	var pipelines []*manifest.Pipeline
	if b.m != nil { // else it is wrong, and nothing more is known of it
		pipelines = b.m.Pipelines
	}
	secret := map[string]bool{}
	for _, p := range pipelines {
		if p.Text.File != b.m.File {
			continue
		}
		for _, s := range p.Stages {
			m := b.catalog.Module(s.Kind, s.Type)
			if m == nil || m.Plain == nil {
				continue
			}
			plain := m.Plain(s.Options)
			if len(plain) == 0 {
				continue
			}
			var options any
			_ = json.Unmarshal(s.Options, &options) // it has been read before
			for _, pointer := range plain {
				if span, ok := p.Text.Index.Value(manifest.JoinPointer(s.Pointer, "options") + pointer); ok {
					hide(text, span)
				}
				if value := valueAt(options, pointer); value != "" {
					secret[value] = true
				}
			}
		}
	}
	out := make([][]byte, len(text))
	for i, line := range text {
		if len(secret) > 0 {
			hideValues(line, secret)
		}
		out[i] = []byte(string(line))
	}
	data = bytes.Join(out, []byte("\n"))
	if mark {
		data = append([]byte(byteOrderMark), data...)
	}
	return data
}

// hide puts an x in the place of each character of a piece of a text.
func hide(text [][]rune, at manifest.Span) {
	for i := at.Start.Line - 1; i < at.End.Line && i < len(text); i++ {
		from, to := 0, len(text[i])
		if i == at.Start.Line-1 {
			from = at.Start.Column - 1
		}
		if i == at.End.Line-1 {
			to = min(to, at.End.Column-1)
		}
		for j := from; j < to; j++ {
			text[i][j] = 'x'
		}
	}
}

// hideValues hides values wherever they stand as texts of their own in a line, such
// as the default of a build argument.
func hideValues(line []rune, values map[string]bool) {
	for i := 0; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		end := i + 1
		for end < len(line) && line[end] != '"' {
			if line[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(line) {
			return
		}
		var value string
		if json.Unmarshal([]byte(string(line[i:end+1])), &value) == nil && values[value] {
			for j := i; j <= end; j++ {
				line[j] = 'x'
			}
		}
		i = end
	}
}

// valueAt returns the text that a pointer names.
func valueAt(v any, pointer string) string {
	for _, token := range manifest.SplitPointer(pointer) {
		object, _ := v.(map[string]any)
		v = object[token]
	}
	value, _ := v.(string)
	return value
}
