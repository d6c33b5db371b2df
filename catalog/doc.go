// Package catalog knows every built-in module: the stages, the stages that
// install packages, and the assemblers, with the JSON schemas of their
// options. Modules of the user's own are read from a directory (ReadUser) and
// laid over the built-in ones (With).
//
// It is the one place that joins the packages of modules, so that validation
// (package manifest), the graph (package llb), the runners and the command
// line need not name them. It does no work of its own: it looks up, lists and
// describes.
package catalog
