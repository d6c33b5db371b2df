package stages

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/grubdir"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// grub2Stage makes the tree bootable with grub; the assembler writes the boot
// loader itself. Differences to osbuild:
//
//   - All lies in the directory of the tree's own tools, so that they take over
//     when the running system installs a kernel: boot/grub in Debian and others,
//     boot/grub2 in RPM distributions. In osbuild it is always the latter.
//   - With boot/grub, etc/default/grub is what the distribution's update-grub
//     reads: it has the name of the distributor, without which grub-install
//     writes to another directory, and nothing of BLS entries. For UEFI, the
//     configuration is never beside the boot loader, where no tool would find it.
//   - Where the grub at hand cannot read BLS entries (it has no blscfg module,
//     as Debian's has none) or the tree has no such entries, the menu is
//     written out: an entry for each BLS entry, else for each kernel in boot.
//     GRUB_ENABLE_BLSCFG is false then: with true, as in osbuild, grub2-mkconfig
//     would write a configuration that this grub cannot read.
//   - Unset terminal options are left out under both values of compat_version;
//     osbuild leaves ${serial} and the like in the file under the first.
//   - The environment block has 1024 bytes in the form of 2019 too.
//   - A missing font is no error, as the menu is text.
var grub2Stage = module.Module{
	Name:    "org.osbuild.grub2",
	Kind:    module.Stage,
	Sandbox: module.Tools,
	Group:   module.GroupStages,
	Summary: "configure the boot loader grub",
	Options: optionsOf[Grub2Options],
	Check:   checkOf[Grub2Options],
	Run:     runOf(runGrub2),
}

// textFile is a file that a stage is about to write.
type textFile struct {
	name, data string
}

func runGrub2(in *module.Input, t *tree.Root, o *Grub2Options) error {
	dir := in.BuildRoot
	if dir == "" {
		dir = "/" // as osbuild runs a stage
	}
	build, err := tree.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the build root: %w", err)
	}
	defer build.Close()

	if o.dir, err = grubdir.Of(t); err != nil {
		return err
	}
	modules, err := o.findModules(in, build)
	if err != nil {
		return err
	}
	entries, bls, err := o.menu(in, t, build)
	if err != nil {
		return err
	}
	if err := o.checkTools(t); err != nil {
		return err
	}
	files, err := o.files(t, entries, bls)
	for _, note := range o.notes {
		in.Logf("%s", note)
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := writable(t, f.name); err != nil {
			return err
		}
	}
	for _, m := range modules {
		if err := writable(t, m.to); err != nil {
			return err
		}
	}
	if u := o.UEFI; u != nil && u.Install {
		if err := installEFI(t, build, u); err != nil {
			return err
		}
	}
	if err := o.prepareEnv(t); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(in, t, f.name, []byte(f.data), 0o644); err != nil {
			return err
		}
	}
	for _, m := range modules {
		if err := copyFile(t, build, m.from, m.to); err != nil {
			return err
		}
	}
	return nil
}

// checkTools notes if nothing in the tree makes the menu anew for a kernel that
// the system installs later.
func (o *Grub2Options) checkTools(t *tree.Root) error {
	if o.dir != grubdir.Plain {
		return nil // kernel-install may do it without
	}
	tools, err := grubdir.HasTools(t)
	if err != nil {
		return err
	}
	switch {
	case !tools:
		o.note("warning: a kernel that the system installs later gets no entry: the tree has no grub-mkconfig; install the package grub2-common (Debian, Ubuntu) or grub in an earlier stage")
	case o.Ignition || o.Greenboot:
		o.note("warning: update-grub makes a menu without \"ignition\" and \"greenboot\"")
	}
	return nil
}

// copied is a file to be copied from the build root to the tree.
type copied struct {
	from, to string
}

