package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client/ociindex"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/internal/private"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// maxTreeManifest in bytes bounds the manifest of a stored tree.
const maxTreeManifest = 4 << 20

// damagedTree is a stored tree of which something is missing or other than it was.
type damagedTree struct {
	store, id string
	err       error
}

func (e *damagedTree) Error() string {
	return fmt.Sprintf("the tree %s in the store %s is damaged (%v): build the manifest that makes it with --checkpoint tree again", e.id, e.store, e.err)
}

func (e *damagedTree) Unwrap() error { return e.err }

// damagedIndex is the error of a list of trees that cannot be read.
func damagedIndex(store string, err error) error {
	return fmt.Errorf("the list of trees in the store %s is damaged: remove %s, and build the manifests that make the trees with --checkpoint tree again: %w",
		store, treesDir(store), err)
}

// checkTree sees to it that all parts of a stored tree are there and have their
// sizes. Content is looked at where thorough is set: that takes as long as to read
// it, and what a builder has loaded already is not read again.
func checkTree(store, id string, desc ocispecs.Descriptor, thorough bool) error {
	parts, err := treeParts(store, desc)
	if err != nil {
		return &damagedTree{store: store, id: id, err: err}
	}
	for _, d := range parts {
		if err := checkBlob(store, d, thorough); err != nil {
			return &damagedTree{store: store, id: id, err: err}
		}
	}
	return nil
}

// treeParts lists all content of a stored tree. Manifests are small, and tell what
// else there has to be: they are read and compared.
func treeParts(store string, desc ocispecs.Descriptor) ([]ocispecs.Descriptor, error) {
	parts := []ocispecs.Descriptor{desc}
	if desc.Size > maxTreeManifest {
		return parts, errors.New("its manifest is too large")
	}
	if err := checkBlob(store, desc, true); err != nil {
		return parts, err
	}
	f, err := private.OpenRegular(blobPath(store, desc.Digest))
	if err != nil {
		return parts, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTreeManifest))
	if err != nil {
		return parts, err
	}
	var m struct {
		ocispecs.Manifest
		Manifests []ocispecs.Descriptor `json:"manifests"` // of an index
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return parts, err
	}
	if m.Config.Digest != "" {
		parts = append(append(parts, m.Layers...), m.Config)
	}
	for _, d := range m.Manifests {
		more, err := treeParts(store, d)
		if parts = append(parts, more...); err != nil {
			return parts, err
		}
	}
	return parts, nil
}

// blobPath is where the OCI layout of the stored trees keeps content.
func blobPath(store string, d digest.Digest) string {
	return filepath.Join(treesDir(store), "blobs", string(d.Algorithm()), d.Encoded())
}

// checkBlob looks at one file of a layout.
func checkBlob(store string, d ocispecs.Descriptor, content bool) error {
	if err := d.Digest.Validate(); err != nil {
		return err
	}
	f, err := private.OpenRegular(blobPath(store, d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing", d.Digest)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != d.Size {
		return fmt.Errorf("%s has %d bytes in the place of %d", d.Digest, st.Size(), d.Size)
	}
	if !content {
		return nil
	}
	v := d.Digest.Verifier()
	if _, err := io.Copy(v, f); err != nil {
		return err
	}
	if !v.Verified() {
		return fmt.Errorf("the content of %s has changed", d.Digest)
	}
	return nil
}

// explainBase looks for the reason of a failure in the stored tree that a build
// starts from: a builder that loads a damaged one fails at whatever stage needs it
// first.
func (r *request) explainBase(err error) error {
	dir := treesDir(r.flags.store)
	if errors.Is(err, context.Canceled) || !isOCILayout(dir) {
		return err
	}
	for _, p := range r.src.m.Pipelines {
		if p.Base == "" {
			continue
		}
		desc, ierr := ociindex.NewStoreIndex(dir).Get(p.Base)
		if ierr != nil || desc == nil {
			continue // the frontend has said so
		}
		if damage := checkTree(r.flags.store, p.Base, *desc, true); damage != nil {
			return &graph.Error{Pipeline: p, Pointer: manifest.JoinPointer(p.Pointer, "base"), What: `"base"`, Err: damage}
		}
	}
	return err
}

// prepareTrees makes the stored trees ready for one more: what a killed process
// was writing is removed, and so is each damaged part of the same tree, which would
// be taken for one that is there already. The function ends the exclusive right to
// write.
func prepareTrees(store, id string) (unlock func() error, err error) {
	if _, err := os.Stat(treesDir(store)); err != nil {
		return nil, err
	}
	unlock, err = lockDirectory(treesDir(store))
	if err != nil {
		// Another process is writing: only builds on other builders can meet here.
		return func() error { return nil }, nil
	}
	ingest := filepath.Join(treesDir(store), "ingest")
	partial, err := os.ReadDir(ingest)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, p := range partial {
		err = errors.Join(err, os.RemoveAll(filepath.Join(ingest, p.Name())))
	}
	if err == nil {
		err = removeDamage(store, id)
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// removeDamage removes the damaged parts of a tree.
func removeDamage(store, id string) error {
	if !isOCILayout(treesDir(store)) {
		return nil
	}
	desc, err := ociindex.NewStoreIndex(treesDir(store)).Get(id)
	if err != nil {
		return damagedIndex(store, err)
	}
	if desc == nil {
		return nil
	}
	parts, _ := treeParts(store, *desc) // those that are known
	for _, d := range parts {
		if checkBlob(store, d, true) == nil || d.Digest.Validate() != nil {
			continue
		}
		if err := os.Remove(blobPath(store, d.Digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
