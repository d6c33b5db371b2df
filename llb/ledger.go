package llb

import (
	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/module"
)

// hasLedger reports whether a step that uses the ledger so is given one: not
// one that only reads where no step has written yet.
func (t Tree) hasLedger(use module.LedgerUse) bool {
	return use == module.LedgerWrite || use == module.LedgerRead && t.Ledger.Output() != nil
}

// mountLedger gives a step the ledger if it uses it, and returns the ledger
// after the step. A step that does not use it is the same operation whatever
// is in it.
func (t Tree) mountLedger(exec llb.ExecState, use module.LedgerUse) llb.State {
	if !t.hasLedger(use) {
		return t.Ledger
	}
	opts := []llb.MountOption{llb.ContentCache(llb.MountContentCacheOff)}
	if use == module.LedgerRead {
		exec.AddMount(LedgerDir, t.Ledger, append(opts, llb.Readonly)...)
		return t.Ledger
	}
	return exec.AddMount(LedgerDir, t.Ledger, opts...)
}
