// Package runner is the program inside a step.
//
// cmd/osbuildkit-runner is a static binary without any BuildKit import. In a
// step it is started as
//
//	osbuildkit-runner module NAME --step /run/osbuild/step.json
//
// and by hand, with the contract on standard input, as
//
//	osbuildkit-runner module NAME < contract.json
//
// Either way it calls the module's function in its own process, with a clean
// environment: BuildKit puts tracing variables into every step that differ in
// each build, and they must reach no module.
package runner
