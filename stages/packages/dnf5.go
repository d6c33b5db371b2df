package packages

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/tree"
)

// dnf5History is where dnf 5 keeps its records, from the root of a tree.
const dnf5History = "/usr/lib/sysimage/libdnf5/transaction_history.sqlite"

// dnf5Lock is the file by which several of them wait for each other.
const dnf5Lock = "/var/lib/dnf/system-repo.lock"

// dnf5Program is the program in a build root.
const dnf5Program = "/usr/bin/dnf5"

// dnf5Commands are the commands of dnf that are called otherwise in dnf 5.
var dnf5Commands = map[string][]string{
	"update":          {"upgrade"},
	"upgrade-minimal": {"upgrade", "--minimal"},
	"erase":           {"remove"},
	// With packages it is that: what nothing needs any more goes as well.
	"autoremove": {"remove"},
}

// dnf5Modules are what dnf 5 can do with modules.
var dnf5Modules = []string{"enable", "disable", "reset"}

// check5 reports what dnf 4 knows and dnf 5 does not.
func (j DnfJob) check5() error {
	const hint = "enable its stream in a stage before (\"operation\": \"module\", \"packages\": [\"enable\", \"NAME:STREAM\"]) and install its packages by their names, or use a build root with dnf 4"
	packages := j.Packages
	if j.Operation == "module" && len(packages) > 0 {
		if !slices.Contains(dnf5Modules, packages[0]) {
			return fmt.Errorf("options/packages/0: the build root has dnf 5, which knows no \"module %s\" but only \"module %s\": to install a module, %s", packages[0], strings.Join(dnf5Modules, "\", \"module "), hint)
		}
		return nil
	}
	var errs []error
	for i, p := range packages {
		if strings.HasPrefix(p, "@") && strings.ContainsAny(p, ":/") {
			errs = append(errs, fmt.Errorf("options/packages/%d: %q is a module, and the build root has dnf 5, which installs none: %s", i, p, hint))
		}
	}
	return errors.Join(errs...)
}

// aborted is what dnf 5 says at the end where it was told to answer no.
const aborted = "Operation aborted by the user."

// args5 is the command line of dnf 5.
func (d *dnfRun) args5(more ...string) []string {
	args := []string{
		"--installroot", d.installroot, "--releasever", d.job.Releasever, "--forcearch", d.job.Basearch,
		"--config", filepath.Join(d.work, "dnf.conf"), "--setopt=reposdir=", "--setopt=varsdir=",
		"--setopt=install_weak_deps=" + pythonBool(d.job.WeakDeps),
	}
	for _, e := range d.job.Exclude {
		args = append(args, "--exclude="+e)
	}
	args = append(args, more...)
	words, ok := dnf5Commands[d.job.Operation]
	if !ok {
		words = []string{d.job.Operation}
	}
	return append(append(args, words...), d.job.Packages...)
}

// config5 is the whole configuration of dnf 5, whose directories are below the
// root of the tree.
func (d *dnfRun) config5() string {
	var b strings.Builder
	b.WriteString(mainConfig)
	b.WriteString("system_cachedir=/run/osbuild-dnf/cache\noptional_metadata_types=comps,filelists\n")
	fmt.Fprintf(&b, "debugdir=%s\n", filepath.Join(d.work, "debug"))
	if d.job.Verbosity != "" {
		fmt.Fprintf(&b, "rpmverbosity=%s\n", d.job.Verbosity)
	}
	d.writeRepositories(&b)
	return b.String()
}

// run5 runs dnf 5 with arguments.
func (d *dnfRun) run5(ctx context.Context, in *module.Input, quiet bool, args ...string) ([]byte, error) {
	argv, err := d.root.command(dnf5Program)
	if err != nil {
		return nil, err
	}
	env, err := d.root.rpmConfig(d.work, d.database)
	if err != nil {
		return nil, err
	}
	env = append(env, "HOME="+d.work)
	if d.root.outside() {
		// Those of the tree are for another dnf.
		env = append(env, "DNF5_PLUGINS_DIR="+filepath.Join(d.work, "no-plugins"))
	}
	if err := os.WriteFile(filepath.Join(d.work, "dnf.conf"), []byte(d.config5()), 0o644); err != nil {
		return nil, err
	}
	out, err := run(ctx, in, program{argv: append(argv, args...), env: env, rpm: true, quiet: quiet})
	var failed *command.Error
	if errors.As(err, &failed) {
		failed.Argv = append([]string{"dnf5", d.job.Operation}, d.job.Packages...)
	}
	return out, err
}

// decide5 lets dnf 5 decide and returns which packages it would take from the
// repositories: their names in full, and the number of the repository of each.
func (d *dnfRun) decide5(ctx context.Context, in *module.Input) (map[string]int, error) {
	t, err := tree.Open(d.installroot)
	if err != nil {
		return nil, err
	}
	// dnf 5 asks how much room there is below /usr.
	if err := errors.Join(t.MkdirAll("usr", 0o755), t.Close()); err != nil {
		return nil, err
	}
	_, err = d.run5(ctx, in, false, d.args5("--assumeno", "--debugsolver")...)
	var failed *command.Error
	if err != nil && !(errors.As(err, &failed) && strings.Contains(failed.Output, aborted)) {
		return nil, err
	}
	data, err := expand.ReadFile(filepath.Join(d.work, "debug", "packages", "solver.result"), maxListFile)
	if missing(err) {
		return map[string]int{}, nil
	}
	if err != nil {
		return nil, err
	}
	return d.solverResult(data)
}

