package packages

import (
	"context"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages/stub"
	"github.com/osbuildkit/osbuildkit/tree"
)

// prepare is the part org.osbuildkit.prepare: it makes a tree ready to be the
// root of a step. Each inside step follows one.
func prepare(_ context.Context, in *module.Input) error {
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	st, err := t.Lstat("/")
	if err != nil {
		return err
	}
	if err := stub.Mountpoints(t, in.Epoch); err != nil {
		return err
	}
	if err := stub.Prepare(t); err != nil {
		return err
	}
	return t.Chtimes("/", st.ModTime())
}

// RestoreStubs undoes what org.osbuildkit.prepare did to /etc/resolv.conf and
// /etc/hosts of the tree at root. It is the first act of every inside step.
func RestoreStubs(root string) error { return stub.Restore(root) }
