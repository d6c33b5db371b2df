// Package module is the contract between a step and the program that it runs.
//
// A module is a stage or an assembler. It reads one JSON object, the contract,
// on standard input: at least "tree", the directory that it works on, and
// "options"; an assembler also gets "output_dir". Exit code 0 is success, and
// whatever it prints is the log. The built-in modules are Go functions behind
// the same contract; the runner (cmd/osbuildkit-runner) reads the JSON and
// calls them.
//
// The package is imported by the modules, by the runner and by the parts that
// only need to know which modules exist. It imports nothing of the project.
package module
