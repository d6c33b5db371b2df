package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

const (
	rootUUID = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
	bootUUID = "0194fdc2-fa2f-4cc0-81d3-ff12045b73c8"
)

func debianTree() treetest.Tree {
	return treetest.Tree{
		"boot/vmlinuz-6.9.1-amd64":     treetest.File("k"),
		"boot/initrd.img-6.9.1-amd64":  treetest.File("i"),
		"boot/vmlinuz-6.12.5-amd64":    treetest.File("k"),
		"boot/initrd.img-6.12.5-amd64": treetest.File("i"),
		"boot/System.map-6.12.5-amd64": treetest.File(""),
		"usr/lib/os-release":           treetest.File("NAME=Debian\nID=debian\nPRETTY_NAME=\"Debian 13's\"\n"),
		"etc/os-release":               treetest.Link("../usr/lib/os-release"),
	}
}

// otherTree has the same kernels, and a system of which nothing is known.
func otherTree() treetest.Tree {
	return debianTree().With(treetest.Tree{"usr/lib/os-release": treetest.File("PRETTY_NAME=Other\n")})
}

// menuOf returns grub.cfg, in the directory where a tree has it.
func menuOf(got treetest.Tree) string {
	return got["boot/grub/grub.cfg"].Data + got["boot/grub2/grub.cfg"].Data
}

func fedoraTree() treetest.Tree {
	return treetest.Tree{
		"boot/vmlinuz-5.3.1-1.fc30":            treetest.File("k"),
		"boot/initramfs-5.3.1-1.fc30.img":      treetest.File("i"),
		"boot/vmlinuz-0-rescue-ff":             treetest.File("k"),
		"boot/loader/entries/ff-5.3.1.conf":    treetest.File("title Fedora (5.3.1) 30\nversion 5.3.1-1.fc30\nlinux /boot/vmlinuz-5.3.1-1.fc30\ninitrd /boot/initramfs-5.3.1-1.fc30.img $tuned_initrd\noptions $kernelopts $tuned_params\n"),
		"boot/loader/entries/ff-0-rescue.conf": treetest.File("title Rescue\nversion 99-rescue\nlinux /vmlinuz-0-rescue-ff\ninitrd /gone.img\noptions root=UUID=x single\n"),
		"boot/loader/entries/ff-gone.conf":     treetest.File("title Gone\nlinux /vmlinuz-gone\n"),
		"boot/loader/entries/README":           treetest.File("x"),
	}
}

// runGrub runs the stage and returns the tree, the log and the error.
func runGrub(t *testing.T, before, build treetest.Tree, options string) (treetest.Tree, string, error) {
	t.Helper()
	dir := treetest.New(t, before)
	log, err := runStageIn(t, "org.osbuild.grub2", dir, treetest.New(t, build), options)
	return treetest.Read(t, dir), log, err
}

