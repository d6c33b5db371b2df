package rpmdistro

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// edits are texts of the tree that are not the same in the distribution.
var edits = []struct{ from, to, old, new string }{
	{"usr/lib/os-release", "usr/lib/os-release", "PRETTY_NAME=", "PRETTY_NAME=\"Example Linux\"\n#"},
	{"etc/nginx/nginx.conf", "etc/nginx/nginx.conf", "user www-data;", "user apache;"},
	{"usr/lib/systemd/system/nginx.service", "usr/lib/systemd/system/httpd.service", "Description=A high performance", "Description=The made-up distribution's"},
	// A tree that was never booted may have an empty machine id, which is no
	// first boot to systemd.
	{"usr/lib/systemd/system/sshd-keygen.service", "usr/lib/systemd/system/sshd-keygen.service", "ConditionFirstBoot=yes", "ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key"},
}

// additionalFiles are the files of packages that have none in the tree, and of
// setup. The first part of the key is the package.
var additionalFiles = map[string]map[string]string{
	"setup": {"/etc/hosts": "127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n"},
	"network-defaults": {
		"/usr/lib/systemd/network/90-ethernet.network":         "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n",
		"/usr/lib/systemd/system-preset/80-network.preset":     "enable systemd-networkd.service\ndisable systemd-networkd-wait-online.service\n",
		"/usr/share/doc/network-defaults/README":               "Every Ethernet card is set up by DHCP.\n",
		"/usr/share/example/network-defaults":                  "network\n",
		"/usr/share/licenses/network-defaults/LICENSE.example": "Public domain.\n",
	},
	"grub2-pc":         {"/usr/share/doc/grub2-pc/README": "The boot loader itself is written by whoever makes the disk.\n"},
	"grub2-common":     {"/boot/grub2/README": "grub.cfg is written by whoever makes the disk.\n"},
	"httpd-welcome":    {"/usr/share/httpd/noindex/index.html": "<h1>It works</h1>\n"},
	"example-triggers": {"/usr/share/doc/example-triggers/README": "Files below /usr/share/example start the triggers.\n"},
	"example-data":     {"/usr/share/example/data": "data\n", "/usr/share/example/ÄÖ ü": "a name that is not ASCII\n"},
	"example-optional": {"/usr/share/example/optional": "optional\n"},
	"example-words": {
		"/usr/share/doc/example-words/README": "The documentation of words.\n",
		"/usr/share/example-words/words":      "words\n",
		wordsFile("de"):                       "Wörter\n",
		wordsFile("fr"):                       "mots\n",
	},
	"example-ndb":  {"/usr/lib/rpm/macros": "%_db_backend ndb\n"},
	Next:           {"/usr/share/example/new": "new\n"},
	"bad-unsigned": {"/usr/share/example/unsigned": "unsigned\n"},
	"bad-stranger": {"/usr/share/example/stranger": "stranger\n"},
	"bad-pre":      {"/usr/share/example/pre": "pre\n"},
	"bad-post":     {"/usr/share/example/post": "post\n"},
	"bad-conflict": {"/usr/share/example/conflict": "conflict\n"},
	"bad-requires": {"/usr/share/example/requires": "requires\n"},
	"bad-file":     {"/usr/share/example/data": "other data\n"},
}

func init() {
	for n := range plainPackages {
		additionalFiles[Plain(n)] = map[string]string{"/usr/share/example/" + Plain(n): "plain\n"}
	}
}

// contested is a file that two packages have, with different contents: it is
// in the spec's build root once and is made by a package of its own.
const contested = "bad-file"

// writeOverlay writes the files that differ from the tree, or are not there.
func writeOverlay(tree, overlay string) error {
	for _, e := range edits {
		data, err := os.ReadFile(filepath.Join(tree, e.from))
		if err != nil {
			return err
		}
		text := strings.Replace(string(data), e.old, e.new, 1)
		if text == string(data) {
			return fmt.Errorf("/%s has no %q", e.from, e.old)
		}
		if err := writeFile(filepath.Join(overlay, e.to), text); err != nil {
			return err
		}
	}
	for name, files := range additionalFiles {
		if name == contested {
			continue
		}
		for file, text := range files {
			if err := writeFile(filepath.Join(overlay, file), text); err != nil {
				return err
			}
		}
	}
	for _, f := range hugeFiles() {
		if err := writeFile(filepath.Join(overlay, f.Path), ""); err != nil {
			return err
		}
	}
	for _, dir := range []string{"var/lib/httpd", "usr/lib/sysimage/rpm"} {
		if err := os.MkdirAll(filepath.Join(overlay, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// writeFiller writes the files of the filler packages, the same bytes each
// time, and returns the packages.
func (o Options) writeFiller(overlay string) ([]*Package, error) {
	if o.Filler == 0 {
		return nil, nil
	}
	all := &Package{Name: "filler", Summary: "All filler", NoArch: true}
	packages := []*Package{all}
	source := rand.NewChaCha8([32]byte{})
	for i := range o.Filler {
		p := &Package{Name: fmt.Sprintf("filler-%03d", i), Summary: "Random data", NoArch: true}
		f := File{Path: "/usr/share/filler/" + p.Name, Mode: "0644", User: "root", Group: "root"}
		data := make([]byte, FillerSize)
		_, _ = source.Read(data) // never fails
		if err := writeFile(filepath.Join(overlay, f.Path), string(data)); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, f)
		all.Tags = append(all.Tags, "Requires: "+p.Name)
		packages = append(packages, p)
	}
	return packages, nil
}
