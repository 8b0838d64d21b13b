"""The quarantine: what a box was not given is not made part of its work, and refused work is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.gather.findings import Change
from runner.gather.policy import Refused
from runner.gather.quarantine import take_in
from runner.git.base_store import BaseStore, base_store
from tests.support import git, make_repo
from tests.unit.hostile import FILE, TREE, git_bomb
from tests.unit.packs import Objects, work
from tests.unit.taking_in import Host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host.at(tmp_path_factory.mktemp("quarantine"))


@pytest.fixture(autouse=True)
def the_repository_is_never_touched(host: Host) -> Iterator[None]:
    """Whatever the quarantine is given: no byte of the user's repository changes."""
    before = host.looks()
    yield
    assert host.looks() == before


def secret_tip(objects: Objects, host: Host) -> str:
    objects.blob()
    return host.secret


def secret_parent(objects: Objects, host: Host) -> str:
    return objects.commit(objects.tree((FILE, b"a", objects.blob())), host.commit, host.secret)


def secret_tree(objects: Objects, host: Host) -> str:
    return objects.commit(git(host.repo, "rev-parse", "secret^{tree}"), host.commit)


def secret_directory(objects: Objects, host: Host) -> str:
    tree = git(host.repo, "rev-parse", "secret^{tree}")
    return objects.commit(objects.tree((TREE, b"d", tree)), host.commit)


def secret_file(objects: Objects, host: Host) -> str:
    file = git(host.repo, "rev-parse", "secret:secret.txt")
    return objects.commit(objects.tree((FILE, b"s", file)), host.commit)


@pytest.mark.parametrize("make", [secret_tip, secret_parent, secret_tree, secret_directory, secret_file])
def test_what_the_box_was_not_given_cannot_be_made_part_of_its_work(
    host: Host, make: Callable[[Objects, Host], str]
) -> None:
    objects = Objects()
    tip = make(objects, host)
    with pytest.raises(Refused, match=r"git refuses|incomplete|not there"):
        host.take_in(tip, objects.pack())


def test_refused_work_leaves_no_pack_that_a_later_one_could_use(host: Host) -> None:
    objects = Objects()
    tip = git_bomb(objects, host.commit)
    with pytest.raises(Refused):
        host.take_in(tip, objects.pack())
    with pytest.raises(Refused, match="not there"):
        host.take_in(tip, Objects().pack())


OLD_FILE = "100664"


@pytest.fixture
def old(tmp_path: Path) -> tuple[BaseStore, str]:
    """The base store of a commit whose directory was written by an old tool, and that directory's id."""
    repo = make_repo(tmp_path / "repo", {"dir/f.txt": "one\n", "top.txt": "two\n"})
    entry = OLD_FILE.encode() + b" f.txt\0" + bytes.fromhex(git(repo, "rev-parse", "HEAD:dir/f.txt"))
    (tmp_path / "tree").write_bytes(entry)
    put = ("hash-object", "-t", "tree", "-w", "--literally")
    directory = git(repo, *put, str(tmp_path / "tree"))
    (tmp_path / "root").write_bytes(b"40000 dir\0" + bytes.fromhex(directory))
    root = git(repo, *put, str(tmp_path / "root"))
    commit = git(repo, "commit-tree", "-m", "old", root)
    return base_store(tmp_path / "bases", repo / ".git", commit), directory


def test_work_beside_a_directory_of_an_old_tool_comes_home(
    tmp_path: Path, old: tuple[BaseStore, str]
) -> None:
    base, directory = old
    objects = Objects()
    tip = objects.commit(
        objects.tree((TREE, b"dir", directory), (FILE, b"new.txt", objects.blob())), base.commit
    )
    found = take_in(tmp_path / "q", work(tip, objects.pack(), tmp_path / "pack"), base)
    assert found.change() == Change(1, 1, 0)


def test_the_same_files_with_modes_that_git_writes_today_are_no_change(
    tmp_path: Path, old: tuple[BaseStore, str]
) -> None:
    base, directory = old
    objects = Objects()
    file = git(base.path, "rev-parse", f"{directory}:f.txt")
    tip = objects.commit(objects.tree((TREE, b"dir", objects.tree((FILE, b"f.txt", file)))), base.commit)
    found = take_in(tmp_path / "q", work(tip, objects.pack(), tmp_path / "pack"), base)
    assert found.is_empty
    assert found.touched(("dir",)) == ()