func TestGrub2Debian2019(t *testing.T) {
	t.Parallel()
	got, _, err := runGrub(t, debianTree(), buildRoot(), `{"root_fs_uuid": "`+rootUUID+`", "kernel_opts": "console=ttyS0 dyndbg=\"file x +p\""}`)
	if err != nil {
		t.Fatal(err)
	}
	env := "# GRUB Environment Block\nGRUB2_ROOT_FS_UUID=" + rootUUID + "\nGRUB2_BOOT_FS_UUID=" + rootUUID +
		"\nkernelopts=root=UUID=" + rootUUID + " console=ttyS0 dyndbg=\"file x +p\"\n"
	cfg := `# The boot menu, written by org.osbuild.grub2.
set timeout=0

search --no-floppy --set=root --fs-uuid ` + rootUUID + `
set boot=$root
` + grubEnvironment + `
menuentry 'Debian 13'\''s (6.12.5-amd64)' --id 6.12.5-amd64 {
  linux /boot/vmlinuz-6.12.5-amd64 root=UUID=` + rootUUID + ` ro console=ttyS0 'dyndbg=file x +p'
  initrd /boot/initrd.img-6.12.5-amd64
}
menuentry 'Debian 13'\''s (6.9.1-amd64)' --id 6.9.1-amd64 {
  linux /boot/vmlinuz-6.9.1-amd64 root=UUID=` + rootUUID + ` ro console=ttyS0 'dyndbg=file x +p'
  initrd /boot/initrd.img-6.9.1-amd64
}
`
	want := debianTree().With(treetest.Tree{
		"etc/default/grub":              treetest.File("GRUB_CMDLINE_LINUX=\"console=ttyS0 dyndbg=\\\"file x +p\\\"\"\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\n"),
		"boot/grub/grubenv":             treetest.File(env + strings.Repeat("#", 1024-len(env))),
		"boot/grub/grub.cfg":            treetest.File(cfg),
		"boot/grub/i386-pc/linux.mod":   treetest.File("linux"),
		"boot/grub/i386-pc/command.lst": treetest.File("list"),
		"boot/grub/fonts/unicode.pf2":   treetest.File("font"),
	})
	if diff := treetest.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if when := got["boot/grub/i386-pc/linux.mod"].ModTime; !when.Equal(treetest.OldTime) {
		t.Errorf("the time of a module is not kept: %s", when)
	}
	if when := got["boot/grub/grub.cfg"].ModTime; when.Unix() != testEpoch {
		t.Errorf("the time of grub.cfg is not that of the build: %s", when)
	}
}

// menuLines returns the lines of grub.cfg that make up the menu.
func menuLines(cfg string) []string {
	var lines []string
	for _, l := range strings.Split(cfg, "\n") {
		for _, p := range []string{"menuentry ", "  linux ", "  initrd ", "blscfg"} {
			if strings.HasPrefix(l, p) {
				lines = append(lines, strings.TrimSpace(l))
			}
		}
	}
	return lines
}

func TestGrub2Menus(t *testing.T) {
	t.Parallel()
	bls := buildRoot().With(treetest.Tree{"usr/lib/grub/i386-pc/blscfg.mod": treetest.File("")})
	for _, c := range []struct {
		name          string
		before, build treetest.Tree
		options       string
		want          []string
	}{
		{"BLS entries read at boot", fedoraTree(), bls, `{"root_fs_uuid": "` + rootUUID + `"}`, []string{"blscfg"}},
		{"no kernel but blscfg", nil, bls, `{"root_fs_uuid": "` + rootUUID + `"}`, []string{"blscfg"}},
		{"blscfg but no entries", debianTree().Without("boot/vmlinuz-6.9.1-amd64"), bls, `{"root_fs_uuid": "` + rootUUID + `"}`, []string{
			`menuentry 'Debian 13'\''s (6.12.5-amd64)' --id 6.12.5-amd64 {`, "linux /boot/vmlinuz-6.12.5-amd64 root=UUID=" + rootUUID + " ro", "initrd /boot/initrd.img-6.12.5-amd64"}},
		{"BLS entries written out", fedoraTree(), buildRoot(), `{"root_fs_uuid": "` + rootUUID + `", "kernel_opts": "quiet rw"}`, []string{
			"menuentry 'Fedora (5.3.1) 30' --id ff-5.3.1 {",
			"linux /boot/vmlinuz-5.3.1-1.fc30 root=UUID=" + rootUUID + " quiet rw", "initrd /boot/initramfs-5.3.1-1.fc30.img",
			"menuentry Rescue --id ff-0-rescue {", "linux /boot/vmlinuz-0-rescue-ff root=UUID=x single quiet rw"}},
		{"separate boot", fedoraTree().Without("boot/loader/entries/ff-0-rescue.conf"), buildRoot(),
			`{"rootfs": {"label": "root"}, "bootfs": {"uuid": "` + bootUUID + `"}, "ignition": true}`, []string{
				"menuentry 'Fedora (5.3.1) 30' --id ff-5.3.1 {",
				"linux /vmlinuz-5.3.1-1.fc30 root=LABEL=root ro $ignition_firstboot", "initrd /initramfs-5.3.1-1.fc30.img"}},
		{"boot is the root", debianTree().Without("boot/vmlinuz-6.9.1-amd64", "boot/initrd.img-6.12.5-amd64"), buildRoot(),
			`{"root_fs_uuid": "` + rootUUID + `", "boot_fs_uuid": "` + rootUUID + `"}`, []string{
				`menuentry 'Debian 13'\''s (6.12.5-amd64)' --id 6.12.5-amd64 {`, "linux /boot/vmlinuz-6.12.5-amd64 root=UUID=" + rootUUID + " ro"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := runGrub(t, c.before, c.build, c.options)
			if err != nil {
				t.Fatal(err)
			}
			cfg := menuOf(got)
			if diff := cmp.Diff(c.want, menuLines(cfg)); diff != "" {
				t.Errorf("menu (-want +got):\n%s", diff)
			}
			checkScript(t, cfg)
		})
	}
}

