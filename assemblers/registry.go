package assemblers

import (
	"github.com/osbuildkit/osbuildkit/module"
)

// Modules returns the built-in assemblers, sorted by name.
func Modules() []module.Module {
	return append([]module.Module{
		{
			Name:    "org.osbuild.error",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Summary: "Fails with an exit code, to test what happens then",
			Options: func() any { return new(ErrorOptions) },
			Check:   checkError,
			Run:     timed(module.Does(runError)),
		},
		{
			Name:    "org.osbuild.noop",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Summary: "Makes no file at all",
			Options: func() any { return new(NoopOptions) },
			Run:     timed(module.Does(runNoop)),
		},
		{
			Name:    "org.osbuild.oci-archive",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Makes a container image of the tree, as an archive of an OCI layout",
			Options: func() any { return new(OCIArchiveOptions) },
			Check:   checkOCIArchive,
			Run:     timed(module.Does(runOCIArchive)),
		},
		{
			Name:    "org.osbuild.ostree.commit",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Commits the tree to a repository of OSTree",
			Options: func() any { return new(OSTreeCommitOptions) },
			Check:   checkOSTreeCommit,
			Run:     timed(module.Does(runOSTreeCommit)),
		},
		{
			Name:    "org.osbuild.qemu",
			Kind:    module.Assembler,
			Sandbox: module.Tools,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Makes a bootable disk image of the tree: raw, qcow2, vdi, vmdk, vpc, vhdx or Google's archive",
			Options: func() any { return new(QemuOptions) },
			Check:   checkQemu,
			Secrets: qemuSecrets,
			Run:     timed(module.Does(runQemu)),
		},
		{
			Name:    "org.osbuild.rawfs",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Makes a file system of the tree, without a partition table",
			Options: func() any { return new(RawFSOptions) },
			Check:   checkRawFS,
			Run:     timed(module.Does(runRawFS)),
		},
		{
			Name:    "org.osbuild.tar",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Ledger:  module.LedgerRead,
			Summary: "Makes a tar archive of the tree",
			Options: func() any { return new(TarOptions) },
			Check:   checkTar,
			Run:     timed(module.Does(runTar)),
		},
	}, parts()...)
}

// parts returns what a build runs besides the assembler that a manifest names.
func parts() []module.Module {
	return []module.Module{
		{
			Name:    "org.osbuildkit.flatten",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Summary: "Copies the tree, for a container image of one layer",
			Run:     module.Does(runFlatten),
		},
		{
			Name:    "org.osbuildkit.secrets",
			Kind:    module.Assembler,
			Sandbox: module.Edit,
			Group:   module.GroupAssemblers,
			Summary: "Looks whether the secrets that a step needs are there, and makes a digest of them",
			Secrets: partSecrets,
			Run:     module.Does(runSecrets),
		},
	}
}
