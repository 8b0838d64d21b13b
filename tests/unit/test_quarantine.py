"""The quarantine against hostile packs: refused in bounded time, and nothing of the user's changes."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.policy import Refused
from runner.gather.quarantine import Quarantine, take_in
from runner.git.base_store import BaseStore, base_store
from tests.support import git, host_git_hashes, make_repo
from tests.unit.hostile import FILE, HOSTILE, TREE, git_bomb
from tests.unit.packs import Objects, delta, entry, oid_of, pack_of, sealed, work

SECONDS = 30
"""How long a refusal may take on a slow machine; most take a few tenths of a second."""


@dataclass(frozen=True)
class Host:
    """A user's repository, the base store of its `main`, and a commit on a branch no box was given."""

    repo: Path
    base: BaseStore
    secret: str
    place: Path

    @property
    def commit(self) -> str:
        return self.base.commit

    def take_in(self, tip: str, pack: bytes) -> Quarantine:
        shutil.rmtree(self.place, ignore_errors=True)
        return take_in(self.place / "git", work(tip, pack, self.place / "pack"), self.base)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = tmp_path_factory.mktemp("quarantine")
    repo = make_repo(folder / "repo", {"a.txt": "one\n", "dir/b.txt": "two\n" * 200})
    commit = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "secret")
    (repo / "secret.txt").write_text("s3cret\n")
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "secret")
    secret = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "main")
    return Host(repo, base_store(folder / "bases", repo / ".git", commit), secret, folder / "q")


@pytest.fixture(autouse=True)
def the_repository_is_never_touched(host: Host) -> Iterator[None]:
    """Whatever the quarantine is given: no byte of the user's repository changes."""
    before = (host_git_hashes(host.repo), git(host.repo, "count-objects", "-v"))
    yield
    assert (host_git_hashes(host.repo), git(host.repo, "count-objects", "-v")) == before


@pytest.mark.parametrize("what", HOSTILE)
def test_refused(host: Host, what: str) -> None:
    make, why = HOSTILE[what]
    objects = Objects()
    tip = make(objects, host.commit)
    started = time.monotonic()
    with pytest.raises(Refused, match=why):
        host.take_in(tip, objects.pack())
    assert time.monotonic() - started < SECONDS


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


def test_a_long_chain_of_deltas_is_read(host: Host) -> None:
    objects = Objects()
    before = objects.blob(b"0000")
    for number in range(1, 4096):
        after = oid_of("blob", b"%04d" % number)
        objects.packed[after] = delta(4, 4, b"\x04%04d" % number, before)
        before = after
    tip = objects.commit(objects.tree((FILE, b"a", before)), host.commit)
    assert host.take_in(tip, objects.pack()).commit == tip


def test_refused_work_leaves_no_pack_that_a_later_one_could_use(host: Host) -> None:
    objects = Objects()
    tip = git_bomb(objects, host.commit)
    with pytest.raises(Refused):
        host.take_in(tip, objects.pack())
    with pytest.raises(Refused, match="not there"):
        host.take_in(tip, Objects().pack())


# -- bytes that are no good pack


def good(host: Host) -> tuple[str, bytes]:
    objects = Objects()
    inner = objects.tree((FILE, b"new.txt", objects.blob(b"new\n" * 300)))
    tip = objects.commit(
        objects.tree((FILE, b"a.txt", objects.blob(b"more\n")), (TREE, b"d", inner)), host.commit
    )
    return tip, objects.pack()


BROKEN: dict[str, Callable[[bytes, str], bytes]] = {
    "empty": lambda _, __: b"",
    "random bytes": lambda _, __: random.Random(1).randbytes(5000),  # noqa: S311 - not for secrets
    "cut off in the header": lambda pack, _: pack[:7],
    "cut off in the middle": lambda pack, _: pack[: len(pack) // 2],
    "without its last byte": lambda pack, _: pack[:-1],
    "with a wrong checksum": lambda pack, _: pack[:-20] + bytes(20),
    "of an unknown version": lambda pack, _: sealed(pack[:4] + b"\0\0\0\x09" + pack[8:-20]),
    "with fewer objects than it says": lambda pack, _: sealed(pack[:8] + b"\xff\xff\xff\xf0" + pack[12:-20]),
    "with more objects than it says": lambda pack, _: sealed(pack[:8] + b"\0\0\0\x01" + pack[12:-20]),
    "of an object of no known kind": lambda _, __: pack_of([entry(5, 1, b"x")]),
    "with a size that no memory holds": lambda _, __: pack_of([entry(2, 2**50, b"x")]),
    "with a delta to an unknown base": lambda _, __: pack_of([delta(4, 4, b"\x90\x04", "ab" * 20)]),
    "with a delta to itself": lambda _, tip: pack_of([delta(4, 4, b"\x90\x04", tip)]),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_pack_is_refused(host: Host, how: str) -> None:
    tip, pack = good(host)
    with pytest.raises(Refused, match="git refuses its objects"):
        host.take_in(tip, BROKEN[how](pack, tip))


@given(data=st.data())
def test_a_mutated_pack_is_refused_or_means_the_same(host: Host, data: st.DataObject) -> None:
    tip, pack = good(host)
    body = bytearray(pack[:-20])
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        at = data.draw(st.integers(0, len(body) - 1), "at")
        cut = data.draw(st.integers(0, 3), "cut")
        body[at : at + cut] = data.draw(st.binary(max_size=3), "insert")
    try:
        found = host.take_in(tip, sealed(bytes(body)))
    except Refused:
        return
    assert found.commit == tip
    assert not found.is_empty
