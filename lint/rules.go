package lint

import (
	"slices"
	"strings"
)

// Rules returns all rules in the order of their names.
func Rules() []Rule { return slices.Clone(rules) }

// Find returns the rule with the given name, or nil.
func Find(name string) *Rule {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

const (
	tree = `{ "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "trixie", "snapshot": "20260101T000000Z" } }`
	uuid = "76a22bf4-f153-4541-b6c7-0332c0dfaeac"
	hash = "$6$Zf1zVqFh$wGoSgrAEtLWzFkWcdqrbYrLYOiVHVoWbRnIoiYCLZFKK4ykmZhHPrdIu9IzV8XZ2n1PbfHPvqZ1u1VJ4MWZ/50"
)

// A disk that boots, has a console and lets somebody in is these stages and the
// assembler; they are apart so that a rule can leave one out.
const (
	bootable = `{ "name": "org.osbuildkit.apt", "options": { "packages": ["linux-image-cloud-amd64", "openssh-server", "systemd-sysv"] } }`
	admin    = `{ "name": "org.osbuild.users", "options": { "users": { "root": {
      "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQpH3SFPS9bKYt1gXE9IWNbWn4jAWsy8JxVl9YDDQfM admin@example.org" } } } }`
	grubOf = `{ "name": "org.osbuild.grub2", "options": { "root_fs_uuid": "` + uuid + `",
      "kernel_opts": "ro console=tty0 console=ttyS0" } }`
)

// diskOf is the manifest of a disk with these stages after the first one.
func diskOf(stages ...string) string {
	return "{\n  \"stages\": [\n    " + tree + ",\n    " + strings.Join(stages, ",\n    ") + `
  ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648,
    "ptuuid": "0x7e83a7ba", "root_fs_uuid": "` + uuid + `" } }
}`
}

// stagesOf is a manifest with these stages after the first one.
func stagesOf(stages string) string {
	return "{\n  \"stages\": [\n    " + tree + ",\n    " + stages + "\n  ]\n}"
}

// rules is the table: sorted by name, which a test asserts.
var rules = []Rule{
	{
		Name:    "ChangeAfterLabelling",
		Summary: "A stage that changes files comes after the one that labels them",
		Why: `org.osbuild.selinux gives each file of the tree its SELinux label. A file that a later stage makes has none, and a file that it
replaces loses its label: the system then denies access to it, or does not boot while SELinux is enforcing.

Make org.osbuild.selinux the last stage of the pipeline. A tree with "force_autorelabel" is labelled again when it boots, so the rule does
not look at it.`,
		Bad: stagesOf(`{ "name": "org.osbuild.selinux", "options": { "file_contexts": "etc/selinux/targeted/contexts/files/file_contexts" } },
    { "name": "org.osbuild.hostname", "options": { "hostname": "web1" } }`),
		Good: stagesOf(`{ "name": "org.osbuild.hostname", "options": { "hostname": "web1" } },
    { "name": "org.osbuild.selinux", "options": { "file_contexts": "etc/selinux/targeted/contexts/files/file_contexts" } }`),
		check: changeAfterLabelling,
	},
	{
		Name:    "CredentialsInAddress",
		Summary: "An address holds credentials",
		Why: `Everybody who can read the manifest, the builder's cache or a provenance of the build can read the name and password before the host of an
address, or a parameter such as "token". They are taken out of what is shown, but BuildKit needs the whole address.

Name a secret of the build: "auth" of org.osbuildkit.apt is sent to the mirrors, "sslclientkey" of an RPM repository is a client's certificate. A file
can be given with the build as a context of its own.`,
		Bad: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["vim"],
      "repos": [{ "suite": "own", "mirror": "https://me:correct-horse@example.org/debian", "snapshot": "20260101T000000Z" }] } }`),
		Good: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["vim"], "auth": "mirror",
      "repos": [{ "suite": "own", "mirror": "https://example.org/debian", "snapshot": "20260101T000000Z" }] } }`),
		check: credentialsInAddress,
	},
	{
		Name:    "DeprecatedModule",
		Summary: "A stage, assembler or source has been given up by osbuild",
		Why: `The module still works here, so that old manifests build, but osbuild itself has renamed it, replaced it or taken it out. The
message names what to use in its place here. Where osbuild has only replaced the module by others, which are not here yet, there is no finding.`,
		Bad: `{
  "stages": [
    { "name": "org.osbuild.yum", "options": { "releasever": "7", "basearch": "x86_64", "packages": ["httpd"], "repos": [
      { "baseurl": "https://mirror.example.org/20260101/os", "gpgkey": "0123456789abcdef0123456789abcdef01234567" } ] } }
  ]
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuild.dnf", "options": { "releasever": "7", "basearch": "x86_64", "packages": ["httpd"], "repos": [
      { "baseurl": "https://mirror.example.org/20260101/os", "gpgkey": "0123456789abcdef0123456789abcdef01234567" } ] } }
  ]
}`,
		check: deprecatedModule,
	},
	{
		Name:    "DuplicateIdentifier",
		Summary: "Two things have one number or label",
		Why: `Users with one number are one user to the system, whatever their names are: each can change what the other has. The same goes for
groups. Of two file systems with one label the system finds the one that its kernel happens to see first: LABEL= in /etc/fstab, on the
kernel's command line or in GRUB's configuration means either. Names of partitions are looked at where /etc/fstab uses them.

Identifiers with which a disk could not be told apart from itself, such as the UUID of two file systems, are errors.`,
		Bad: stagesOf(`{ "name": "org.osbuild.users", "options": { "users": {
      "alice": { "uid": 1000 },
      "bob": { "uid": 1000 } } } }`),
		Good: stagesOf(`{ "name": "org.osbuild.users", "options": { "users": {
      "alice": { "uid": 1000 },
      "bob": { "uid": 1001 } } } }`),
		check: duplicateIdentifier,
	},
	{
		Name:    "FilesystemMismatch",
		Summary: "A stage looks for a file system under another UUID than the disk has",
		Why: `The assembler gives each file system of the disk its UUID. Where org.osbuild.grub2, org.osbuild.kernel-cmdline or
org.osbuild.fstab names another one for the same mount point, the boot loader finds no kernel, the kernel no root, or systemd waits for a
file system that never appears. The build succeeds nevertheless.`,
		Bad: `{
  "stages": [
    { "name": "org.osbuild.fstab", "options": { "filesystems": [
      { "uuid": "0a3b4c5d-1111-4222-8333-444455556666", "path": "/", "vfs_type": "ext4" } ] } }
  ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648,
    "ptuuid": "0x7e83a7ba", "root_fs_uuid": "` + uuid + `" } }
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuild.fstab", "options": { "filesystems": [
      { "uuid": "` + uuid + `", "path": "/", "vfs_type": "ext4" } ] } }
  ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648,
    "ptuuid": "0x7e83a7ba", "root_fs_uuid": "` + uuid + `" } }
}`,
		check: filesystemMismatch,
	},
	{
		Name:    "LoginWithoutPassword",
		Summary: "The system lets people in without a password",
		Why: `A user whose "password" is the empty text can log in by name alone, at the console and, if the SSH server allows it, from
everywhere. The same goes for debug-shell, which gives a shell as root on a virtual console.

Leave out "password" and give a "key": nobody can then log in with a password at all.`,
		Bad: stagesOf(`{ "name": "org.osbuild.users", "options": { "users": { "root": { "password": "" } } } }`),
		Good: stagesOf(`{ "name": "org.osbuild.users", "options": { "users": { "root": {
      "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQpH3SFPS9bKYt1gXE9IWNbWn4jAWsy8JxVl9YDDQfM admin@example.org" } } } }`),
		check: loginWithoutPassword,
	},
	{
		Name:    "MissingFilesystemChecker",
		Summary: "A file system is to be checked at boot, and the program for it is not in the tree",
		Why: `"passno" in /etc/fstab says that fsck looks at the file system when the system boots. In Debian each kind of file system has a
package with its tools: e2fsprogs, dosfstools, xfsprogs, btrfs-progs. A minimal Debian 13 has none of them. The file system is then not
checked, after a power failure either, and cannot be grown with resize2fs and the like.

The rule looks at Debian and Ubuntu, at trees whose packages the manifest lists. It does not know what packages depend on: skip it where one of
them brings the tools.`,
		Bad: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["systemd-sysv"] } },
    { "name": "org.osbuild.fstab", "options": { "filesystems": [
      { "uuid": "` + uuid + `", "path": "/", "vfs_type": "ext4", "passno": 1 } ] } }`),
		Good: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["e2fsprogs", "systemd-sysv"] } },
    { "name": "org.osbuild.fstab", "options": { "filesystems": [
      { "uuid": "` + uuid + `", "path": "/", "vfs_type": "ext4", "passno": 1 } ] } }`),
		check: missingFilesystemChecker,
	},
	{
		Name:    "MissingLocale",
		Summary: "The language of the system is one that nothing makes",
		Why: `Debian makes locales from the sources in the package locales. Without it there is only C.UTF-8: programs speak English, and perl
and others complain that setting the locale failed.

Install the package locales, before or after org.osbuild.locale: the locale is made then. Or set the language to C.UTF-8.`,
		Bad: stagesOf(`{ "name": "org.osbuild.locale", "options": { "language": "de_DE.UTF-8" } }`),
		Good: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["locales"] } },
    { "name": "org.osbuild.locale", "options": { "language": "de_DE.UTF-8" } }`),
		check: missingLocale,
	},
	{
		Name:    "ModuleWithNetwork",
		Summary: "A module of your own has access to the network",
		Why: `The description of the module says "network": true. What it fetches is not part of its cache key: the step is not run again when
