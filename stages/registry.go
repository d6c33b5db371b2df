package stages

import "github.com/osbuildkit/osbuildkit/module"

//go:generate go run ../internal/schemagen

// Modules returns the stages of the package, sorted by name.
func Modules() []module.Module {
	return []module.Module{
		errorStage,
		fstabStage,
		grub2Stage,
		hostnameStage,
		keymapStage,
		localeStage,
		noopStage,
		systemdStage,
		testStage,
		timezoneStage,
		usersStage,
		attributesStage,
	}
}
