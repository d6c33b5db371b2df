package stages

import (
	"fmt"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestFixBLS(t *testing.T) {
	t.Parallel()
	const a, b = "boot/loader/entries/a.conf", "boot/loader/entries/b.conf"
	file := treetest.File
	const bad = "title X\nlinux /run/osbuild/tree/boot/vmlinuz-1\ninitrd /run/osbuild/tree/boot/initramfs-1.img $tuned_initrd\noptions root=/dev/disk/by-label/boot ro\n"
	const good = "title X\nlinux /boot/vmlinuz-1\ninitrd /boot/initramfs-1.img $tuned_initrd\noptions root=/dev/disk/by-label/boot ro\n"
	const short = "title X\nlinux /vmlinuz-1\ninitrd /initramfs-1.img $tuned_initrd\noptions root=/dev/disk/by-label/boot ro\n"
	runCases(t, "org.osbuild.fix-bls", []treeCase{
		{name: "default", before: treetest.Tree{a: file(bad).Perm(0o600), b: file(good)}, options: `{}`,
			after: treetest.Tree{a: file(good).Perm(0o600)}, log: "1 of 2"},
		{name: "prefix", before: treetest.Tree{a: file(bad), b: file(good)}, options: `{"prefix": ""}`, after: treetest.Tree{a: file(short)}},
		{name: "prefix of short paths too", before: treetest.Tree{a: file(bad), b: file(good)}, options: `{"prefix": "", "require_boot_prefix": false}`,
			after: treetest.Tree{a: file(short), b: file(short)}},
		{name: "other files", before: treetest.Tree{"boot/loader/entries/a.conf.old": file(bad), "boot/loader/entries/.x.conf": file(bad),
			"boot/x.conf": file(bad)}, options: `{}`, log: "0 of 0"},
		{name: "no entries", before: treetest.Tree{"boot": treetest.Dir(0o755)}, options: `{}`, log: "0 of 0"},
		{name: "a directory", before: treetest.Tree{a: file(bad), b: treetest.Dir(0o755)}, options: `{}`, err: "b.conf"},
		{name: "bad", before: treetest.Tree{a: file(bad)}, options: `{"prefix": "$1"}`, err: "/prefix"},
	})
}

// Each word is a path of its own.
func TestFixBLSLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, def, any string }{
		{"linux /tree/boot/vmlinuz", "linux /P/vmlinuz", "linux /P/vmlinuz"},
		{"linux /boot/vmlinuz", "linux /boot/vmlinuz", "linux /P/vmlinuz"},
		{"linux /a/boot/b/boot/vmlinuz", "linux /P/vmlinuz", "linux /P/vmlinuz"},
		{"initrd /t/boot/a /t/boot/b", "initrd /P/a /P/b", "initrd /P/a /P/b"},
		{"options x=/dev/sda1 i=/boot/x", "options x=/dev/sda1 i=/boot/x", "options x=/dev/sda1 i=/P/x"},
		{"options x=/dev/vg/boot i=(hd0)/t/boot/x", "options x=/dev/vg/boot i=(hd0)/P/x", "options x=/dev/vg/boot i=(hd0)/P/x"},
		{"linux /t/bootx/v", "linux /t/bootx/v", "linux /t/bootx/v"},
		{"linux /xboot/v", "linux /xboot/v", "linux /xboot/v"},
		{"linux\t/t/boot/v\r", "linux\t/P/v\r", "linux\t/P/v\r"},
		{"linux //boot/v", "linux /P/v", "linux /P/v"},
	} {
		for options, want := range map[string]string{`{"prefix": "/P/"}`: c.def, `{"prefix": "/P", "require_boot_prefix": false}`: c.any} {
			dir := treetest.New(t, treetest.Tree{"boot/loader/entries/a.conf": treetest.File(c.line + "\n")})
			if _, err := runStage(t, "org.osbuild.fix-bls", dir, options); err != nil {
				t.Fatal(err)
			}
			if got := treetest.Read(t, dir)["boot/loader/entries/a.conf"].Data; got != want+"\n" {
				t.Errorf("%q with %s: %q, want %q", c.line, options, got, want+"\n")
			}
		}
	}
}

func TestFixBLSBoundsEntries(t *testing.T) {
	t.Parallel()
	before := treetest.Tree{}
	for i := range maxEntries + 1 {
		before[fmt.Sprintf("boot/loader/entries/%d.conf", i)] = treetest.File("linux /t/boot/v\n")
	}
	runCases(t, "org.osbuild.fix-bls", []treeCase{{name: "many", before: before, options: `{}`, err: "more than 256 entries"}})
}

func TestFixBLSCheck(t *testing.T) {
	t.Parallel()
	runChecks(t, "org.osbuild.fix-bls", []checkCase{
		{`{"prefix": "", "require_boot_prefix": true}`, nil},
		{`{"prefix": "boot"}`, []string{"/prefix: absolute"}},
		{`{"prefix": "/a b"}`, []string{"/prefix: absolute"}},
		{`{"prefix": "/a\n"}`, []string{"/prefix: absolute"}},
		{`{"prefix": 1}`, []string{": cannot unmarshal"}},
	})
}