that changes, and gives something else when it is. Nothing verifies it, and it is not in the provenance. Put the files into the directory
NAME.d beside the module, and leave out "network".

The two manifests differ in the module: only the description of org.example.fetch asks for the network.`,
		Bad:   stagesOf(`{ "name": "org.example.fetch" }`),
		Good:  stagesOf(`{ "name": "org.example.motd" }`),
		check: moduleWithNetwork,
	},
	{
		Name:    "MutableURL",
		Summary: "What is behind an address changes, so a checksum will not fit for long",
		Why: `A checksum makes sure that a build gets what its author had. Together with an address whose content changes, such as
…/latest/…, a branch, or a mirror that has the newest state of a repository only, it makes the build fail from the day of the next change on.

Use the address of a version. For a Debian repository that is the "snapshot" of a time.`,
		Bad: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "sid", "mirror": "https://mirror.example.com/debian",
      "checksum": "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" } }
  ]
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "sid", "snapshot": "20260101T000000Z",
      "checksum": "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" } }
  ]
}`,
		check: mutableURL,
	},
	{
		Name:    "NoBootLoader",
		Summary: "A disk has a kernel, and nothing that starts it",
		Why: `Firmware starts a boot loader, and that the kernel. A disk with a DOS partition table gets GRUB for a BIOS if the tree has GRUB's
configuration, which org.osbuild.grub2 writes. A disk with a GPT gets a boot loader only where "bootloader" asks for one. Packages alone put none onto
the disk: there is no disk yet when they are installed. Machines with arm64 have UEFI, which never looks at what a BIOS would start.

Add org.osbuild.grub2, and for UEFI "bootloader"; docs/disks.md has whole disks. The rule looks at Debian and Ubuntu, at trees whose packages the manifest
lists. Skip it for a disk whose kernel is started from outside, such as by "qemu -kernel" or by Xen.`,
		Bad:   diskOf(bootable, admin),
		Good:  diskOf(bootable, admin, grubOf),
		check: noBootLoader,
	},
	{
		Name:    "NoKernel",
		Summary: "A disk is to boot, and its tree has no kernel",
		Why: `The disk has a boot loader, or the tree the configuration of one, and no package in the lists of the tree is a kernel. The assembler
then fails, after all stages have run, unless something that depends on a kernel brings one.

Install a kernel, such as linux-image-cloud-amd64 for virtual machines and linux-image-amd64 for others. The rule looks at Debian and Ubuntu, at
trees whose packages the manifest lists.`,
		Bad:   diskOf(strings.Replace(bootable, `"linux-image-cloud-amd64", `, "", 1), admin, grubOf),
		Good:  diskOf(bootable, admin, grubOf),
		check: noKernel,
	},
	{
		Name:    "NoLogin",
		Summary: "A system boots, and nobody can log in",
		Why: `In a Debian that is made from nothing root has no password, and there is no other user. Nobody can then look at a machine that has started:
neither at its console nor over SSH. A key opens nothing without an SSH server, and neither do a locked password or a shell such as nologin.

Name a user in org.osbuild.users, with a "key" and the package openssh-server, or with a "password". Or let the machine get its users when it starts:
the rule is silent with cloud-init, Ignition, agents of clouds, directories such as LDAP, scripts, archives and modules of your own. It looks
at Debian and Ubuntu, at trees whose packages the manifest lists. Skip it for an appliance that nobody is to enter.`,
		Bad:   diskOf(bootable, grubOf),
		Good:  diskOf(bootable, admin, grubOf),
		check: noLogin,
	},
	{
		Name:    "NoNameServer",
		Summary: "The network is set up, but no name can be resolved",
		Why: `systemd-networkd learns of name servers from DHCP or from its configuration, and tells them to systemd-resolved. It does not write
/etc/resolv.conf itself. In Debian systemd-resolved is a package of its own, which makes that file; without it, or another program that writes
the file, the system has addresses and routes, but finds no host by its name.

Install systemd-resolved, or put /etc/resolv.conf into the tree.`,
		Bad: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["systemd-sysv"] } },
    { "name": "org.osbuild.systemd", "options": { "enabled_services": ["systemd-networkd"] } }`),
		Good: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["systemd-resolved", "systemd-sysv"] } },
    { "name": "org.osbuild.systemd", "options": { "enabled_services": ["systemd-networkd"] } }`),
		check: noNameServer,
	},
	{
		Name:    "NoSecurityUpdates",
		Summary: "A Debian is made, or kept, without security updates",
		Why: `A release of Debian changes every few months, with its point releases. What is mended in between is in its security suite, which a
build uses by itself. It is left out with "updates": false, with a "checksum" of the suite alone, and with "repos" or "sources" that name the
suite and not the security suite: the system then has holes that everybody knows, or never hears of updates.

Leave the option out, or name the security suite as well. A pinned build takes both suites of one time with "snapshot". Build roots, in which
nothing but the build runs, are not looked at.`,
		Bad: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "trixie", "snapshot": "20260101T000000Z", "updates": false } }
  ]
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "trixie", "snapshot": "20260101T000000Z" } }
  ]
}`,
		check: noSecurityUpdates,
	},
	{
		Name:    "NoSerialConsole",
		Summary: "A virtual machine says nothing where it is watched",
		Why: `Without console= the kernel writes to the screen, and only there is a login. Clouds, "virsh console" and "osbuildkit boot" show the serial line:
