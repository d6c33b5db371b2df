package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// metadata is what has been read of a repository.
type metadata struct {
	packages.RepositoryOptions
	release *debian.Release
	// files are InRelease and the package indexes.
	files []download
}

// debootstrap expands org.osbuildkit.debootstrap: it makes the first packages
// of a tree, from nothing.
func (g *Graph) debootstrap(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.DebootstrapOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	o = o.WithDefaults(g.debianArch())
	index, err := g.system(ctx, at, o)
	if err != nil {
		return Tree{}, err
	}
	t.repos, t.snapshot = nil, o.Snapshot
	for _, m := range index {
		t.repos = append(t.repos, m.RepositoryOptions)
	}
	if g.opt.Epoch == nil {
		t.setEpoch(g.systemDate(index))
	}
	list, solved, err := g.solve(ctx, at, t, "org.osbuildkit.debootstrap.solve", o.ForSolve(t.repos), index)
	if err != nil {
		return Tree{}, err
	}
	inputs, err := g.packages(ctx, at, list, solved, index, credentials{})
	if err != nil {
		return Tree{}, err
	}
	t.Lists = append(t.Lists, *list)
	parts := []part{
		{"org.osbuildkit.debootstrap.unpack", "unpack", o.ForUnpack(), inputs},
		{"org.osbuildkit.prepare", "prepare", nil, nil},
		{"org.osbuildkit.debootstrap.configure", "configure", o.ForConfigure(), listOnly(inputs)},
	}
	if o.Cleaned() {
		parts = append(parts, part{"org.osbuildkit.normalise", "normalise", nil, nil})
	}
	return g.sequence(ctx, at, t, parts)
}

// apt expands org.osbuildkit.apt: it installs packages into a tree that has
// dpkg.
func (g *Graph) apt(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.AptOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	arch := g.debianArch()
	switch {
	case len(t.repos) > 0:
		arch = t.repos[0].Arch // as debootstrap's options have it
	case t.arch != "":
		arch = t.arch
	}
	o = o.For(arch)
	if len(o.Repos) > 0 {
		t.repos = nil
		for _, r := range o.Repos {
			if r.Mirror == "" && r.Snapshot == "" {
				r.Snapshot = t.snapshot
			}
			t.repos = append(t.repos, r.WithDefaults(g.debianArch()))
		}
	}
	if err := needRepositories(len(t.repos) > 0); err != nil {
		return Tree{}, err
	}
	o.Repos = t.repos
	auth, err := g.credentials(ctx, at, o.Auth)
	if err != nil {
		return Tree{}, err
	}
	index, err := g.metadata(ctx, t.repos, auth)
	if err != nil {
		return Tree{}, err
	}
	if g.opt.Epoch == nil && t.unknown {
		t.setEpoch(newestDate(index))
	}
	// The tree's own apt decides, unless the author has named a build root.
	solver := "org.osbuildkit.apt.solve-inside"
	if g.namedBuildRoot(at.pipeline) {
		solver = "org.osbuildkit.apt.solve"
	}
	list, solved, err := g.solve(ctx, at, t, solver, o.ForSolve(), index)
	if err != nil {
		return Tree{}, err
	}
	inputs, err := g.packages(ctx, at, list, solved, index, auth)
	if err != nil {
		return Tree{}, err
	}
	t.Lists = append(t.Lists, *list)
	parts := []part{
		{"org.osbuildkit.prepare", "prepare", nil, nil},
		{"org.osbuildkit.apt.apply", "install", o.ForApply(), inputs},
	}
	if o.Cleaned() {
		parts = append(parts, part{"org.osbuildkit.normalise", "normalise", nil, nil})
	}
	return g.sequence(ctx, at, t, parts)
}

// needRepositories reports that an apt stage has no repository to install from,
// neither its own nor that of an earlier stage.
func needRepositories(given bool) error {
	if given {
		return nil
	}
	return errors.New("\"repos\" is needed here, as no org.osbuildkit.debootstrap stage before it in this pipeline names a repository")
}

// debianArch is Debian's name of the architecture that is built for.
func (g *Graph) debianArch() string {
	return debian.Architecture(g.opt.Platform.Architecture, g.opt.Platform.Variant)
}

// listOnly keeps the package list of the inputs and leaves out the packages.
func listOnly(inputs map[string]llb.State) map[string]llb.State {
	return map[string]llb.State{"list": inputs["list"]}
}

// part is one of the steps of a package stage that change the tree.
type part struct {
	module, name string
	options      any
	inputs       map[string]llb.State
}

// sequence adds several steps of one stage to the tree.
func (g *Graph) sequence(ctx context.Context, at place, t Tree, parts []part) (Tree, error) {
	for _, p := range parts {
		m, err := g.part(p.module)
		if err != nil {
			return Tree{}, err
		}
		options, err := encodeOptions(p.options)
		if err != nil {
			return Tree{}, err
		}
		out, err := g.run(ctx, at, t, step{module: m, part: p.name, options: options, inputs: p.inputs})
		if err != nil {
			return Tree{}, err
		}
		t.Root, t.Ledger = out.tree, out.ledger
	}
	return t, nil
}

func (g *Graph) part(name string) (*module.Module, error) {
	m := g.opt.Module(module.Stage, name)
	if m == nil {
		return nil, fmt.Errorf("the part %s is missing", name)
	}
	return m, nil
}

