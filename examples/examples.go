// Package examples holds example pipelines. One of them is more than an
// example: the toolbox, which is the default build root of every pipeline
// that names none.
package examples

import _ "embed"

// Toolbox is the manifest of the default build root.
//
//go:embed toolbox.json
var Toolbox []byte
