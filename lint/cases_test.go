package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/lint"
)

func stage(name, options string) string {
	return `{"name": "` + name + `", "options": ` + options + `}`
}

// of is the manifest with these stages.
func of(stages ...string) string { return `{"stages": [` + strings.Join(stages, ",") + `]}` }

func qemu(stages, options string) string {
	return `{"stages": [` + stages + `], "assembler": {"name": "org.osbuild.qemu", "options": ` + options + `}}`
}

func sources(stages, text string) string {
	return `{"pipeline": {"stages": [` + stages + `]}, "sources": ` + text + `}`
}

const (
	noop     = `{"name": "org.osbuild.noop"}`
	snapshot = "https://snapshot.debian.org/archive/debian/20260101T000000Z"
	pin      = `"snapshot": "20260101T000000Z"`
	sum      = `"checksum": "sha256:00"`
	sha      = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
	one      = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
	goodHash = "$6$Zf1zVqFh$wGoSgrAEtLWzFkWcdqrbYrLYOiVHVoWbRnIoiYCLZFKK4ykmZhHPrdIu9IzV8XZ2n1PbfHPvqZ1u1VJ4MWZ/50"
	other    = "0a3b4c5d-1111-4222-8333-444455556666"
)

var (
	debian = stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`}`)
	dnf    = stage("org.osbuild.dnf", `{"releasever": "9", "packages": ["systemd"], "repos": [{"baseurl": "https://a.example/20260101/"}]}`)
	fstab  = stage("org.osbuild.fstab", `{"filesystems": [{"label": "a", "path": "/", "vfs_type": "ext4", "passno": 1}]}`)
)