it stays empty, and nobody learns why a machine does not start.

Add "console=tty0 console=ttyS0" to the kernel's command line: both get the messages, the last is the one for logins of a rescue system. Give it to "kernel_opts" of
org.osbuild.grub2, or of "bootloader" for a unified kernel image. The rule looks at Debian and Ubuntu, at trees whose packages the manifest
lists, at kernels for virtual machines and at the formats qcow2, vpc and gce. The firmware of arm64 names the console itself.`,
		Bad:   diskOf(bootable, admin, strings.Replace(grubOf, ` console=tty0 console=ttyS0`, "", 1)),
		Good:  diskOf(bootable, admin, grubOf),
		check: noSerialConsole,
	},
	{
		Name:    "PlainTextPassword",
		Summary: "A password stands in the manifest as it is",
		Why: `Everybody who can read the manifest, or the copy that a builder keeps of it, can read the password, and who can guess it finds it in the
pipeline's id. Give the hash that "openssl passwd -6" prints: org.osbuild.users puts no more than a hash into the build and the image, but the
manifest still says the password. Or give it to the build as a secret, whose name "password_secret" of org.osbuild.users says. An answer for debconf or a passphrase of a disk cannot be hashed: set it when the system is installed or first booted. A LUKS passphrase that a
later org.osbuild.luks2.remove-key takes away is fine.`,
		Bad: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["slapd"],
      "debconf": ["slapd slapd/password1 password correct-horse"] } }`),
		Good:  stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["slapd"] } }`),
		check: plainTextPassword,
	},
	{
		Name:    "RandomVolumeKey",
		Summary: "An encrypted partition has other bytes in each build",
		Why: `The key of an encrypted partition's data is random by default, as cryptsetup makes it. The image is then another one in each build
