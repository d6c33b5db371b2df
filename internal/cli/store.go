package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/internal/runners"
	"github.com/osbuildkit/osbuildkit/module"
)

func (a *app) stagesCommand() *cobra.Command {
	var libdir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stages [NAME]",
		Short: "List the stages and assemblers, or show the options of one",
		Args:  rangeArgs(0, 1, "at most one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.readLibdir(libdir)
			if err != nil {
				return err
			}
			switch {
			case asJSON && len(args) == 0:
				return a.printJSON(jsonModules(c, ""))
			case asJSON:
				if err := moduleError(c, args[0]); err != nil {
					return err
				}
				return a.printJSON(jsonModules(c, args[0]))
			case len(args) == 0:
				return a.listModules(c)
			}
			return a.describeModule(c, args[0])
		},
		ValidArgsFunction: completeModules(&libdir),
	}
	addLibdirFlag(cmd.Flags(), &libdir)
	addJSONFlag(cmd, &asJSON)
	return cmd
}

func (a *app) listModules(c *catalog.Catalog) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range c.Names(kind) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", name, kind, c.Module(kind, name).Summary)
		}
	}
	return w.Flush()
}

// engineFlags are the flags of the commands that look at a builder's cache.
type engineFlags struct{ builder, store string }

func (f *engineFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.builder, "builder", "", "`BUILDER` to use: an address, a buildx builder, or \"embedded\"")
	cmd.Flags().StringVar(&f.store, "store", engine.DefaultStore, "`DIRECTORY` of the embedded engine's cache")
}

// withEngine runs fn with an engine, under the privileges that it needs.
func (a *app) withEngine(cmd *cobra.Command, f engineFlags, fn func(*engine.Engine) error) error {
	opts := a.engineOptions(f.builder, f.store)
	if done, err := ensurePrivileges(cmd.Context(), opts); done || err != nil {
		return err
	}
	e, err := engine.Open(cmd.Context(), opts)
	if err != nil {
		return err
	}
	defer e.Close()
	return fn(e)
}

func (a *app) duCommand() *cobra.Command {
	var f engineFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "du",
		Short: "Show what the build cache holds",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd, f, func(e *engine.Engine) error {
				records, err := e.DiskUsage(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(jsonUsage(records))
				}
				w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
				fmt.Fprintln(w, "SIZE\tLAST USED\tSTEP")
				var total int64
				for _, r := range records {
					used := "never"
					if r.LastUsedAt != nil {
						used = r.LastUsedAt.Format("2006-01-02 15:04")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n", formatSize(r.Size), used, r.Description)
					total += r.Size
				}
				if err := w.Flush(); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "total: %s in %d records\n", formatSize(total), len(records))
				return nil
			})
		},
	}
	f.add(cmd)
	addJSONFlag(cmd, &asJSON)
	return cmd
}

func (a *app) pruneCommand() *cobra.Command {
	var f engineFlags
	var asJSON bool
	var o engine.PruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what the build cache holds and no build uses now",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd, f, func(e *engine.Engine) error {
				size, count, err := e.Prune(cmd.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(jsonPruned{Success: true, Records: count, Size: size})
				}
				fmt.Fprintf(a.stdout, "removed %d records, %s\n", count, formatSize(size))
				return nil
			})
		},
	}
	f.add(cmd)
	addJSONFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&o.All, "all", false, "also remove internal records")
	cmd.Flags().DurationVar(&o.KeepDuration, "keep", 0, "keep what was used within this `TIME`, such as 48h")
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.stdout, versionText())
			return nil
		},
	}
}

// versionText is what is known of the program's version.
func versionText() string {
	return fmt.Sprintf("osbuildkit %s (%s/%s, BuildKit %s, runners for: %v)",
		Version, runtime.GOOS, runtime.GOARCH, dependency("github.com/moby/buildkit"), runners.Architectures())
}

// Version is the version of the program; the build sets it.
var Version = "unreleased"

// dependency returns the version of a module that is built in.
func dependency(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == path {
			return d.Version
		}
	}
	return "unknown"
}
