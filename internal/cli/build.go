package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/spf13/cobra"

	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// buildFlags are the flags of the build command.
type buildFlags struct {
	manifestFlags
	store, outputDir                   string
	builder, target, toolbox, progress string
	mirror, platform                   string
	exports, checkpoints               []string
	noCache, reproducible              string
	cacheFrom, cacheTo                 []string
	contexts, secrets, allow           []string
	cacheMaxSize                       string
	json, sbom, debug                  bool
	keepFailed                         string
	// changed says whether a flag was given.
	changed func(name string) bool
}

func (a *app) buildCommand() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build [flags] MANIFEST|-",
		Short: "Build the image that a manifest describes",
		Long: "Build the image that a manifest describes.\n\n" + withoutBuilder + "\n" +
			"On success it prints the ids and the files that it wrote. A file appears whole or not at all.\n\n" +
			"With --progress=rawjson, standard error has the progress alone, and messages go to standard output.\n\n" + exitHelp,
		Args: exactArgs(1, "one MANIFEST, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, kindErr := engine.KindOf(f.builder)
			err := explainFullDisk(a.build(cmd.Context(), &f, args[0]), f.store, kindErr == nil && kind == engine.Embedded)
			a.showFullDisk(err)
			return err
		},
	}
	fl := cmd.Flags()
	f.changed = fl.Changed
	f.add(fl)
	addContextFlag(fl, &f.context)
	fl.StringVar(&f.store, "store", engine.DefaultStore, "keep the embedded engine's cache and stored trees in this `DIRECTORY`")
	addCacheSizeFlag(fl, &f.cacheMaxSize)
	fl.StringVarP(&f.outputDir, "output-directory", "o", "output", "write the files to this `DIRECTORY`")
	fl.StringArrayVar(&f.checkpoints, "checkpoint", nil, "keep the tree with this `ID`, or \"tree\", in the store, for manifests with \"base\"")
	fl.StringArrayVar(&f.exports, "export", nil, "build this `PIPELINE`, as --target does")
	addJSONFlag(cmd, &f.json)
	fl.BoolVar(&f.sbom, "sbom", false, "write the packages of the tree as an SPDX document beside the result")
	fl.StringVar(&f.builder, "builder", "", "build with this `BUILDER`: an address (tcp://…, unix://…), a buildx builder, or \"embedded\"")
	fl.StringVar(&f.target, "target", "", "build this `TARGET`: assembler (the default), containerdisk, tree or build")
	fl.StringVar(&f.toolbox, "toolbox", "", "use this image `REFERENCE`, or directory with an OCI layout, as the default build root")
	fl.StringVar(&f.mirror, "mirror", "", "take packages from the mirror at this `URL`, where the manifest names none")
	fl.StringVar(&f.platform, "platform", "", "build for this `PLATFORM`, such as linux/arm64, or for several with commas between them")
	fl.StringVar(&f.progress, "progress", "auto", "show progress in this `MODE`: auto, plain, tty, quiet or rawjson")
	fl.StringVar(&f.noCache, "no-cache", "", "run the steps of these `PIPELINES` again, with commas between them, and all that depends on them; without names, run all steps again")
	fl.Lookup("no-cache").NoOptDefVal = allPipelines
	fl.StringVar(&f.reproducible, "verify-reproducible", "", "build twice, and fail with the first difference if the files differ; the second build runs the steps of these `PIPELINES` again, as --no-cache does")
	fl.Lookup("verify-reproducible").NoOptDefVal = allPipelines
	fl.StringArrayVar(&f.cacheFrom, "cache-from", nil, "import this `CACHE`, such as type=registry,ref=…")
	fl.StringArrayVar(&f.cacheTo, "cache-to", nil, "export to this `CACHE`, such as type=local,dest=…,mode=max")
	fl.StringArrayVar(&f.contexts, "build-context", nil, "give a named context, `NAME=VALUE`")
	fl.StringArrayVar(&f.allow, "allow", nil, "allow steps what they do not have by default: with the `ENTITLEMENT` network.host, steps that have the network get that of the builder's machine, its loopback included")
	fl.StringArrayVar(&f.secrets, "secret", nil, "give a secret, `id=NAME,src=FILE` or id=NAME,env=VARIABLE")
	fl.BoolVar(&f.debug, "debug", false, "open a shell in the step that fails")
	fl.StringVar(&f.keepFailed, "keep-failed", "", "write the tree of the step that fails, as it left it, into this `DIRECTORY`, as "+failedTree)
	completeValues(cmd, "allow", engine.AllowHostNetwork)
	completeValues(cmd, "progress", progressModes...)
	completeValues(cmd, "target", manifest.AssemblerPipeline, manifest.TreePipeline, frontend.ContainerDiskTarget)
	return cmd
}

// withoutBuilder says where a build runs that names no builder.
const withoutBuilder = "Without --builder, the command starts a BuildKit, ends it after the build, and keeps its cache in the store. " +
	"That needs Linux: on other systems the current builder of docker buildx builds."

