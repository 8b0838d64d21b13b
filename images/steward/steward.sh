#!/bin/sh
# What needs more rights than Corral has on the host, done for one workspace at a time.
#
#   steward.sh own   ID PLACE UID    give one place of an attempt to the box's uid
#   steward.sh empty ID              remove everything below an attempt's directory
#   steward.sh clear ID PLACE        remove one place of an attempt
#   steward.sh used  ID PLACE        print how many bytes and files it holds, or "too many" if they can't be counted
#   steward.sh keep  ID NAME OWNER   save an attempt's files as /state/kept/NAME.tar.gz, owned by OWNER
#   steward.sh outbox ID MOST        print the first MOST names in the agent's outbox, a NUL behind each, in base64
#   steward.sh letter ID NAME MOST   print "plain" and the first MOST bytes of a file there in base64; or "missing", "odd"
#   steward.sh report ID NAME MOST   the same of a file in the HOME of the check's place
#
# PLACE is agent or check. An attempt's files are on its disk, /disks/ID, or where there are no disks in
# /state/w/ID.
set -eu

command=$1 id=$2
case $id in *[!0-9a-f]* | '') echo "not a workspace: $id" >&2; exit 2 ;; esac
cd "/state/w/$id"

case $command in
own)
    place=$3 uid=$4
    # The worktree's own .git file stays the host's: the box sees a mask over it.
    chown -h "$uid:$uid" "$place/corral-$id" dotgit
    chown -hR "$uid:$uid" "$place/gitdir" "$place/home"
    [ ! -d "$place/out" ] || chown -h "$uid:$uid" "$place/out"
    ;;
empty)
    find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +
    ;;
clear)
    rm -rf -- "./$3"
    ;;
used)
    # Files that vanish while it looks are no failure.
    count() {
        timeout 20 du "$1" --summarize --one-file-system "$2" 2>/dev/null || [ $? -ne 124 ]
    }
    if bytes=$(count --block-size=1 "$3") && files=$(count --inodes "$3"); then
        echo "${bytes%%[!0-9]*} ${files%%[!0-9]*}"
    else
        echo "too many"
    fi
    ;;
keep)
    name=$3 owner=$4
    umask 077
    [ ! -d "/disks/$id/agent" ] || cd "/disks/$id"
    trap 'rm -f "/state/kept/$name.part"' EXIT
    timeout 900 tar -czf "/state/kept/$name.part" --sparse --one-file-system --ignore-failed-read \
        -C agent "corral-$id" gitdir home
    chown "$owner" "/state/kept/$name.part"
    mv "/state/kept/$name.part" "/state/kept/$name.tar.gz"
    ;;
outbox)
    most=$3
    [ ! -d "/disks/$id/agent" ] || cd "/disks/$id"
    cd agent/out
    timeout 20 find . -mindepth 1 -maxdepth 1 -printf '%f\0' 2>/dev/null | head -z -n "$most" | base64 -w 0
    ;;
letter | report)
    name=./$3 most=$4 at=agent/out
    [ "$command" = letter ] || at=check/home
    [ ! -d "/disks/$id/${at%/*}" ] || cd "/disks/$id"
    cd "$at"
    if [ ! -e "$name" ] && [ ! -L "$name" ]; then
        echo missing
    elif [ -L "$name" ] || [ ! -f "$name" ]; then
        echo odd
    else
        # It can become something else by now: nothing is followed, and nothing is waited for.
        printf 'plain '
        # What can't be read is no base64, so nobody takes it for a file without content.
        { timeout 10 dd "if=$name" iflag=nofollow,nonblock "bs=$most" count=1 status=none 2>/dev/null ||
            echo 'not read' >&2; } | base64 -w 0
    fi
    ;;
*)
    echo "unknown command: $command" >&2
    exit 2
    ;;
esac
