"""What an agent leaves behind comes home, in whatever state it left it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import Corral, Done, git, host_git_hashes, make_repo

COMMIT = "git add -A && git commit -qm"
TOPIC = f"git checkout -q -b topic; echo c > c; {COMMIT} c"
FILES = {"a.txt": "one\n", "dir/b.txt": "two\n", ".gitignore": "*.log\nbuild/\n"}


def lose(name: str) -> str:
    """Shell text that deletes an object."""
    return f"rm -r /gitdir/objects/$(git rev-parse {name} | cut -c-2)"


TASKS: dict[str, str] = {
    "unstaged": "echo two > a.txt",
    "untracked": "mkdir -p 'new dir/x' && echo n > 'new dir/x/n'",
    "staged": "echo s > s && git add s && echo two > a.txt && git add a.txt",
    "staged-and-removed": "echo s > s && git add s && rm s; echo n > n",
    "committed": f"echo c > c; {COMMIT} 'the message'",
    "committed-and-more": f"echo c > c; {COMMIT} first; echo d > d; echo e >> c",
    "amended": f"echo c > c; {COMMIT} first; echo d > d; git add d; git commit --amend -qm 'second thoughts'",
    "other-branch": f"{TOPIC}; git branch -D -q work; git tag v1",
    "branch-not-checked-out": f"{TOPIC}; git checkout -q work; echo d > d",
    "detached": f"git checkout -q --detach; echo c > c; {COMMIT} c",
    "merged": f"git checkout -q -b x; echo x > x; {COMMIT} x; git checkout -q work; echo y > y; {COMMIT} y; "
    "git merge -q --no-edit x",
    "conflicted": f"git checkout -q -b x; echo x > a.txt; {COMMIT} x; git checkout -q work; echo y > a.txt; "
    f"{COMMIT} y; git merge -q x; true",
    "rebasing": f"echo c > c; {COMMIT} c; echo d > d; {COMMIT} d; GIT_SEQUENCE_EDITOR='sed -i 1s/pick/edit/' "
    "git rebase -q -i HEAD~2; echo e > e",
    "stashed": "echo two > a.txt; git stash -q; echo n > n",
    "only-stashed": "echo two > a.txt; git stash -q",
    "deleted": "rm -rf ./* .gitignore",
    "deleted-even-git": "rm -rf ./* .gitignore /gitdir/* 2>/dev/null; true",
    "nested": "git init -q sub; cd sub; touch x; git add x; git -c user.name=x -c user.email=x commit -qm x",
    "nested-empty": "git init -q sub; echo x > sub/x; echo y > y",
    "locked": "touch /gitdir/index.lock /gitdir/HEAD.lock; echo n > n",
    "garbage-index": "head -c 900 /dev/urandom > /gitdir/index; echo n > n",
    "garbage-head": "echo garbage > /gitdir/HEAD; echo n > n",
    "fifo-head": "rm /gitdir/HEAD; mkfifo /gitdir/HEAD; echo n > n",
    "directory-head": "rm /gitdir/HEAD; mkdir /gitdir/HEAD; echo n > n",
    "garbage-config": "head -c 900 /dev/urandom > /gitdir/config; echo n > n",
    "fifo-config": "rm /gitdir/config; mkfifo /gitdir/config; echo n > n",
    "hostile-config": "git config core.fsmonitor 'touch ran'; git config filter.x.clean 'tr a-z A-Z'; "
    "git config core.worktree /; echo '* filter=x' > .gitattributes; echo lower > n",
    "lost-tree": f"echo c > c; {COMMIT} c; {lose('HEAD^{tree}')}; echo n > n",
    "lost-file": f"echo c > c; {COMMIT} c; {lose('HEAD:c')}; rm c; echo n > n",
    "no-alternates": "rm /gitdir/objects/info/alternates; echo n > n",
    "no-objects": f"echo c > c; {COMMIT} c; rm -rf /gitdir/objects; echo n > n",
    "modes": "echo t > tool; chmod 755 tool; ln -s a.txt link; ln -s /etc/passwd out; chmod 600 a.txt",
    "special": "mkfifo pipe; python3 -c 'import socket as s; s.socket(s.AF_UNIX).bind(\"s\")'; echo n > n",
    "unreadable": "echo n > n; echo s > s; chmod 000 s; mkdir d; echo d > d/d; chmod 000 d",
    "many": "mkdir many; i=0; while [ $i -lt 5000 ]; do echo $i > many/$i; i=$((i+1)); done",
    "ignored": "echo l > x.log; mkdir build; echo b > build/b; echo n > n",
    "case": "echo 1 > README; echo 2 > readme; printf 'a\\r\\n' > crlf; : > empty; mkdir hollow",
    "large": f"echo c > c; {COMMIT} c; head -c 62914560 /dev/urandom > large",
    "large-and-more": "head -c 62914560 /dev/urandom > large; echo n > n; git mv a.txt c.txt",
    "large-committed": f"head -c 62914560 /dev/urandom > large; {COMMIT} large; echo n > n",
    "orphan": f"git checkout -q --orphan x; {COMMIT} x --allow-empty; echo n > n",
    "large-alone": "head -c 62914560 /dev/urandom > large",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all of them, in which nothing of the user's repository changes but the branches."""
    folder = tmp_path_factory.mktemp("work")
    repo = make_repo(folder / "repo", FILES)
    before = host_git_hashes(repo)
    done = Corral(folder / "home").run(repo, TASKS, "--jobs", "3")
    assert host_git_hashes(repo) == before
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""
    return done


