"""Repositories as people really have them: all of them work, and nothing in them changes but the branches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import Corral, Done, git, host_git_hashes, make_repo, write_tasks

LATIN = os.fsdecode(b"caf\xe9.txt")
"""A file name that is not UTF-8."""


def changed(done: Done, task: str = "t") -> str:
    """The files that a task's branch changes, as git prints them."""
    row = done.attempt(task)
    assert row["branch"], row
    return git(Path(row["repo"]), "diff", "--name-status", "--no-renames", row["base"], row["branch"])


def blob(done: Done, file: str, task: str = "t") -> str:
    row = done.attempt(task)
    return git(Path(row["repo"]), "show", f"{row['branch']}:{file}")


def test_a_dirty_tree_stays_and_what_it_leaves_out_is_said(corral: Corral, repo: Path) -> None:
    (repo / "a.txt").write_text("changed\n")
    (repo / "untracked").write_text("u\n")
    (repo / "staged").write_text("s\n")
    git(repo, "add", "staged")
    before = host_git_hashes(repo)
    done = corral.run(repo, {"t": "test ! -e untracked && test ! -e staged && cat a.txt > seen"})
    assert host_git_hashes(repo) == before
    assert (changed(done), blob(done, "seen")) == ("A\tseen", "one")
    said = "3 uncommitted change(s) stay here and are not in the base: a.txt, staged, untracked"
    assert said in done.summary["notes"]
    assert said in corral("report").out
    assert said in corral("plan", corral.home.parent / "tasks-1.yaml").out