func encodeOptions(o any) (json.RawMessage, error) {
	if o == nil {
		return json.RawMessage("{}"), nil
	}
	return json.Marshal(o)
}

// solve runs the step that decides which packages are needed, and reads what
// it has decided: the list, and the state that holds its file.
func (g *Graph) solve(ctx context.Context, at place, t Tree, name string, o any, index []metadata) (*debian.PackageList, llb.State, error) {
	var files []download
	for _, r := range index {
		files = append(files, r.files...)
	}
	data, out, err := g.decide(ctx, at, t, name, o, files, debian.ListFile)
	if err != nil {
		return nil, llb.State{}, err
	}
	list, err := debian.ParseList(data)
	return list, out, err
}

// decide runs the step that decides which packages of repositories are needed,
// whose metadata are the given files. It returns the named file of what the step
// has written, and the state that holds all of it. The step reads the tree and
// leaves it as it is.
func (g *Graph) decide(ctx context.Context, at place, t Tree, name string, o any, metadata []download, result string) ([]byte, llb.State, error) {
	m, err := g.part(name)
	if err != nil {
		return nil, llb.State{}, err
	}
	options, err := encodeOptions(o)
	if err != nil {
		return nil, llb.State{}, err
	}
	repos, err := g.fetch(ctx, at.name("repositories"), metadata, g.constraints(at)...)
	if err != nil {
		return nil, llb.State{}, err
	}
	out, err := g.run(ctx, at, t, step{
		module: m, part: "solve", options: options, readonly: true, output: true,
		inputs: map[string]llb.State{"repos": repos},
	})
	if err != nil {
		return nil, llb.State{}, err
	}
	data, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+result)
	return data, out.output, err
}

// packages returns the inputs of the steps that install: the packages and
// their list. The list is copied out of the solve step's output, and not
// written anew, so that an exported cache holds the solve step too; the copy's
// key is the content, so that another solve with the same outcome changes
// nothing.
func (g *Graph) packages(ctx context.Context, at place, list *debian.PackageList, solved llb.State, index []metadata, auth credentials) (map[string]llb.State, error) {
	var files []download
	for _, p := range list.Packages {
		if p.Repository < 0 || p.Repository >= len(index) {
			return nil, fmt.Errorf("the package list names repository %d of %d", p.Repository, len(index))
		}
		u, err := joinURL(index[p.Repository].Mirror, p.Path)
		if err != nil {
			return nil, err
		}
		files = append(files, auth.download(u, p.File, p.SHA256))
	}
	debs, err := g.fetchBySteps(ctx, "package", fmt.Sprintf("%s: download %d packages", at.name(""), len(files)), files, g.constraints(at)...)
	if err != nil {
		return nil, err
	}
	return map[string]llb.State{
		"debs": debs,
		"list": llb.Scratch().File(llb.Copy(solved, "/"+debian.InstallFile, "/"+debian.ListFile, &llb.CopyInfo{CreatedTime: epochTime()}),
			llb.WithCustomName("[internal] list of "+at.name(""))),
	}, nil
}

// systemDate is the time of a system. That of the toolbox is the one of its release,
// which changes every few months: updates are signed anew several times a day, and
// the toolbox is to be made anew only when they bring it a package.
func (g *Graph) systemDate(index []metadata) int64 {
	if g.steady {
		return index[0].release.Date.Unix()
	}
	return newestDate(index)
}

// newestDate is the time of the repository that has changed last.
func newestDate(index []metadata) int64 {
	newest := index[0].release.Date
	for _, m := range index {
		if m.release.Date.After(newest) {
			newest = m.release.Date
		}
	}
	return newest.Unix()
}

// metadata reads and verifies the InRelease file of each repository and says
// which files of it a solve step needs.
func (g *Graph) metadata(ctx context.Context, repos []packages.RepositoryOptions, auth credentials) ([]metadata, error) {
	list := make([]*asked, len(repos))
	for i, r := range repos {
		list[i] = &asked{RepositoryOptions: r}
	}
	g.findSuites(ctx, list, auth)
	var out []metadata
	for i, a := range list {
		m, err := g.suiteMetadata(i, a, auth)
		if err != nil {
			return nil, fmt.Errorf("repository %q: %w", a.Suite, err)
		}
		out = append(out, *m)
	}
	return out, nil
}

// metadata lists the files that a solve step needs of repository number.
func (s *suite) metadata(number int, r packages.RepositoryOptions, auth credentials) (*metadata, error) {
	// The address is that of a state: it has the time in it, if there is one.
	r.Mirror, r.Snapshot = s.mirror, ""
	below := debian.ReleaseDir(r.Suite)
	dir := path.Join(strconv.Itoa(number), below) + "/"
	u, err := joinURL(r.Mirror, below)
	if err != nil {
		return nil, err
	}
	m := &metadata{RepositoryOptions: r, release: s.Release}
	for _, f := range s.files {
		f.name = strconv.Itoa(number) + "/" + f.name
		m.files = append(m.files, f)
	}
	indexes, err := m.release.Indexes(r.Suite, r.Components, r.Arch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.files[0].url, err)
	}
	for _, f := range indexes {
		from := f.Path
		if f.ByHashPath != "" {
			from = f.ByHashPath
		}
		u, err := joinURL(u, from)
		if err != nil {
			return nil, err
		}
		m.files = append(m.files, auth.download(u, dir+f.Path, f.SHA256))
	}
	return m, nil
}
