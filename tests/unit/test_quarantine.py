"""The quarantine: what a box was not given is not made part of its work, and refused work is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runner.gather.policy import Refused
from tests.support import git
from tests.unit.hostile import FILE, TREE, git_bomb
from tests.unit.packs import Objects
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
