package rpmdistro

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Repository names below the output of Make. Their packages are all in Pool.
const (
	// Base is the distribution.
	Base = "base"
	// NextState is the distribution with one package more.
	NextState = "next"
	// Broken is the distribution with the packages of Bad.
	Broken = "bad"
	// Pool holds the packages of all repositories.
	Pool = "Packages"
)

// Files beside the repositories.
const (
	// PublicKey has signed the packages and repositories.
	PublicKey = "key.asc"
	// OldKey is PublicKey as it would be if it had been made before 2023: it
	// certifies itself with SHA-1, and its time was extended since.
	OldKey = "old.asc"
	// OtherKey is a stranger's, who has signed one package of Bad.
	OtherKey = "other.asc"
)

// Options say what else the distribution has.
type Options struct {
	// Filler is the number of packages with FillerSize bytes of random data
	// each; the package "filler" needs them all. They make a transaction large.
	Filler int `json:"filler,omitempty"`
}

// FillerSize is the size of the one file of a filler package, in bytes.
const FillerSize = 2600 << 10

// Make makes the distribution out of the configured Debian system in tree and
// writes it into the empty directory output: packages into Pool, repodata of
// the repositories into a directory each. It runs rpmbuild, createrepo_c and
// modifyrepo_c. All times are the given one.
func Make(tree, output string, o Options, when time.Time, log io.Writer) error {
	work := filepath.Join(output, ".work")
	defer os.RemoveAll(work)
	t := &tools{work: work, when: when, log: log}
	overlay := filepath.Join(work, "overlay")
	if err := writeOverlay(tree, overlay); err != nil {
		return err
	}
	filler, err := o.writeFiller(overlay)
	if err != nil {
		return err
	}
	packages, err := split(tree, overlay, filler)
	if err != nil {
		return err
	}
	install := fmt.Sprintf("cp -a '%s/.' %%{buildroot}/\ncp -a '%s/.' %%{buildroot}/", tree, overlay)
	specs := append([]string{spec("distribution", packages, install)}, smallSpecs()...)
	for i, text := range specs {
		file := filepath.Join(work, fmt.Sprintf("%d.spec", i))
		if err := writeFile(file, text); err != nil {
			return err
		}
		if err := t.run("rpmbuild", "-bb", "--quiet", "--noclean", "--define", "_topdir "+work, "--define", "_rpmdir "+filepath.Join(output, Pool),
			"--define", "_tmppath /tmp", "--define", "_dbpath "+filepath.Join(work, "db"),
			"--define", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "--target", "x86_64", file); err != nil {
			return err
		}
	}
	key, err := t.signAll(output)
	if err != nil {
		return err
	}
	return t.repositories(output, key, comps(packages))
}

// split turns the tree into packages.
func split(tree, overlay string, more []*Package) ([]*Package, error) {
	s := &system{dir: tree, overlay: overlay}
	var err error
	if s.users, err = names(filepath.Join(tree, "etc/passwd")); err != nil {
		return nil, err
	}
	if s.groups, err = names(filepath.Join(tree, "etc/group")); err != nil {
		return nil, err
	}
	packages, err := s.packages()
	if err != nil {
		return nil, err
	}
	unowned, err := s.unowned(packages)
	if err != nil {
		return nil, err
	}
	return distribute(s, packages, unowned, more)
}

// tools runs the programs.
type tools struct {
	work string
	when time.Time
	log  io.Writer
}

func (t *tools) run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.work, "LC_ALL=C.UTF-8", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", t.when.Unix()))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		text := out.Bytes()
		return fmt.Errorf("%s: %w\n%s", name, err, text[max(0, len(text)-4000):])
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Fprintf(t.log, "%s: %.1f s, %.1f s of processors\n", name, time.Since(start).Seconds(), cpu.Seconds())
	return nil
}

// signAll signs the packages, writes the public keys and returns the
// distribution's.
func (t *tools) signAll(output string) (*Key, error) {
	var keys []*Key
	for _, k := range []struct{ file, name string }{{PublicKey, "Example Linux"}, {OtherKey, "Somebody Else"}} {
		key, err := NewKey(k.name, t.when)
		if err != nil {
			return nil, err
		}
		public, err := key.Public()
		if err != nil {
			return nil, err
		}
		if err := writeFile(filepath.Join(output, k.file), public); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	old, err := keys[0].Old()
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(output, OldKey), old); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(output, Pool, "*.rpm"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		key := keys[0]
		switch name := filepath.Base(f); {
		case strings.HasPrefix(name, "bad-unsigned-"):
			continue
		case strings.HasPrefix(name, "bad-stranger-"):
			key = keys[1]
		case strings.HasPrefix(name, hugePackage+"-"):
			if err := enlarge(f); err != nil {
				return nil, err
			}
		}
		if err := key.SignFile(f); err != nil {
			return nil, err
		}
	}
	return keys[0], nil
}

// repositories makes the metadata of each repository, and signs it.
func (t *tools) repositories(output string, key *Key, comps string) error {
	files, err := os.ReadDir(filepath.Join(output, Pool))
	if err != nil {
		return err
	}
	for file, text := range map[string]string{"comps.xml": comps, "modules.yaml": modules} {
		if err := writeFile(filepath.Join(t.work, file), text); err != nil {
			return err
		}
	}
	extra := append([]string{Next}, Bad...)
	for repo, with := range map[string][]string{Base: nil, NextState: {Next}, Broken: Bad} {
		var list strings.Builder
		for _, f := range files {
			is := func(p string) bool { return strings.HasPrefix(f.Name(), p+"-1-1.") }
			if !slices.ContainsFunc(extra, is) || slices.ContainsFunc(with, is) {
				list.WriteString(Pool + "/" + f.Name() + "\n")
			}
		}
		names := filepath.Join(t.work, repo+".list")
		if err := writeFile(names, list.String()); err != nil {
			return err
		}
		dir := filepath.Join(output, repo)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		revision := fmt.Sprint(t.when.Unix())
		if err := t.run("createrepo_c", "--quiet", "--checksum", "sha256", "--no-database", "--revision", revision, "--set-timestamp-to-revision",
			"--groupfile", filepath.Join(t.work, "comps.xml"), "--pkglist", names, "--outputdir", dir, output); err != nil {
			return err
		}
		if err := t.run("modifyrepo_c", "--mdtype", "modules", filepath.Join(t.work, "modules.yaml"), filepath.Join(dir, "repodata")); err != nil {
			return err
		}
		repomd := filepath.Join(dir, "repodata/repomd.xml")
		data, err := os.ReadFile(repomd)
		if err != nil {
			return err
		}
		sig, err := key.Armored(data)
		if err != nil {
			return err
		}
		if err := os.WriteFile(repomd+".asc", sig, 0o644); err != nil {
			return err
		}
	}
	return nil
}
