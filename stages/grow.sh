#!/bin/sh
# Enlarges the partition of a mounted file system to the free space behind it, and
# then the file system. Where there is nothing to do it changes nothing.
set -eu
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
path=$1
sys=/sys/class/block

# The device below the file system. An encrypted one is made of one other;
# volumes of LVM and RAID are left alone.
source=$(findmnt -nvro SOURCE --mountpoint "$path" | tail -n 1)
if [ ! -b "$source" ]; then
	source=/sys/dev/block/$(findmnt -nvro MAJ:MIN --mountpoint "$path" | tail -n 1)
fi
name=$(basename "$(readlink -f "$source")")
while [ ! -e "$sys/$name/partition" ]; do
	case $(cat "$sys/$name/dm/uuid" 2>/dev/null) in
	CRYPT-LUKS*) name=$(ls "$sys/$name/slaves") ;;
	*)
		echo "$source, which has $path, is not a partition: nothing grows"
		exit 0
		;;
	esac
done
number=$(cat "$sys/$name/partition")
disk=$(basename "$(dirname "$(readlink -f "$sys/$name")")")

# Sectors have 512 bytes here, whatever those of the disk have.
start=$(cat "$sys/$name/start")
limit=$(cat "$sys/$disk/size")
label=$(sfdisk --dump "/dev/$disk" 2>/dev/null | sed -n 's/^label: //p')
if [ "$label" = dos ]; then
	if [ "$number" -gt 4 ]; then
		echo "/dev/$name is a logical partition: it does not grow"
		exit 0
	fi
	[ "$limit" -le 4294967295 ] || limit=4294967295
else
	limit=$((limit - 2048)) # the second copy of the table
fi
for other in "$sys/$disk/"*/start; do
	other=$(cat "$other")
	if [ "$other" -gt "$start" ] && [ "$other" -lt "$limit" ]; then
		limit=$other
	fi
done

# What alignment leaves is not worth a change.
free=$((limit - start - $(cat "$sys/$name/size")))
if [ "$free" -ge 4096 ]; then
	# The lock keeps udev from looking at a table that is half written.
	echo ", $(((limit - start) / 2048))MiB" |
		flock -w 60 "/dev/$disk" sfdisk --quiet --no-reread --no-tell-kernel --force -N "$number" "/dev/$disk"
	flock -w 60 "/dev/$disk" partx --update --nr "$number" "/dev/$disk"
	echo "/dev/$name has grown by $((free / 2048)) MiB"
fi

for growfs in /usr/lib/systemd/systemd-growfs /lib/systemd/systemd-growfs; do
	[ ! -x "$growfs" ] || exec "$growfs" "$path"
done
