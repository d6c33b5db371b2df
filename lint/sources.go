package lint

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// itemKeys are the keys under which the kinds of source have their items.
var itemKeys = []string{"urls", "items", "commits", "digests"}

// items calls fn for each item of each source, with its place and the addresses
// it is fetched from.
func (p *pass) items(fn func(source *manifest.Source, pointer, id string, urls []string)) {
	for _, source := range p.m.Sources {
		for _, id := range slices.Sorted(maps.Keys(source.Items)) {
			pointer := source.Pointer
			for _, key := range itemKeys {
				at := manifest.JoinPointer(source.Pointer, key, id)
				if _, ok := p.text.Index.Value(at); ok {
					pointer = at
					break
				}
			}
			fn(source, pointer, id, itemURLs(source.Items[id]))
		}
	}
}

// itemURLs reads the address of an item: the item itself, or its "url".
func itemURLs(item json.RawMessage) []string {
	var one string
	if json.Unmarshal(item, &one) == nil {
		return []string{one}
	}
	var o struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(item, &o) == nil && o.URL != "" {
		return []string{o.URL}
	}
	return nil
}

func weakChecksum(p *pass) {
	p.items(func(source *manifest.Source, pointer, id string, _ []string) {
		algorithm, _, _ := strings.Cut(id, ":")
		switch {
		case algorithm == "md5" || algorithm == "sha1":
			p.atKey("", pointer, "files with the same %s checksum can be made on purpose: name the file by its sha256", algorithm)
		case source.Type == "org.osbuild.ostree" && len(id) < 64:
			p.atKey("", pointer, "%s is the beginning of a checksum, which other commits may have too: write all 64 digits", quote(id))
		}
	})
}

func unusedSource(p *pass) {
	if len(p.m.Sources) == 0 {
		return
	}
	used := map[string]bool{}
	p.stages(func(_ *manifest.Pipeline, s *manifest.Stage) {
		for _, in := range s.Inputs {
			for _, r := range in.References {
				used[r.ID] = true
			}
		}
		// Some stages name items in their options, each in its own way.
		for dec := json.NewDecoder(bytes.NewReader(s.Options)); ; {
			token, err := dec.Token()
			if err != nil {
				return
			}
			if text, ok := token.(string); ok {
				used[text] = true
			}
		}
	})
	p.items(func(_ *manifest.Source, pointer, id string, _ []string) {
		if !used[id] {
			p.atKey("", pointer, "no stage uses this item: remove it")
		}
	})
}
