package stages

import "github.com/osbuildkit/osbuildkit/module"

//go:generate go run ../internal/schemagen
// What follows is made from the schemas, so it comes after them.
//go:generate go run ../internal/modulegen

// Modules returns the stages of the package, sorted by name.
func Modules() []module.Module {
	return []module.Module{
		chronyStage,
		copyStage,
		copyContextPart,
		debugShellStage,
		errorStage,
		firewallStage,
		firstBootStage,
		fixBLSStage,
		fstabStage,
		groupsStage,
		grub2Stage,
		hostnameStage,
		ignitionStage,
		kernelCmdlineStage,
		keymapStage,
		localeStage,
		noopStage,
		ostreeStage,
		ostreeFetchPart,
		removeUniquenessStage,
		rhsmStage,
		rpmOSTreeStage,
		scriptStage,
		selinuxStage,
		sysconfigStage,
		systemdStage,
		testStage,
		timezoneStage,
		usersStage,
		ziplStage,
		attributesStage,
		growStage,
	}
}