// checkScript has the real program look at a script of grub.
func checkScript(t *testing.T, cfg string) {
	t.Helper()
	check, err := exec.LookPath("grub-script-check")
	if err != nil {
		t.Log("grub-script-check is not installed")
		return
	}
	file := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(check, file).CombinedOutput(); err != nil {
		t.Errorf("grub-script-check: %v: %s\n%s", err, out, cfg)
	}
}

func TestGrub2Config(t *testing.T) {
	t.Parallel()
	got, _, err := runGrub(t, otherTree(), buildRoot(), `{"compat_version": 2, "rootfs": {"uuid": "`+rootUUID+`"}, "legacy": "i386-pc",
		"saved_entry": "6.9.1-amd64", "write_cmdline": false, "greenboot": true, "ignition": true, "config": {
		"default": "saved", "disable_recovery": true, "disable_submenu": false, "distributor": "My $OS", "terminal": ["serial", "console"],
		"terminal_input": ["console"], "timeout": 5, "timeout_style": "countdown", "serial": "serial --unit=0 --speed=115200"}}`)
	if err != nil {
		t.Fatal(err)
	}
	const defaults = `GRUB_CMDLINE_LINUX=""
GRUB_TIMEOUT=5
GRUB_ENABLE_BLSCFG=false
GRUB_DISABLE_RECOVERY=true
GRUB_DISABLE_SUBMENU=false
GRUB_DISTRIBUTOR="My \$OS"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_TERMINAL="serial console"
GRUB_TERMINAL_INPUT="console"
GRUB_TIMEOUT_STYLE=countdown
GRUB_DEFAULT=saved
`
	if diff := cmp.Diff(defaults, got["etc/default/grub"].Data); diff != "" {
		t.Errorf("etc/default/grub (-want +got):\n%s", diff)
	}
	cfg := got["boot/grub2/grub.cfg"].Data
	const head = "# The boot menu, written by org.osbuild.grub2.\nserial --unit=0 --speed=115200\nterminal_input console\nterminal_output serial console\nset timeout=5\nset timeout_style=countdown\n"
	if !strings.HasPrefix(cfg, head) {
		t.Errorf("grub.cfg begins with\n%s\nwant\n%s", cfg[:min(len(cfg), len(head))], head)
	}
	for _, part := range []string{"elif [ \"$boot_counter\" = 3 ]; then\n    set boot_counter=2", "if [ -f \"/boot/ignition.firstboot\" ]"} {
		if !strings.Contains(cfg, part) {
			t.Errorf("grub.cfg has no %q", part)
		}
	}
	checkScript(t, cfg)
	env := got["boot/grub2/grubenv"].Data
	if !strings.HasPrefix(env, "# GRUB Environment Block\nsaved_entry=6.9.1-amd64\n###") || len(env) != 1024 {
		t.Errorf("grubenv has %d bytes: %q", len(env), env[:80])
	}
	if edit, err := exec.LookPath("grub-editenv"); err == nil {
		file := filepath.Join(t.TempDir(), "grubenv")
		if err := os.WriteFile(file, []byte(env), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(edit, file, "list").CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "saved_entry=6.9.1-amd64" {
			t.Errorf("grub-editenv: %v: %s", err, out)
		}
	}
}

func TestGrub2UEFI(t *testing.T) {
	t.Parallel()
	link := treetest.Tree{"boot/grub2/grubenv": treetest.Link("../efi/EFI/v/grubenv")}
	installed := treetest.Tree{"boot/efi/EFI/v": treetest.Dir(0o755)}
	redirect := "search --no-floppy --set=root --fs-uuid " + bootUUID + "\nset prefix=($root)/grub2\nconfigfile ($root)/grub2/grub.cfg\n"
	base := `"rootfs": {"uuid": "` + rootUUID + `"}, "bootfs": {"uuid": "` + bootUUID + `"}`
	for _, c := range []struct {
		name    string
		before  treetest.Tree
		options string
		files   []string
		link    string
	}{
		{"only", installed, `"uefi": {"vendor": "v"}`, []string{"boot/efi/EFI/v/grub.cfg", "boot/efi/EFI/v/grubenv"}, "../efi/EFI/v/grubenv"},
		{"installed", nil, `"uefi": {"vendor": "v", "install": true}`,
			[]string{"boot/efi/EFI/BOOT/BOOTX64.EFI", "boot/efi/EFI/v/fonts/x.pf2", "boot/efi/EFI/v/grub.cfg", "boot/efi/EFI/v/grubenv", "boot/efi/EFI/v/grubx64.efi"}, "../efi/EFI/v/grubenv"},
		{"unified", installed.With(link), `"uefi": {"vendor": "v", "unified": true}`, []string{"boot/efi/EFI/v/grub.cfg"}, ""},
		{"hybrid", installed.With(link), `"legacy": true, "uefi": {"vendor": "v"}`, []string{"boot/efi/EFI/v/grub.cfg"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := runGrub(t, otherTree().With(c.before), buildRoot(), `{`+base+`, `+c.options+`}`)
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			for name, n := range got {
				if strings.HasPrefix(name, "boot/efi/") && n.Mode.IsRegular() {
					files = append(files, name)
				}
			}
			slices.Sort(files)
			if diff := cmp.Diff(c.files, files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got["boot/grub2/grubenv"].Link != c.link {
				t.Errorf("grubenv is %+v", got["boot/grub2/grubenv"])
			}
			_, bios := got["boot/grub2/i386-pc/linux.mod"]
			if bios != (c.name == "hybrid") {
				t.Errorf("modules for BIOS: %t", bios)
			}
			cfg := got["boot/efi/EFI/v/grub.cfg"].Data
			if isRedirect := cfg == redirect; isRedirect != (c.link == "") {
				t.Errorf("grub.cfg of the vendor:\n%s", cfg)
			}
			checkScript(t, cfg)
		})
	}
}

func TestGrub2Errors(t *testing.T) {
	t.Parallel()
	fs := `"root_fs_uuid": "` + rootUUID + `"`
	for _, c := range []struct {
		name          string
		before, build treetest.Tree
		options, err  string
	}{
		{"no modules", debianTree(), nil, `{` + fs + `}`, "grub-pc-bin"},
		{"other platform", debianTree(), buildRoot(), `{` + fs + `, "legacy": "powerpc-ieee1275"}`, "/usr/lib/grub/powerpc-ieee1275"},
		{"no kernel", nil, buildRoot(), `{` + fs + `}`, "/boot/vmlinuz-VERSION"},
		{"no vendor", otherTree(), buildRoot(), `{` + fs + `, "uefi": {"vendor": "v"}}`, "/boot/efi/EFI/v is not a directory"},
		{"vendor there", debianTree().With(treetest.Tree{"boot/efi/EFI/v": treetest.Dir(0o755)}), buildRoot(), `{` + fs + `, "uefi": {"vendor": "v", "install": true}}`, "exists already"},
		{"vendor not in the build root", debianTree(), buildRoot(), `{` + fs + `, "uefi": {"vendor": "w", "install": true}}`, "no directory /boot/efi/EFI/w"},
		{"long command line", debianTree(), buildRoot(), `{` + fs + `, "kernel_opts": "` + strings.Repeat("x", 1000) + `"}`, "may have 1024"},
		{"in the way", otherTree().With(treetest.Tree{"boot/grub2/grub.cfg": treetest.Dir(0o755)}), buildRoot(), `{` + fs + `}`, "not a regular file"},
		{"two roots", debianTree(), buildRoot(), `{` + fs + `, "rootfs": {"label": "x"}}`, "exactly one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := runGrub(t, c.before, c.build, c.options)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
			if diff := treetest.Diff(c.before, got); diff != "" {
				t.Errorf("the stage failed and changed the tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGrub2Check(t *testing.T) {
	t.Parallel()
	fs := `"root_fs_uuid": "` + rootUUID + `"`
	runChecks(t, "org.osbuild.grub2", []checkCase{
		{`{` + fs + `, "legacy": false, "saved_entry": "a b", "kernel_opts": "a=\"b c\""}`, nil},
		{`{"rootfs": {"label": "x"}, "bootfs": {"uuid": "1234-ABCD"}}`, nil},
		{`{}`, []string{": exactly one"}},
		{`{"rootfs": {}}`, []string{"/rootfs: exactly one"}},
		{`{"rootfs": {"label": "a b"}}`, []string{"/rootfs/label: use the uuid"}},
		{`{"root_fs_uuid": "x"}`, []string{"/root_fs_uuid: not the UUID"}},
		{`{` + fs + `, "boot_fs_uuid": "` + bootUUID + `", "bootfs": {"label": "x"}}`, []string{"/boot_fs_uuid: not both"}},
		{`{` + fs + `, "kernel_opts": "a\nmenuentry"}`, []string{"/kernel_opts: line break"}},
		{`{` + fs + `, "kernel_opts": "a=\"b"}`, []string{"/kernel_opts: not closed"}},
		{`{` + fs + `, "legacy": "../x"}`, []string{"/legacy: platform"}},
		{`{` + fs + `, "uefi": {"vendor": "../x"}}`, []string{"/uefi/vendor: name of a directory"}},
		{`{` + fs + `, "uefi": {"vendor": "BOOT", "install": true}}`, []string{"/uefi/vendor: fallback"}},
		{`{` + fs + `, "saved_entry": "$x"}`, []string{"/saved_entry: id of an entry"}},
		{`{` + fs + `, "config": {"default": "'", "distributor": "\n", "timeout": -1, "timeout_style": "x", "serial": "serial; halt", "terminal": ["a", "a;b"]}}`, []string{
			"/config/default: id", "/config/distributor: one line", "/config/timeout: negative", "/config/timeout_style: must be hidden", "/config/serial: serial command", "/config/terminal/1: terminal"}},
		{`{` + fs + `, "legacy": null, "config": {"x": 1}}`, []string{": unknown field"}},
	})
}

func TestCmdlineWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                  nil,
		"  a  b\tc ":        {"a", "b", "c"},
		`x="a b" y`:         {"x=a b", "y"},
		`"" z`:              {"", "z"},
		`root=UUID=1 'a b'`: {"root=UUID=1", "'a", "b'"},
	} {
		if diff := cmp.Diff(want, cmdlineWords(in)); diff != "" {
			t.Errorf("cmdlineWords(%q) (-want +got):\n%s", in, diff)
		}
	}
}
