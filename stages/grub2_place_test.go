package stages

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// All that the stage writes lies where the tree's own tools look for it.
func TestGrub2Place(t *testing.T) {
	t.Parallel()
	bls := buildRoot().With(treetest.Tree{"usr/lib/grub/i386-pc/blscfg.mod": treetest.File("")})
	mkconfig := treetest.Tree{"usr/sbin/grub-mkconfig": treetest.File("")}
	fs := `"root_fs_uuid": "` + rootUUID + `"`
	for _, c := range []struct {
		name          string
		before, build treetest.Tree
		options       string
		want          []string
		setting       string // of BLS entries, in etc/default/grub
	}{
		{"Debian", debianTree(), buildRoot(), `{` + fs + `}`, []string{"boot/grub"}, ""},
		{"unknown, with the tools of Debian", otherTree().With(mkconfig), buildRoot(), `{` + fs + `}`, []string{"boot/grub"}, ""},
		{"unknown", otherTree(), buildRoot(), `{` + fs + `}`, []string{"boot/grub2"}, "false"},
		{"Fedora, by a grub that reads entries", fedoraTree(), bls, `{` + fs + `}`, []string{"boot/grub2"}, "true"},
		{"Fedora, by one that does not", fedoraTree(), buildRoot(), `{` + fs + `}`, []string{"boot/grub2"}, "false"},
		{"Debian, by a grub that reads entries", debianTree().With(fedoraTree()), bls, `{` + fs + `}`, []string{"boot/grub"}, ""},
		{"Debian, UEFI", debianTree(), buildRoot(), `{` + fs + `, "uefi": {"vendor": "debian"}}`, []string{"boot/efi/EFI/debian", "boot/grub"}, ""},
		{"Debian, both", debianTree(), buildRoot(), `{` + fs + `, "legacy": true, "uefi": {"vendor": "debian"}}`, []string{"boot/efi/EFI/debian", "boot/grub"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := runGrub(t, c.before, c.build, c.options)
			if err != nil {
				t.Fatal(err)
			}
			var dirs []string
			for name, n := range got {
				if filepath.Base(name) == "grub.cfg" && n.Mode.IsRegular() {
					dirs = append(dirs, filepath.Dir(name))
					checkScript(t, n.Data)
				}
				other := map[string]string{"boot/grub": "boot/grub2", "boot/grub2": "boot/grub"}[c.want[len(c.want)-1]]
				if name == other || strings.HasPrefix(name, other+"/") {
					t.Errorf("there is %s as well", name)
				}
			}
			slices.Sort(dirs)
			if d := cmp.Diff(c.want, dirs); d != "" {
				t.Errorf("configurations (-want +got):\n%s", d)
			}
			_, setting, _ := strings.Cut(got["etc/default/grub"].Data, "GRUB_ENABLE_BLSCFG=")
			if setting, _, _ = strings.Cut(setting, "\n"); setting != c.setting {
				t.Errorf("the setting of BLS entries is %q, want %q", setting, c.setting)
			}
			if read := strings.Contains(menuOf(got), "blscfg"); read != (c.setting == "true") {
				t.Errorf("the menu is read from entries at boot: %t", read)
			}
			if len(c.want) > 1 && !strings.HasSuffix(got["boot/efi/EFI/debian/grub.cfg"].Data, "set prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n") {
				t.Errorf("beside the boot loader:\n%s", got["boot/efi/EFI/debian/grub.cfg"].Data)
			}
		})
	}
}

// The name of the distributor is what the distribution ships, for grub-install
// takes the vendor's directory from it.
func TestGrub2ShippedDistributor(t *testing.T) {
	t.Parallel()
	template := func(text string) treetest.Tree {
		return treetest.Tree{"usr/share/grub/default/grub": treetest.File("# GRUB_DISTRIBUTOR=no\nGRUB_DEFAULT=0\n" + text + "\nGRUB_CMDLINE_LINUX=\"\"\n")}
	}
	const bookworm = "GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`"
	for _, c := range []struct {
		name, more string
		tree       treetest.Tree
		want       string
	}{
		{"nothing is shipped", "", nil, "GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`"},
		{"the template", "", template(bookworm), bookworm},
		{"what is there", "", template(bookworm).With(treetest.Tree{"etc/default/grub": treetest.File("GRUB_DISTRIBUTOR=\"Arch\"\nGRUB_TIMEOUT=9\n")}), `GRUB_DISTRIBUTOR="Arch"`},
		{"a line that goes on", "", template("GRUB_DISTRIBUTOR=a\\\nb"), "GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`"},
		{"the option", `, "config": {"distributor": "My $OS"}`, template(bookworm), `GRUB_DISTRIBUTOR="My \$OS"`},
	} {
		got, _, err := runGrub(t, debianTree().With(c.tree), buildRoot(), `{"root_fs_uuid": "`+rootUUID+`"`+c.more+`}`)
		if err != nil {
			t.Fatal(err)
		}
		text := got["etc/default/grub"].Data
		if !strings.Contains("\n"+text, "\n"+c.want+"\n") || strings.Count(text, "GRUB_DISTRIBUTOR") != 1 || strings.Contains(text, "GRUB_TIMEOUT=9") {
			t.Errorf("%s: no line %s in\n%s", c.name, c.want, text)
		}
		if out, err := exec.Command("sh", "-n", "-c", text).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", c.name, err, out)
		}
	}
}
