package assemblers

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// onRoot reads a file of the root file system of a disk, "" if it has none.
func onRoot(t *testing.T, out, name string) string {
	t.Helper()
	got, err := exec.Command("debugfs", "-R", "cat /"+name, filepath.Join(out, "disk.raw")+"?offset=68157440").Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(got)
}

// With systemd-boot, kernel-install is told how to make entries, and
// systemd-boot to prefer them to the image from the start.
func TestLaterKernels(t *testing.T) {
	t.Parallel()
	need(t, "mtype", "debugfs")
	options := edit(t, string(edit(t, unifiedOptions, `"uki"`, `"systemd-boot"`)), `"btrfs"`, `"ext4"`)
	const cmdline = "root=UUID=76a22bf4-f153-4541-b6c7-0332c0dfaeac ro console=ttyS0"
	ukify := []string{"usr/bin/ukify", "x", "usr/lib/kernel/install.d/60-ukify.install", "x"}
	hooks := []string{"usr/bin/kernel-install", "x", "var/lib/dpkg/status", "x", "etc/kernel/postinst.d/zz-systemd-boot", "x"}
	for _, tc := range []struct {
		name    string
		changes []string
		// what etc/kernel has: the layout, the token, the command line
		layout, token, cmdline string
		loader, image, log     string
	}{
		{"plain entries", hooks, "layout=bls\n", "debian\n", cmdline + "\n", "default debian-*.conf\n", "debian-6.12.1", "kernel-install makes entries"},
		{"images", append(ukify, hooks...), "layout=uki\n", "debian\n", cmdline + "\n", "", "debian-6.12.1", "layout uki"},
		{"images without a stub in the tree", append(ukify, efiDir+"/linuxx64.efi.stub", "-", efiDir+"/linuxaa64.efi.stub", "-"), "layout=bls\n", "debian\n", cmdline + "\n", "default debian-*.conf\n", "debian-6.12.1", ""},
		{"the tree's own", append([]string{"etc/kernel/install.conf", "# x\nlayout = uki\n", "etc/kernel/entry-token", "Mine\n", "etc/kernel/cmdline", "root=LABEL=x"}, hooks...),
			"# x\nlayout = uki\n", "Mine\n", "root=LABEL=x", "", "Mine-6.12.1", `later get the command line "root=LABEL=x" of /etc/kernel/cmdline`},
		{"a token in capitals", []string{"etc/kernel/entry-token", "Mine"}, "layout=bls\n", "Mine", cmdline + "\n", "default *.conf\n", "Mine-6.12.1", ""},
		{"no layout", []string{"etc/kernel/install.conf", "#layout=bls\n"}, "#layout=bls\n", "debian\n", cmdline + "\n", "default debian-*.conf\n", "debian-6.12.1", "has no layout"},
		{"no hook", []string{"usr/bin/kernel-install", "x", "var/lib/dpkg/status", "x"}, "layout=bls\n", "debian\n", cmdline + "\n", "default debian-*.conf\n", "debian-6.12.1", "install the package systemd-boot"},
		{"no kernel-install", nil, "layout=bls\n", "debian\n", cmdline + "\n", "default debian-*.conf\n", "debian-6.12.1", "the tree has no kernel-install"},
	} {
		root := []string{efiDir + "/linuxx64.efi.stub", efiFile(0x8664, "stub")}
		if strings.Contains(tc.name, "without a stub") {
			root = nil
		}
		build := treeOf(t, map[string]string{efiDir + "/linuxx64.efi.stub": efiFile(0x8664, "stub")})
		out, log, err := assemble(t.Context(), t, kernelTree(t, append(root, tc.changes...)...), json.RawMessage(options), build)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for name, want := range map[string]string{"install.conf": tc.layout, "entry-token": tc.token, "cmdline": tc.cmdline} {
			if got := onRoot(t, out, "etc/kernel/"+name); got != want {
				t.Errorf("%s: etc/kernel/%s holds %q, want %q", tc.name, name, got, want)
			}
		}
		if got := string(espFile(t, out, "loader/loader.conf")); got != "timeout 0\n"+tc.loader {
			t.Errorf("%s: systemd-boot is told %q", tc.name, got)
		}
		espFile(t, out, "EFI/Linux/"+tc.image+".efi")
		if !strings.Contains(log, tc.log) {
			t.Errorf("%s: log %s, want %q", tc.name, log, tc.log)
		}
	}
	_, _, err := assemble(t.Context(), t, kernelTree(t, "etc/kernel/entry-token", "../x\n"), json.RawMessage(options), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), `/etc/kernel/entry-token holds "../x", which no name of a file can begin with`) {
		t.Errorf("a path as a token: %v", err)
	}
}

// Without a menu, kernel-install is told nothing: what it would write is started
// by nobody, and fills the partition.
func TestLaterKernelsWithoutMenu(t *testing.T) {
	t.Parallel()
	need(t, "mtype", "debugfs")
	out, _, err := assemble(t.Context(), t, kernelTree(t, "etc/kernel/keep", "x"), edit(t, unifiedOptions, `"btrfs"`, `"ext4"`), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"install.conf", "entry-token", "cmdline"} {
		if got := onRoot(t, out, "etc/kernel/"+name); got != "" {
			t.Errorf("etc/kernel/%s holds %q", name, got)
		}
	}
}