def test_a_detached_head_is_the_base(corral: Corral, repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    git(repo, "checkout", "-q", "--detach", first)
    before = host_git_hashes(repo)
    done = corral.run(repo, {"t": "touch new"})
    assert (done.attempt("t")["base"], changed(done)) == (first, "A\tnew")
    assert "HEAD is detached" in done.summary["notes"]
    assert host_git_hashes(repo) == before


def test_a_shallow_clone(corral: Corral, repo: Path, tmp_path: Path) -> None:
    for number in range(3):
        git(repo, "commit", "-q", "--allow-empty", "-m", f"{number}")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=2", repo.as_uri(), str(shallow))
    before = host_git_hashes(shallow)
    task = {
        "sh": "git log --format=%s > log; git commit -qm one --allow-empty",
        "check": "git log | grep one",
    }
    done = corral.run(shallow, {"t": task})
    assert (done.verdicts["t"], blob(done, "log")) == ("accepted", "2\n1")
    assert host_git_hashes(shallow) == before
    git(shallow, "fsck", "--no-dangling")
    git(shallow, "checkout", "-q", "-b", "mine", done.attempt("t")["branch"])
    git(shallow, "push", "-q", "origin", "mine")


def test_file_names_that_are_not_utf_8(corral: Corral, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {LATIN: "one\n", f"d\n{LATIN}/x": "x\n"})
    task = {
        "sh": r"for f in caf*; do echo two > $f; done; echo x > $(printf 'na\357ve\033[31m')",
        "check": "ls",
    }
    done = corral.run(repo, {"t": task})
    assert done.verdicts["t"] == "accepted"
    assert changed(done).splitlines() == [r'M	"caf\351.txt"', r'A	"na\357ve\033[31m"']
    for command in ("show", "diff"):
        shown = corral(command, "t")
        assert shown.code == 0
        assert "\x1b" not in shown.out


def test_spaces_and_colons_in_every_path(tmp_path: Path, corral: Corral) -> None:
    corral.home = tmp_path / "my state: 1"
    repo = make_repo(tmp_path / "my repo", {"a file.txt": "one\n"})
    done = corral.run(
        repo, {"t": {"sh": "cp 'a file.txt' 'b file.txt'", "check": "cmp 'a file.txt' 'b file.txt'"}}
    )
    assert done.verdicts == {"t": "accepted"}, done.err
    assert changed(done) == "A\tb file.txt"
    assert list((corral.home / "w").iterdir()) == []


def test_a_bare_repository(corral: Corral, repo: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(bare))
    before = host_git_hashes(bare)
    done = corral.run(bare, {"t": {"sh": "touch new", "check": "test -f new"}})
    assert (done.verdicts["t"], changed(done)) == ("accepted", "A\tnew")
    skip = ("objects/", "refs/heads/corral/")
    assert {k: v for k, v in host_git_hashes(bare).items() if not k.startswith(skip)} == {
        k: v for k, v in before.items() if not k.startswith(skip)
    }


def test_started_in_a_linked_worktree(corral: Corral, repo: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "-b", "side", str(linked))
    git(linked, "commit", "-q", "--allow-empty", "-m", "on the side")
    before = (host_git_hashes(repo), host_git_hashes(linked))
    write_tasks(linked / "corral.yaml", Path(), {"t": "touch new"})
    done = corral("run", "corral.yaml", "--json", cwd=linked)
    assert done.attempt("t")["base"] == git(linked, "rev-parse", "side")
    assert changed(done) == "A\tnew"
    (linked / "corral.yaml").unlink()
    assert (host_git_hashes(repo), host_git_hashes(linked)) == before


def test_a_clone_that_borrows_objects(corral: Corral, repo: Path, tmp_path: Path) -> None:
    borrowing = tmp_path / "borrowing"
    git(tmp_path, "clone", "-q", "--reference", str(repo), repo.as_uri(), str(borrowing))
    assert not list((borrowing / ".git/objects").glob("??/*"))
    done = corral.run(borrowing, {"t": {"sh": "cat a.txt > new", "check": "cmp a.txt new"}})
    assert (done.verdicts["t"], changed(done)) == ("accepted", "A\tnew")


def test_filters_and_line_endings_of_the_users_configuration_take_no_part(
    corral: Corral, tmp_path: Path
) -> None:
    files = {"unix": "a\nb\n", "dos": "a\r\nb\r\n", ".gitattributes": "*.up filter=up\n", "x.up": "lower\n"}
    repo = make_repo(tmp_path / "repo", files)
    git(repo, "config", "core.autocrlf", "true")
    git(repo, "config", "filter.up.smudge", "tr a-z A-Z")
    git(repo, "config", "filter.up.required", "true")
    before = host_git_hashes(repo)
    done = corral.run(repo, {"t": r"cat dos unix x.up | tr '\r' R > new; git status --porcelain > status"})
    assert changed(done) == "A\tnew\nA\tstatus"
    assert blob(done, "new").split() == ["aR", "bR", "a", "b", "lower"]
    assert "x.up" not in blob(done, "status")
    assert host_git_hashes(repo) == before


def test_links_and_executable_bits_of_the_base(corral: Corral, repo: Path) -> None:
    (repo / "tool").write_text("#!/bin/sh\necho ran\n")
    (repo / "tool").chmod(0o755)
    (repo / "link").symlink_to("a.txt")
    (repo / "dangling").symlink_to("/nowhere")
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "links")
    script = "./tool > ran; cat link >> ran; readlink dangling link >> ran; ln -s ran more; chmod +x ran"
    done = corral.run(
        repo, {"t": {"sh": script, "check": "test -L more && test -x ran && ./tool && test -L link"}}
    )
    assert (done.verdicts["t"], blob(done, "ran")) == ("accepted", "ran\none\n/nowhere\na.txt")
    row = done.attempt("t")
    modes = [line.split()[0] for line in git(repo, "ls-tree", row["branch"], "more", "ran").splitlines()]
    assert modes == ["120000", "100755"]


def test_a_prompt_of_a_megabyte_arrives_in_its_file_alone(corral: Corral, repo: Path) -> None:
    prompt = "é§ line\n" * 100_000 + "the end"
    script = 'wc -c < "$CORRAL_PROMPT_FILE" > size; tail -n 1 "$CORRAL_PROMPT_FILE" > end; env > environment'
    done = corral.run(
        repo, {"t": {"sh": script, "prompt": prompt}, "small": {"sh": "env > e", "prompt": "hi"}}
    )
    assert int(blob(done, "size")) == len(prompt.encode()) > 1_000_000
    assert blob(done, "end") == "the end"
    assert "CORRAL_PROMPT=" not in blob(done, "environment")
    assert "CORRAL_PROMPT=hi" in blob(done, "e", "small")


