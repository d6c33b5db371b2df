//go:build runner_packages

package main

import (
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

func modules() []module.Module { return packages.Modules() }
