# What people and agents do with git in a work tree: each part runs in a box of its own, with `set -e`.

## status
echo x >> a.txt
touch new
git status --short | sort > /tmp/s
printf ' M a.txt\n?? new\n' | cmp - /tmp/s

## diff
echo x >> a.txt
git diff | grep -q '^+x$'
git diff --stat HEAD~1 HEAD | grep -q c.txt

## add-commit
echo x > x
git add x
git commit -qm 'add x'
git show --stat HEAD | grep -q 'x | 1 +'

## amend
echo x > x
git add x
git commit -qm one
git commit -q --amend -m two
test "$(git log -1 --format=%s)" = two

## branch-switch
git branch other
git switch -q other
echo o > o
git add o
git commit -qm o
git switch -q work
test ! -e o
git merge -q other

## merge
git switch -qc feature && echo f > f.txt && git add f.txt && git commit -qm feature
git switch -q work && echo w > w.txt && git add w.txt && git commit -qm work
 git merge -q --no-edit feature
test -e f.txt -a -e w.txt

## merge-conflict
git switch -qc side
echo side > a.txt
git commit -qam side
git switch -q work
echo work > a.txt
git commit -qam work
! git merge -q side
grep -q '<<<<<<<' a.txt
echo both > a.txt
git commit -qam merged

## rebase
git switch -qc feature && echo f > f.txt && git add f.txt && git commit -qm feature
git switch -q work && echo w > w.txt && git add w.txt && git commit -qm work
 git switch -q feature
git rebase -q work
test -e f.txt -a -e w.txt
git switch -q work
git merge -q --ff-only feature

## rebase-interactive
for n in 1 2 3
do echo $n > n$n
git add n$n
git commit -qm n$n
done
GIT_SEQUENCE_EDITOR='sed -i 2s/pick/fixup/' git rebase -q -i HEAD~3
test "$(git rev-list --count HEAD)" = 4

## stash
echo x >> a.txt
git stash -q
git diff --quiet
git stash pop -q
grep -q x a.txt

## cherry-pick
git switch -qc feature && echo f > f.txt && git add f.txt && git commit -qm feature
git switch -q work && echo w > w.txt && git add w.txt && git commit -qm work
 git cherry-pick feature > /dev/null
test -e f.txt

## revert
git rm -q a.txt
git commit -qm gone
git revert --no-edit HEAD > /dev/null
test -e a.txt
echo x > x

## reset
echo x > x
git add x
git commit -qm x
git reset -q --hard HEAD~1
test ! -e x
echo y > y

## log-blame
test "$(git log --oneline | wc -l)" = 2
git blame a.txt | grep -q two
git log -p -1 | grep -q four
git shortlog -s HEAD > x

## bisect
for n in 1 2 3 4
do echo $n > n
git add n
git commit -qm n$n
done
git bisect start HEAD HEAD~4 > /dev/null
git bisect run sh -c 'test $(cat n 2>/dev/null || echo 0) -lt 3' | grep -q 'first bad commit'
git bisect reset 2> /dev/null

## gc
echo x > x
git add x
git commit -qm x
git gc -q --prune=now
git repack -qadl
git fsck --strict
git log --oneline > /dev/null

## worktree
git worktree add -q /tmp/other HEAD
echo o > /tmp/other/o
git -C /tmp/other add o
git -C /tmp/other commit -qm o
git merge -q $(git -C /tmp/other rev-parse HEAD)
git worktree remove /tmp/other
git worktree prune
test -e o

## clean
touch junk x.log
git clean -qfdx
test ! -e junk -a ! -e x.log
test -e .git
git status
echo y > y

## clone-itself
git clone -q . /tmp/copy
cd /tmp/copy
echo c > c
git add c
git commit -qm c
git push -q origin HEAD:refs/heads/pushed
cd /workspace
git merge -q pushed
test -e c

## tag-describe
echo x > x
git add x
git commit -qm x
git tag -a v1 -m v1
test "$(git describe)" = v1
git tag -d v1 > /dev/null

## notes-archive
git notes add -m note
git log -1 | grep -q note
git archive HEAD | tar -t | grep -q a.txt
git notes remove
echo x > x

## apply-am
echo x > x
git add x
git commit -qm x
git format-patch -q -1 -o /tmp/p
git reset -q --hard HEAD~1
git am -q /tmp/p/*.patch
test -e x
git diff HEAD~1 | git apply -R
echo y > y

## mv-rm
git mv a.txt moved.txt
git rm -q b/c.txt
git commit -qm moved
git log --follow --oneline moved.txt | wc -l | grep -q 3

## hooks
git config core.hooksPath /gitdir/hooks
mkdir -p /gitdir/hooks
printf '#!/bin/sh\necho checked > /tmp/checked\n' > /gitdir/hooks/pre-commit
chmod +x /gitdir/hooks/pre-commit
echo x > x
git add x
git commit -qm x
test -e /tmp/checked

## filters
git config filter.up.clean 'tr a-z A-Z'
git config filter.up.smudge 'tr A-Z a-z'
echo '*.up filter=up' > .gitattributes
echo abc > x.up
git add .
git commit -qm f
git cat-file blob HEAD:x.up | grep -q ABC

## grep-ls
git grep -q two
git ls-files | grep -q b/c.txt
git rev-parse --show-toplevel | grep -qx /workspace
test "$(git rev-parse --git-dir)" = /gitdir
echo x > x

## new-repository
mkdir /tmp/n
cd /tmp/n
git init -q
echo x > x
git add x
git commit -qm x
git log --oneline | wc -l | grep -q 1
cd /workspace
echo x > x

## large-commit
for n in $(seq 2000)
do echo $n > file$n
done
git add .
git commit -qm many
git status --short | wc -l | grep -qx 0