that does not find it in the cache, and nobody can tell by its checksum what it was built from.

With "volume_key": "derived" the key follows from the passphrase and the UUID, and the same input gives the same bytes. The price: who has
once known the passphrase can always compute the key, even after the passphrase was changed, and two images with one passphrase and one UUID
show which of their sectors are the same. Where each image is to have a key of its own, skip the rule.`,
		Bad: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648, "partitions": [
      { "luks": { "passphrase_secret": "disk" }, "filesystem": { "type": "ext4", "mountpoint": "/" } } ] } }
}`,
		Good: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2147483648, "partitions": [
      { "luks": { "passphrase_secret": "disk", "volume_key": "derived" }, "filesystem": { "type": "ext4", "mountpoint": "/" } } ] } }
}`,
		check: randomVolumeKey,
	},
	{
		Name:    "ScriptNeedsNetwork",
		Summary: "A script calls a program that needs the network, which a step does not have",
		Why: `Steps run without network, as those of osbuild have done since 2020. A script that fetches something fails, or goes on without
it. Fetch what it needs as a source with a checksum, or install it with a stage for packages.`,
		Bad:   stagesOf(`{ "name": "org.osbuild.script", "options": { "script": "curl -o /usr/bin/tool https://example.org/tool-1.2" } }`),
		Good:  stagesOf(`{ "name": "org.osbuild.script", "options": { "script": "ln -s tool-1.2 /usr/bin/tool" } }`),
		check: scriptNeedsNetwork,
	},
	{
		Name:    "ScriptWithNetwork",
		Summary: "A script has access to the network",
		Why: `What a script fetches is not part of its cache key: the step is not run again when that changes, and gives something else when it
