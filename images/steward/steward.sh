#!/bin/sh
# What needs more rights than Corral has on the host, done for one workspace at a time.
#
#   steward.sh own   ID UID          give an attempt's directories to the box's uid
#   steward.sh empty ID              remove everything below an attempt's directory
#   steward.sh keep  ID NAME OWNER   save an attempt's files as /state/kept/NAME.tar.gz, owned by OWNER
set -eu

command=$1 id=$2
case $id in *[!0-9a-f]* | '') echo "not a workspace: $id" >&2; exit 2 ;; esac
cd "/state/w/$id"

case $command in
own)
    uid=$3
    # The worktree's own .git file stays the host's: the box sees a mask over it.
    chown -h "$uid:$uid" "corral-$id" dotgit check/tree check/dotgit
    chown -hR "$uid:$uid" gitdir home check/gitdir check/home
    ;;
empty)
    find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +
    ;;
keep)
    name=$3 owner=$4
    umask 077
    trap 'rm -f "/state/kept/$name.part"' EXIT
    timeout 900 tar -czf "/state/kept/$name.part" --sparse --one-file-system --ignore-failed-read \
        "corral-$id" gitdir home
    chown "$owner" "/state/kept/$name.part"
    mv "/state/kept/$name.part" "/state/kept/$name.tar.gz"
    ;;
*)
    echo "unknown command: $command" >&2
    exit 2
    ;;
esac
