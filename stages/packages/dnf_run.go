package packages

import (
	"context"
	_ "embed" // for dnf_job.py
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
)

// dnfProgram is the program around dnf that the build root's Python runs.
//
//go:embed dnf_job.py
var dnfProgram []byte

// Directories of the databases of rpm, the newer one first. Where both names
// exist, one is a link to the other.
var rpmDatabases = []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"}

// dnfHistory is where dnf keeps its records, from the root of a tree.
const dnfHistory = "/var/lib/dnf/history.sqlite"

// dnfJobFile is what dnf_job.py reads; see there.
type dnfJobFile struct {
	Args   []string `json:"args"`
	Path   []string `json:"path,omitempty"`
	Repos  []string `json:"repos"`
	Result string   `json:"result,omitempty"`
	Expect []string `json:"expect"`
	// Reasons says for some of them why they are installed, in dnf's words.
	Reasons map[string]string `json:"reasons,omitempty"`
	Keys    []dnfKey          `json:"keys,omitempty"`
	Forget  []string          `json:"forget,omitempty"`
	Home    string            `json:"home,omitempty"`
	Words   []string          `json:"words"`
	Epoch   int64             `json:"epoch"`
	RPMDB   []string          `json:"rpmdb,omitempty"`
	History string            `json:"history,omitempty"`
}

// dnfRun is one run of the build root's dnf on a tree.
type dnfRun struct {
	root *rpmRoot
	job  DnfJob
	// installroot is the tree.
	installroot string
	// work is a directory outside of the tree: configuration and repositories.
	work string
	// database is where rpm has its database in the tree; empty leaves that to
	// the build root's rpm.
	database string
}

// run runs dnf; the job file has its result or its keys and expectations, and
// the rest is filled in here.
func (d *dnfRun) run(ctx context.Context, in *module.Input, job dnfJobFile) error {
	for _, r := range d.job.Repos {
		job.Repos = append(job.Repos, r.ID)
	}
	job.Args = d.args(job.Result != "")
	job.Forget = forgotten
	job.Home, job.Epoch = "/root", in.Epoch
	job.Words = append([]string{d.job.Operation}, d.job.Packages...)
	if job.Expect == nil {
		job.Expect = []string{}
	}
	python, err := d.root.python()
	if err != nil {
		return err
	}
	argv, err := d.root.command(python)
	if err != nil {
		return err
	}
	env := []string{"HOME=" + d.work, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"}
	if d.root.outside() {
		job.Path = d.root.modules()
		env = append(env, "PYTHONHOME="+filepath.Join(d.root.dir, "usr"))
	}
	more, err := d.root.rpmConfig(d.work, d.database)
	if err != nil {
		return err
	}
	data, err := json.Marshal(job)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"job.json": data, "dnf.conf": []byte(d.config()), "dnf_job.py": dnfProgram} {
		if err := os.WriteFile(filepath.Join(d.work, name), content, 0o644); err != nil {
			return err
		}
	}
	argv = append(argv, filepath.Join(d.work, "dnf_job.py"), filepath.Join(d.work, "job.json"))
	_, err = run(ctx, in, program{argv: argv, env: append(env, more...), rpm: true})
	var failed *command.Error
	if errors.As(err, &failed) {
		failed.Argv = append([]string{"dnf"}, job.Words...)
	}
	return err
}

// advice are dnf's words about arguments of its command line, which nobody who
// writes a manifest can give.
var advice = regexp.MustCompile(`(?m)^(You can try to add to command line:\n(  --.*\n?)*|\(try to (add|use) '--?[a-z].*\)\n?)`)

// inShort leaves of a failed dnf's words only the last ones, that say why: all
// of them stand in the log already.
func inShort(err error) error {
	var failed *command.Error
	if errors.As(err, &failed) {
		for _, begin := range []string{"\nError: ", "\nFailed to resolve the transaction:"} {
			if i := strings.LastIndex(failed.Output, begin); i >= 0 {
				failed.Output = failed.Output[i+1:]
				break
			}
		}
		failed.Output = strings.TrimRight(advice.ReplaceAllString(failed.Output, ""), "\n") + "\n"
	}
	return err
}