// findModules lists the modules of a platform and the font.
func (o *Grub2Options) findModules(in *module.Input, build *tree.Root) ([]copied, error) {
	platform := o.platform()
	if platform == "" {
		return nil, nil
	}
	dir := "usr/lib/grub/" + string(platform)
	files, err := build.ReadDir(dir)
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("in the build root: %w", err)
	}
	var out []copied
	for _, f := range files {
		ext := path.Ext(f.Name())
		if ext != ".mod" && ext != ".lst" || f.Name() == "fdt.lst" {
			continue
		}
		out = append(out, copied{path.Join(dir, f.Name()), path.Join(o.dir, string(platform), f.Name())})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the build root has no modules of grub in /%s: %s", dir, grubPackage(platform))
	}
	const font = "usr/share/grub/unicode.pf2"
	switch ok, err := build.Exists(font); {
	case err != nil:
		return nil, fmt.Errorf("in the build root: %w", err)
	case ok:
		out = append(out, copied{font, o.dir + "/fonts/unicode.pf2"})
	default:
		in.Logf("the build root has no /%s: grub will have text mode only", font)
	}
	return out, nil
}

func grubPackage(platform GrubPlatform) string {
	if platform == biosPlatform {
		return "install grub-pc-bin (Debian) or grub2-pc-modules (Fedora) there"
	}
	return "install the package of grub for that platform there"
}

// menu decides how the menu is made: from BLS entries at boot, or from the
// entries returned.
func (o *Grub2Options) menu(in *module.Input, t, build *tree.Root) (entries []bootEntry, bls bool, err error) {
	entries, err = blsEntries(in, t)
	if err != nil {
		return nil, false, fmt.Errorf("reading the BLS entries: %w", err)
	}
	can, err := o.hasBLSModule(build)
	if err != nil {
		return nil, false, err
	}
	if can && len(entries) > 0 {
		in.Logf("the menu is read from /%s at boot", blsDir)
		return nil, true, nil
	}
	if len(entries) == 0 {
		if entries, err = kernelEntries(t); err != nil {
			return nil, false, fmt.Errorf("looking for kernels: %w", err)
		}
	}
	if len(entries) == 0 {
		if can {
			return nil, true, nil // as osbuild: a kernel may be installed later
		}
		return nil, false, fmt.Errorf("the tree has no kernel to boot: neither an entry in /%s whose kernel exists, nor /boot/vmlinuz-VERSION or /boot/vmlinux-VERSION; install a kernel in an earlier stage", blsDir)
	}
	for _, e := range entries {
		in.Logf("menu entry %s: %s, %d initrd", e.id, e.linux, len(e.initrds))
	}
	return entries, false, nil
}

// hasBLSModule reports whether every grub that will read the configuration
// can read BLS entries. The tools that keep the menu in boot/grub know none.
func (o *Grub2Options) hasBLSModule(build *tree.Root) (bool, error) {
	if o.dir == grubdir.Plain {
		return false, nil
	}
	var platforms []string
	if p := o.platform(); p != "" {
		platforms = append(platforms, string(p))
	}
	if o.UEFI != nil {
		platforms = append(platforms, "x86_64-efi")
	}
	for _, p := range platforms {
		ok, err := build.Exists("usr/lib/grub/" + p + "/blscfg.mod")
		if err != nil {
			return false, fmt.Errorf("in the build root: %w", err)
		}
		if !ok {
			return false, nil
		}
	}
	return len(platforms) > 0, nil
}

// efiOnly reports whether the configuration lies beside the UEFI boot loader.
func (o *Grub2Options) efiOnly() bool {
	return o.UEFI != nil && !o.UEFI.Unified && o.platform() == "" && o.dir != grubdir.Plain
}

