package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/internal/private"
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
	if f.store == "" {
		return usageError("--store: it is empty: give a directory")
	}
	// A store that is named would be made here, and found empty.
	if _, err := os.Stat(f.store); errors.Is(err, fs.ErrNotExist) && cmd.Flags().Changed("store") {
		return usageError("--store: there is no store at %s", f.store)
	}
	if err := private.CheckStore(f.store); err != nil {
		return usageError("--store: %w", err)
	}
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
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "du",
		Short: "Show what the build cache holds",
		Long: "Show what the build cache holds: how much the builds of each image have made, and with --verbose each record.\n\n" +
			"What several images need belongs to the one that was built first; the toolbox, the default build root, is listed by itself.",
		Args: exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd, f, func(e *engine.Engine) error {
				records, err := e.DiskUsage(cmd.Context())
				if err != nil {
					return err
				}
				usage, err := e.Usage(records)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(jsonUsage(records, usage))
				}
				if verbose || e.Kind() != engine.Embedded {
					if err := a.showRecords(records); err != nil {
						return err
					}
				}
				return a.showUsage(records, usage, f.store)
			})
		},
	}
	f.add(cmd)
	addJSONFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "list each record")
	return cmd
}

// showRecords lists the records of a cache.
func (a *app) showRecords(records []*client.UsageInfo) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SIZE\tLAST USED\tSTEP")
	for _, r := range records {
		used := time.Time{}
		if r.LastUsedAt != nil {
			used = *r.LastUsedAt
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", formatSize(r.Size), formatUse(used), r.Description)
	}
	return w.Flush()
}

// showUsage says what each image's builds use, and the sum.
func (a *app) showUsage(records []*client.UsageInfo, usage []engine.ImageUsage, store string) error {
	if len(usage) > 0 {
		w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "SIZE\tRECORDS\tLAST USED\tIMAGE")
		for _, u := range usage {
			name := u.Image
			switch {
			case u.Toolbox:
				name = "(the toolbox, which all images share)"
			case name == "":
				name = "(other builds)"
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", formatSize(u.Size), u.Records, formatUse(u.LastUsed), name)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	var total int64
	for _, r := range records {
		total += r.Size
	}
	fmt.Fprintf(a.stdout, "total: %s in %d records\n", formatSize(total), len(records))
	trees, err := sizeOf(treesDir(store))
	if err == nil && trees > 0 {
		fmt.Fprintf(a.stdout, "stored trees: %s in %s, which no limit is for\n", formatSize(trees), treesDir(store))
	}
	return err
}

func formatUse(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// sizeOf adds up the sizes of the files below a directory.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
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
			if kind, err := engine.KindOf(f.builder); err == nil && kind != engine.Embedded && cmd.Flags().Changed("store") {
				return usageError("--store %s: the cache of %s is not there; leave the flag out", f.store, engine.Describe(f.builder))
			}
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