def test_a_task_starts_from_the_branch_of_the_one_it_needs(corral: Corral, repo: Path) -> None:
    tasks = {
        "a": {"sh": "echo a > a; git add a; git commit -qm a", "check": "test -f a"},
        "b": {"sh": "cp a b", "needs": ["a"], "check": "cmp a b"},
        "c": {"sh": "cp b c", "needs": ["b"]},
    }
    done = corral.run(repo, tasks)
    assert (done.code, done.verdicts) == (0, {"a": "accepted", "b": "accepted", "c": "done"})
    commits = {task: done.attempt(task)["commit"] for task in tasks}
    assert (done.attempt("b")["base"], done.attempt("c")["base"]) == (commits["a"], commits["b"])
    assert changed(done, "c") == "A\tc"


def test_the_check_sees_protected_paths_as_they_are_in_the_base(corral: Corral, tmp_path: Path) -> None:
    repo = make_repo(
        tmp_path / "repo", {"tests/t.sh": "exit 1\n", "tests/gone.sh": "exit 1\n", "tests 2": "x\n"}
    )
    script = "echo exit 0 > tests/t.sh; rm tests/gone.sh; touch tests/added; echo y > 'tests 2'; touch src"
    seen = "test -f tests/gone.sh && test ! -e tests/added && grep -q 1 tests/t.sh"
    check = f"{seen} && test -f src && grep y 'tests 2'"
    done = corral.run(repo, {"t": {"sh": script, "check": check, "protect": ["tests/", "nothing here"]}})
    assert done.verdicts == {"t": "accepted"}
    assert blob(done, "tests/t.sh") == "exit 0"  # the branch is the agent's work as it is


def test_an_ignored_file_that_is_included(corral: Corral, repo: Path) -> None:
    (repo / ".gitignore").write_text(".env.test\nconf/\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-qm", "ignore")
    (repo / ".env.test").write_text("A=1\n")
    (repo / "conf").mkdir()
    (repo / "conf/x y.ini").write_text("B=2\n")
    task = {"sh": "cat .env.test 'conf/x y.ini' > seen", "check": "cat .env.test 'conf/x y.ini' | cmp - seen"}
    done = corral.run(repo, {"t": task}, include=[".env.test", "conf/x y.ini"])
    assert (done.verdicts["t"], changed(done), blob(done, "seen")) == ("accepted", "A\tseen", "A=1\nB=2")


def test_the_state_directory_inside_the_repository(corral: Corral, repo: Path) -> None:
    corral.home = repo / ".corral"
    done = corral.run(repo, {"t": "ls -A > seen"})
    assert blob(done, "seen").split() == [".git", "a.txt", "seen"]
    again = corral.run(repo, {"t": "touch x"})
    assert not any(".corral" in note for note in again.summary["notes"]), again.summary["notes"]
    assert git(repo, "status", "--porcelain") == "?? tasks-1.yaml"


@pytest.mark.parametrize("mask", [0o077, 0o000])
def test_an_odd_umask(corral: Corral, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        repo = make_repo(tmp_path / "repo", {"a.txt": "one\n", "run.sh": "echo ran\n"})
        (repo / ".env.test").write_text("A=1\n")
        (repo / ".git/info").mkdir(exist_ok=True)
        (repo / ".git/info/exclude").write_text(".env.test\n")
        task = {
            "sh": "cat .env.test a.txt > new; sh run.sh; umask > mask",
            "check": "test -f new",
            "prompt": "p",
        }
        done = corral.run(repo, {"t": task}, include=[".env.test"])
    finally:
        os.umask(before)
    assert (done.verdicts["t"], blob(done, "mask")) == ("accepted", "0022"), done.attempt("t")


def test_a_repository_reached_through_a_link(corral: Corral, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    done = corral.run(tmp_path / "link", {"t": "touch new"})
    assert git(repo, "diff", "--name-only", "main", done.attempt("t")["branch"]) == "new"


def test_a_base_that_is_another_branch(corral: Corral, repo: Path) -> None:
    git(repo, "checkout", "-q", "-b", "other")
    shutil.copy(repo / "a.txt", repo / "b.txt")
    git(repo, "add", "b.txt")
    git(repo, "commit", "-qm", "other")
    git(repo, "checkout", "-q", "main")
    done = corral.run(repo, {"t": "rm b.txt"}, base="other")
    assert changed(done) == "D\tb.txt"
