package assemblers

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// ledgerAttributes returns the extended attributes of the ledger by the paths
// of the files.
func ledgerAttributes(in *module.Input) (map[string][]content.Attribute, error) {
	l, err := ledger.Load(in.Ledger)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]content.Attribute, l.Len())
	for _, p := range l.Paths() {
		a := l.Lookup(p)
		for _, name := range slices.Sorted(maps.Keys(a)) {
			out[p] = append(out[p], content.Attribute{Name: name, Value: a[name]})
		}
	}
	if l.Len() > 0 {
		in.Logf("extended attributes of %d files from the ledger", l.Len())
	}
	return out, nil
}

// attributes returns the extended attributes of the image's files by their
// paths: those of the ledger, and the capabilities that the tree's files have,
// as only these survive in a layer. What else is on the builder's disk is there
// in one cache and not in another, and is not looked at.
func attributes(ctx context.Context, in *module.Input) (map[string][]content.Attribute, error) {
	out, err := ledgerAttributes(in)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(in.Tree, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return ctx.Err()
		}
		value, err := content.ReadCapability(full)
		if value == nil {
			return err
		}
		rel, err := filepath.Rel(in.Tree, full)
		if err != nil {
			return err
		}
		p := "/" + filepath.ToSlash(rel)
		out[p] = append(out[p], content.Attribute{Name: ledger.Capability, Value: value})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the capabilities of the tree's files: %w", err)
	}
	return out, nil
}