// solverResult reads what libsolv writes about a transaction: lines with the
// kind of change, and packages of which "@" and a repository is the end.
func (d *dnfRun) solverResult(data []byte) (map[string]int, error) {
	out := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		for _, w := range words[1:] {
			i := strings.LastIndexByte(w, '@')
			if i < 0 || strings.HasSuffix(w[:i], "@") {
				continue // what is installed is of the repository "@System"
			}
			number := slices.IndexFunc(d.job.Repos, func(r DnfJobRepository) bool { return r.ID == w[i+1:] })
			if number < 0 {
				return nil, fmt.Errorf("dnf5 takes %s from %s, which is none of the repositories", w[:i], w[i+1:])
			}
			out[w[:i]] = number
		}
	}
	return out, nil
}

// solve5 is the decision as a list.
func (d *dnfRun) solve5(ctx context.Context, in *module.Input, repos []*rpmRepository) (*rpmmd.PackageList, error) {
	if err := d.job.check5(); err != nil {
		return nil, err
	}
	chosen, err := d.decide5(ctx, in)
	if err != nil {
		return nil, err
	}
	list := &rpmmd.PackageList{}
	for i, r := range repos {
		if err := r.describe(i, chosen, list); err != nil {
			return nil, fmt.Errorf("repository %s: %w", d.job.Repos[i].ID, err)
		}
	}
	for name := range chosen {
		return nil, fmt.Errorf("dnf5 wants %s, and no repository describes it", name)
	}
	for i := range list.Packages {
		if slices.Contains(d.job.Packages, list.Packages[i].Name) {
			list.Packages[i].Reason = rpmmd.ReasonUser
		}
	}
	if d.database == "" {
		list.Database, err = d.database5(ctx, in)
	}
	return list, err
}

// describe adds what a repository says of the chosen packages that are its own,
// and takes them from the chosen ones.
func (r *rpmRepository) describe(number int, chosen map[string]int, list *rpmmd.PackageList) error {
	for _, f := range r.files {
		if f.Type != "primary" {
			continue
		}
		content, err := r.open(f)
		if err != nil {
			return err
		}
		err = rpmmd.ReadPrimary(content, func(p *rpmmd.PrimaryPackage) error {
			if n, ok := chosen[p.NEVRA()]; !ok || n != number {
				return nil
			}
			delete(chosen, p.NEVRA())
			if p.Problem != nil {
				return p.Problem
			}
			p.Repository = number
			list.Packages = append(list.Packages, p.Package)
			return nil
		})
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}

// database5 returns where the distribution's own rpm has its database: in the
// directory that its package "rpm" owns.
func (d *dnfRun) database5(ctx context.Context, in *module.Input) (string, error) {
	args := d.args5("--quiet")
	// Not the operation and the packages.
	args = args[:slices.Index(args, "--quiet")+1]
	for _, dir := range rpmDatabases {
		out, err := d.run5(ctx, in, true, append(slices.Clone(args), "repoquery", "--available", "--file="+dir, "--qf", "%{name}\n", "rpm")...)
		if err != nil {
			return "", err
		}
		if len(bytes.TrimSpace(out)) > 0 {
			return dir, nil
		}
	}
	return "", nil
}

// install5 installs the packages of the list, which are verified, and makes
// the keys known to the system's rpm.
func (d *dnfRun) install5(ctx context.Context, in *module.Input, t *tree.Root, list *rpmmd.PackageList, keys *rpmmd.Keys) error {
	chosen, err := d.decide5(ctx, in)
	if err != nil {
		return err
	}
	if err := compareChosen(list, chosen); err != nil {
		return err
	}
	rpm := &rpmRun{root: d.root, work: d.work, database: d.database}
	if err := rpm.importKeys(ctx, in, keys); err != nil {
		return err
	}
	if _, err := d.run5(ctx, in, false, d.args5("--assumeyes")...); err != nil {
		return err
	}
	if err := closeDatabase(t, dnf5History); err != nil {
		return fmt.Errorf("%s: %w", dnf5History, err)
	}
	if err := t.Remove(dnf5Lock); err != nil && !missing(err) {
		return err
	}
	return nil
}

// compareChosen makes sure that what is installed is what was decided and
// verified.
func compareChosen(list *rpmmd.PackageList, chosen map[string]int) error {
	var missing, more []string
	for _, p := range list.Packages {
		if _, ok := chosen[p.NEVRA()]; !ok {
			missing = append(missing, p.NEVRA())
		}
		delete(chosen, p.NEVRA())
	}
	for name := range chosen {
		more = append(more, name)
	}
	if len(missing)+len(more) == 0 {
		return nil
	}
	slices.Sort(missing)
	slices.Sort(more)
	return fmt.Errorf("with the downloaded packages alone dnf5 decides differently: it leaves out %q and wants %q", missing, more)
}

// dnf5 says whether the build root's dnf is dnf 5: it has no other.
func (r *rpmRoot) dnf5() bool {
	_, four := r.find("/usr/bin/dnf-3", "/usr/bin/dnf4")
	_, five := r.find(dnf5Program)
	return five && !four
}
