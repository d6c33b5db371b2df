// Package command runs programs for modules: those of the tree, with the tree
// as their root, and those of the build root.
//
// A program inherits nothing of the environment, as what a builder sets
// differs between builds. What it prints goes to the log of the step, and the
// end of it into the error if it fails.
package command
