#!/bin/sh
# Brings an attempt's work home as objects: prints "COMMIT KIND LEFT\n", then a thin pack of BASE..COMMIT.
#
#   gather.sh BASE all    the tip of HEAD, with uncommitted and untracked work as one more commit
#   gather.sh BASE tip    the tip of HEAD alone
#   gather.sh BASE files  the files alone, as one commit on BASE, whatever HEAD says
#
# KIND is committed (HEAD held everything), snapshot (a commit was added) or salvaged (HEAD or what it
# names was unreadable or not asked for, so the files were taken on top of BASE). LEFT says what COMMIT lacks, joined by
# commas, or is "-": commits (a branch, a tag or a stash holds some), files (some can't be read, are larger
# than 50 MiB, or lie in a repository without a commit), nested (of repositories in the tree it has the id alone).
#
# Runs in a container of its own in which everything that a box wrote is mounted read-only. No index, hook
# or attribute of the box's git directory is used; of that, only HEAD, the refs and the objects are.
set -u

base=$1 what=$2 kind=committed left=

lacks() {
    left=${left:+$left,}$1
}

# Whether all objects of a tip are there, and its tree can be held.
sound() {
    timeout 60 git rev-list --objects --quiet "$1" "^$base" 2>/dev/null &&
        timeout 60 git read-tree "$1" 2>/dev/null
}

# Whether the box's git directory holds only what git puts there, and borrows from the base alone: git would
# wait for ever at a pipe, wherever it is led to it.
plain() {
    borrowed=/gitdir/objects/info/alternates
    [ -z "$(find /gitdir/HEAD /gitdir/packed-refs /gitdir/config /gitdir/shallow /gitdir/objects /gitdir/refs \
        ! -type f ! -type d -print -quit 2>/dev/null)" ] &&
        { [ ! -e $borrowed ] || [ "$(head -c 100 $borrowed)" = /base/objects ]; }
}

# Pathspecs, each with a NUL behind it, for what can be added: all but our mask and large new files. A large
# file is read only if it is as large as the one that is known: a hole of a terabyte takes minutes to read.
what_to_add() {
    printf '.\0:(exclude,top,literal).git\0'
    # 102400 blocks of 512 bytes are 50 MiB, the largest file that the quarantine lets in.
    find . -path ./.git -prune -o -type f -size +102400 -printf '%P\0' | xargs -0 -r -n 1 sh -c '
        git check-ignore -q -- "$1" && exit 0
        known=$(git ls-files -s -- ":(literal)$1" | cut -d " " -f 2)
        [ -n "$known" ] && [ "$(git cat-file -s "$known")" = "$(stat -c %s -- "$1")" ] &&
            [ "$known" = "$(git hash-object --no-filters -- "$1")" ] && exit 0
        printf ":(exclude,top,literal)%s\\0" "$1"' sh
}

# A file that git would read wherever it lies: at a pipe it would wait for ever, a huge one it would hold whole.
trap_in_tree() {
    find . -path ./.git -prune -o \( -iname .gitignore -o -iname .gitattributes -o -path '*/.git/*' \) -type p \
        -print -quit -o \( -iname .gitignore -o -iname .gitattributes \) -size +16384k -print -quit 2>/dev/null
}

# A question to the box's own git directory, with its configuration: for reading refs alone.
box_git() {
    GIT_ALTERNATE_OBJECT_DIRECTORIES=/base/objects timeout 10 git --git-dir=/gitdir "$@" 2>/dev/null
}

export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_NO_REPLACE_OBJECTS=1 GIT_NO_LAZY_FETCH=1 \
    GIT_AUTHOR_NAME=Corral GIT_AUTHOR_EMAIL=corral@localhost \
    GIT_COMMITTER_NAME=Corral GIT_COMMITTER_EMAIL=corral@localhost
git init -q --bare --template= /tmp/g || exit 1
echo /base/objects > /tmp/g/objects/info/alternates
[ ! -f /base/shallow ] || cp /base/shallow /tmp/g/shallow
export GIT_DIR=/tmp/g GIT_WORK_TREE=/workspace GIT_INDEX_FILE=/tmp/index
git config core.bare false
git config gc.auto 0
git config core.fsyncMethod batch

tip=
if plain; then
    echo /gitdir/objects >> /tmp/g/objects/info/alternates
    [ "$what" = files ] || tip=$(box_git rev-parse -q --verify 'HEAD^{commit}') || tip=
fi
if [ -z "$tip" ] || ! sound "$tip"; then
    tip=$base kind=salvaged
    git read-tree "$tip" || exit 1
fi

out=$tip
if [ "$what" != tip ]; then
    cd /workspace || exit 1
    if [ -n "$(trap_in_tree)" ]; then
        echo "a .gitignore, a .gitattributes or a part of a nested repository is a pipe, or a huge file" >&2
        exit 1
    fi
    what_to_add > /tmp/specs
    # Two pathspecs are there always; more of them are large files.
    [ "$(tr -dc '\0' < /tmp/specs | wc -c)" = 2 ] || lacks files
    # 1 says that single files could not be added. Anything else, and all of them would be missing.
    # The last resort comes after a first try that may have taken as long as it could.
    seconds=120
    [ "$what" != files ] || seconds=60
    timeout "$seconds" git add -A --ignore-errors --pathspec-from-file=/tmp/specs --pathspec-file-nul >/dev/null 2>/tmp/complaints
    added=$?
    if [ "$added" -gt 1 ]; then
        tail -n 1 /tmp/complaints >&2
        exit 1
    fi
    if [ "$added" = 1 ] || grep -q '^warning: could not open' /tmp/complaints; then
        lacks files
    fi
    tree=$(git write-tree) || exit 1
    if [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
        out=$(echo "Work that was not committed" | git commit-tree "$tree" -p "$tip") || exit 1
        [ "$kind" = salvaged ] || kind=snapshot
    fi
fi
if git ls-files -s | grep -q '^160000 '; then
    lacks nested
fi
other=unknown
if [ "$kind" != salvaged ] && plain; then
    other=$(box_git rev-list --all --max-count=1 --not "$tip" "$base") || other=unknown
fi
if [ -n "$other" ]; then
    lacks commits
fi
printf '%s %s %s\n' "$out" "$kind" "${left:--}"
printf '%s\n^%s\n' "$out" "$base" | git pack-objects -q --revs --thin --stdout --delta-base-offset
