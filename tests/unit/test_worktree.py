"""What Corral writes into the user's repository: an entry for a while, objects, and its branches."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.gather.findings import Change
from runner.gather.quarantine import Quarantine, take_in
from runner.git import closed, worktree
from runner.git.base_store import BaseStore, base_store
from tests.support import git, host_git_hashes, make_repo
from tests.unit.packs import Objects, work

FILE = "100644"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"a.txt": "one\n", "dir/b.txt": "two\n" * 400})


def store_of(repo: Path, place: Path) -> BaseStore:
    return base_store(place / "bases", repo / ".git", git(repo, "rev-parse", "HEAD"))


def clone_of(store: BaseStore, place: Path) -> Path:
    """A repository like that of a box: the base's history, borrowed from its store."""
    git(place.parent, "init", "-q", "--initial-branch=work", "--template=", str(place))
    (place / ".git/objects/info/alternates").write_text(f"{store.objects}\n")
    if store.shallow:
        (place / ".git/shallow").write_text(store.shallow)
    git(place, "reset", "-q", "--hard", store.commit)
    return place


def packed(box: Path, tip: str, base: str, *options: str) -> bytes:
    """The pack that the gather container would print."""
    revisions = f"{tip}\n^{base}\n".encode()
    return closed.git(box / ".git", "pack-objects", "-q", "--revs", "--stdout", *options, stdin=revisions)


def commit(box: Path, message: str = "work") -> str:
    git(box, "add", "--all")
    git(box, "commit", "-qm", message)
    return git(box, "rev-parse", "HEAD")


def accept(store: BaseStore, tip: str, pack: bytes, place: Path) -> Quarantine:
    return take_in(place / "q", work(tip, pack, place / "pack"), store)


def bring_home(repo: Path, found: Quarantine, branch: str = "corral/r/t/p/1") -> None:
    git_dir = repo / ".git"
    worktree.import_commits(
        git_dir, found.path, found.alternates, found.commit, found.base.origin, found.size
    )
    worktree.create_branch(git_dir, branch, found.commit)


# -- good work


