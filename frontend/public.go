package frontend

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

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
	if b.source.SourceMap == nil {
		return nil
	}
	public := *b.source.SourceMap
	public.Data = b.public(public.Data)
	return &public
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
	for _, p := range pipelines {
		if p.Text.File != b.m.File {
			continue
		}
		for _, s := range p.Stages {
			m := b.catalog.Module(s.Kind, s.Type)
			if m == nil || m.Plain == nil {
				continue
			}
			for _, pointer := range m.Plain(s.Options) {
				if span, ok := p.Text.Index.Value(manifest.JoinPointer(s.Pointer, "options") + pointer); ok {
					hide(text, span)
				}
				hideValue(text, valueAt(s.Options, pointer))
			}
		}
	}
	out := make([][]byte, len(text))
	for i, line := range text {
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

// hideValue hides a value wherever it stands as a text of its own, such as the
// default of a build argument.
func hideValue(text [][]rune, value string) {
	quoted, err := json.Marshal(value)
	if value == "" || err != nil {
		return
	}
	for _, form := range []string{string(quoted), `"` + value + `"`} {
		want := []rune(form)
		for _, line := range text {
			for i := 0; i+len(want) <= len(line); i++ {
				if slices.Equal(line[i:i+len(want)], want) {
					for j := range want {
						line[i+j] = 'x'
					}
				}
			}
		}
	}
}

// valueAt returns the text that a pointer names.
func valueAt(data json.RawMessage, pointer string) string {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil {
			return ""
		}
		data = object[unescape.Replace(token)]
	}
	var value string
	if json.Unmarshal(data, &value) != nil {
		return ""
	}
	return value
}