var cases = []struct {
	name, text string
	want       []string
}{
	// The network.
	{"networkd alone", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`}`), stage("org.osbuild.systemd", `{"enabled_services": ["ssh", "systemd-networkd.service"]}`)),
		[]string{"NoNameServer /stages/1/options/enabled_services"}},
	{"networkd and a file", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`}`), stage("org.osbuild.systemd", `{"enabled_services": ["systemd-networkd"]}`),
		stage("org.osbuild.script", `{"script": "echo nameserver 192.0.2.1 > /etc/resolv.conf"}`)), nil},
	{"networkd of a system that is there already", of(stage("org.osbuild.systemd", `{"enabled_services": ["systemd-networkd"]}`)), nil},
	// Locales and checkers of file systems.
	{"a locale without its package", of(debian, stage("org.osbuild.locale", `{"language": "de_DE.UTF-8"}`)), []string{"MissingLocale /stages/1/options/language"}},
	{"a locale of its own", of(debian, stage("org.osbuild.locale", `{"language": "C.utf8"}`)), nil},
	{"a locale before the package", of(debian, stage("org.osbuild.locale", `{"language": "de_DE"}`), stage("org.osbuildkit.apt", `{"packages": ["locales [amd64]"]}`)), nil},
	{"a locale and a script", of(debian, stage("org.osbuild.locale", `{"language": "de_DE"}`), stage("org.osbuild.script", `{"script": "x"}`)), nil},
	{"a locale of an RPM tree", of(dnf, stage("org.osbuild.locale", `{"language": "de_DE.UTF-8"}`)), nil},
	{"no checkers", of(debian, stage("org.osbuild.fstab", `{"filesystems": [{"label": "a", "path": "/", "vfs_type": "ext4", "passno": "1"}, `+
		`{"label": "b", "path": "/b", "vfs_type": "vfat", "passno": 2}, {"label": "c", "path": "/c", "vfs_type": "xfs"}, {"label": "d", "path": "/d", "vfs_type": "xfs", "passno": 0}, `+
		`{"label": "e", "path": "/e", "vfs_type": "btrfs", "passno": 2}, {"label": "f", "path": "/f", "vfs_type": "nfs", "passno": 2}]}`)),
		[]string{"MissingFilesystemChecker /stages/1/options/filesystems/0/passno", "MissingFilesystemChecker /stages/1/options/filesystems/1/passno",
			"MissingFilesystemChecker /stages/1/options/filesystems/4/passno"}},
	{"checkers of the smallest system", of(strings.Replace(debian, "trixie", "bookworm", 1), fstab), nil},
	{"checkers with a version", of(debian, stage("org.osbuildkit.apt", `{"packages": ["e2fsprogs=1.47"]}`), fstab), nil},
	{"checkers by another package", of(debian, stage("org.osbuildkit.apt", `{"packages": ["udisks2"]}`), fstab), nil},
	{"checkers that are recommended", of(debian, stage("org.osbuildkit.apt", `{"packages": ["initramfs-tools"], "install_recommends": true}`), fstab), nil},
	{"checkers of priority important", of(strings.Replace(debian, `"suite"`, `"variant": "important", "suite"`, 1), fstab), nil},
	{"checkers and a module of one's own", of(debian, `{"name": "org.example.motd"}`, fstab), nil},
	{"checkers of an RPM tree", of(dnf, fstab), nil},
	{"checkers of a tree that is there already", of(fstab), nil},
	// Kernels.
	{"a disk of data", qemu(debian, `{}`), nil},
	{"a disk that a module of one's own completes", qemu(debian+`,{"name": "org.example.motd"},`+stage("org.osbuild.grub2", `{}`), `{}`), nil},
	{"a unified kernel image without a kernel", qemu(debian+","+stage("org.osbuildkit.apt", `{"packages": ["systemd-boot-efi"]}`), `{"bootloader": {"type": "uki"}}`), []string{"NoKernel /assembler/options/bootloader"}},
	{"a text brings no kernel", qemu(debian+","+stage("org.osbuild.copy", `{"source": {"type": "inline", "data": "x"}, "paths": [{"to": "/etc/motd"}]}`), `{"bootloader": {"type": "uki"}}`), []string{"NoKernel /assembler/options/bootloader"}},
	{"files may bring a kernel", qemu(debian+","+stage("org.osbuild.copy", `{"source": {"type": "context", "path": "boot"}, "paths": [{"to": "/boot"}]}`), `{"bootloader": {"type": "uki"}}`), nil},
	{"kernels by other names", qemu(debian+","+stage("org.osbuildkit.apt", `{"packages": ["linux-virtual", "cloud-init"]}`)+","+stage("org.osbuild.grub2", `{"kernel_opts": "console=ttyS0"}`), `{}`), nil},
	{"an RPM disk", qemu(dnf+","+stage("org.osbuild.grub2", `{}`), `{}`), nil},
	// Repositories.
	{"pinned", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`}`)), nil},
	{"pinned twice", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`, `+sum+`}`)), nil},
	{"pinned by a checksum", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+sum+`}`)), []string{"NoSecurityUpdates /stages/0/options/checksum"}},
	{"pinned but for the updates", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", "updates": true, `+sum+`}`)), []string{"UnpinnedRepository /stages/0"}},
	{"an address with a time, and a checksum", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", "mirror": "`+snapshot+`", `+sum+`}`)), nil},
	{"no updates", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", "updates": false, `+sum+`}`)), []string{"NoSecurityUpdates /stages/0/options/updates"}},
	{"no updates in a build root", `{"build": {"stages": [` + stage("org.osbuildkit.debootstrap", `{"suite": "trixie", "updates": false, `+sum+`}`) + `]}, "stages": [` + stage("org.osbuild.grub2", `{}`) + `]}`, nil},
	{"a suite that has none", of(stage("org.osbuildkit.debootstrap", `{"suite": "sid", `+sum+`}`), stage("org.osbuildkit.apt", `{"repos": [{"suite": "sid", `+sum+`}], "sources": ["deb http://a sid main"]}`)), nil},
	{"repositories without security", of(stage("org.osbuildkit.apt", `{"repos": [{"suite": "own", `+sum+`}, {"suite": "bookworm", `+sum+`}, {"suite": "bookworm-updates", `+sum+`}]}`)), []string{"NoSecurityUpdates /stages/0/options/repos/1"}},
	{"repositories with security", of(stage("org.osbuildkit.apt", `{"repos": [{"suite": "buster", `+sum+`}, {"suite": "buster/updates", `+sum+`}]}`)), nil},
	{"sources without security", of(stage("org.osbuildkit.apt", `{"sources": ["# x", "deb [a=b] http://a own main", "deb http://a trixie main", "deb-src http://a trixie-security main"]}`)), []string{"NoSecurityUpdates /stages/0/options/sources/2"}},
	{"a stanza without security", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`, "sources": ["Types: deb\nURIs: http://a\nSuites: trixie trixie-updates\nComponents: main"]}`)), []string{"NoSecurityUpdates /stages/0/options/sources/0"}},
	{"sources with security", of(stage("org.osbuildkit.apt", `{"sources": ["deb http://a trixie main", "Types: deb\nURIs: http://b\nSuites: trixie-security"]}`)), nil},
	{"no sources", of(stage("org.osbuildkit.apt", `{"sources": []}`)), nil},
	{"later repositories of a time", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`}`), stage("org.osbuildkit.apt", `{"repos": [{"suite": "trixie-backports"}, {"suite": "own", "mirror": "http://a"}]}`)),
		[]string{"UnpinnedRepository /stages/1/options/repos/1"}},
	{"apt without repositories of its own", of(stage("org.osbuildkit.apt", `{"packages": ["a"]}`)), nil},
	{"several repositories", of(stage("org.osbuildkit.apt", `{"repos": [{"suite": "a"}, {"suite": "b", `+sum+`}, {"suite": "c"}]}`)),
		[]string{"UnpinnedRepository /stages/0/options/repos/0", "UnpinnedRepository /stages/0/options/repos/2"}},
	{"dnf", of(stage("org.osbuild.dnf", `{"repos": [{"metalink": "https://m.example.org/metalink?repo=fedora-30&arch=x86_64"}]}`)),
		[]string{"UnpinnedRepository /stages/0/options/repos/0"}},
	{"a release of dnf's, pinned", of(stage("org.osbuild.dnf",
		`{"repos": [{"metalink": "https://m.example.org/metalink?repo=fedora-30&arch=$basearch", `+sum+`}]}`)), nil},
	{"updates of dnf's, pinned", of(stage("org.osbuild.dnf",
		`{"repos": [{"metalink": "https://m.example.org/metalink?repo=updates-released-f30", `+sum+`}]}`)),
		[]string{"MutableURL /stages/0/options/repos/0/metalink"}},
	{"a compose", of(stage("org.osbuild.dnf", `{"repos": [{"baseurl": "https://c.example.org/Fedora-44-20260101.n.0/os/"}]}`)), nil},
	{"one of two addresses is dated", of(stage("org.osbuild.dnf", `{"repos": [{"baseurl": ["https://a.example.org/20260101/", "https://a.example.org/os/"]}]}`)),
		[]string{"UnpinnedRepository /stages/0/options/repos/0"}},
	{"a number is no date", of(stage("org.osbuildkit.debootstrap", `{"suite": "a", "mirror": "https://m.example.org/debian-12345678"}`)),
		[]string{"UnpinnedRepository /stages/0"}},
	{"a mirror, pinned", of(stage("org.osbuildkit.apt", `{"repos": [{"suite": "sid", "mirror": "http://mirror.example.com/debian", `+sum+`}]}`)),
		[]string{"MutableURL /stages/0/options/repos/0/mirror"}},
	{"an archive that is closed, pinned", of(stage("org.osbuildkit.debootstrap", `{"suite": "wheezy", "mirror": "http://archive.debian.org/debian", `+sum+`}`)), []string{"UnsupportedSuite /stages/0/options/suite"}},
	{"a directory, pinned", of(stage("org.osbuildkit.debootstrap", `{"suite": "sid", "mirror": "file:///srv/debian", `+sum+`}`)), nil},
	{"trusted stanza", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`, "sources": ["Types: deb\nURIs: http://a\nTrusted: yes\n", "deb http://a trusted main"]}`)),
		[]string{"UnsignedRepository /stages/0/options/sources/0"}},
	{"trusted line", of(stage("org.osbuildkit.apt", `{"sources": ["deb [arch=amd64 trusted=yes] http://a b c", "deb [trusted=no] http://a b c", "# deb [trusted=yes] http://a b c"]}`)),
		[]string{"UnsignedRepository /stages/0/options/sources/0"}},
	{"dnf repositories", of(stage("org.osbuild.dnf", `{"releasever": "9", "packages": ["a"], "repos": [`+
		`{"baseurl": "https://a.example/20260101/", "gpgcheck": false}, `+
		`{"baseurl": "https://b.example/20260101/", "gpgcheck": false, "checksum": "`+sha+`"}]}`)),
		[]string{"UnsignedRepository /stages/0/options/repos/0/gpgcheck"}},
	{"yum repositories", of(stage("org.osbuild.yum.repos", `{"repos": [{"id": "a"}, {"id": "b", "gpgcheck": false}, {"id": "c", "gpgcheck": false, "repo_gpgcheck": true}, {"id": "d", "gpgcheck": true}]}`)),
		[]string{"UnsignedRepository /stages/0/options/repos/1/gpgcheck"}},
	{"pacman", of(stage("org.osbuild.pacman.conf", `{"repositories": [{"name": "a", "siglevels": ["Required", "Never"]}]}`)),
		[]string{"UnsignedRepository /stages/0/options/repositories/0/siglevels/1"}},
	{"installer", of(stage("org.osbuild.kickstart", `{"ostree": {"gpg": false}, "ostreecontainer": {"signatureverification": true}}`)),
		[]string{"UnsignedRepository /stages/0/options/ostree/gpg"}},

	// Sources.
	{"a file that changes", sources(stage("org.osbuild.rpm", `{"packages": ["`+sha+`"]}`), `{"org.osbuild.curl": {"urls": {"`+sha+`": {"url": "https://example.org/latest/a.rpm"}}}}`),
		[]string{"MutableURL /sources/org.osbuild.curl/urls/" + sha}},
	{"a branch", sources(stage("org.osbuild.rpm", `{"packages": ["`+sha+`"]}`), `{"org.osbuild.curl": {"urls": {"`+sha+`": "https://raw.githubusercontent.com/a/b/main/c.rpm"}}}`),
		[]string{"MutableURL /sources/org.osbuild.curl/urls/" + sha}},
	{"a tag", sources(stage("org.osbuild.rpm", `{"packages": ["`+sha+`"]}`), `{"org.osbuild.curl": {"urls": {"`+sha+`": "https://example.org/a/archive/refs/tags/v1.tar.gz"}}}`), nil},
	{"the old name", sources(stage("org.osbuild.rpm", `{"packages": [{"checksum": "`+sha+`"}]}`), `{"org.osbuild.files": {"urls": {"`+sha+`": "https://example.org/a.rpm"}}}`),
		[]string{"DeprecatedModule /sources/org.osbuild.files"}},
	{"sha1", sources(stage("org.osbuild.copy", `{"source": {"type": "archive", "checksum": "sha1:`+strings.Repeat("a", 40)+`"}}`),
		`{"org.osbuild.curl": {"urls": {"sha1:`+strings.Repeat("a", 40)+`": "https://example.org/a.tar"}}}`),
		[]string{"WeakChecksum /sources/org.osbuild.curl/urls/sha1:" + strings.Repeat("a", 40)}},
	{"commits", sources(stage("org.osbuild.ostree.deploy", `{"commit": "abcdef"}`), `{"org.osbuild.ostree": {"commits": {"abcdef": {"remote": {"url": "https://o.example.org"}}, "`+strings.Repeat("b", 64)+`": {}}}}`),
		[]string{"WeakChecksum /sources/org.osbuild.ostree/commits/abcdef", "UnusedSource /sources/org.osbuild.ostree/commits/" + strings.Repeat("b", 64)}},

	{"credentials in addresses", sources(stage("org.osbuild.rpm", `{"packages": ["`+sha+`"]}`), `{"org.osbuild.curl": {"urls": {"`+sha+`": "https://a:b@example.org/a.rpm"}}}`),
		[]string{"CredentialsInAddress /sources/org.osbuild.curl/urls/" + sha}},
	{"credentials of a stage", of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+pin+`, "sources": ["deb http://a b c", "deb https://tok:x@a b c", "deb https://a/?token=x b c"]}`)),
		[]string{"CredentialsInAddress /stages/0/options/sources/1", "CredentialsInAddress /stages/0/options/sources/2"}},

	// Accounts.
	{"passwords of users", of(stage("org.osbuild.users", `{"users": {"a": {"password": "secret"}, "b": {"password": "!"}, "c": {"password": "correcthorse1"}, "d": {"password": ""}, "e": {}, "f": {"password": "`+goodHash+`"}, "g": {"password": "correcthorse1", "password_hashed": true}, "h": {"password": "`+goodHash+`", "password_hashed": false}, "i": {"password_secret": "x"}, "j": {"password": "$1$salt$`+strings.Repeat("a", 22)+`"}, "g/h": {"password": "x y"}}}`)),
		[]string{"PlainTextPassword /stages/0/options/users/a/password", "WeakPasswordHash /stages/0/options/users/c/password",
			"LoginWithoutPassword /stages/0/options/users/d/password", "WeakPasswordHash /stages/0/options/users/g/password", "PlainTextPassword /stages/0/options/users/h/password",
			"WeakPasswordHash /stages/0/options/users/j/password", "PlainTextPassword /stages/0/options/users/g~1h/password"}},
	{"installer's passwords", of(stage("org.osbuild.kickstart", `{"users": {"a": {"password": "secret"}}, "rootpw": {"plaintext": true, "password": "$6$x"}, "autopart": {"passphrase": "p"}}`)),
		[]string{"PlainTextPassword /stages/0/options/users/a/password", "PlainTextPassword /stages/0/options/rootpw/password", "PlainTextPassword /stages/0/options/autopart/passphrase"}},
	{"debconf", of(stage("org.osbuildkit.apt", `{"debconf": ["a a/b password ", "a a/b password `+goodHash+`", "a a/b string password", "a a/b password correcthorse1"]}`)),
		[]string{"PlainTextPassword /stages/0/options/debconf/3"}},
	{"passphrase of a disk", of(stage("org.osbuild.luks2.format", `{"passphrase": "x"}`)), []string{"PlainTextPassword /stages/0/options/passphrase"}},
	{"passphrase that is removed", of(stage("org.osbuild.luks2.format", `{"passphrase": "x"}`), stage("org.osbuild.luks2.remove-key", `{"passphrase": "x"}`)), nil},
	{"debug shell", of(stage("org.osbuild.debug-shell", `{"tty": "/dev/ttyS0"}`), stage("org.osbuild.systemd", `{"enabled_services": ["ssh", "debug-shell.service"]}`)),
		[]string{"LoginWithoutPassword /stages/0", "LoginWithoutPassword /stages/1/options/enabled_services/1"}},

	// Stages.
	{"given up", `{"stages": [{"name": "org.osbuild.yum"}], "assembler": {"name": "org.osbuild.qcow2"}}`,
		[]string{"DeprecatedModule /stages/0", "DeprecatedModule /assembler"}},
	{"labels twice", of(stage("org.osbuild.selinux", `{}`), stage("org.osbuild.hostname", `{}`), stage("org.osbuild.selinux", `{}`), noop), nil},
	{"labels again at boot", of(stage("org.osbuild.selinux", `{"force_autorelabel": true}`), stage("org.osbuild.hostname", `{}`)), nil},
	{"labels of a disk", of(stage("org.osbuild.selinux", `{"target": "mount://root/"}`), stage("org.osbuild.hostname", `{}`)), nil},
	{"two after labels", of(stage("org.osbuild.selinux", `{}`), stage("org.osbuild.hostname", `{}`), noop, stage("org.osbuild.fstab", `{}`)),
		[]string{"ChangeAfterLabelling /stages/1", "ChangeAfterLabelling /stages/3"}},
	{"build used by the assembler", `{"build": {"stages": [` + noop + `]}, "stages": [` + noop + `], "assembler": {"name": "org.osbuild.qemu"}}`, nil},
	{"build used by somebody's own stage", `{"build": {"stages": [` + noop + `]}, "stages": [{"name": "com.example.own"}]}`, nil},
	{"build used by apt", `{"build": {"stages": [` + noop + `]}, "stages": [` + stage("org.osbuildkit.apt", `{"packages": []}`) + `]}`, nil},
	{"build with runner not used", `{"pipeline": {"build": {"pipeline": {"stages": [` + noop + `]}, "runner": "r"}, "stages": [` + noop + `], "assembler": {"name": "org.osbuild.noop"}}}`,
		[]string{"UnusedBuild /pipeline/build/pipeline"}},
	{"build of the build not used", `{"build": {"build": {"stages": [` + noop + `]}, "stages": [` + noop + `]}, "stages": [{"name": "org.osbuild.grub2"}]}`,
		[]string{"UnusedBuild /build/build"}},
	{"script", of(stage("org.osbuild.script", `{"script": "#!/bin/sh\n# curl x\nset -e\ntrue && apt-get -y install a\n"}`), stage("org.osbuild.script", `{"script": "echo curl; systemctl enable wget"}`)),
		[]string{"ScriptNeedsNetwork /stages/0/options/script"}},
	{"script that may", of(stage("org.osbuild.script", `{"script": "curl x", "network": true}`)), []string{"ScriptWithNetwork /stages/0/options/network"}},

	// Disks.
	{"random volume keys", qemu(noop, `{"size": 4194304, "partitions": [{"size": 1, "luks": {}}, {"size": 1, "luks": {"volume_key": "derived"}}, {"size": 1, "luks": {"volume_key": "random"}}]}`),
		[]string{"RandomVolumeKey /assembler/options/partitions/0/luks", "RandomVolumeKey /assembler/options/partitions/2/luks"}},
	{"a volume with another UUID", qemu(stage("org.osbuild.grub2", `{"root_fs_uuid": "`+one+`"}`),
		`{"size": 4194304, "partitions": [{"size": 1, "lvm": {"volumes": [{"filesystem": {"mountpoint": "/", "uuid": "`+other+`"}}]}}]}`),
		[]string{"FilesystemMismatch /stages/0/options/root_fs_uuid"}},
	{"identifiers that are cut", qemu(noop, `{"ptuuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "partitions": [{"size": 1, "filesystem": {"type": "vfat", "label": "EFI System Partition"}},
		{"size": 1, "lvm": {"volumes": [{"filesystem": {"type": "vfat", "label": "elevenbytes"}}, {"filesystem": {"type": "vfat", "label": "twelve bytes"}}, {"filesystem": {"type": "ext4", "label": "twelve bytes"}}]}}]}`),
		[]string{"ShortenedIdentifier /assembler/options/ptuuid", "ShortenedIdentifier /assembler/options/partitions/0/filesystem/label",
			"ShortenedIdentifier /assembler/options/partitions/1/lvm/volumes/1/filesystem/label"}},
	{"identifiers that fit", qemu(noop, `{"ptuuid": "D209C89E-EA5E-4FBD-B161-B461CCE297E0", "pttype": "gpt"}`), nil},
	{"size", qemu(noop, `{"size": 1048577}`), []string{"UnalignedDiskSize /assembler/options/size"}},
	{"size in MiB", qemu(noop, `{"size": 1048576}`), nil},
	{"boot loader", qemu(stage("org.osbuild.grub2", `{"root_fs_uuid": "`+other+`"}`), `{"root_fs_uuid": "`+one+`"}`), []string{"FilesystemMismatch /stages/0/options/root_fs_uuid"}},
	{"boot loader, newer form", qemu(stage("org.osbuild.grub2", `{"rootfs": {"uuid": "`+other+`"}}`), `{"root_fs_uuid": "`+one+`"}`), []string{"FilesystemMismatch /stages/0/options/rootfs/uuid"}},
	{"in capitals", qemu(stage("org.osbuild.grub2", `{"root_fs_uuid": "`+strings.ToUpper(one)+`"}`), `{"root_fs_uuid": "`+one+`"}`), nil},
	{"partitions", qemu(stage("org.osbuild.fstab", `{"filesystems": [{"uuid": "`+other+`", "path": "/boot"}, {"label": "x", "path": "/"}, {"uuid": "`+other+`", "path": "/home"}]}`),
		`{"partitions": [{"filesystem": {"mountpoint": "/", "uuid": "`+one+`"}}, {"filesystem": {"mountpoint": "/boot", "uuid": "`+one+`"}}]}`),
		[]string{"FilesystemMismatch /stages/0/options/filesystems/0/uuid"}},
	{"a build root has no disk", `{"build": {"stages": [` + stage("org.osbuild.fstab", `{"filesystems": [{"uuid": "`+other+`", "path": "/"}]}`) + `]}, "stages": [` + noop + `],
		"assembler": {"name": "org.osbuild.rawfs", "options": {"root_fs_uuid": "` + one + `"}}}`, []string{"UnusedBuild /build"}},

	// What rules read may be anything.
	{"other types", `{"stages": [` + strings.Join([]string{
		stage("org.osbuildkit.apt", `{"repos": [3, null, {"checksum": {}}], "sources": {}, "debconf": [1]}`),
		stage("org.osbuild.dnf", `{"repos": {"a": {}}}`), stage("org.osbuild.users", `{"users": [{"password": 3}]}`),
		stage("org.osbuild.fstab", `{"filesystems": {"uuid": []}}`), stage("org.osbuild.grub2", `{"rootfs": 3}`),
		stage("org.osbuild.systemd", `{"enabled_services": "debug-shell"}`)}, ",") + `], "assembler": {"name": "org.osbuild.qemu", "options": {"size": "1", "partitions": [{}, 3, []]}}}`,
		[]string{"UnpinnedRepository /stages/0/options/repos/0", "UnpinnedRepository /stages/0/options/repos/1", "UnpinnedRepository /stages/0/options/repos/2"}},
}

