package packages

import (
	"encoding/json"

	"github.com/osbuildkit/osbuildkit/module"
)

// Names of the parts that the graph makes the stages out of.
const (
	DebootstrapStage     = "org.osbuildkit.debootstrap"
	DebootstrapSolve     = "org.osbuildkit.debootstrap.solve"
	DebootstrapUnpack    = "org.osbuildkit.debootstrap.unpack"
	DebootstrapConfigure = "org.osbuildkit.debootstrap.configure"
	AptStage             = "org.osbuildkit.apt"
	AptSolve             = "org.osbuildkit.apt.solve"
	AptSolveInside       = "org.osbuildkit.apt.solve-inside"
	AptApply             = "org.osbuildkit.apt.apply"
	DnfStage             = "org.osbuild.dnf"
	DnfSolve             = "org.osbuild.dnf.solve"
	DnfApply             = "org.osbuild.dnf.apply"
	CheckPart            = "org.osbuild.dnf.check"
	YumStage             = "org.osbuild.yum"
	RPMStage             = "org.osbuild.rpm"
	RPMApply             = "org.osbuild.rpm.apply"
	RPMInspect           = "org.osbuild.rpm.inspect"
	RPMInventory         = "org.osbuild.rpm.inventory"
	SecretsPart          = "org.osbuildkit.fetch.secrets"
	FetchPart            = "org.osbuildkit.fetch"
	NormalisePart        = "org.osbuildkit.normalise"
	PreparePart          = "org.osbuildkit.prepare"
)

// Modules returns the package modules and their parts.
func Modules() []module.Module {
	mods := append(debianModules(), rpmModules()...)
	mods = append(mods, []module.Module{
		{
			Name: NormalisePart, Sandbox: module.Edit, Ledger: module.LedgerWrite,
			Summary: "Remove what differs between two builds or belongs to one machine",
			Run:     normalise,
		},
		{
			Name: PreparePart, Sandbox: module.Edit,
			Summary: "Make a tree ready to be the root of a step",
			Run:     prepare,
		},
	}...)
	for i := range mods {
		mods[i].Kind = module.Stage
		mods[i].Group = module.GroupPackages
	}
	return mods
}

func debianModules() []module.Module {
	return []module.Module{
		{
			Name: DebootstrapStage, Sandbox: module.Inside,
			Summary: "Make a Debian system in an empty tree",
			Options: func() any { return &DebootstrapOptions{} },
			Check:   checkDebootstrap,
		},
		{
			Name: DebootstrapSolve, Sandbox: module.Edit,
			Summary: "Compute the packages of a Debian system",
			Run:     solveDebootstrap,
		},
		{
			Name: DebootstrapUnpack, Sandbox: module.Edit,
			Summary: "Unpack the packages of a Debian system into an empty tree",
			Run:     unpackDebootstrap,
		},
		{
			Name: DebootstrapConfigure, Sandbox: module.Inside, Ledger: module.LedgerWrite,
			Summary: "Configure unpacked packages",
			Run:     harvesting(configureDebootstrap),
		},
		{
			Name: AptStage, Sandbox: module.Inside,
			Summary: "Install Debian packages with all that they need",
			Options: func() any { return &AptOptions{} },
			Check:   checkApt,
		},
		{
			Name: AptSolve, Sandbox: module.Tools,
			Summary: "Compute what apt would install, with the build root's apt",
			Run:     solveAptTools,
		},
		{
			Name: AptSolveInside, Sandbox: module.Inside,
			Summary: "Compute what apt would install, with the tree's own apt",
			Run:     solveAptInside,
		},
		{
			Name: AptApply, Sandbox: module.Inside, Ledger: module.LedgerWrite,
			Summary: "Install downloaded packages",
			Run:     harvesting(applyApt),
		},
	}
}

func rpmModules() []module.Module {
	return []module.Module{
		{
			Name: DnfStage, Sandbox: module.Inside,
			Summary: "Install RPM packages with all that they need",
			Options: func() any { return &DnfOptions{} },
			Check:   checkDnf,
		},
		{
			Name: YumStage, Sandbox: module.Inside,
			Summary: "Install RPM packages as old manifests ask for it",
			Options: func() any { return &YumOptions{} },
			Check:   checkYum,
		},
		{
			Name: CheckPart, Sandbox: module.Edit,
			Summary: "Compare downloaded files with checksums other than SHA-256",
			Run:     checkFiles,
		},
		{
			Name: DnfSolve, Sandbox: module.Tools, ScratchTree: true,
			Summary: "Compute what dnf would install, with the build root's dnf",
			Run:     solveDnf,
		},
		{
			Name: DnfApply, Sandbox: module.Inside, Ledger: module.LedgerWrite, BuildRoot: true,
			Summary: "Install downloaded RPM packages, with the build root's dnf",
			Run:     harvesting(applyDnf),
		},
		{
			Name: RPMStage, Sandbox: module.Inside,
			Summary: "Install RPM package files",
			Options: func() any { return &RPMOptions{} },
			Check:   checkRPM,
		},
		{
			Name: RPMInventory, Sandbox: module.Tools, ScratchTree: true,
			Summary: "List the RPM packages that a tree has",
			Run:     inventoryRPMs,
		},
		{
			Name: RPMInspect, Sandbox: module.Edit,
			Summary: "List downloaded RPM package files",
			Run:     inspectRPMs,
		},
		{
			Name: RPMApply, Sandbox: module.Inside, Ledger: module.LedgerWrite, BuildRoot: true,
			Summary: "Install downloaded RPM package files, with the build root's rpm",
			Run:     harvesting(applyRPM),
		},
		{
			Name: SecretsPart, Sandbox: module.Edit,
			Summary: "Look at the certificates that a download needs",
			Run:     lookAtSecrets,
		},
		{
			Name: FetchPart, Sandbox: module.Tools,
			Network: func(json.RawMessage) bool { return true },
			Summary: "Download a file that needs a client certificate",
			Run:     fetchFile,
		},
	}
}
