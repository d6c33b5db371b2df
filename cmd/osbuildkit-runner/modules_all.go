//go:build !runner_stages && !runner_packages && !runner_assemblers && !runner_programs

package main

import (
	"slices"

	"github.com/osbuildkit/osbuildkit/assemblers"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

func modules() []module.Module {
	return slices.Concat(stages.Modules(), packages.Modules(), assemblers.Modules())
}