is. Nothing verifies it, and it is not in the provenance. Fetch it as a source with a checksum, and leave out "network".`,
		Bad:   stagesOf(`{ "name": "org.osbuild.script", "options": { "script": "/usr/local/bin/setup", "network": true } }`),
		Good:  stagesOf(`{ "name": "org.osbuild.script", "options": { "script": "/usr/local/bin/setup" } }`),
		check: scriptWithNetwork,
	},
	{
		Name:    "ShortenedIdentifier",
		Summary: "A label or identifier is longer than its place on the disk",
		Why: `The label of a FAT has at most 11 bytes, and the identifier of a disk with a DOS partition table eight hexadecimal digits. The tools
that osbuild called in 2019 cut what is longer and said nothing, so manifests of that time build here as they did there. What looks for the
whole text, such as LABEL= in /etc/fstab or a PARTUUID= of the kernel, does not find it.`,
		Bad: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "raw", "filename": "disk.raw", "size": 4294967296, "pttype": "gpt", "ptuuid": "8dfdf38f-dd92-4a44-9e0c-9f0a2f0a8b11",
    "partitions": [
      { "size": 204800, "filesystem": { "type": "vfat", "mountpoint": "/boot/efi", "label": "EFI System Partition" } },
      { "filesystem": { "type": "ext4", "mountpoint": "/", "uuid": "` + uuid + `" } } ] } }
}`,
		Good: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "raw", "filename": "disk.raw", "size": 4294967296, "pttype": "gpt", "ptuuid": "8dfdf38f-dd92-4a44-9e0c-9f0a2f0a8b11",
    "partitions": [
      { "size": 204800, "filesystem": { "type": "vfat", "mountpoint": "/boot/efi", "label": "EFI" } },
      { "filesystem": { "type": "ext4", "mountpoint": "/", "uuid": "` + uuid + `" } } ] } }
}`,
		check: shortenedIdentifier,
	},
	{
		Name:    "UnalignedDiskSize",
		Summary: "The size of the disk is not a whole number of MiB",
		Why: `Any multiple of 512 bytes is a disk, but hypervisors and clouds round sizes, or refuse an image that is not a whole number of
