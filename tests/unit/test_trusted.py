"""Questions to the user's repository: what a base means, what is said about it, what can't be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.git import trusted
from tests.support import git, host_git_hashes, make_repo


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"a.txt": "one\n", "dir/b.txt": "two\n"})


def head(repo: Path) -> str:
    return git(repo, "rev-parse", "HEAD")


def notes(repo: Path, base: str = "HEAD") -> str:
    return " | ".join(trusted.pin(repo, base).notes)


# -- what works


def test_a_base_is_pinned_by_branch_tag_and_commit(repo: Path) -> None:
    first = head(repo)
    git(repo, "tag", "-a", "v1", "-m", "v1")
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    assert trusted.pin(repo, "HEAD").base == trusted.pin(repo, "main").base == head(repo)
    assert trusted.pin(repo, "v1").base == trusted.pin(repo, first[:9]).base == first
    assert trusted.pin(repo, "HEAD~1").base == first


def test_a_clean_repository_has_no_notes(repo: Path) -> None:
    found = trusted.pin(repo, "HEAD")
    assert (found.repo, found.git_dir, found.notes) == (str(repo), str(repo / ".git"), ())


def test_the_repository_is_found_from_a_folder_in_it(repo: Path) -> None:
    assert trusted.pin(repo / "dir", "HEAD").repo == str(repo)


def test_what_a_dirty_tree_leaves_out_is_said(repo: Path) -> None:
    (repo / "a.txt").write_text("changed\n")
    (repo / "staged").write_text("s\n")
    git(repo, "add", "staged")
    (repo / os.fsdecode(b"untr\xe4cked\x1b[31m")).write_text("u\n")
    said = notes(repo)
    assert said.startswith("3 uncommitted change(s) stay here and are not in the base: ")
    assert "a.txt" in said
    assert "staged" in said
    assert "\x1b" not in said


def test_a_renamed_file_counts_once(repo: Path) -> None:
    git(repo, "mv", "a.txt", "c x.txt")
    assert notes(repo) == "1 uncommitted change(s) stay here and are not in the base: c x.txt"


def test_many_changes_are_named_in_part(repo: Path) -> None:
    for number in range(9):
        (repo / f"new{number}").touch()
    assert notes(repo).endswith("new4 and 4 more")


def test_a_detached_head_and_a_shallow_clone_are_said(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth=1", repo.as_uri(), "shallow")
    git(tmp_path / "shallow", "checkout", "-q", "--detach")
    assert notes(tmp_path / "shallow") == (
        "the clone is shallow: boxes see only the history that is here | HEAD is detached"
    )


def test_a_bare_repository_a_linked_worktree_and_a_borrowing_clone_work(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    bare = trusted.pin(tmp_path / "bare.git", "HEAD")
    assert (bare.repo, bare.git_dir, bare.base) == (*[str(tmp_path / "bare.git")] * 2, head(repo))
    linked = tmp_path / "linked tree"
    git(repo, "worktree", "add", "-q", "-b", "side", str(linked))
    git(linked, "commit", "-q", "--allow-empty", "-m", "on the side")
    found = trusted.pin(linked, "HEAD")
    assert (found.repo, found.git_dir, found.base) == (str(linked), str(repo / ".git"), head(linked))
    git(tmp_path, "clone", "-q", "--reference", str(repo), repo.as_uri(), "borrowing")
    assert trusted.pin(tmp_path / "borrowing", "HEAD").base == head(repo)


def test_a_partial_clone_that_has_everything_works(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", repo.as_uri(), "partial")
    assert trusted.pin(tmp_path / "partial", "HEAD").base == head(repo)


def test_asking_changes_no_byte(repo: Path) -> None:
    (repo / "a.txt").touch()  # so that a status would refresh the index
    before = host_git_hashes(repo)
    trusted.pin(repo, "HEAD")
    trusted.taken_branches(repo / ".git", "corral", "r")
    assert host_git_hashes(repo) == before


def test_the_repositorys_own_programs_do_not_run(repo: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat\n")
    program.chmod(0o755)
    (repo / ".gitattributes").write_text("* filter=x\n")
    (repo / "a.txt").write_text("changed\n")
    git(repo, "config", "core.fsmonitor", str(program))
    git(repo, "config", "filter.x.clean", str(program))
    marker.unlink(missing_ok=True)
    trusted.pin(repo, "HEAD")
    assert not marker.exists()


# -- what is refused


def not_a_repository(place: Path) -> Path:
    (place / "plain").mkdir()
    return place / "plain"


def unborn(place: Path) -> Path:
    git(place, "init", "-q", "--initial-branch=main", "unborn")
    return place / "unborn"


def sha256(place: Path) -> Path:
    git(place, "init", "-q", "--initial-branch=main", "--object-format=sha256", "sha256")
    git(place / "sha256", "commit", "-q", "--allow-empty", "-m", "first")
    return place / "sha256"


def partial(place: Path) -> Path:
    origin = make_repo(place / "origin")
    (origin / "a.txt").write_text("two\n")
    git(origin, "commit", "-qam", "second")
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(place, "clone", "-q", "--filter=blob:none", origin.as_uri(), "partial")
    return place / "partial"


def submodules(place: Path) -> Path:
    repo = make_repo(place / "repo")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{head(repo)},libs/sub")
    git(repo, "commit", "-qm", "submodule")
    return repo


def lfs(place: Path) -> Path:
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    return make_repo(place / "repo", {"assets/.gitattributes": attributes, "assets/x.bin": "pointer\n"})


REFUSED: dict[str, tuple[Callable[[Path], Path], str, str, str]] = {
    "a folder that does not exist": (lambda p: p / "nowhere", "HEAD", "not in a git repository", "git init"),
    "a plain folder": (not_a_repository, "HEAD", "not in a git repository", "git init"),
    "no commit yet": (unborn, "HEAD", "has no commit yet", "make a first commit"),
    "no such base": (lambda p: make_repo(p / "r"), "v9", "no commit called 'v9'", "name a branch"),
    "an option as base": (lambda p: make_repo(p / "r"), "--all", "not the name of a commit", "name a branch"),
    "an empty base": (lambda p: make_repo(p / "r"), " ", "not the name of a commit", "name a branch"),
    "a file as base": (lambda p: make_repo(p / "r"), "HEAD:a.txt", "no commit called", "name a branch"),
    "SHA-256 objects": (sha256, "HEAD", "uses sha256 objects", "SHA-1"),
    "missing blobs": (partial, "HEAD", "lacks 1 objects", "git fetch --refetch"),
    "submodules": (submodules, "HEAD", r"submodules at its base \(libs/sub\)", "base:"),
    "LFS": (lfs, "HEAD", r"Git LFS at its base \(assets/.gitattributes\)", "base:"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_cause_and_cure(tmp_path: Path, what: str) -> None:
    make, base, why, cure = REFUSED[what]
    with pytest.raises(UsageError, match=why) as caught:
        trusted.pin(make(tmp_path), base)
    assert cure in (caught.value.cure or "")


def test_submodules_elsewhere_than_at_the_base_do_not_matter(tmp_path: Path) -> None:
    repo = submodules(tmp_path)
    assert trusted.pin(repo, "HEAD~1").base == git(repo, "rev-parse", "HEAD~1")


def test_a_repository_of_another_user_is_refused_with_gits_own_cure(repo: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a repository away")
    for path in (repo, repo / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(UsageError, match="belongs to another user") as caught:
        trusted.pin(repo, "HEAD")
    assert f"safe.directory {repo}" in (caught.value.cure or "")


def test_a_broken_repository_is_refused(repo: Path) -> None:
    (repo / ".git" / "config").write_text("garbage [")
    with pytest.raises(UsageError, match="repo"):
        trusted.pin(repo, "HEAD")


# -- branches in the way


@pytest.mark.parametrize(
    ("branch", "in_the_way"),
    [
        ("corral", True),
        ("corral/r", True),
        ("corral/r/t/p/1", True),
        ("corral/r2/t/p/1", False),
        ("corral2", False),
        ("corral/other", False),
    ],
)
def test_branches_in_the_way(repo: Path, branch: str, in_the_way: bool) -> None:
    git(repo, "branch", branch)
    assert trusted.taken_branches(repo / ".git", "corral", "r") == ([branch] if in_the_way else [])


def test_a_part_of_a_longer_prefix_is_in_the_way(repo: Path) -> None:
    git(repo, "branch", "team")
    assert trusted.taken_branches(repo / ".git", "team/night", "r") == ["team"]
