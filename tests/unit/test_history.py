"""What a base store holds, for each choice of history, and how work on it comes home."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.gather.policy import Refused
from runner.gather.quarantine import take_in
from runner.git import closed, worktree
from runner.git.base_store import BaseStore, History, base_store
from runner.git.commits import oid_of, standing_for, tree_of, with_parents
from tests.support import git, host_git_hashes, make_repo
from tests.unit.packs import Objects, work
from tests.unit.test_worktree import bring_home, clone_of, commit, packed

HISTORIES: list[History] = ["full", "shallow", "none"]
MAIL = b"test@example.invalid"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Three commits on `main`, of which the second is the base; and secrets after and beside it."""
    repo = make_repo(tmp_path / "repo", {"a.txt": "one\n", "gone.txt": "of the past\n", "dir/b.txt": "b\n"})
    (repo / "gone.txt").unlink()
    (repo / "a.txt").write_text("two\n")
    git(repo, "tag", "base", commit(repo, "the base"))
    (repo / "later.txt").write_text("after the base\n")
    commit(repo, "later")
    git(repo, "checkout", "-q", "-b", "secret", "base")
    (repo / "secret.txt").write_text("beside the base\n")
    commit(repo, "secret")
    git(repo, "notes", "add", "-m", "a note on the base", "base")
    git(
        repo,
        "stash",
        "store",
        "-m",
        "s",
        git(repo, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "stash"),
    )
    git(repo, "checkout", "-q", "main")
    return repo


def store_of(repo: Path, place: Path, history: History) -> BaseStore:
    return base_store(place / "bases", repo / ".git", git(repo, "rev-parse", "base"), history)


def everything_in(store: BaseStore) -> dict[str, bytes]:
    """Every object of a store."""
    listing = closed.git(store.path, "cat-file", "--batch-all-objects", "--batch-check").decode()
    kinds = dict(line.split()[:2] for line in listing.splitlines())
    return {oid: closed.git(store.path, "cat-file", kind, oid) for oid, kind in kinds.items()}


def reachable(repo: Path, revision: str) -> set[str]:
    return set(git(repo, "rev-list", "--objects", "--no-object-names", revision).split())


@pytest.mark.parametrize("history", HISTORIES)
def test_nothing_after_the_base_and_nothing_of_other_refs(
    repo: Path, tmp_path: Path, history: History
) -> None:
    found = everything_in(store_of(repo, tmp_path, history))
    others = reachable(repo, "--all") - reachable(repo, "base")
    assert others
    assert not others & set(found)
    text = b"\0".join(found.values())
    for secret in (b"after the base", b"beside the base", b"a note", b"stash"):
        assert secret not in text


def test_full_holds_all_that_led_to_the_base_and_no_more(repo: Path, tmp_path: Path) -> None:
    assert set(everything_in(store_of(repo, tmp_path, "full"))) == reachable(repo, "base")


def test_shallow_holds_one_commit_and_its_files(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path, "shallow")
    assert set(everything_in(store)) == {store.commit, *reachable(repo, "base^{tree}")}
    assert (store.commit, store.origin) == (git(repo, "rev-parse", "base"),) * 2
    box = clone_of(store, tmp_path / "box")
    assert git(box, "log", "--all", "--format=%s") == "the base"
    assert git(box, "fsck") == ""


def test_none_holds_the_files_and_says_nothing_of_the_user(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path, "none")
    found = everything_in(store)
    assert set(found) == {store.commit, *reachable(repo, "base^{tree}")}
    for told in (MAIL, b"Test", b"the base", store.origin.encode(), b"17000000"):
        assert told not in b"\0".join(found.values())
    box = clone_of(store, tmp_path / "box")
    assert git(box, "log", "--all", "--format=%s|%an|%P") == "Base|Corral|"
    assert git(box, "status", "--porcelain") == ""
    assert git(box, "fsck") == ""


def test_equal_files_are_given_as_the_same_commit(repo: Path, tmp_path: Path) -> None:
    tree = git(repo, "rev-parse", "base^{tree}")
    other = git(repo, "commit-tree", tree, "-m", "of another time, with the same files")
    one, two = (
        base_store(tmp_path / "bases", repo / ".git", oid, "none")
        for oid in (git(repo, "rev-parse", "base"), other)
    )
    assert one.commit == two.commit
    assert (one.origin, two.origin) == (git(repo, "rev-parse", "base"), other)


def test_each_history_has_its_own_store_and_is_made_once(repo: Path, tmp_path: Path) -> None:
    stores = [store_of(repo, tmp_path, history) for history in HISTORIES]
    base = git(repo, "rev-parse", "base")
    names = [f"{base}.git", f"{base}-shallow.git", f"{stores[2].commit}-none.git"]
    assert [store.path.name for store in stores] == names
    before = [store.path.stat().st_mtime_ns for store in stores]
    assert [store_of(repo, tmp_path, history) for history in HISTORIES] == stores
    assert [store.path.stat().st_mtime_ns for store in stores] == before


