package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/partitions"
	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestBootFirmware(t *testing.T) {
	t.Parallel()
	esp := partitions.Partition{Number: 1, Type: partitions.ESP}
	root := partitions.Partition{Number: 2, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4"}
	dir := t.TempDir()
	present := firmware{filepath.Join(dir, "code"), filepath.Join(dir, "vars")}
	for _, name := range []string{present.code, present.vars} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := []firmware{{present.code, "/nonexistent/vars"}}
	for _, c := range []struct {
		name, flag string
		machine    machine
		table      partitions.Table
		want       bool
		err        string
	}{
		{"bios", "auto", machine{bios: true, firmware: []firmware{present}}, partitions.Table{Partitions: []partitions.Partition{root}, BootCode: true}, false, ""},
		{"no table", "auto", machine{bios: true}, partitions.Table{}, false, ""},
		{"uefi", "auto", machine{bios: true, firmware: missing}, partitions.Table{Partitions: []partitions.Partition{esp, root}}, true, ""},
		{"both", "auto", machine{bios: true, firmware: []firmware{present}}, partitions.Table{Partitions: []partitions.Partition{esp}, BootCode: true}, true, ""},
		{"both without firmware", "auto", machine{bios: true, firmware: missing}, partitions.Table{Partitions: []partitions.Partition{esp}, BootCode: true}, false, ""},
		{"asked", "uefi", machine{bios: true}, partitions.Table{}, true, ""},
		{"not asked", "bios", machine{bios: true}, partitions.Table{Partitions: []partitions.Partition{esp}}, false, ""},
		{"arm", "auto", machine{arch: "arm64"}, partitions.Table{}, true, ""},
		{"arm with a BIOS", "bios", machine{arch: "arm64"}, partitions.Table{}, false, "arm64 machines have no BIOS"},
		{"misspelt", "efi", machine{bios: true}, partitions.Table{}, false, "choose auto, bios or uefi"},
	} {
		f := bootFlags{firmware: c.flag}
		got, err := f.uefi(&c.machine, &c.table)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestBootArguments looks at what qemu is told, among it names of files that qemu
// would take for options or protocols.
func TestBootArguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := bootFlags{accel: "tcg", memory: 512, cpus: 1, forwards: []string{"8080:80"}}
	for name, vars := range map[string]string{"code": "c", "vars": "v"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(vars), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &guest{machine: &machines[0], path: "/a,b.vhd", firmware: &firmware{filepath.Join(dir, "code"), filepath.Join(dir, "vars")}}
	args, err := f.arguments(t.Context(), g, dir)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(args, " ")
	for _, want := range []string{"if=virtio,format=raw,file=/a,,b.vhd", "-machine q35", "readonly=on,file=" + dir + "/code", "file=" + dir + "/vars.fd", "hostfwd=tcp:127.0.0.1:8080-:80"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	for name, want := range map[string]string{
		"nbd:localhost:1": "file=./nbd:localhost:1", `json:{"driver":"x"}`: `file=./json:{"driver":"x"}`, "a,readonly=off": "file=./a,,readonly=off",
		"-a": "file=./-a", "fat:rw:/etc": "file=./fat:rw:/etc", "/x:y": "file=/x:y",
	} {
		g := &guest{machine: &machines[0], path: name}
		if args, err := f.arguments(t.Context(), g, dir); err != nil || !slices.Contains(args, "if=virtio,format=raw,"+want) {
			t.Errorf("%s: %v %q", name, err, args)
		}
	}
	for _, bad := range []string{"80:80,guestfwd=x", "80:-1", "80:80-", ":80", "80:99999", "80 :80"} {
		f := bootFlags{accel: "tcg", forwards: []string{bad}}
		if args, err := f.arguments(t.Context(), &guest{machine: &machines[0], path: "/x"}, dir); err == nil {
			t.Errorf("--forward %q is taken: %q", bad, args)
		}
	}
	g = &guest{machine: &machines[1]}
	if args, err = f.arguments(t.Context(), g, dir); err != nil || !strings.Contains(strings.Join(args, " "), "-machine virt") {
		t.Errorf("%v %v", args, err)
	}
	f.forwards = []string{"80"}
	if _, err := f.arguments(t.Context(), g, dir); err == nil {
		t.Error("half a forward is taken")
	}
}

// TestBootWithoutKVM has a qemu that can run the probe under KVM and no guest.
func TestBootWithoutKVM(t *testing.T) {
	t.Parallel()
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skip(err)
	} else {
		f.Close()
	}
	qemu := filepath.Join(t.TempDir(), "qemu")
	script := `#!/bin/sh
case "$*" in
*isa-debug-exit*) exit 33 ;;
*"-accel kvm"*) echo "KVM internal error. Suberror: 1" >&2; exec sleep 60 ;;
*) echo "host login:" ;;
esac
`
	treetest.Program(t, qemu, []byte(script))
	var out, log strings.Builder
	a := &app{stdout: &out, stderr: &log}
	f := bootFlags{accel: "auto", memory: 512, cpus: 1, waits: []string{"login:"}, timeout: time.Minute}
	g := &guest{machine: &machines[0], qemu: qemu, path: "/x"}
	if err := a.bootAndWait(t.Context(), &f, g, t.TempDir()); err != nil {
		t.Fatal(err, log.String())
	}
	if !strings.Contains(log.String(), "starting it again without KVM") {
		t.Errorf("log: %s", log.String())
	}
	f.accel = "kvm"
	if err := a.bootAndWait(t.Context(), &f, g, t.TempDir()); err == nil || !strings.Contains(err.Error(), "KVM cannot run the guest") {
		t.Errorf("where KVM is asked for: %v", err)
	}
}

// The firmware that comes with qemu is found beside it, where Homebrew and the
// installation for Windows put it.
func TestFirmwareBesideTheEmulator(t *testing.T) {
	t.Setenv("PATH", "")
	for _, dir := range []string{"share/qemu", "bin/share"} {
		prefix := t.TempDir()
		m := machine{program: "qemu-of-test", bundled: firmware{"code.fd", "vars.fd"}}
		treetest.Program(t, filepath.Join(prefix, "bin", m.program), []byte("#!/bin/sh\n"))
		t.Setenv("PATH", filepath.Join(prefix, "bin"))
		if f, ok := m.files(); ok {
			t.Errorf("%s: %v was found and is not there", dir, f)
		}
		want := firmware{filepath.Join(prefix, dir, "code.fd"), filepath.Join(prefix, dir, "vars.fd")}
		if err := os.MkdirAll(filepath.Join(prefix, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{want.code, want.vars} {
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if f, ok := m.files(); !ok || f != want {
			t.Errorf("%s: found %v, %t; want %v", dir, f, ok, want)
		}
	}
}