@pytest.mark.parametrize("options", [(), ("--thin",), ("--thin", "--delta-base-offset")])
def test_good_work_becomes_a_branch_and_nothing_else(
    repo: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    before = host_git_hashes(repo)
    store = store_of(repo, tmp_path)
    box = clone_of(store, tmp_path / "box")
    (box / "dir/b.txt").write_text("two\n" * 400 + "three\n")
    first = commit(box)
    (box / "new.txt").write_text("new\n")
    tip = commit(box)
    found = accept(store, tip, packed(box, tip, store.commit, *options), tmp_path)
    assert found.change() == Change(files=2, insertions=2, deletions=0)
    bring_home(repo, found)
    assert host_git_hashes(repo) == before
    assert git(repo, "rev-list", "corral/r/t/p/1").split() == [tip, first, store.commit]
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""


def test_much_work_arrives_as_one_pack(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path)
    box = clone_of(store, tmp_path / "box")
    for number in range(worktree.SMALL_PACK + 1):
        (box / f"f{number}").write_text(f"{number}\n")
    tip = commit(box)
    bring_home(repo, accept(store, tip, packed(box, tip, store.commit), tmp_path))
    assert len(list((repo / ".git/objects/pack").glob("*.pack"))) == 1
    assert git(repo, "show", "corral/r/t/p/1:f7") == "7"


def test_work_on_a_shallow_clone_comes_home(repo: Path, tmp_path: Path) -> None:
    for number in range(3):
        (repo / "a.txt").write_text(f"{number}\n")
        commit(repo, f"{number}")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=2", repo.as_uri(), str(shallow))
    store = store_of(shallow, tmp_path)
    box = clone_of(store, tmp_path / "box")
    (box / "new.txt").write_text("new\n")
    tip = commit(box)
    bring_home(shallow, accept(store, tip, packed(box, tip, store.commit, "--thin"), tmp_path))
    assert len(git(shallow, "rev-list", "corral/r/t/p/1").split()) == 3
    git(shallow, "fsck", "--no-dangling")


def test_no_change_is_seen(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path)
    assert accept(store, store.commit, packed(repo, store.commit, store.commit), tmp_path).is_empty


def test_work_that_was_undone_again_is_no_change(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path)
    box = clone_of(store, tmp_path / "box")
    (box / "new.txt").write_text("new\n")
    commit(box)
    git(box, "revert", "--no-edit", "HEAD")
    tip = git(box, "rev-parse", "HEAD")
    assert accept(store, tip, packed(box, tip, store.commit), tmp_path).is_empty


def test_links_that_leave_the_tree_and_submodules_are_flagged(repo: Path, tmp_path: Path) -> None:
    store, objects = store_of(repo, tmp_path), Objects()
    targets = {b"absolute": b"/etc/passwd", b"climbing": b"x/../../y", b"staying": b"./dir/../a.txt"}
    links = [("120000", name, objects.blob(target)) for name, target in targets.items()]
    tip = objects.commit(objects.tree(*links, ("160000", b"sub", store.commit)), store.commit)
    flags = accept(store, tip, objects.pack(), tmp_path).flags()
    assert flags == (
        "symlink 'absolute' leads out of the tree",
        "symlink 'climbing' leads out of the tree",
        "submodule entry 'sub': its files are not in the branch",
    )


def test_a_state_directory_may_have_any_name(repo: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a: "b" \\ c'
    odd.mkdir()
    store = store_of(repo, odd)
    box = clone_of(store_of(repo, tmp_path), tmp_path / "box")
    (box / "new.txt").write_text("new\n")
    tip = commit(box)
    bring_home(repo, accept(store, tip, packed(box, tip, store.commit, "--thin"), odd))
    assert git(repo, "show", "corral/r/t/p/1:new.txt") == "new"


# -- branches


def test_a_branch_is_never_moved(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    worktree.create_branch(repo / ".git", "corral/r/t/p/1", head)
    with pytest.raises(closed.GitError, match="already exists"):
        worktree.create_branch(repo / ".git", "corral/r/t/p/1", head)


def test_a_branch_made_by_an_earlier_process_is_recognised(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    assert not worktree.has_tree(repo / ".git", "corral/r/t/p/1", head)
    worktree.create_branch(repo / ".git", "corral/r/t/p/1", head)
    assert worktree.has_tree(repo / ".git", "corral/r/t/p/1", head)


@pytest.mark.parametrize("name", ["../x", "a..b", "-x", "a b", "x.lock", "", "@{-1}", "a\nb"])
def test_names_that_no_branch_can_have_are_refused(repo: Path, name: str) -> None:
    before = git(repo, "for-each-ref")
    with pytest.raises(UsageError, match="a branch can't be called"):
        worktree.take(repo / ".git", name, git(repo, "rev-parse", "HEAD"))
    assert git(repo, "for-each-ref") == before


def test_a_taken_name_is_refused(repo: Path) -> None:
    with pytest.raises(UsageError, match="there is a branch called 'main'"):
        worktree.take(repo / ".git", "main", git(repo, "rev-parse", "HEAD"))


# -- worktree entries


def test_a_worktree_comes_and_goes_without_a_trace(repo: Path, tmp_path: Path) -> None:
    own = tmp_path / "the user's own"
    git(repo, "worktree", "add", "-q", "--detach", str(own))
    shutil.rmtree(own)  # a stale entry, which is the user's to prune
    before = host_git_hashes(repo)
    trees = [tmp_path / f"tree {number}" for number in range(6)]
    head = git(repo, "rev-parse", "HEAD")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda tree: worktree.add(repo / ".git", tree, head, tmp_path / "locks"), trees))
    assert all(worktree.is_registered(repo / ".git", tree) for tree in trees)
    assert git(repo, "worktree", "list", "--porcelain").count("\nlocked ") == len(trees)
    for tree in trees:
        shutil.rmtree(tree)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda tree: worktree.remove(repo / ".git", tree, tmp_path / "locks"), trees))
    assert host_git_hashes(repo) == before
    worktree.remove(repo / ".git", trees[0], tmp_path / "locks")  # what is gone already is fine


# -- looking


def test_a_diff_uses_none_of_the_repositorys_programs(repo: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program = f"touch {marker}"
    for key in ("diff.external", "diff.x.command", "diff.x.textconv", "core.fsmonitor", "filter.x.clean"):
        git(repo, "config", key, program)
    (repo / ".git/info").mkdir()
    (repo / ".git/info/attributes").write_text("* diff=x filter=x\n")
    base = git(repo, "rev-parse", "HEAD")
    tree = git(repo, "mktree", stdin=f"100644 blob {git(repo, 'rev-parse', 'HEAD:dir/b.txt')}\ta.txt\n")
    tip = git(repo, "commit-tree", tree, "-p", base, "-m", "x")
    assert b"+two" in worktree.diff(repo / ".git", base, tip, stat=False)
    assert b"2 files changed" in worktree.diff(repo / ".git", base, tip, stat=True)
    assert not marker.exists()
