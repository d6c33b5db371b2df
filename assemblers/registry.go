package assemblers

import (
	"github.com/osbuildkit/osbuildkit/module"
)

// Modules returns the built-in assemblers, sorted by name.
func Modules() []module.Module {
	return []module.Module{
		{
			Name:    "org.osbuild.noop",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Summary: "Makes no file at all",
			Options: func() any { return new(NoopOptions) },
			Run:     runNoop,
		},
		{
			Name:    "org.osbuild.qemu",
			Kind:    module.Assembler,
			Sandbox: module.Tools,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Makes a bootable disk image of the tree: raw, qcow2, vdi or vmdk",
			Options: func() any { return new(QemuOptions) },
			Check:   checkQemu,
			Run:     runQemu,
		},
	}
}
