"""Cases 21 to 35: bytes that a hostile gathering could print, fed straight into the quarantine.

Whatever they are, the user's repository keeps every byte, and git is never ended by a fault of its own.
What is refused is refused in bounded time and memory. Case 35, mutations of good bytes, is in
`test_fuzz_ingest`. Case 34, two files with one SHA-1, has no test: no public pair collides as git
objects, since git hashes a header before the content, and making one costs some 2^61 hashes.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.gather.policy import Refused
from runner.gather.quarantine import Quarantine
from runner.git import closed, worktree
from runner.git.closed import GitError, LongRecordError
from tests.conftest import FULL
from tests.support import git, within
from tests.unit.hostile import FILE, HOSTILE, LINK, MODULE, TREE, Make, long_tree, text_in_a_tree
from tests.unit.packs import MIB, Objects, delta, entry, oid_of, pack_of, sealed
from tests.unit.taking_in import Host

SECONDS = 30
"""How long a processor may work on a refusal; most take a few tenths of a second."""
MEMORY = 500 * MIB
"""What one git process may hold meanwhile: the threat model's bound for case 26."""
ROOT = Path(__file__).parents[2]
INERT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]*")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host.at(tmp_path_factory.mktemp("packs"))


@pytest.fixture(autouse=True)
def the_repository_is_never_touched(host: Host) -> Iterator[None]:
    """Whatever the quarantine is given: no byte of the user's repository changes."""
    before = host.looks()
    yield
    assert host.looks() == before


