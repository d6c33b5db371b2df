package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// solveAptTools is the part org.osbuildkit.apt.solve: the apt of the build
// root works on the package database of the tree.
func solveAptTools(ctx context.Context, in *module.Input) error {
	work, err := os.MkdirTemp("", "apt-solve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	return solveApt(ctx, in, aptSolver{work: work, seen: work})
}

// solveAptInside is the part org.osbuildkit.apt.solve-inside: the tree's own
// apt does it, for pipelines without a build root.
func solveAptInside(ctx context.Context, in *module.Input) error {
	work, err := os.MkdirTemp(filepath.Join(in.Tree, "tmp"), "apt-solve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	seen, err := insidePath(in, work)
	if err != nil {
		return err
	}
	return solveApt(ctx, in, aptSolver{work: work, seen: seen, root: in.Tree})
}

// aptSolver asks an apt what it would install. Nothing of the configuration
// of the tree or of the build root has a say: what counts is the options, the
// package database and the indexes.
type aptSolver struct {
	// work is a directory for apt's own state; seen is its name for apt.
	work, seen string
	// root is the root directory of the program.
	root  string
	repos []*repository
	arch  string
}

func solveApt(ctx context.Context, in *module.Input, s aptSolver) error {
	var o AptOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	for _, p := range o.check() {
		return fmt.Errorf("options%s: %s", p.Pointer, p.Message)
	}
	if len(o.Repos) == 0 {
		return errors.New("no repository is given, and no org.osbuildkit.debootstrap stage before this one has any")
	}
	t, err := tree.Open(in.Tree)
	if err != nil {
		return err
	}
	defer t.Close()
	status, err := readStatus(t)
	if err != nil {
		return err
	}
	if s.arch, err = nativeArch(present(status)); err != nil {
		return err
	}
	repos, err := input(in, "repos")
	if err != nil {
		return err
	}
	for i, r := range o.Repos {
		repo, err := openRepository(repos, i, r.WithDefaults(s.arch))
		if err != nil {
			return err
		}
		s.repos = append(s.repos, repo)
	}
	if err := s.prepare(t, o, status); err != nil {
		return err
	}
	if _, err := run(ctx, in, s.apt("-qq", "update")); err != nil {
		return err
	}
	p := s.apt(aptCommand(o)...)
	p.quiet = true
	out, err := run(ctx, in, p)
	if err != nil {
		return s.explain(err, o)
	}
	list, err := s.list(out, o)
	if err != nil {
		return err
	}
	in.Logf("%d packages to download", len(list.Packages))
	return writeList(in.OutputDir, list)
}

// aptCommand is how apt is asked for the list.
func aptCommand(o AptOptions) []string {
	args := []string{"-q", "--print-uris", "-y", "--allow-downgrades", "-o", "Acquire::ForceHash=SHA256"}
	if !o.InstallRecommends {
		args = append(args, "--no-install-recommends")
	}
	if o.Update {
		// Packages are given to upgrade as well, so that one resolution
		// covers both. It never removes a package.
		args = append(args, "upgrade", "--with-new-pkgs")
	} else {
		args = append(args, "install")
	}
	return append(append(args, "--"), o.Packages...)
}

// apt returns the command that runs apt-get with our configuration only.
func (s *aptSolver) apt(args ...string) program {
	return program{
		root: s.root,
		argv: append([]string{"apt-get"}, args...),
		env:  []string{"APT_CONFIG=" + s.seen + "/apt.conf"},
	}
}

// prepare lays out apt's directories: a configuration, sources that name the
// repositories by file:, and private state and cache directories.
func (s *aptSolver) prepare(t *tree.Root, o AptOptions, status []debian.Stanza) error {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc", "log"} {
		if err := os.MkdirAll(filepath.Join(s.work, d), 0o755); err != nil {
			return err
		}
	}
	// apt's methods may run as another user, who has to reach all this.
	if err := os.Chmod(s.work, 0o755); err != nil {
		return err
	}
	var sources, pins aptConf
	for i, r := range s.repos {
		if err := s.linkRepository(i, r); err != nil {
			return err
		}
		suite := r.suite
		if debian.IsFlat(suite) {
			suite = debian.ReleaseDir(suite) + "/"
		}
		sources.fail(word(s.arch))
		sources.line("deb [trusted=yes by-hash=no check-valid-until=no arch="+s.arch+"]",
			append([]string{"file:" + s.seen + "/repos/" + strconv.Itoa(i), suite}, r.info.Components...)...)
	}
	for _, name := range o.ExcludePackages {
		pins.stanza([2]string{"Package", name}, [2]string{"Pin", "release *"}, [2]string{"Pin-Priority", "-1"})
	}
	auto, err := readMarks(t)
	if err != nil {
		return err
	}
	// What apt is to know of the tree is copied: apt opens no file of the tree,
	// in which a link may stand for one.
	files := map[string]string{"state/status": statusText(status), "state/extended_states": marksText(auto)}
	for name, conf := range map[string]*aptConf{"sources.list": &sources, "preferences": &pins, "apt.conf": s.config()} {
		if files[name], err = conf.text(); err != nil {
			return err
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(s.work, name), []byte(data), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// linkRepository copies the files that apt is to see of a repository. The
// signature was checked here, so apt gets the text without it and needs
// neither a keyring nor the program that checks signatures.
func (s *aptSolver) linkRepository(i int, r *repository) error {
	dists := filepath.Join(s.work, "repos", strconv.Itoa(i), filepath.FromSlash(debian.ReleaseDir(r.suite)))
	if err := os.MkdirAll(dists, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dists, "Release"), r.release.Text, 0o644); err != nil {
		return err
	}
	for _, ix := range r.indexes {
		data, err := r.checked(ix)
		if err != nil {
			return err
		}
		file := filepath.Join(dists, filepath.FromSlash(ix.Path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// config is apt's whole configuration.
func (s *aptSolver) config() *aptConf {
	var c aptConf
	// APT_CONFIG is read before the parts, and clearing a list is the only
	// way to keep hooks of the build root out.
	for _, name := range []string{"DPkg::Pre-Install-Pkgs", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "APT::Architectures"} {
		c.clear(name)
	}
	c.list("APT::Architectures", s.arch)
	for _, l := range [][2]string{
		{"APT::Architecture", s.arch},
		{"APT::Sandbox::User", "root"},
		{"APT::Get::AutomaticRemove", "false"},
		{"APT::Get::Show-Versions", "false"},
		{"APT::Color", "false"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "0"},
		{"Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled", "false"},
		{"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false"},
		{"Debug::NoLocking", "true"},
		{"Dir::State", s.seen + "/state"},
		{"Dir::State::status", s.seen + "/state/status"},
		{"Dir::State::extended_states", s.seen + "/state/extended_states"},
		{"Dir::Cache", s.seen + "/cache"},
		{"Dir::Etc", s.seen + "/etc"},
		{"Dir::Etc::sourcelist", s.seen + "/sources.list"},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", s.seen + "/preferences"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::trusted", "/dev/null"},
		{"Dir::Etc::trustedparts", "/dev/null"},
		{"Dir::Log", s.seen + "/log"},
	} {
		c.set(l[0], l[1])
	}
	return &c
}

// list turns apt's list of addresses into a package list.
func (s *aptSolver) list(out []byte, o AptOptions) (*debian.PackageList, error) {
	list := &debian.PackageList{}
	for _, r := range s.repos {
		list.Repositories = append(list.Repositories, r.info)
	}
	asked := map[string]bool{}
	for _, p := range o.Packages {
		name, _, _ := strings.Cut(p, "=")
		name, _, _ = strings.Cut(name, ":")
		asked[name] = true
	}
	for _, line := range strings.Split(string(out), "\n") {
		if !strings.HasPrefix(line, "'") {
			continue
		}
		p, err := s.parseURI(line)
		if err != nil {
			return nil, fmt.Errorf("apt printed %q: %w", line, err)
		}
		p.Automatic = !asked[p.Name]
		list.Packages = append(list.Packages, p)
	}
	return list, nil
}

// parseURI reads a line 'URI' NAME_VERSION_ARCH.deb SIZE SHA256:SUM.
func (s *aptSolver) parseURI(line string) (debian.Package, error) {
	var p debian.Package
	uri, rest, ok := strings.Cut(strings.TrimPrefix(line, "'"), "' ")
	f := strings.Fields(rest)
	if !ok || len(f) != 3 {
		return p, errors.New("not of the form 'URI' FILE SIZE SHA256:SUM")
	}
	sum, ok := strings.CutPrefix(f[2], "SHA256:")
	if !ok {
		return p, errors.New("there is no SHA256 checksum; a repository that lists weaker ones only cannot be used")
	}
	var err error
	if p.Size, err = strconv.ParseInt(f[1], 10, 64); err != nil {
		return p, errors.New("the size is no number")
	}
	below, ok := strings.CutPrefix(uri, "file:"+s.seen+"/repos/")
	if !ok {
		return p, errors.New("the file is in no known repository")
	}
	number, file, _ := strings.Cut(below, "/")
	if p.Repository, err = strconv.Atoi(number); err != nil || p.Repository < 0 || p.Repository >= len(s.repos) {
		return p, errors.New("the file is in no known repository")
	}
	if p.Path, err = url.PathUnescape(file); err != nil {
		return p, err
	}
	p.Path = debian.CleanPath(p.Path)
	name, err := url.PathUnescape(f[0])
	if err != nil {
		return p, err
	}
	parts := strings.Split(strings.TrimSuffix(name, ".deb"), "_")
	if len(parts) != 3 {
		return p, errors.New("the file's name is not NAME_VERSION_ARCH.deb")
	}
	p.Name, p.Version, p.Architecture = parts[0], parts[1], parts[2]
	p.File = p.DefaultFile()
	p.SHA256 = sum
	return p, nil
}

// explain adds the nearest names to apt's words about a package that it does
// not know.
func (s *aptSolver) explain(err error, o AptOptions) error {
	index := debian.NewIndex(s.arch)
	for i, r := range s.repos {
		if r.read(index, i) != nil {
			return err
		}
	}
	var hints []string
	for _, p := range o.Packages {
		name, _, _ := strings.Cut(p, "=")
		name, _, _ = strings.Cut(name, ":")
		if index.Lookup(name) != nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			continue
		}
		near := debian.DidYouMean(name, index.Names())
		hints = append(hints, fmt.Sprintf("there is no package %q in the repositories%s", name, near))
	}
	sort.Strings(hints)
	hints = slices.Compact(hints)
	if len(hints) == 0 {
		return err
	}
	return fmt.Errorf("%s\n%w", strings.Join(hints, "\n"), err)
}
