package manifest

import (
	"encoding/json"
	"regexp"
	"slices"

	"github.com/osbuildkit/osbuildkit/module"
)

// sourceForm says how format v1 writes one kind of source.
type sourceForm struct {
	name  string // in the manifest
	kind  string // in the model
	items string // the key of its items
	id    *regexp.Regexp
	idIs  string
}

const (
	checksums   = `sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}`
	checksumsIs = `a checksum, such as "sha256:" and 64 hex digits in lower case`
)

var sourceForms = []sourceForm{
	{"org.osbuild.curl", "org.osbuild.curl", "urls", regexp.MustCompile(`^(md5:[0-9a-f]{32}|` + checksums + `)$`), checksumsIs},
	{"org.osbuild.files", "org.osbuild.curl", "urls", regexp.MustCompile(`^(md5:[0-9a-f]{32}|` + checksums + `)$`), checksumsIs},
	{"org.osbuild.librepo", "org.osbuild.librepo", "items", regexp.MustCompile(`^(` + checksums + `)$`), checksumsIs},
	{"org.osbuild.ostree", "org.osbuild.ostree", "commits", regexp.MustCompile(`^[0-9a-f]{5,64}$`), "a commit, 5 to 64 hex digits in lower case"},
}

// SourceNames returns the names of the sources that a manifest can have, in the
// order of the documentation.
func SourceNames() []string {
	names := make([]string, len(sourceForms))
	for i, f := range sourceForms {
		names[i] = f.name
	}
	return names
}

// sources reads the value of "sources" of format v1.
func (l *loader) sources(n *node) {
	if !l.want(n, "/sources", `"sources"`, kindObject) {
		return
	}
	names := SourceNames()
	for _, kid := range n.kids {
		pointer := JoinPointer("/sources", kid.key)
		i := slices.Index(names, kid.key)
		if i < 0 {
			hint := didYouMean(kid.key, names)
			if hint == "" {
				hint = "the sources are " + list(names, "and")
			}
			l.key(kid, pointer, hint, "unknown source %s", quote(kid.key))
			continue
		}
		if l.want(kid, pointer, "a source", kindObject) {
			l.source(kid, pointer, &sourceForms[i])
		}
	}
}

func (l *loader) source(n *node, pointer string, form *sourceForm) {
	l.keys(n, pointer, "source", []string{form.items, "options"}, nil, nil)
	s := &Source{Type: form.kind, Items: map[string]json.RawMessage{}, Options: l.raw(n), Pointer: pointer}
	l.manifest.Sources = append(l.manifest.Sources, s)
	if o := n.get("options"); o != nil {
		l.want(o, pointer+"/options", `"options"`, kindObject)
	}
	items := n.get(form.items)
	if items == nil {
		l.value(n, pointer, "", "the source has no %s", quote(form.items))
		return
	}
	pointer = JoinPointer(pointer, form.items)
	if !l.want(items, pointer, quote(form.items), kindObject) {
		return
	}
	for _, item := range items.kids {
		at := JoinPointer(pointer, item.key)
		if !form.id.MatchString(item.key) {
			l.key(item, at, "", "the key %s must be %s", quote(item.key), form.idIs)
			continue
		}
		s.Items[item.key] = l.raw(item)
		if form.items == "urls" {
			l.curlItem(item, at)
		} else {
			l.want(item, at, "an item of this source", kindObject)
		}
	}
}

// curlItem checks one URL: a string, or an object around it.
func (l *loader) curlItem(n *node, pointer string) {
	if !l.want(n, pointer, "an item of this source", kindString, kindObject) || n.kind == kindString {
		return
	}
	l.keys(n, pointer, "item", []string{"url", "insecure", "secrets"}, nil, nil)
	if url := n.get("url"); url == nil {
		l.value(n, pointer, "", `the item has no "url"`)
	} else {
		l.want(url, pointer+"/url", `"url"`, kindString)
	}
	if insecure := n.get("insecure"); insecure != nil {
		l.want(insecure, pointer+"/insecure", `"insecure"`, kindBool)
	}
	if secrets := n.get("secrets"); secrets != nil {
		l.want(secrets, pointer+"/secrets", `"secrets"`, kindObject)
	}
}

// raw returns the text of a value of the current file.
func (l *loader) raw(n *node) json.RawMessage {
	return l.text.Data[n.start:n.end:n.end]
}

// Stages of format v1 whose options name items of sources.
const (
	rpmStage    = "org.osbuild.rpm"
	ostreeStage = "org.osbuild.ostree"
	copyStage   = "org.osbuild.copy"
)

// sourceReference is a reference of a stage's options to an item of a source.
type sourceReference struct {
	node    *node // the string that names it
	pointer string
	Reference
}

// sourceReferences lists what the options of a stage of format v1 refer to.
// Options of another shape, which the schema reports, are passed over.
func sourceReferences(name string, options *node) []sourceReference {
	var refs []sourceReference
	add := func(n *node, pointer, options string) {
		if n != nil && n.kind == kindString {
			refs = append(refs, sourceReference{n, pointer, Reference{ID: n.text, Options: json.RawMessage(options)}})
		}
	}
	if options == nil {
		return nil
	}
	switch name {
	case rpmStage:
		packages := options.get("packages")
		if packages == nil || packages.kind != kindArray {
			return nil
		}
		for i, p := range packages.kids {
			pointer := elementPointer("/packages", i)
			if p.kind != kindObject {
				add(p, pointer, "{}")
				continue
			}
			meta := "{}"
			if gpg := p.get("check_gpg"); gpg != nil && gpg.text == "true" {
				meta = `{"metadata": {"rpm.check_gpg": true}}`
			}
			add(p.get("checksum"), pointer+"/checksum", meta)
		}
	case ostreeStage:
		meta := "{}"
		if ref := options.get("ref"); ref != nil && ref.kind == kindString && ref.text != "" {
			meta = `{"ref": ` + string(writeString(nil, ref.text)) + `}`
		}
		add(options.get("commit"), "/commit", meta)
	case copyStage:
		if source := options.get("source"); source != nil && source.kind == kindObject {
			add(source.get("checksum"), "/source/checksum", "{}")
		}
	}
	return refs
}

// v1Inputs makes the inputs that format v1 implies for a stage. A reference
// that stands twice counts once, at its first place and with its last options.
func v1Inputs(name string, options *node) []Input {
	in := Input{Name: "packages", Type: "org.osbuild.files", Origin: originSource}
	switch name {
	case rpmStage:
	case ostreeStage:
		in.Name, in.Type = "commits", "org.osbuild.ostree"
	default:
		return nil
	}
	place := map[string]int{}
	for _, ref := range sourceReferences(name, options) {
		if i, ok := place[ref.ID]; ok {
			in.References[i] = ref.Reference
			continue
		}
		place[ref.ID] = len(in.References)
		in.References = append(in.References, ref.Reference)
	}
	return []Input{in}
}

// references reports what no source of the manifest has.
func (l *loader) references(options *node, s *Stage) {
	if !l.v1 || s.Kind != module.Stage {
		return
	}
	for _, ref := range sourceReferences(s.Type, options) {
		found := slices.ContainsFunc(l.manifest.Sources, func(src *Source) bool {
			_, ok := src.Items[ref.ID]
			return ok
		})
		if !found {
			l.value(ref.node, s.Pointer+"/options"+ref.pointer, `add it to "sources"`, "no source has %s", quote(ref.ID))
		}
	}
}