def at_home(done: Done, task: str) -> tuple[dict[str, Any], Path]:
    row = done.attempt(task)
    assert row["branch"], row
    return row, Path(row["repo"])


def changed(done: Done, task: str) -> dict[str, str]:
    """Changed files of a task's branch and how: A, M, D or T."""
    row, repo = at_home(done, task)
    rows = git(repo, "diff", "--name-status", "--no-renames", "-z", row["base"], row["branch"]).split("\0")
    return dict(zip(rows[1::2], rows[0::2], strict=False))


def blob(done: Done, task: str, file: str) -> str:
    row, repo = at_home(done, task)
    return git(repo, "show", f"{row['branch']}:{file}")


def messages(done: Done, task: str) -> list[str]:
    row, repo = at_home(done, task)
    return git(repo, "log", "--format=%s", f"{row['base']}..{row['branch']}").splitlines()


SNAPSHOT = "Work that was not committed"
EXPECTED: dict[str, tuple[dict[str, str], list[str]]] = {
    "staged": ({"a.txt": "M", "s": "A"}, [SNAPSHOT]),
    "staged-and-removed": ({"n": "A"}, [SNAPSHOT]),
    "unstaged": ({"a.txt": "M"}, [SNAPSHOT]),
    "untracked": ({"new dir/x/n": "A"}, [SNAPSHOT]),
    "committed": ({"c": "A"}, ["the message"]),
    "committed-and-more": ({"c": "A", "d": "A"}, [SNAPSHOT, "first"]),
    "amended": ({"c": "A", "d": "A"}, ["second thoughts"]),
    "other-branch": ({"c": "A"}, ["c"]),
    "branch-not-checked-out": ({"d": "A"}, [SNAPSHOT]),
    "detached": ({"c": "A"}, ["c"]),
    "conflicted": ({"a.txt": "M"}, [SNAPSHOT, "y"]),
    "rebasing": ({"c": "A", "e": "A"}, [SNAPSHOT, "c"]),
    "stashed": ({"n": "A"}, [SNAPSHOT]),
    "deleted": ({"a.txt": "D", "dir/b.txt": "D", ".gitignore": "D"}, [SNAPSHOT]),
    "deleted-even-git": ({"a.txt": "D", "dir/b.txt": "D", ".gitignore": "D"}, [SNAPSHOT]),
    "locked": ({"n": "A"}, [SNAPSHOT]),
    "garbage-index": ({"n": "A"}, [SNAPSHOT]),
    "garbage-head": ({"n": "A"}, [SNAPSHOT]),
    "fifo-head": ({"n": "A"}, [SNAPSHOT]),
    "directory-head": ({"n": "A"}, [SNAPSHOT]),
    "garbage-config": ({"n": "A"}, [SNAPSHOT]),
    "fifo-config": ({"n": "A"}, [SNAPSHOT]),
    "hostile-config": ({".gitattributes": "A", "n": "A"}, [SNAPSHOT]),
    "lost-tree": ({"c": "A", "n": "A"}, [SNAPSHOT]),
    "lost-file": ({"n": "A"}, [SNAPSHOT]),
    "no-alternates": ({"n": "A"}, [SNAPSHOT]),
    "no-objects": ({"c": "A", "n": "A"}, [SNAPSHOT]),
    "modes": ({"tool": "A", "link": "A", "out": "A"}, [SNAPSHOT]),
    "special": ({"n": "A"}, [SNAPSHOT]),
    "ignored": ({"n": "A"}, [SNAPSHOT]),
    "case": ({"README": "A", "readme": "A", "crlf": "A", "empty": "A"}, [SNAPSHOT]),
    "large": ({"c": "A"}, ["c"]),
    "large-and-more": ({"n": "A", "a.txt": "D", "c.txt": "A"}, [SNAPSHOT]),
    "large-committed": ({"n": "A"}, [SNAPSHOT]),
    "orphan": ({"n": "A"}, [SNAPSHOT]),
}