// progressModes are the values of --progress.
var progressModes = []string{"auto", "plain", "tty", "quiet", "rawjson"}

// allPipelines is the value of --no-cache without names.
const allPipelines = "*"

// networkAttribute is what docker buildx makes of --network.
const networkAttribute = "force-network-mode"

// source is a manifest as the user has named it.
type source struct {
	name string
	data []byte
	load []manifest.Option
	m    *manifest.Manifest
	// modules are those that it was checked against.
	modules manifest.Catalog
	// context is the directory that files are copied from, or empty. Ignore is what
	// no build sees of it, and ownIgnore the file that says so for this manifest
	// alone.
	context, ownIgnore string
	ignore             []string
}

// readManifest reads and checks a manifest. Errors in it have been shown when
// it returns.
func (a *app) readManifest(name string, f *manifestFlags) (*source, error) {
	s := &source{name: name}
	args, err := f.arguments()
	if err != nil {
		return nil, err
	}
	s.load = append(s.load, manifest.WithArgs(args))
	if s.modules, err = a.modules(f); err != nil {
		return nil, err
	}
	if s.data, err = a.readInput(name); err != nil {
		return nil, &exitError{code: exitInvalid, err: err}
	}
	if name == "-" {
		s.name = "<stdin>"
	}
	if f.buildEnv != "" {
		env, err := a.readInput(f.buildEnv)
		if err != nil {
			return nil, &exitError{code: exitInvalid, err: fmt.Errorf("--build-env: %w", err)}
		}
		s.load = append(s.load, manifest.WithBuildEnv(f.buildEnv, env))
	}
	if s.m, err = manifest.Load(s.name, s.data, s.modules, s.load...); err == nil {
		err = s.checkManifest(args, f.idsOnly)
	}
	if err == nil && !f.idsOnly {
		err = s.findContext(name, f)
	}
	if usage := (*exitError)(nil); errors.As(err, &usage) {
		return nil, err
	}
	if err != nil {
		places := a.showErrors(err, s)
		return nil, &exitError{code: exitInvalid, err: err, quiet: true, places: places}
	}
	return s, nil
}

// readInput reads a file of the user, or standard input, up to the limit.
func (a *app) readInput(name string) ([]byte, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, manifest.MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > manifest.MaxSize {
		return nil, fmt.Errorf("%s: larger than 16 MiB, which is the limit of BuildKit for a build file", name)
	}
	return data, nil
}

// check looks at the flags that can be wrong by themselves.
func (f *buildFlags) check() error {
	for _, e := range f.exports {
		if f.target != "" && f.target != e {
			return usageError("--export %s: one pipeline is built at a time, and it is already %s", e, f.target)
		}
		f.target = e
	}
	if _, err := f.arguments(); err != nil {
		return err
	}
	if !slices.Contains(progressModes, f.progress) {
		return usageError("--progress %q: choose auto, plain, tty, quiet or rawjson", f.progress)
	}
	if err := frontend.CheckMirrorArg(f.mirror); err != nil {
		return usageError("--mirror: %w", err)
	}
	if _, err := f.platforms(); err != nil {
		return err
	}
	if _, _, err := f.caches(); err != nil {
		return err
	}
	for _, a := range f.allow {
		if a != engine.AllowHostNetwork {
			return usageError("--allow %q: only network.host can be allowed, no step asks for more", a)
		}
	}
	if _, err := build.ParseSecret(f.secrets); err != nil {
		return usageError("--secret: %w", err)
	}
	if f.outputDir == "" {
		return usageError("--output-directory: it is empty: give a directory, such as . for this one")
	}
	for _, d := range []struct{ flag, dir string }{{"--output-directory", f.outputDir}, {"--keep-failed", f.keepFailed}} {
		if out, err := os.Stat(d.dir); err == nil && d.dir != "" {
			if store, err := os.Stat(f.store); err == nil && os.SameFile(out, store) {
				return usageError("%s %s: it is the store, which holds what belongs to the embedded engine: choose another directory", d.flag, d.dir)
			}
		}
	}
	return nil
}

// attributes are the options of the frontend, as BuildKit names them.
func (f *buildFlags) attributes(s *source) map[string]string {
	attrs := map[string]string{"filename": filepath.Base(s.name)}
	if f.target != "" {
		attrs["target"] = f.target
	}
	if f.platform != "" {
		attrs["platform"] = f.platform
	}
	switch f.noCache {
	case "":
	case allPipelines:
		attrs["no-cache"] = ""
	default:
		attrs["no-cache"] = f.noCache
	}
	args, _ := f.arguments() // check has seen the error
	for name, value := range args {
		attrs["build-arg:"+name] = value
	}
	if len(f.allow) > 0 {
		attrs[networkAttribute] = "host"
	}
	if f.mirror != "" {
		attrs["build-arg:"+frontend.MirrorArg] = f.mirror
	}
	return attrs
}
