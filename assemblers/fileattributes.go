package assemblers

import (
	"context"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/module"
)

// fileAttributes are the attributes of files, whatever name of a file with
// several they were given by.
type fileAttributes struct {
	in     *module.Input
	attrs  map[string][]content.Attribute
	linked map[content.ID][]content.Attribute
	used   int64
}

func newFileAttributes(in *module.Input, attrs map[string][]content.Attribute) *fileAttributes {
	return &fileAttributes{in: in, attrs: attrs, linked: map[content.ID][]content.Attribute{}}
}

// collectAll goes through the tree and brings together the attributes of files
// with several names.
func (f *fileAttributes) collectAll(ctx context.Context) error {
	if len(f.attrs) == 0 {
		return nil
	}
	if err := content.Walk(ctx, f.in.Tree, f.collect); err != nil {
		return err
	}
	if n := int64(len(f.attrs)) - f.used; n > 0 {
		f.in.Logf("warning: there are extended attributes for %d files that do not exist", n)
	}
	return nil
}

// collect brings together the attributes of a file with several names: one name
// may have been given attributes and another not. Of different values of one
// attribute that of the last name holds, as in the image of a file system.
func (f *fileAttributes) collect(e *content.Entry) error {
	attrs, ok := f.attrs[e.AbsPath()]
	if !ok {
		return nil
	}
	f.used++
	if !e.Shared() {
		return nil
	}
	all := f.linked[e.ID()]
	for _, a := range attrs {
		i := slices.IndexFunc(all, func(b content.Attribute) bool { return b.Name == a.Name })
		if i < 0 {
			all = append(all, a)
			continue
		}
		if string(all[i].Value) != string(a.Value) {
			f.in.Logf("warning: %q and another name of it have different attributes %s: that of the former holds", e.AbsPath(), a.Name)
		}
		all[i] = a
	}
	f.linked[e.ID()] = all
	return nil
}

// of returns the attributes of a file.
func (f *fileAttributes) of(e *content.Entry) []content.Attribute {
	if e.Shared() {
		return f.linked[e.ID()]
	}
	return f.attrs[e.AbsPath()]
}
