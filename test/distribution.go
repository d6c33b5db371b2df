package test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// DistributionModule compiles the assembler that makes the RPM distribution
// (package rpmdistro) into a directory for --libdir.
func DistributionModule(ctx context.Context, libdir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", filepath.Join(libdir, "assemblers", distributionModule), "github.com/osbuildkit/osbuildkit/test/rpmdistro/module")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

const distributionModule = "org.example.rpmdistro"

// DistributionManifest returns the manifest that makes the RPM distribution,
// in the form of 2019, for encoding as JSON. Debian are the stages that make a
// configured Debian system: those of the demo are in the cache of many tests, but
// for the tools of GRUB, as the distribution has a package of their name.
func DistributionManifest(debian []any, options map[string]any) map[string]any {
	tools := []any{
		map[string]any{"name": "org.osbuildkit.debootstrap", "options": map[string]any{"suite": "trixie"}},
		map[string]any{"name": "org.osbuildkit.apt", "options": map[string]any{"packages": []string{"createrepo-c", "rpm"}}},
	}
	if options == nil {
		options = map[string]any{}
	}
	return map[string]any{"pipeline": map[string]any{
		"build":     map[string]any{"runner": "org.osbuild.linux", "pipeline": map[string]any{"stages": tools}},
		"stages":    without(debian, "grub2-common"),
		"assembler": map[string]any{"name": distributionModule, "options": options},
	}}
}

// without returns stages that do not name a package.
func without(stages []any, name string) []any {
	out := slices.Clone(stages)
	for i := range out {
		stage, _ := out[i].(map[string]any)
		options, _ := stage["options"].(map[string]any)
		packages, ok := options["packages"].([]any)
		if !ok {
			continue
		}
		stage, options = maps.Clone(stage), maps.Clone(options)
		options["packages"] = slices.DeleteFunc(slices.Clone(packages), func(p any) bool { return p == any(name) })
		stage["options"], out[i] = options, stage
	}
	return out
}

// RPMDatabase is where the distribution has the database of its packages.
const RPMDatabase = "/usr/lib/sysimage/rpm"

// DirectTree is the directory of the tree that DirectDnf makes, in the toolbox.
const DirectTree = "/trees/direct"

// DirectDnf runs the toolbox's dnf as root, as osbuild does, without any step
// of ours: it installs packages into the directory DirectTree of the toolbox,
// that is extracted into box. The repository is found by its metalink; key is
// the public key that signs its packages. Epoch is the time of what is made.
func DirectDnf(ctx context.Context, box, epoch, metalink, key string, packages ...string) error {
	config := fmt.Sprintf("[repo0]\nname=repo0\nmetalink=%s\ngpgcheck=1\ngpgkey=file:///trees/key.asc\n", metalink)
	return DirectDnfOf(ctx, box, epoch, config, key, packages...)
}

// DirectDnfOf is DirectDnf with any repositories, as they stand in dnf's
// configuration; the key lies at /trees/key.asc.
func DirectDnfOf(ctx context.Context, box, epoch, repositories, key string, packages ...string) error {
	for name, text := range map[string]string{
		"trees/key.asc": key, "trees/dnf.conf": "[main]\noptional_metadata_types=filelists\n\n" + repositories,
		"root/.rpmmacros": "%_dbpath " + RPMDatabase + "\n",
	} {
		file := filepath.Join(box, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	args := []string{"--mount", "--propagation", "private", "sh", "-c", directScript, "sh", box, DirectTree,
		"-y", "--installroot", DirectTree, "--forcearch", "x86_64", "--setopt=reposdir=", "--setopt=install_weak_deps=True",
		"--releasever", "30", "--noplugins", "--config", "/trees/dnf.conf", "install"}
	cmd := exec.CommandContext(ctx, "unshare", append(args, packages...)...)
	cmd.Env = append(os.Environ(), "EPOCH="+epoch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("dnf: %w\n%s", err, out[max(0, len(out)-4000):])
	}
	return nil
}

// directScript prepares the tree as osbuild does: it has the machine's /proc,
// /sys and /dev, over directories with the modes that these have, and a machine
// id that is none. Its arguments are the toolbox,
// the tree below it, and dnf's.
//
// The libcomps of Debian 13 crashes when an expression goes through one of its
// lists, so that dnf cannot install groups; a copy of them is fine.
const directScript = `set -e
box=$1 tree=$1$2
shift 2
mkdir -p $tree/dev $tree/etc
mkdir -m 0555 $tree/proc $tree/sys
for root in $box $tree; do
  mount -t proc proc $root/proc
  mount --rbind /sys $root/sys
  mount --rbind /dev $root/dev
done
printf '%032d\n' 0 | tr 0 f > $tree/etc/machine-id
chmod 0444 $tree/etc/machine-id
sed -i -E 's/ in (self\._i\.(categories|environments|groups))\)/ in list(\1))/; s/ in self\.packages if / in list(self.packages) if /; s/pkg_factory, self\.packages\)/pkg_factory, list(self.packages))/' $box/usr/lib/python3/dist-packages/dnf/comps.py
exec chroot $box env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH=$EPOCH dnf "$@"
`