@pytest.mark.parametrize("task", EXPECTED)
def test_comes_home(done: Done, task: str) -> None:
    files, subjects = EXPECTED[task]
    assert (done.verdicts[task], changed(done, task), messages(done, task)) == ("done", files, subjects)


SALVAGED = {"garbage-head", "fifo-head", "directory-head", "garbage-config", "fifo-config", "no-objects",
            "lost-tree", "lost-file", "deleted-even-git", "large-committed", "orphan"}  # fmt: skip
BEHIND = {
    "branch-not-checked-out": "commits that HEAD does not hold",
    "stashed": "a stash",
    "only-stashed": "a stash",
    "conflicted": "another branch",
    "rebasing": "another branch",
    "nested": "repositories inside",
    "nested-empty": "a repository without a commit",
    "unreadable": "files that could not be read",
    "large": "larger than 50 MiB",
    "large-alone": "larger than 50 MiB",
    "large-and-more": "larger than 50 MiB",
    "large-committed": "a file of more than 50 MiB",
    "orphan": "does not build on the base",
    **dict.fromkeys(SALVAGED - {"large-committed", "orphan"}, "commits"),
}


@pytest.mark.parametrize("task", TASKS)
def test_what_the_branch_lacks_is_said_and_all_files_are_kept(done: Done, task: str) -> None:
    row = done.attempt(task)
    if task in BEHIND:
        assert BEHIND[task] in " ".join((row["reason"] or "", *row["flags"]))
        assert tarfile.is_tarfile(row["kept"])
    else:
        assert row["kept"] is None, row


@pytest.mark.parametrize("task", TASKS)
def test_work_that_could_not_be_taken_as_it_was_is_said_to_be_salvaged(done: Done, task: str) -> None:
    nothing = {"only-stashed", "large-alone"}
    expected = "salvaged" if task in SALVAGED else "none" if task in nothing else "gathered"
    assert done.attempt(task)["work"] == expected, done.attempt(task)


def kept(done: Done, task: str) -> set[str]:
    """The files in the archive of a task, without the folder of its work tree or git directory."""
    with tarfile.open(done.attempt(task)["kept"]) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.mark.parametrize(
    ("task", "file"),
    [
        *(("large", "large"), ("large-alone", "large"), ("unreadable", "s"), ("unreadable", "d/d")),
        *(("nested", "sub/x"), ("nested-empty", "sub/x")),
        *(("stashed", "refs/stash"), ("garbage-head", "HEAD"), ("fifo-head", "HEAD")),
    ],
)
def test_the_archive_holds_what_the_branch_lacks(done: Done, task: str, file: str) -> None:
    assert file in kept(done, task)


def test_a_merge_keeps_both_sides(done: Done) -> None:
    assert changed(done, "merged") == {"x": "A", "y": "A"}
    row, repo = at_home(done, "merged")
    assert len(git(repo, "rev-list", "--parents", "-1", row["branch"]).split()) == 3


def test_modes_and_links_are_kept(done: Done) -> None:
    row, repo = at_home(done, "modes")
    rows = git(repo, "ls-tree", row["branch"], "tool", "link", "out", "a.txt").splitlines()
    assert {line.split("\t")[1]: line[:6] for line in rows} == {
        "tool": "100755",
        "link": "120000",
        "out": "120000",
        "a.txt": "100644",
    }
    assert row["flags"] == ["symlink 'out' leads out of the tree"]


def test_files_are_taken_byte_by_byte(done: Done) -> None:
    assert blob(done, "hostile-config", "n") == "lower"
    row, repo = at_home(done, "case")
    assert git(repo, "cat-file", "-s", f"{row['branch']}:crlf") == "3"
    assert (blob(done, "case", "README"), blob(done, "case", "readme")) == ("1", "2")


def test_five_thousand_files_come_home(done: Done) -> None:
    assert len(changed(done, "many")) == 5000
    assert blob(done, "many", "many/4999") == "4999"


def test_commits_keep_their_authors(done: Done) -> None:
    row, repo = at_home(done, "committed-and-more")
    authors = git(repo, "log", "--format=%an", f"{row['base']}..{row['branch']}").splitlines()
    assert authors == ["Corral", "Corral agent"]


def test_a_pipe_behind_what_the_box_borrows_from_holds_nothing_up(corral: Corral, repo: Path) -> None:
    """Git would wait for ever at the pipe; so what is borrowed from elsewhere is not asked at all."""
    sh = (
        "mkdir -p x/info x/pack /gitdir/objects/info; mkfifo x/info/alternates; echo q > q;"
        "echo /workspace/x > /gitdir/objects/info/alternates"
    )
    done = corral.run(repo, {"a": sh})
    assert done.verdicts == {"a": "done"}
    row = done.attempt("a")
    assert row["work"] == "salvaged"
    assert git(repo, "show", f"{row['branch']}:q") == "q"