// forgotten are variables that are of use to dnf itself and not to scriptlets.
var forgotten = []string{"PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "RPM_CONFIGDIR", "LOCPATH", policyVariable}

// rpmConfig makes the build root's rpm work on a tree: it writes the macros
// that rpm reads from its home, and returns what the environment needs.
func (r *rpmRoot) rpmConfig(home, database string) ([]string, error) {
	var macros strings.Builder
	if database == "" {
		// What the build root says may be a command, which this tree has no shell
		// for.
		database = r.database()
	}
	fmt.Fprintf(&macros, "%%_dbpath %s\n", database)
	// No plugin of the build root has a say in another system, and none of the
	// tree is loaded into this rpm. What is mounted over the tree is not
	// written to. Signatures and checksums have been verified before.
	macros.WriteString("%__plugindir /nonexistent\n%_netsharedpath /proc:/sys:/dev:/run\n%_pkgverify_level none\n%_tmppath /tmp\n")
	if r.outside() {
		// rpm expands the path of scriptlets in the process that becomes one.
		// This is where it can be rid of what is meant for rpm alone.
		macros.WriteString(`%_install_script_path %{lua:posix.unsetenv("RPM_CONFIGDIR") posix.unsetenv("LOCPATH") posix.unsetenv("` + policyVariable + `") posix.setenv("HOME", "/root", true)}` +
			"/sbin:/bin:/usr/sbin:/usr/bin\n")
	}
	if err := os.WriteFile(filepath.Join(home, ".rpmmacros"), []byte(macros.String()), 0o644); err != nil {
		return nil, err
	}
	policy, err := writePolicy(home)
	if err != nil {
		return nil, err
	}
	if !r.outside() {
		return []string{policy}, nil
	}
	config, err := r.path("/usr/lib/rpm")
	if err != nil {
		return nil, err
	}
	env := []string{policy, "RPM_CONFIGDIR=" + config}
	if locales, err := r.path("/usr/lib/locale"); err == nil {
		env = append(env, "LOCPATH="+locales)
	}
	return env, nil
}

// args is the command line of dnf.
func (d *dnfRun) args(solve bool) []string {
	args := []string{
		"-y", "--installroot", d.installroot, "--releasever", d.job.Releasever, "--forcearch", d.job.Basearch,
		"--config", filepath.Join(d.work, "dnf.conf"), "--setopt=reposdir=",
		"--setopt=install_weak_deps=" + pythonBool(d.job.WeakDeps),
	}
	if d.job.Verbosity != "" {
		args = append(args, "--rpmverbosity", d.job.Verbosity)
	}
	if solve {
		args = append(args, "--downloadonly")
	}
	for _, e := range d.job.Exclude {
		args = append(args, "--exclude", e)
	}
	return append(append(args, d.job.Operation), d.job.Packages...)
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// mainConfig is what both versions of dnf are told. What dnf keeps of the run
// goes to /run of the tree, which is no part of it.
const mainConfig = `[main]
cachedir=/run/osbuild-dnf/cache
logdir=/run/osbuild-dnf/log
plugins=0
gpgcheck=0
localpkg_gpgcheck=0
skip_if_unavailable=0
metadata_expire=-1
zchunk=0
protected_packages=
`

// config is dnf's whole configuration.
func (d *dnfRun) config() string {
	var b strings.Builder
	b.WriteString(mainConfig)
	b.WriteString("optional_metadata_types=filelists\n")
	d.writeRepositories(&b)
	return b.String()
}

// writeRepositories writes the end of a configuration.
func (d *dnfRun) writeRepositories(b *strings.Builder) {
	if d.job.ModulePlatformID != "" {
		fmt.Fprintf(b, "module_platform_id=%s\n", d.job.ModulePlatformID)
	}
	for i, r := range d.job.Repos {
		fmt.Fprintf(b, "\n[%s]\nname=%[1]s\nbaseurl=file://%s\n", r.ID, d.repository(i))
		if r.Priority != 0 {
			fmt.Fprintf(b, "priority=%d\n", r.Priority)
		}
		if r.ModuleHotfixes {
			b.WriteString("module_hotfixes=1\n")
		}
	}
}

// repository is the directory of a repository, as dnf is to see it.
func (d *dnfRun) repository(i int) string {
	return filepath.Join(d.work, "repos", strconv.Itoa(i))
}
