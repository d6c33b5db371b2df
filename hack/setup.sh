#!/bin/sh
# Installs what builds and tests need and this machine lacks. On Debian and
# its relatives that is done with apt-get; elsewhere it is only said.
set -eu

missing=
need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"
}
need runc runc
need qemu-system-x86_64 qemu-system-x86
need qemu-img qemu-utils
need mke2fs e2fsprogs
need sfdisk fdisk
need xfs_repair xfsprogs
need btrfs btrfs-progs
need fsck.vfat dosfstools
need fsck.erofs erofs-utils
need mtype mtools
need cryptsetup cryptsetup-bin
need pvck lvm2
need grub-mkimage grub-common
[ -d /usr/lib/grub/i386-pc ] || missing="$missing grub-pc-bin"
[ -d /usr/lib/grub/x86_64-efi ] || missing="$missing grub-efi-amd64-bin"
[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || missing="$missing ovmf"
need rootlesskit rootlesskit
need newuidmap uidmap
need curl curl
need ssh openssh-client
need ostree ostree
need bsdtar libarchive-tools
need cpio cpio
need mkpasswd whois
# Keys are judged as these two do.
need gpg gpg
need rpmkeys rpm

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: please install:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
echo "setup: installing$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
