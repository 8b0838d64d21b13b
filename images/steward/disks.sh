#!/bin/sh
# Makes, mounts and removes the disks of attempts: file systems of a fixed size, each in one file.
#
#   disks.sh make  ID PLACE HOW BYTES FILES UID   a disk with what /state/w/ID/PLACE holds, mounted at /disks/ID/PLACE
#   disks.sh reach ID PLACE                       mount it again, if it is not mounted
#   disks.sh room  ID PLACE                       print the bytes and the files that are left
#   disks.sh flush ID PLACE                       write it down; fails if the host's disk can't take it
#   disks.sh aside ID PLACE NAME OWNER            keep it as it is, as /state/kept/NAME.ext4 of OWNER
#   disks.sh drop  ID PLACE                       unmount and remove one disk
#   disks.sh free  ID                             unmount and remove all disks of an attempt
#   disks.sh prove NAME                           do all of it with a small one
#
# HOW is sparse (it takes room on the host as it fills) or reserved (all of its room at once).
#
# A disk is the file /state/w/ID/PLACE.ext4. The loop device that it is mounted through is let go with the last
# mount, whoever dies first. There is no journal: what is on such a disk need not outlive a crash of the host
# whole, and a disk without one is made in milliseconds.
set -eu

fail() {
    echo "$1" >&2
    exit 1
}

mounted() {
    mountpoint -q "$1"
}

# mount_disk FILE DIRECTORY
# `mount` uses the device that holds the file already, if one does; one that it takes lets go by itself, also if
# `mount` is killed half way.
mount_disk() {
    mkdir -p "$2"
    tries=0
    until mount -t ext4 -o loop,nosuid,nodev,errors=remount-ro "$1" "$2" 2>/tmp/complaint; do
        # A device that its last user just let go may vanish under us.
        [ $((tries += 1)) -lt 5 ] || fail "$(cat /tmp/complaint)"
        sleep 0.1
    done
}

# make_disk FILE HOW BYTES FILES SEED
make_disk() {
    rm -f "$1.part"
    [ "$2" = sparse ] || fallocate --length "$3" "$1.part"
    truncate --size "$3" "$1.part"
    chmod 600 "$1.part"
    mke2fs -q -F -t ext4 -b 4096 -O ^has_journal -m 0 -N "$4" -E nodiscard,lazy_itable_init=1,root_owner=0:0 \
        -d "$5" "$1.part"
    mv "$1.part" "$1"
}

unmount() {
    ! mounted "$1" || umount "$1" || umount -l "$1"
    [ ! -d "$1" ] || rmdir "$1"
}

command=$1
if [ "$command" = prove ]; then
    seed=/tmp/prove file=/state/w/.prove-$2.ext4 at=/disks/.prove
    trap 'unmount $at; rm -rf "$file" "$file.part" $seed' EXIT
    mkdir -p $seed/kept
    make_disk "$file" sparse 1048576 64 $seed
    mount_disk "$file" $at
    [ -d $at/kept ] || fail "a disk does not hold what was laid out on it"
    ! head -c 2097152 /dev/zero 2>/dev/null > $at/large || fail "a disk of 1 MiB took 2 MiB"
    exit
fi

id=$2
case $id in *[!0-9a-f]* | '') fail "not a workspace: $id" ;; esac
if [ "$command" != free ]; then
    place=$3
    case $place in agent | check) ;; *) fail "not a place: $place" ;; esac
    seed=/state/w/$id/$place file=/state/w/$id/$place.ext4 at=/disks/$id/$place
fi

case $command in
make)
    how=$4 bytes=$5 files=$6 uid=$7
    # The worktree's own .git file stays the host's: the box sees a mask over it.
    chown -h "$uid:$uid" "$seed/corral-$id" "/state/w/$id/dotgit"
    chown -hR "$uid:$uid" "$seed/gitdir" "$seed/home"
    [ ! -d "$seed/out" ] || chown -h "$uid:$uid" "$seed/out"
    make_disk "$file" "$how" "$bytes" "$files" "$seed"
    mkdir -p "/disks/$id"
    unmount "$at"
    mount_disk "$file" "$at"
    rm -rf "$seed/gitdir" "$seed/home" "$seed/out"
    ;;
reach)
    if ! mounted "$at"; then
        [ -f "$file" ] || fail "there is no disk $id/$place"
        if [ -z "$(losetup --noheadings --associated "$file")" ]; then
            e2fsck -p "$file" >/tmp/checked 2>&1 || [ $? -eq 1 ] || fail "the disk $id/$place is damaged: $(cat /tmp/checked)"
        fi
        mkdir -p "/disks/$id"
        mount_disk "$file" "$at"
    fi
    ;;
room)
    stat --file-system --format '%f %S %d' "$at" | { read -r blocks size files; echo $((blocks * size)) "$files"; }
    ;;
flush)
    sync --file-system "$at"
    ;;
aside)
    name=$4 owner=$5
    unmount "$at"
    chown "$owner" "$file"
    # Both are directories of the host's state, but not on the same mount here.
    trap 'rm -f "/state/kept/$name.part"' EXIT
    cp --sparse=always --preserve=mode,ownership "$file" "/state/kept/$name.part"
    mv "/state/kept/$name.part" "/state/kept/$name.ext4"
    rm "$file"
    ;;
drop)
    unmount "$at"
    rm -rf "$seed" "$file"
    ;;
free)
    for at in "/disks/$id"/*; do
        [ ! -e "$at" ] || unmount "$at"
    done
    [ ! -d "/disks/$id" ] || rmdir "/disks/$id"
    [ ! -d "/state/w/$id" ] || find "/state/w/$id" -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +
    ;;
*)
    fail "unknown command: $command"
    ;;
esac