// files returns the text files that the stage writes.
func (o *Grub2Options) files(t *tree.Root, entries []bootEntry, bls bool) ([]textFile, error) {
	env, err := o.grubenv()
	if err != nil {
		return nil, err
	}
	cfg := o.grubCfg(entries, bls)
	var files []textFile
	if o.WriteDefaults == nil || *o.WriteDefaults {
		distributor, err := o.distributor(t)
		if err != nil {
			return nil, err
		}
		files = append(files, textFile{"etc/default/grub", o.defaults(distributor, bls)})
	}
	main := []textFile{{o.dir + "/grubenv", env}, {o.dir + "/grub.cfg", cfg}}
	if o.UEFI == nil {
		return append(files, main...), nil
	}
	vendor := "boot/efi/EFI/" + o.UEFI.Vendor
	// Where the assembler writes the boot loader, no package makes it.
	if !o.UEFI.Install && o.dir != grubdir.Plain {
		st, err := t.Stat(vendor)
		if missing(err) || err == nil && !st.IsDir() {
			return nil, fmt.Errorf("/%s is not a directory of the tree: install the UEFI boot loader in an earlier stage, or set \"uefi\" \"install\" to copy it from the build root", vendor)
		}
		if err != nil {
			return nil, err
		}
	}
	if o.efiOnly() {
		return append(files, textFile{vendor + "/grubenv", env}, textFile{vendor + "/grub.cfg", cfg}), nil
	}
	return append(append(files, main...), textFile{vendor + "/grub.cfg", o.redirect()}), nil
}

// prepareEnv sees to it that grubenv is what it should be before
// files are written. Packages for UEFI leave a link to the vendor's directory
// there: right when that is where grub looks, wrong when BIOS looks as well.
func (o *Grub2Options) prepareEnv(t *tree.Root) error {
	env := o.dir + "/grubenv"
	st, err := t.Lstat(env)
	if err != nil && !missing(err) {
		return err
	}
	switch {
	case o.efiOnly():
		if err == nil {
			return nil
		}
		return replaceLink(t, "../efi/EFI/"+o.UEFI.Vendor+"/grubenv", env)
	case err == nil && st.Mode()&fs.ModeSymlink != 0:
		return t.Remove(env)
	}
	return nil
}

// installEFI copies the directories of the UEFI boot loader.
func installEFI(t, build *tree.Root, u *GrubUEFI) error {
	src := orDefault(u.EFISrcDir, "/boot/efi/EFI")
	for _, dir := range []string{"BOOT", u.Vendor} {
		to := path.Join("boot/efi/EFI", dir)
		switch _, err := t.Lstat(to); {
		case err == nil:
			return fmt.Errorf("/%s exists already: leave out \"uefi\" \"install\"", to)
		case !missing(err):
			return err
		}
		st, err := build.Stat(path.Join(src, dir))
		if missing(err) || err == nil && !st.IsDir() {
			return fmt.Errorf("the build root has no directory %s: install the UEFI boot loader there", path.Join(src, dir))
		}
		if err != nil {
			return fmt.Errorf("in the build root: %w", err)
		}
	}
	for _, dir := range []string{"BOOT", u.Vendor} {
		if err := copyDir(t, build, path.Join(src, dir), path.Join("boot/efi/EFI", dir)); err != nil {
			return err
		}
	}
	return nil
}

// copyDir copies the directories and regular files below from.
func copyDir(t, build *tree.Root, from, to string) error {
	if err := t.MkdirAll(to, 0o755); err != nil {
		return err
	}
	base, err := build.Resolve(from, true)
	if err != nil {
		return err
	}
	return build.Walk(from, func(rel string, d fs.DirEntry) error {
		dst := path.Join(to, strings.TrimPrefix(rel, base))
		switch {
		case d.IsDir():
			return t.MkdirAll(dst, 0o755)
		case d.Type().IsRegular():
			return copyFile(t, build, rel, dst)
		}
		return fmt.Errorf("/%s of the build root is neither a file nor a directory", rel)
	})
}

// copyFile copies a file from the build root with its time; the copy is
// root's and of mode 0644.
func copyFile(t, build *tree.Root, from, to string) error {
	src, err := build.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("in the build root: %w", err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("/%s of the build root is not a regular file", from)
	}
	if err := t.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	dst, err := t.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return fmt.Errorf("copying /%s: %w", to, err)
	}
	return t.Chtimes(to, st.ModTime())
}
