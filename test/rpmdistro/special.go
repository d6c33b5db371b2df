package rpmdistro

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// leftOut are the packages that the distribution has not: it is not installed
// by apt.
var leftOut = []string{"apt", "debian-archive-keyring", "libapt-pkg7.0", "sqv"}

// renamed returns the name that a Debian package has in the distribution: the
// one that RPM distributions know it by, where the tests use it.
func renamed(name string) string {
	switch {
	case name == "nginx":
		return "httpd"
	case name == "nginx-common":
		return "httpd-core"
	case name == "linux-image-cloud-amd64":
		return "kernel"
	case strings.HasPrefix(name, "linux-image-"):
		return "kernel-core"
	case name == "passwd":
		return "shadow-utils"
	}
	return name
}

// droppedPatterns are of files that the distribution has not: what dpkg and
// apt keep, what is made on the machine, and what changes when it runs.
var droppedPatterns = []string{
	"/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*",
	"/var/lib/dpkg/*", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf/*", "/var/cache/ldconfig/*", "/var/lib/ucf", "/var/log/apt", "/var/log/*.log",
	"/etc/machine-id", "/etc/ld.so.cache", "/boot/initrd.img-*", "/initrd.img*", "/vmlinuz*", "/etc/apt",
	"/etc/hosts", "/etc/resolv.conf", "/etc/hostname",
	"/etc/systemd/system/osbuildkit-*", "/etc/systemd/system/*/osbuildkit-*", "/etc/systemd/system/*/apt-*", "/etc/systemd/system/*/dpkg-*",
	"/etc/systemd/system/*/nginx.service", "/usr/lib/systemd/system/nginx.service", "/usr/lib/systemd/system/dpkg-*",
}

