"""The quarantine against packs that a hostile box could send: refused in bounded time, and nothing changed."""

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
from runner.git import worktree
from runner.git.base_store import BaseStore, base_store
from tests.conftest import FULL
from tests.support import git, host_git_hashes, make_repo
from tests.unit.packs import Entry, Objects, delta, entry, pack_of, sealed, work

FILE, PROGRAM, LINK, TREE, MODULE = "100644", "100755", "120000", "40000", "160000"
BLOB_LIMIT = 50
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


def of_tree(*entries: Entry) -> Callable[[Objects, Host], str]:
    """A commit on the base whose tree has these entries; an id that is not given is that of some file."""

    def make(objects: Objects, host: Host) -> str:
        some = objects.blob()
        return objects.commit(objects.tree(*((m, n, o or some) for m, n, o in entries)), host.commit)

    return make


def gitmodules(text: str) -> Callable[[Objects, Host], str]:
    def make(objects: Objects, host: Host) -> str:
        entries = ((FILE, b".gitmodules", objects.blob(text.encode())), (MODULE, b"m", host.commit))
        return objects.commit(objects.tree(*entries), host.commit)

    return make


def git_bomb(objects: Objects, host: Host) -> str:
    oid = objects.tree(*((FILE, b"f%d" % n, objects.blob()) for n in range(10)))
    for _ in range(10):
        oid = objects.tree(*((TREE, b"d%d" % n, oid) for n in range(10)))
    return objects.commit(oid, host.commit)


def hidden_git_bomb(objects: Objects, host: Host) -> str:
    return objects.commit(objects.tree((FILE, b"a", objects.blob())), git_bomb(objects, host))


def deep_tree(objects: Objects, host: Host) -> str:
    oid = objects.tree((FILE, b"f", objects.blob()))
    for _ in range(20_000):
        oid = objects.tree((TREE, b"d", oid))
    return objects.commit(oid, host.commit)


def many_parents(objects: Objects, host: Host) -> str:
    tree = objects.tree((FILE, b"a", objects.blob()))
    parents = [objects.commit(tree, host.commit, message=f"{n}") for n in range(5000)]
    return objects.commit(tree, *parents)


def many_commits(objects: Objects, host: Host) -> str:
    tree, tip = objects.tree((FILE, b"a", objects.blob())), host.commit
    for number in range(1500):
        tip = objects.commit(tree, tip, message=f"{number}")
    return tip


def zeros(objects: Objects, host: Host) -> str:
    oid = objects.zeros(2048 if FULL else BLOB_LIMIT + 1)
    return objects.commit(objects.tree((FILE, b"zeros", oid)), host.commit)


def blown_up_by_a_delta(objects: Objects, host: Host) -> str:
    """A blob of 60 MiB that is a thousand copies of one of 64 KiB."""
    small = bytes(0x10000)
    base = objects.blob(small)
    copies = 1000
    instructions = b"\x80" * copies  # copy from offset 0, size 0, which means 64 KiB
    big = Objects().blob(small * copies)
    objects.packed[big] = delta(len(small), len(small) * copies, instructions, base)
    return objects.commit(objects.tree((FILE, b"big", big)), host.commit)


def tag(objects: Objects, host: Host) -> str:
    body = f"object {host.commit}\ntype commit\ntag t\ntagger A <a@b> 1 +0000\n\nm\n"
    return objects.add("tag", body.encode())