func TestCases(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, found(t, c.text, lint.Config{})); d != "" {
				t.Errorf("%s\n%s", c.text, d)
			}
		})
	}
}

// No message repeats a password.
func TestPasswordsAreNotRepeated(t *testing.T) {
	t.Parallel()
	const word = "correct-horse"
	m, modules := load(t, of(
		stage("org.osbuild.users", `{"users": {"a": {"password": "`+word+`"}}}`),
		stage("org.osbuildkit.apt", `{"debconf": ["a a/b password `+word+`"]}`),
		stage("org.osbuild.luks2.format", `{"passphrase": "`+word+`"}`),
	))
	findings := lint.Run(m, modules, lint.Config{})
	if len(findings) != 3 {
		t.Errorf("%d findings", len(findings))
	}
	for _, f := range findings {
		if strings.Contains(f.String(), word) {
			t.Error(f.String())
		}
	}
}

// What the build is given pins what the manifest does not.
func TestDatedBuild(t *testing.T) {
	t.Parallel()
	text := of(stage("org.osbuildkit.debootstrap", `{"suite": "trixie", `+sum+`}`), stage("org.osbuildkit.apt", `{"repos": [{"suite": "a"}, {"suite": "b", "mirror": "http://b.example"}]}`),
		stage("org.osbuild.dnf", `{"repos": [{"baseurl": "http://c.example"}]}`))
	want := []string{"UnpinnedRepository /stages/1/options/repos/1", "UnpinnedRepository /stages/2/options/repos/0"}
	if d := cmp.Diff(want, found(t, text, lint.Config{Dated: true})); d != "" {
		t.Error(d)
	}
}

// The hint is a line that can be put into the manifest as it is.
func TestHintToPin(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 22, 30, 0, 0, time.FixedZone("", -7200))
	for options, hint := range map[string]string{
		`{"suite": "trixie"}`: `add "snapshot": "20261201T000000Z"`,
		`{"suite": "trixie", "mirror": "http://a.example/debian"}`: `put "snapshot": "20261201T000000Z" in the place of "mirror"`,
		`{"suite": "noble", "mirror": "http://a.example/u"}`:       `give the "checksum" of its InRelease file`,
	} {
		m, modules := load(t, of(stage("org.osbuildkit.debootstrap", options)))
		got := lint.Run(m, modules, lint.Config{Now: now})
		if len(got) != 1 || !strings.Contains(got[0].Message, "result changes when it does: "+hint) {
			t.Errorf("%s: %v", options, got)
		}
	}
}
