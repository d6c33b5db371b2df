//go:build runner_stages

package main

import (
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages"
)

func modules() []module.Module { return stages.Modules() }