MiB. The next such size is in the message.`,
		Bad: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2000000000,
    "ptuuid": "0x7e83a7ba", "root_fs_uuid": "` + uuid + `" } }
}`,
		Good: `{
  "stages": [ { "name": "org.osbuild.noop" } ],
  "assembler": { "name": "org.osbuild.qemu", "options": {
    "format": "qcow2", "filename": "disk.qcow2", "size": 2000683008,
    "ptuuid": "0x7e83a7ba", "root_fs_uuid": "` + uuid + `" } }
}`,
		check: unalignedDiskSize,
	},
	{
		Name:    "UnpinnedRepository",
		Summary: "A repository is used in whatever state it is on the day of the build",
		Why: `Two builds of the same manifest install different packages if the repository has changed in between, and a step that was in the
cache is run again. For some images that is wanted: security updates arrive by building again. Skip the rule then.

Otherwise pin the repository. For Debian that is one line: "snapshot" takes all suites as they were at a time. For others give "checksum", that of
the InRelease file of a Debian repository, or of the repomd.xml file of an RPM repository, or an address with a date, as archives of snapshots and
composes have it. The build argument OSBUILDKIT_SNAPSHOT pins a build without a change of its manifest.`,
		Bad: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": { "suite": "trixie" } }
  ]
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuildkit.debootstrap", "options": {
      "suite": "trixie", "snapshot": "20260101T000000Z" } }
  ]
}`,
		check: unpinnedRepository,
	},
	{
		Name:    "UnsignedRepository",
		Summary: "Packages of a repository are installed without a look at their signature",
		Why: `Whoever controls the repository, or the network between it and the system, can install anything. The rule looks at two kinds of
repository:

Those that the finished system is given: "trusted=yes" in apt's sources, "gpgcheck": false in org.osbuild.yum.repos, "Never" and "Optional" in
org.osbuild.pacman.conf, and installers that are told not to verify.