HOSTILE: dict[str, tuple[Callable[[Objects, Host], str], str]] = {
    **{
        f"a file called {name!a}": (of_tree((FILE, name, "")), "git refuses|forbidden")
        for name in (b".git", b".GIT", b".gIt", b"git~1", b".g\xe2\x80\x8cit", b".git ", b".git.", b"..", b".")
    },
    "a directory called .git": (of_tree((TREE, b".git", "")), "git refuses"),
    "a name with a slash": (of_tree((FILE, b"../../escape", "")), "git refuses"),
    "an empty name": (of_tree((FILE, b"", "")), "git refuses"),
    "two entries of one name": (of_tree((FILE, b"a", ""), (FILE, b"a", "")), "git refuses"),
    "a link and a file of one name": (of_tree((LINK, b"a", ""), (FILE, b"a", "")), "git refuses"),
    "entries out of order": (of_tree((FILE, b"b", ""), (FILE, b"a", "")), "git refuses"),
    "a set-user-id program": (of_tree((f"{0o104777:o}", b"a", "")), "file mode"),
    "a group-writable file": (of_tree((f"{0o100664:o}", b"a", "")), "file mode"),
    "a device": (of_tree((f"{0o020666:o}", b"a", "")), "git refuses|file mode"),
    "a mode with a leading zero": (of_tree((f"0{FILE}", b"a", "")), "git refuses|file mode"),
    "a name of 70 kB": (of_tree((FILE, b"n" * 70_000, "")), "longer than"),
    "a file that is said to be a directory": (of_tree((TREE, b"a", "")), "git refuses"),
    "a submodule whose address is an option": (gitmodules('[submodule "m"]\npath=m\nurl=-u./x\n'), "git refuses"),
    "a submodule whose path is an option": (gitmodules('[submodule "m"]\npath=-x\nurl=x\n'), "git refuses"),
    "a submodule whose name climbs": (gitmodules('[submodule "../m"]\npath=m\nurl=x\n'), "git refuses"),
    "a submodule with a command": (gitmodules('[submodule "m"]\npath=m\nurl=x\nupdate=!touch x\n'), "git refuses"),
    "a .gitmodules that is a link": (of_tree((LINK, b".gitmodules", "")), "git refuses"),
    "a tree of ten thousand million files": (git_bomb, "more than 500000 files"),
    "such a tree in a commit below the tip": (hidden_git_bomb, "more than 500000 files"),
    "directories nested 20000 deep": (deep_tree, "nested"),
    "a commit with 5000 parents": (many_parents, "more than 1000 commits|parents"),
    "1500 commits": (many_commits, "more than 1000 commits"),
    "a file of zeros larger than a file may be": (zeros, "a file of more than 50 MiB"),
    "a small delta that makes a large file": (blown_up_by_a_delta, "a file of more than 50 MiB"),
    "a tip that is a tag": (tag, "not a commit"),
    "a tip that is a tree": (lambda o, _: o.tree((FILE, b"a", o.blob())), "not a commit"),
    "a tip that is a blob": (lambda o, _: o.blob(), "not a commit"),
    "history without the base": (lambda o, _: o.commit(o.tree((FILE, b"a", o.blob()))), "not build on the base"),
    "a tip that was not sent": (lambda o, _: (o.blob(), "ab" * 20)[1], "not there"),
    "the user's secret commit as the tip": (lambda o, h: (o.blob(), h.secret)[1], "not there"),
    "the user's secret commit as a parent": (
        lambda o, h: o.commit(o.tree((FILE, b"a", o.blob())), h.commit, h.secret),
        "git refuses|incomplete",
    ),
    "a tree that was not sent": (lambda o, h: o.commit("ab" * 20, h.commit), "git refuses|incomplete"),
    "a file that was not sent": (of_tree((FILE, b"a", "cd" * 20)), "git refuses|incomplete"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_refused(host: Host, what: str) -> None:
    make, why = HOSTILE[what]
    objects = Objects()
    tip = make(objects, host)
    started = time.monotonic()
    with pytest.raises(Refused, match=why):
        host.take_in(tip, objects.pack())
    assert time.monotonic() - started < SECONDS


def test_the_users_secret_files_cannot_be_named_in_a_tree(host: Host) -> None:
    tree = git(host.repo, "rev-parse", f"{host.secret}^{{tree}}")
    for build in (
        lambda o: o.commit(tree, host.commit),
        lambda o: o.commit(o.tree((TREE, b"d", tree)), host.commit),
        lambda o: o.commit(o.tree((FILE, b"s", git(host.repo, "rev-parse", f"{tree}:secret.txt"))), host.commit),
    ):
        objects = Objects()
        tip = build(objects)
        with pytest.raises(Refused, match="git refuses|incomplete"):
            host.take_in(tip, objects.pack())


def test_refused_work_leaves_no_pack_that_a_later_one_could_use(host: Host) -> None:
    objects = Objects()
    tip = git_bomb(objects, host)
    with pytest.raises(Refused):
        host.take_in(tip, objects.pack())
    with pytest.raises(Refused, match="not there"):
        host.take_in(tip, Objects().pack())


# -- bytes that are no good pack


def good(host: Host) -> tuple[str, bytes]:
    objects = Objects()
    inner = objects.tree((FILE, b"new.txt", objects.blob(b"new\n" * 300)))
    tip = objects.commit(objects.tree((FILE, b"a.txt", objects.blob(b"more\n")), (TREE, b"d", inner)), host.commit)
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
