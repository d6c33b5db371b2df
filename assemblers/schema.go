package assemblers

import "embed"

// Schemas holds the JSON schema of the options of each module of the package,
// as schema/NAME.json. They are generated from the types of the options.
//
//go:embed schema/*.json
var Schemas embed.FS
