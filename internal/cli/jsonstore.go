package cli

import (
	"encoding/json"
	"io"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/module"
)

// jsonDiskUsage is what du prints with --json. Sizes are in bytes.
type jsonDiskUsage struct {
	Success bool         `json:"success"`
	Size    int64        `json:"size"`
	Records []jsonRecord `json:"records"`
	// Images say what the builds of each image use of an embedded engine's cache.
	Images []jsonImageUsage `json:"images,omitempty"`
}

// jsonImageUsage is what the builds of one image use. Image is the path of the
// manifest; it is empty for the toolbox and for other builds.
type jsonImageUsage struct {
	Image    string     `json:"image"`
	Toolbox  bool       `json:"toolbox,omitempty"`
	Size     int64      `json:"size"`
	Records  int        `json:"records"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// jsonRecord is one record of the cache.
type jsonRecord struct {
	ID       string     `json:"id"`
	Size     int64      `json:"size"`
	LastUsed *time.Time `json:"last_used,omitempty"`
	Step     string     `json:"step"`
}

func jsonUsage(records []*client.UsageInfo, usage []engine.ImageUsage) jsonDiskUsage {
	out := jsonDiskUsage{Success: true, Records: []jsonRecord{}}
	for _, r := range records {
		out.Size += r.Size
		out.Records = append(out.Records, jsonRecord{ID: r.ID, Size: r.Size, LastUsed: r.LastUsedAt, Step: r.Description})
	}
	for _, u := range usage {
		image := jsonImageUsage{Image: u.Image, Toolbox: u.Toolbox, Size: u.Size, Records: u.Records}
		if !u.LastUsed.IsZero() {
			image.LastUsed = &u.LastUsed
		}
		out.Images = append(out.Images, image)
	}
	return out
}

// jsonPruned is what prune prints with --json.
type jsonPruned struct {
	Success bool  `json:"success"`
	Records int   `json:"records"`
	Size    int64 `json:"size"`
}

// jsonModule is a stage or an assembler. Schema and Example are those of its
// options; a list of modules leaves them out.
type jsonModule struct {
	Name    string          `json:"name"`
	Kind    module.Kind     `json:"kind"`
	Summary string          `json:"summary"`
	Schema  json.RawMessage `json:"schema,omitempty"`
	Example json.RawMessage `json:"example,omitempty"`
}

// jsonModules lists the modules, or describes those of a name.
func jsonModules(c *catalog.Catalog, name string) []jsonModule {
	out := []jsonModule{}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, n := range c.Names(kind) {
			m := jsonModule{Name: n, Kind: kind, Summary: c.Module(kind, n).Summary}
			if name != "" {
				if n != name {
					continue
				}
				m.Schema, _ = c.Schema(kind, n)
				m.Example, _ = c.Example(kind, n)
			}
			out = append(out, m)
		}
	}
	return out
}

// completeModules lists the names of modules for the shell.
func completeModules(libdir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// The shell shows no errors, and a's streams are not its.
		c, err := (&app{stderr: io.Discard}).readLibdir(*libdir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, m := range jsonModules(c, "") {
			names = append(names, m.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