ALONE = """
import re, resource, sys
from pathlib import Path
from runner.gather.policy import Refused
from runner.gather.quarantine import take_in
from runner.git.base_store import BaseStore
from tests.unit.packs import RawWork
place, store, base, tip = sys.argv[1:]
work = RawWork(tip, "committed", Path(place) / "pack")
try:
    found = take_in(Path(place) / "git", work, BaseStore(Path(store), base))
    print("taken in:", len(found.flags()), "flags,", found.change())
except Refused as refused:
    print("refused:", refused)
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Alone:
    """What a process of its own made of work: what it told, and bytes that it and its largest git held."""

    told: str
    ours: int
    git: int


def taken_in_alone(host: Host, tip: str, pack: bytes) -> Alone:
    """Take work in, in a process that holds nothing else.

    Before it becomes git, a child is a copy of the process that starts it, and Linux counts what the copy
    held as the child's own: only a small parent shows what git holds.
    """
    shutil.rmtree(host.place, ignore_errors=True)
    host.place.mkdir()
    (host.place / "pack").write_bytes(pack)
    command = [sys.executable, "-c", ALONE, str(host.place), str(host.base.path), host.commit, tip]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told, ours, gits = done.stdout.splitlines()
    return Alone(told, int(ours) * 1024, int(gits) * 1024)


def is_refused(host: Host, number: int, what: str, seconds: float = SECONDS) -> None:
    make, why = HOSTILE[number][what]
    objects = Objects()
    tip = make(objects, host.commit)
    pack = objects.pack()
    with within(seconds), pytest.raises(Refused, match=why) as refused:
        host.take_in(tip, pack)
    assert not is_crash(refused.value)
    assert INERT.fullmatch(str(refused.value))


def is_crash(refused: Refused) -> bool:
    """Whether it was refused because git died of a signal, rather than by its own decision.

    Git's assertions (`BUG:`, then SIGABRT) are decisions of its own: they end it before it goes astray. A
    random pack in some thousands meets the one in its zlib.c that compares what it read with what zlib did.
    """
    cause = refused.__cause__
    if not isinstance(cause, GitError) or isinstance(cause, LongRecordError):
        return False
    return cause.code < 0 and not (cause.code == -signal.SIGABRT and "BUG: " in cause.stderr)


def flagged(host: Host, *entries: tuple[str, bytes, str], objects: Objects | None = None) -> tuple[str, ...]:
    """What is told of a commit with these entries on the base."""
    objects = objects or Objects()
    tip = objects.commit(objects.tree(*entries), host.commit)
    return host.take_in(tip, objects.pack()).flags()


@pytest.mark.parametrize("what", HOSTILE[21])
def test_case_21_names_of_gits_own_directory(host: Host, what: str) -> None:
    is_refused(host, 21, what)


@pytest.mark.parametrize("what", HOSTILE[22])
def test_case_22_names_that_lead_elsewhere(host: Host, what: str) -> None:
    is_refused(host, 22, what)


@pytest.mark.parametrize("what", HOSTILE[23])
def test_case_23_submodules_that_run_or_climb(host: Host, what: str) -> None:
    is_refused(host, 23, what)


@pytest.mark.parametrize("what", HOSTILE[24])
def test_case_24_modes_that_git_does_not_use(host: Host, what: str) -> None:
    is_refused(host, 24, what)


def test_case_24_submodules_are_flagged(host: Host) -> None:
    assert flagged(host, (MODULE, b"sub", host.commit)) == (
        "submodule entry 'sub': its files are not in the branch",
    )


LINKS = {
    b"absolute": (b"/etc/passwd", True),
    b"backslash": (b"..\\..\\x", True),
    b"climbing": (b"../x", True),
    b"down-and-out": (b"a/../../x", True),
    b"drive": (b"C:\\Windows", True),
    b"here": (b".", False),
    b"inside": (b"./d/../a.txt", False),
    b"long": (b"a/" * 3000, True),
    b"plain": (b"d/deep", False),
    b"through": (b"here/here/../../x", True),
}


def test_case_25_links_that_leave_are_flagged_and_not_followed(host: Host) -> None:
    objects = Objects()
    deep = objects.tree((LINK, b"deep", objects.blob(b"../../x")), (LINK, b"up", objects.blob(b"../a.txt")))
    rows = sorted(
        [*((LINK, name, objects.blob(target)) for name, (target, _) in LINKS.items()), (TREE, b"d", deep)],
        key=lambda row: row[1] + (b"/" if row[0] == TREE else b""),
    )
    told = flagged(host, *rows, objects=objects)
    leaving = sorted([*(name.decode() for name, (_, leaves) in LINKS.items() if leaves), "d/deep"])
    assert sorted(told) == [f"symlink '{name}' leads out of the tree" for name in leaving]


def test_case_25_floods_of_links_are_counted(host: Host) -> None:
    objects = Objects()
    out = objects.blob(b"/etc/passwd")
    rows = [(LINK, b"l%06d" % n, out) for n in range(30_000)]
    with within(SECONDS):
        told = flagged(host, *rows, objects=objects)
    assert len(told) == 2 * 21
    assert "9980 more symlinks that lead out of the tree" in told
    assert "19980 more symlinks that were not looked at" in told


@pytest.mark.parametrize("what", HOSTILE[26])
def test_case_26_trees_that_expand(host: Host, what: str) -> None:
    is_refused(host, 26, what, seconds=10)
    objects = Objects()
    tip = HOSTILE[26][what][0](objects, host.commit)
    assert taken_in_alone(host, tip, objects.pack()).git < MEMORY


@pytest.mark.parametrize("what", HOSTILE[27])
def test_case_27_deep_trees_and_long_names(host: Host, what: str) -> None:
    is_refused(host, 27, what)


@pytest.mark.parametrize("what", HOSTILE[28])
def test_case_28_small_packs_of_large_files(host: Host, what: str) -> None:
    is_refused(host, 28, what, seconds=60)
    held = sum(file.stat().st_size for file in host.place.rglob("*") if file.is_file())
    assert held < 1024 * MIB


def test_case_28_a_flood_of_zeros_ends_at_a_limit(host: Host) -> None:
    """At the full counts 64 GiB, which take longer than a git command may."""
    objects = Objects()
    tip = objects.commit(
        objects.tree((FILE, b"zeros", objects.zeros(64 * 1024 if FULL else 300))), host.commit
    )
    pack = objects.pack()
    with within(closed.DEFAULT.seconds):
        alone = taken_in_alone(host, tip, pack)
    assert re.search(r"^refused: .*(git refuses its objects|more than 50 MiB)", alone.told)
    assert alone.git < 2 * MEMORY


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
def test_case_29_what_is_no_pack(host: Host, how: str) -> None:
    tip, pack = host.good()
    with pytest.raises(Refused, match="git refuses its objects") as refused:
        host.take_in(tip, BROKEN[how](pack, tip))
    assert INERT.fullmatch(str(refused.value))


@pytest.mark.parametrize("what", HOSTILE[30])
def test_case_30_what_was_not_sent_or_is_no_work(host: Host, what: str) -> None:
    is_refused(host, 30, what)


@pytest.mark.parametrize("what", HOSTILE[31])
def test_case_31_many_parents_and_many_commits(host: Host, what: str) -> None:
    is_refused(host, 31, what)


def test_case_32_a_long_chain_of_deltas(host: Host) -> None:
    objects = Objects()
    before = objects.blob(b"0000")
    for number in range(1, 4096):
        after = oid_of("blob", b"%04d" % number)
        objects.packed[after] = delta(4, 4, b"\x04%04d" % number, before)
        before = after
    tip = objects.commit(objects.tree((FILE, b"a", before)), host.commit)
    assert host.take_in(tip, objects.pack()).commit == tip


def test_case_32_many_objects_that_nothing_names_stay_behind(host: Host) -> None:
    objects = Objects()
    for number in range(1_000_000 if FULL else 30_000):
        objects.blob(b"%d" % number)
    tip = objects.commit(objects.tree((FILE, b"a", objects.blob())), host.commit)
    within_limits(host, tip, objects)
    assert imported(host.take_in(tip, objects.pack())) == 3


def test_case_32_many_deltas_on_one_object(host: Host) -> None:
    objects = Objects()
    base = objects.blob(b"base" * 64)
    for number in range(100_000 if FULL else 10_000):
        text = b"%08d" % number
        objects.packed[oid_of("blob", text)] = delta(256, 8, b"\x08" + text, base)
    tip = objects.commit(objects.tree((FILE, b"a", base)), host.commit)
    within_limits(host, tip, objects)


def within_limits(host: Host, tip: str, objects: Objects) -> None:
    with within(90):
        alone = taken_in_alone(host, tip, objects.pack())
    assert alone.told.startswith("taken in: "), alone.told
    assert alone.git < 2 * MEMORY


def imported(found: Quarantine) -> int:
    """How many objects an import would copy."""
    count = ("rev-list", "--objects", "--count", found.commit, f"^{found.base.commit}")
    return int(closed.git(found.path, *count, alternates=found.alternates))


@pytest.mark.parametrize("where", ["path", "message", "author"])
def test_case_33_what_terminals_obey_is_told_in_plain_signs(host: Host, where: str) -> None:
    objects = Objects()
    tip = text_in_a_tree(where)(objects, host.commit)
    told = host.take_in(tip, objects.pack()).flags()
    assert told
    assert all(INERT.fullmatch(flag) for flag in told)


ACTIVE = (b".envrc", b".github/workflows/ci.yml", b"AGENTS.md", b"Makefile", b"sub/.vscode/tasks.json")


def test_case_20_active_files_are_flagged_exactly(host: Host) -> None:
    objects = Objects()
    plain = objects.blob()
    folder = objects.tree((FILE, b"tasks.json", plain))
    workflows = objects.tree((FILE, b"ci.yml", plain))
    told = flagged(
        host,
        (FILE, b".envrc", plain),
        (TREE, b".github", objects.tree((TREE, b"workflows", workflows))),
        (FILE, b"AGENTS.md", plain),
        (FILE, b"Makefile", plain),
        (FILE, b"package.json", objects.blob(b'{"version": "2"}')),
        (FILE, b"plain.txt", plain),
        (TREE, b"sub", objects.tree((TREE, b".vscode", folder))),
        (TREE, b"web", objects.tree((FILE, b"package.json", objects.blob(b'{"scripts": {"prepare": "x"}}')))),
        objects=objects,
    )
    named = {flag.split("'")[1].encode() for flag in told}
    assert named == {*ACTIVE, b"web/package.json"}
    assert "active file 'web/package.json': has scripts that run on their own" in told
    assert "active file '.github/workflows/ci.yml': runs in continuous integration" in told


def test_case_20_a_flood_of_one_kind_hides_no_other(host: Host) -> None:
    objects = Objects()
    plain = objects.blob()
    inner = objects.tree((FILE, b"conftest.py", plain))
    many = objects.tree(*((TREE, b"d%05d" % n, inner) for n in range(5000)))
    told = flagged(
        host, (TREE, b"a", many), (FILE, b"z.envrc", plain), (FILE, b"zz.pth", plain), objects=objects
    )
    assert len(told) == 21
    assert told[-1] == "4981 more active files: is run by Python or its tests"


def odd_modes(objects: Objects, base: str) -> str:
    """Git says a word about each of these, which nobody keeps."""
    plain, count = objects.blob(), 400_000 if FULL else 20_000
    trees = [objects.tree((f"{0o100664:o}", b"f%d" % n, plain)) for n in range(count)]
    return objects.commit(objects.tree(*((TREE, b"%06d" % n, tree) for n, tree in enumerate(trees))), base)


def wide(objects: Objects, base: str) -> str:
    """As many entries as a tree may have, all of them directories."""
    inner = objects.tree()
    return objects.commit(objects.tree(*((TREE, b"%06d" % n, inner) for n in range(499_000))), base)


def varied(objects: Objects, base: str) -> str:
    """As many different directories as are remembered."""
    plain, count = objects.blob(), 190_000 if FULL else 30_000
    trees = [objects.tree((FILE, b"f%d" % n, plain)) for n in range(count)]
    return objects.commit(objects.tree(*((TREE, b"%06d" % n, tree) for n, tree in enumerate(trees))), base)


def links(objects: Objects, base: str) -> str:
    """As many links as a tree may have, all with the longest target."""
    out = objects.blob(b"../" * 16_000)
    return objects.commit(
        objects.tree(*((LINK, b"%06d" % n, out) for n in range(499_000 if FULL else 50_000))), base
    )


def long_paths(objects: Objects, base: str) -> str:
    """As many files that act as a tree may have, at the longest paths."""
    oid = objects.tree((FILE, b"conftest.py", objects.blob()))
    for _ in range(3):
        oid = objects.tree((TREE, b"n" * 240, oid))
    return objects.commit(objects.tree(*((TREE, b"%06d" % n, oid) for n in range(100_000))), base)


@pytest.mark.parametrize("make", [long_tree, odd_modes, wide, varied, links, long_paths])
def test_the_host_side_holds_less_than_200_mib(host: Host, make: Make) -> None:
    objects = Objects()
    alone = taken_in_alone(host, make(objects, host.commit), objects.pack())
    assert alone.ours < 200 * MIB, alone.told


def test_work_that_was_refused_is_in_no_branch(host: Host) -> None:
    tip, pack = host.good()
    with pytest.raises(Refused):
        host.take_in(tip, pack[:-1])
    assert git(host.repo, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        "refs/heads/secret",
    ]
    assert worktree.branch_commit(host.repo / ".git", "corral/r/t/p/1") is None
