//go:build runner_assemblers

package main

import (
	"github.com/osbuildkit/osbuildkit/assemblers"
	"github.com/osbuildkit/osbuildkit/module"
)

func modules() []module.Module { return assemblers.Modules() }