@pytest.mark.parametrize("history", HISTORIES)
def test_work_comes_home_onto_the_users_own_base(repo: Path, tmp_path: Path, history: History) -> None:
    before = host_git_hashes(repo)
    store = store_of(repo, tmp_path, history)
    box = clone_of(store, tmp_path / "box")
    git(box, "checkout", "-q", "-b", "side")
    (box / "side.txt").write_text("side\n")
    commit(box, "aside")
    git(box, "checkout", "-q", "work")
    (box / "a.txt").write_text("three\n")
    commit(box, "mine")
    git(box, "merge", "-q", "--no-edit", "side")
    tip = git(box, "rev-parse", "HEAD")
    found = take_in(tmp_path / "q", work(tip, packed(box, tip, store.commit), tmp_path / "pack"), store)
    assert found.tip == tip
    assert (found.commit == tip) is (history != "none")
    assert not found.is_empty
    assert found.change().files == 2
    bring_home(repo, found)
    assert host_git_hashes(repo) == before
    branch = "corral/r/t/p/1"
    assert git(repo, "rev-parse", branch) == found.commit
    assert git(repo, "rev-parse", f"{branch}^{{tree}}") == git(box, "rev-parse", "HEAD^{tree}")
    assert git(repo, "merge-base", "base", branch) == git(repo, "rev-parse", "base")
    told = git(repo, "log", "--topo-order", "--format=%s|%an|%ad", f"base..{branch}")
    assert told == git(box, "log", "--topo-order", "--format=%s|%an|%ad", f"{store.commit}..HEAD")
    assert git(repo, "rev-list", "--count", branch) == str(2 + 3)
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""


def test_a_check_sees_nothing_of_the_users_commit(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path, "none")
    box = clone_of(store, tmp_path / "box")
    (box / "a.txt").write_text("three\n")
    tip = commit(box, "mine")
    found = take_in(tmp_path / "q", work(tip, packed(box, tip, store.commit), tmp_path / "pack"), store)
    seen = everything_in(BaseStore(found.checked, tip))
    assert tip in seen
    assert store.origin.encode() not in b"\0".join(seen.values())
    assert store.origin not in seen


@pytest.mark.parametrize("history", ["shallow", "none"])
def test_what_was_not_given_cannot_be_built_upon(repo: Path, tmp_path: Path, history: History) -> None:
    store = store_of(repo, tmp_path, history)
    hidden = git(repo, "rev-parse", "base~1" if history == "shallow" else "base")
    objects = Objects()
    tip = objects.commit(objects.tree(("100644", b"a", objects.blob())), store.commit, hidden)
    with pytest.raises(Refused, match=r"git refuses|incomplete"):
        take_in(tmp_path / "q", work(tip, objects.pack(), tmp_path / "pack"), store)


# -- raw commits


SIGNED = (
    b"tree " + b"a" * 40 + b"\nparent " + b"b" * 40 + b"\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 2 +0100\n"
    b"parent " + b"b" * 39 + b"d\n"
    b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n parent " + b"b" * 40 + b"\n -----END PGP SIGNATURE-----\n"
    b"encoding latin1\n\nparent " + b"b" * 40 + b"\n\ngpgsig of the message\n"
)


def test_other_parents_leave_author_and_message_and_drop_the_signature() -> None:
    made = with_parents(SIGNED, {"b" * 40: "c" * 40})
    assert made == (
        b"tree " + b"a" * 40 + b"\nparent " + b"c" * 40 + b"\nauthor A <a@b> 1 +0000\n"
        b"committer C <c@d> 2 +0100\nparent "
        + b"b" * 39
        + b"d\nencoding latin1\n\nparent "
        + b"b" * 40
        + b"\n\ngpgsig of the message\n"
    )


def test_a_parent_in_capitals_is_no_commit() -> None:
    written = SIGNED.replace(b"parent " + b"b" * 40 + b"\nauthor", b"parent " + b"B" * 40 + b"\nauthor")
    with pytest.raises(ValueError, match="not written as git writes it"):
        with_parents(written, {"b" * 40: "c" * 40})


def test_an_unknown_parent_is_no_parent() -> None:
    with pytest.raises(KeyError):
        with_parents(SIGNED, {})


def test_the_stand_in_is_what_git_would_write(repo: Path) -> None:
    raw = closed.git(repo / ".git", "cat-file", "commit", "base")
    stand_in = standing_for(raw)
    assert tree_of(stand_in) == git(repo, "rev-parse", "base^{tree}")
    written = closed.git(repo / ".git", "hash-object", "-t", "commit", "--stdin", stdin=stand_in)
    assert written.decode().strip() == oid_of("commit", stand_in)
    with pytest.raises(ValueError, match="names no tree"):
        tree_of(b"parent x\n")


def test_the_worktree_is_added_at_the_users_commit(repo: Path, tmp_path: Path) -> None:
    store = store_of(repo, tmp_path, "none")
    worktree.add(repo / ".git", tmp_path / "tree", store.origin, tmp_path / "locks")
    assert worktree.is_registered(repo / ".git", tmp_path / "tree")