Those that a build installs from: "gpgcheck": false in org.osbuild.dnf and org.osbuild.yum, where neither "checksum" nor "repo_gpgcheck" vouches for
the metadata, and so for the checksums of packages in it. The packages of a Debian repository are always verified.`,
		Bad: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["nginx"],
      "sources": ["deb [trusted=yes] https://packages.example.org/debian nginx main"] } }`),
		Good: stagesOf(`{ "name": "org.osbuildkit.apt", "options": { "packages": ["nginx"],
      "sources": ["deb [signed-by=/etc/apt/keyrings/example.asc] https://packages.example.org/debian nginx main"] } }`),
		check: unsignedRepository,
	},
	{
		Name:    "UnsupportedSuite",
		Summary: "A Debian is made from a release that is too old",
		Why: `Debian 12 (bookworm) and later releases are supported: with them the steps are tested. Of older ones the build may fail in a
maintainer script, and a system that it makes gets no security updates any more.

Use a later suite.`,
		Bad:   strings.Replace(stagesOf(`{ "name": "org.osbuild.hostname", "options": { "hostname": "web1" } }`), "trixie", "bullseye", 1),
		Good:  stagesOf(`{ "name": "org.osbuild.hostname", "options": { "hostname": "web1" } }`),
		check: unsupportedSuite,
	},
	{
		Name:    "UnusedBuild",
		Summary: "No stage runs a program of the build root",
		Why: `"build" says what makes the file system whose programs the stages run. Stages that only edit files do without, and so do those
that run the tree's own programs. If all are of that kind the build root is never built, and what stands there has no effect.`,
		Bad: `{
  "build": { "stages": [ ` + tree + ` ] },
  "stages": [
    { "name": "org.osbuild.hostname", "options": { "hostname": "web1" } }
  ]
}`,
		Good: `{
  "stages": [
    { "name": "org.osbuild.hostname", "options": { "hostname": "web1" } }
  ]
}`,
		check: unusedBuild,
	},
	{
		Name:    "UnusedSource",
		Summary: "No stage uses an item of the sources",
		Why: `It is left over from a stage that is gone, or a checksum was changed in one of the two places only. osbuild downloads it
nevertheless.`,
		Bad: `{
  "pipeline": { "stages": [ { "name": "org.osbuild.noop" } ] },
  "sources": { "org.osbuild.curl": { "urls": {
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef": "https://example.org/a-1.0.rpm" } } }
}`,
		Good: `{
  "pipeline": { "stages": [ { "name": "org.osbuild.noop" } ] }
}`,
		check: unusedSource,
	},
	{
		Name:    "WeakChecksum",
		Summary: "A source is named by a checksum that does not protect it",
		Why: `Files with the same md5 or sha1 can be made on purpose, and the beginning of a commit's checksum fits many commits: what is
downloaded may not be what was meant. Name files by sha256, sha384 or sha512, and commits by all 64 digits.`,
		Bad: `{
  "pipeline": { "stages": [
    { "name": "org.osbuild.rpm", "options": { "packages": ["md5:0cc175b9c0f1b6a831c399e269772661"] } } ] },
  "sources": { "org.osbuild.curl": { "urls": {
    "md5:0cc175b9c0f1b6a831c399e269772661": "https://example.org/a-1.0.rpm" } } }
}`,
		Good: `{
  "pipeline": { "stages": [
    { "name": "org.osbuild.rpm", "options": { "packages": ["sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"] } } ] },
  "sources": { "org.osbuild.curl": { "urls": {
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef": "https://example.org/a-1.0.rpm" } } }
}`,
		check: weakChecksum,
	},
	{
		Name:    "WeakPasswordHash",
		Summary: "A password is hashed in a way that is broken",
		Why: `Whoever reads the manifest or the image can try billions of passwords a second against the hashes of DES, of MD5 ("$1$") and of
Windows ("$3$"). Thirteen letters and digits look like a hash of DES; they may also be a password that was not hashed at all, so
org.osbuild.users asks for "password_hashed".

Give what "openssl passwd -6" prints.`,
		Bad:   stagesOf(`{ "name": "org.osbuild.users", "options": { "users": { "admin": { "password": "$1$3RVJ2Vfu$tLcTmwaKnWbv2zmnMdYJb1" } } } }`),
		Good:  stagesOf(`{ "name": "org.osbuild.users", "options": { "users": { "admin": { "password": "` + hash + `" } } } }`),
		check: weakPasswordHash,
	},
}