func dropped(name string) bool {
	return slices.ContainsFunc(droppedPatterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// setupFiles are those of the package setup, with what stands before them:
// accounts change when packages add users.
var setupFiles = map[string]string{
	"/etc/passwd": accounts, "/etc/group": accounts, "/etc/shadow": accounts, "/etc/gshadow": accounts,
	"/etc/passwd-": accounts, "/etc/group-": accounts, "/etc/shadow-": accounts, "/etc/gshadow-": accounts,
	"/etc/hosts": "%config(noreplace)", "/etc/host.conf": "%config(noreplace)", "/etc/shells": "%config(noreplace)",
	"/etc/profile": "%config(noreplace)",
}

const accounts = "%verify(not md5 size mtime) %config(noreplace)"

// unownedHomes are packages that get files that no package has.
var unownedHomes = [][2]string{{"/var/www", "httpd-core"}, {"/etc/nginx", "httpd-core"}}

// addition is what a package of the tree is given on purpose.
type addition struct {
	tags, sections []string
	// directives replace those of files.
	directives map[string]string
	files      []File
}

func additions(kernel string) map[string]addition {
	return map[string]addition{
		// The names by which scriptlets ask for a shell before /usr was merged.
		"dash": {tags: []string{"Provides: /bin/sh"}},
		"bash": {tags: []string{"Provides: /bin/bash"}},
		"httpd-core": {
			tags: []string{"Requires(pre): shadow-utils", "Requires(pre): libc-bin", "Recommends: httpd-welcome"},
			sections: []string{`%pre %N
getent group apache >/dev/null || groupadd --gid 48 --system apache || exit 1
getent passwd apache >/dev/null || useradd --uid 48 --gid apache --system --no-create-home --home-dir /var/www --shell /usr/sbin/nologin apache || exit 1
`},
			files: []File{
				{Path: "/usr/lib/systemd/system/httpd.service", Mode: "0644", User: "root", Group: "root"},
				{Path: "/var/lib/httpd", Directive: "%dir", Dir: true, Mode: "0750", User: "apache", Group: "apache"},
			},
		},
		"libc-bin": {
			files: []File{{Path: "/etc/ld.so.cache", Directive: "%ghost", Mode: "0644", User: "root", Group: "root"}},
			sections: []string{`%transfiletriggerin %N -P 2000000 -- /usr/lib /usr/lib64
/sbin/ldconfig
`},
		},
		// Essential packages are no dependencies of Debian's packages.
		"initramfs-tools-core": {tags: []string{"Requires: diffutils", "Requires: findutils", "Requires: grep", "Requires: gzip", "Requires: sed", "Requires: tar", "Requires: util-linux"}},
		"iproute2":             {directives: map[string]string{"/usr/bin/nstat": "%caps(cap_net_raw=ep)"}},
		"systemd": {
			files: []File{{Path: "/etc/machine-id", Directive: "%ghost", Mode: "0644", User: "root", Group: "root"}},
			sections: []string{`%post %N
systemd-machine-id-setup >/dev/null 2>&1 || :
`},
		},
		"base-files": {sections: []string{`%post %N -p <lua>
posix.mkdir("/var/lib/example")
local f = io.open("/var/lib/example/lua", "w")
f:write("written by lua\n")
f:close()
`}},
		"example-words": {directives: map[string]string{wordsFile("de"): "%lang(de)", wordsFile("fr"): "%lang(fr)"}},
		"kernel-core": {
			tags:  []string{"Provides: installonlypkg(kernel)", "Requires(posttrans): initramfs-tools", "Requires(posttrans): coreutils"},
			files: []File{{Path: "/boot/initrd.img-" + kernel, Directive: "%ghost", Mode: "0644", User: "root", Group: "root"}},
			sections: []string{`%posttrans %N
set -e
test -e /dev/null && test -r /proc/self/status
update-initramfs -c -k ` + kernel + `
id=$(cat /etc/machine-id)
mkdir -p /boot/loader/entries
cat > /boot/loader/entries/$id-` + kernel + `.conf <<EOF
title Example Linux (` + kernel + `)
version ` + kernel + `
linux /boot/vmlinuz-` + kernel + `
initrd /boot/initrd.img-` + kernel + `
options \$kernelopts rw console=tty0 console=ttyS0
EOF
`},
		},
	}
}

// special returns the packages that are made up, beside those of the tree.
// What they show is said with each.
func special() []*Package {
	return []*Package{
		// A package from another world may own a file that the installing
		// program or a stage wants to write.
		{Name: "resolver", Summary: "Name resolution by a link", Tags: []string{"Requires(post): coreutils"}, Sections: []string{`%post %N
ln -sf ../run/systemd/resolve/resolv.conf /etc/resolv.conf.new
mv -f /etc/resolv.conf.new /etc/resolv.conf
`}, Files: []File{{Path: "/etc/resolv.conf", Directive: "%ghost", Mode: "-", User: "root", Group: "root"}}},
		{Name: "network-defaults", Summary: "DHCP on every Ethernet card", Tags: []string{"Requires(post): systemd"}, Sections: []string{`%post %N
if [ $1 = 1 ]; then systemctl --no-reload preset systemd-networkd.service; fi
`}},
		// The package rpm says where the database is by owning the directory.
		{Name: "rpm", Summary: "The directory of the database of packages", Files: []File{
			{Path: "/usr/lib/sysimage/rpm", Dir: true, Mode: "0755", User: "root", Group: "root"}}},
		{Name: "grub2-pc", Summary: "Boot loader for BIOS", Tags: []string{"Requires: grub2-common"}},
		{Name: "grub2-common", Summary: "Directories of the boot loader", NoArch: true},
		{Name: "httpd-welcome", Summary: "A page that is only recommended", NoArch: true},
		// File triggers of a package, in lua and in shell; they see the files of
		// packages that come after it.
		{Name: "example-triggers", Summary: "File triggers", NoArch: true, Sections: []string{
			"%filetriggerin %N -p <lua> -- /usr/share/example\nlocal f = io.open(\"/var/lib/example/triggered\", \"a\")\nlocal n = rpm.next_file()\nwhile n do f:write(n, \"\\n\") n = rpm.next_file() end\nf:close()\n",
			"%transfiletriggerin %N -- /usr/share/example\nsort > /var/lib/example/transaction\n",
		}, Tags: []string{"Requires: base-files", "Requires(post): coreutils"}},
		// Dependencies that are not names: a file that is only in the file
		// lists, a condition.
		{Name: "example-data", Summary: "Data that depends on a file", NoArch: true, Tags: []string{"Requires: /usr/share/zoneinfo/UTC", "Requires: (example-triggers if base-files)"}},
		// Files that are left out on demand: documentation, other languages.
		{Name: "example-words", Summary: "Words in some languages, and a script that looks around", NoArch: true, Sections: []string{`%post %N -p <lua>
local f = io.open("/usr/share/example-words/seen", "w")
for _, name in ipairs({"50-dracut.install", "51-dracut-rescue.install"}) do
  f:write(name, " ", posix.readlink("/etc/kernel/install.d/" .. name) or "is not there", "\n")
end
f:write("ostree ", posix.stat("/run/ostree-booted") and "booted" or "not booted", "\n")
for line in io.lines("/etc/machine-id") do f:write("machine ", line, "\n") end
f:close()
`}},
		{Name: "example-optional", Summary: "An optional package of the group Core", NoArch: true, Tags: []string{"Recommends: example-tool"}},
		// The configuration of an rpm whose database is not of the kind that the
		// one which installs it writes.
		{Name: "example-ndb", Summary: "The configuration of another rpm", NoArch: true},
		// What is installed of these has other reasons if the last one is not in
		// the metadata: libsolv comes to example-reason3 by another way.
		{Name: "example-reason0", Summary: "A package that recommends", NoArch: true, Tags: []string{"Recommends: example-reason"}},
		{Name: "example-reason1", Summary: "A recommended package", NoArch: true, Tags: []string{"Requires: example-reason3"}},
		{Name: "example-reason3", Summary: "A package that is both needed and recommended", NoArch: true},
		{Name: "example-reason5", Summary: "A package that recommends more", NoArch: true, Tags: []string{"Provides: example-reason", "Recommends: example-reason3", "Recommends: example-reason1"}},
		{Name: "example-reason6", Summary: "A package that is not installed", NoArch: true, Tags: []string{"Recommends: example-reason1"}},
	}
}

// wordsFile is a file of the package example-words that is of one language.
func wordsFile(language string) string { return "/usr/share/example-words/" + language }

// Plain returns the name of a package with one file and no script, one of ten:
// each test that needs one which no other test downloads has its own.
func Plain(n int) string { return fmt.Sprintf("example-plain%d", n) }

const plainPackages = 10

func plain() []*Package {
	var out []*Package
	for n := range plainPackages {
		out = append(out, &Package{Name: Plain(n), Summary: "A plain package", NoArch: true})
	}
	return out
}

// Bad are the names of the packages that cannot or must not be installed; they
// are in the repository "bad" only.
var Bad = []string{"bad-unsigned", "bad-stranger", "bad-pre", "bad-post", "bad-conflict", "bad-requires", "bad-file", hugePackage}

// bad returns the packages of Bad.
func bad() []*Package {
	return []*Package{
		// Signed by nobody, and by a key that is not the distribution's.
		{Name: "bad-unsigned", Summary: "A package without signature", NoArch: true},
		{Name: "bad-stranger", Summary: "A package signed by another key", NoArch: true},
		{Name: "bad-pre", Summary: "A package whose %%pre fails", NoArch: true, Sections: []string{"%pre %N\necho the disk is on fire >&2\nexit 7\n"}},
		{Name: "bad-post", Summary: "A package whose %%post fails", NoArch: true, Sections: []string{"%post %N\necho the printer is on fire >&2\nexit 8\n"}},
		{Name: "bad-conflict", Summary: "A package that conflicts with the web server", NoArch: true, Tags: []string{"Conflicts: httpd"}},
		{Name: "bad-requires", Summary: "A package that wants what is not there", NoArch: true, Tags: []string{"Requires: unobtainium >= 2"}},
		{Name: "bad-file", Summary: "A package that has a file of another one", NoArch: true},
		// Its header says that each file has nearly 4 GiB: no disk has room for them.
		{Name: hugePackage, Summary: "A package that no disk has room for", NoArch: true, Files: hugeFiles()},
	}
}

const hugePackage = "bad-huge"

func hugeFiles() []File {
	var out []File
	for i := range 2000 {
		out = append(out, File{Path: fmt.Sprintf("/usr/share/huge/%04d", i), Mode: "0644", User: "root", Group: "root"})
	}
	return out
}

// Next is the name of the package that only the repository "next" has.
const Next = "example-new"

func next() []*Package {
	return []*Package{{Name: Next, Summary: "A package of the repository's next state", NoArch: true}}
}
