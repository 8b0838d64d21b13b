#!/bin/sh
# Brings an attempt's work home as objects: prints "COMMIT KIND\n", then a thin pack of BASE..COMMIT.
#
#   gather.sh BASE all    the tip of HEAD, with uncommitted and untracked work as one more commit
#   gather.sh BASE tip    the tip of HEAD alone
#
# KIND is committed (HEAD held everything), snapshot (a commit was added) or salvaged (HEAD was
# unreadable, so the files were taken on top of BASE). Runs in a container of its own in which
# everything that a box wrote is mounted read-only. No configuration, index or hook of the box is read;
# of its git directory only HEAD and the object store are.
set -u

base=$1 what=$2 kind=committed
tip=$(timeout 10 git --git-dir=/gitdir rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null) || {
    tip=$base kind=salvaged
}
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 \
    GIT_AUTHOR_NAME=Corral GIT_AUTHOR_EMAIL=corral@localhost \
    GIT_COMMITTER_NAME=Corral GIT_COMMITTER_EMAIL=corral@localhost
git init -q --bare --template= /tmp/g || exit 1
printf '/base/objects\n/gitdir/objects\n' > /tmp/g/objects/info/alternates
[ ! -f /base/shallow ] || cp /base/shallow /tmp/g/shallow
export GIT_DIR=/tmp/g GIT_WORK_TREE=/workspace GIT_INDEX_FILE=/tmp/index
git config core.bare false
git config gc.auto 0
git config core.fsyncMethod batch

out=$tip
if [ "$what" = all ]; then
    git read-tree "$tip" || exit 1
    cd /workspace || exit 1
    timeout 120 git add -A --ignore-errors -- . ':(exclude,top,literal).git' >/dev/null 2>&1
    tree=$(git write-tree) || exit 1
    if [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
        out=$(echo "Work that was not committed" | git commit-tree "$tree" -p "$tip") || exit 1
        [ "$kind" = salvaged ] || kind=snapshot
    fi
fi
printf '%s %s\n' "$out" "$kind"
printf '%s\n^%s\n' "$out" "$base" | git pack-objects -q --revs --thin --stdout --delta-base-offset
