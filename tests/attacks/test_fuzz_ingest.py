"""Case 35: mutations of good work are refused or are good work; nothing else ever happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from runner.gather import pack as gather
from runner.gather.policy import MODES, Refused
from runner.gather.quarantine import Quarantine
from runner.git import closed, worktree
from tests.attacks.fuzzing import MARGIN, SECONDS, cases, corpus, mutated, told
from tests.attacks.test_packs import INERT, is_crash
from tests.support import git, make_repo
from tests.unit.hostile import FILE, LINK, MODULE, NAMES, TREE
from tests.unit.packs import WHO, Entry, Objects, sealed
from tests.unit.taking_in import Host

pytestmark = pytest.mark.timeout(SECONDS + MARGIN)

PACK_WORDS = [
    b"PACK",
    b"\0\0\0\2",
    b"\x78\x9c",
    b"\xff\xff\xff\xf0",
    bytes(20),
    b"\x80" * 9,
    b"\x7f",
    b"\xf0",
]
HEADER_WORDS = [b" ", b"\n", b",", b"-", b"committed", b"salvaged", b"files", b"commits", b"0" * 40, b"\0"]
PLAIN = [b"a", b"b.txt", b"dir", b"Makefile", b".gitattributes", b".gitmodules", b"\xff", b"x" * 300]
ODD = [*NAMES, b"..", b".", b"a/b", b"", b"\x1b[2J", b".gitmodules\\x", b"n" * 1100]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host.at(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(autouse=True)
def the_repository_is_never_touched(host: Host) -> Iterator[None]:
    """Whatever the quarantine is given: no byte of the user's repository changes."""
    before = host.looks()
    yield
    assert host.looks() == before


def taken(host: Host, tip: str, pack: bytes) -> Quarantine | None:
    """What became of it: good work of that tip, or a refusal in plain words by git's own decision."""
    found = outcome(host, tip, pack)
    if isinstance(found, Refused):
        assert not is_crash(found)
        assert INERT.fullmatch(str(found))
        return None
    assert found.tip == tip
    assert all(INERT.fullmatch(flag) for flag in found.flags())
    return found


def outcome(host: Host, tip: str, pack: bytes) -> Quarantine | Refused:
    try:
        return host.take_in(tip, pack)
    except Refused as refused:
        return refused


def test_case_35_mutated_packs(host: Host) -> None:
    tip, good = host.good()
    for number, random in cases("packs"):
        body = mutated(random, [good[:-20]], PACK_WORDS)
        pack = sealed(body) if random.random() < 0.9 else body
        with told("packs", number, pack):
            found = taken(host, tip, pack)
            assert found is None or not found.is_empty


def test_case_35_random_work(host: Host, tmp_path: Path) -> None:
    """Objects that are whole, and say anything: what is let in is work that git itself calls sound."""
    let_in = 0
    for number, random in cases("work"):
        objects = Objects()
        tip = commits(random, objects, host.commit)
        with told("work", number, objects.pack()):
            found = taken(host, tip, objects.pack())
            if found is not None:
                let_in += 1
                is_sound(host, found, tmp_path / str(number))
    assert let_in or SECONDS < 1


def is_sound(host: Host, found: Quarantine, place: Path) -> None:
    """It can be brought home into a repository like the user's, which is whole afterwards."""
    rows = closed.git(
        found.path, "ls-tree", "-r", "-t", "-z", "--full-tree", found.tip, alternates=found.alternates
    )
    for row in rows.split(b"\0")[:-1]:
        head, _, path = row.partition(b"\t")
        assert head.split()[0].lstrip(b"0") in MODES
        assert not {b"", b".", b"..", b".git"} & {name.lower() for name in path.split(b"/")}
    repo = make_repo(place, {"a.txt": "one\n", "dir/b.txt": "two\n" * 200})
    assert git(repo, "rev-parse", "HEAD") == host.commit
    worktree.import_commits(
        repo / ".git", found.path, found.alternates, found.commit, found.base.origin, found.size
    )
    worktree.create_branch(repo / ".git", "corral/r/t/p/1", found.commit)
    git(repo, "fsck", "--strict", "--no-dangling")


def commits(random: Random, objects: Objects, base: str) -> str:
    """A few commits on the base, now and then not quite; the id of the last."""
    tips = [base]
    for _ in range(random.randint(1, 3)):
        parents = random.sample(tips, random.randint(1, len(tips)))
        if random.random() < 0.05:
            parents += random.choice(([], [parents[0]], ["ab" * 20]))
        made = tree(random, objects, 3)
        tips.append(raw_commit(random, objects, made, parents))
    return tips[-1]


def raw_commit(random: Random, objects: Objects, made: str, parents: list[str]) -> str:
    lines = [f"tree {made}", *(f"parent {parent}" for parent in parents), f"author {WHO}", f"committer {WHO}"]
    if random.random() < 0.1:
        lines.insert(
            random.randint(0, len(lines)), random.choice(("", "gpgsig x\n y", "parent x", "encoding \x1b"))
        )
    body = ("\n".join(lines) + f"\n\n{random.choice(('m', '', 'parent x', chr(27)))}\n").encode()
    return objects.add("commit", body)


def tree(random: Random, objects: Objects, levels: int) -> str:
    """A tree, mostly as git would write it."""
    rows: dict[bytes, Entry] = {}
    for _ in range(random.randint(0, 5)):
        name = random.choice(ODD) if random.random() < 0.03 else random.choice(PLAIN)
        rows[name] = row(random, objects, name, levels)
    entries = sorted(rows.values(), key=lambda entry: entry[1] + (b"/" if entry[0] == TREE else b""))
    if entries and random.random() < 0.03:
        entries.insert(random.randint(0, len(entries)), random.choice(entries))
    return objects.tree(*entries)


def row(random: Random, objects: Objects, name: bytes, levels: int) -> Entry:
    kind = random.choice((FILE, FILE, FILE, "100755", LINK, TREE))
    if random.random() < 0.03:
        kind = random.choice((MODULE, "100664", "104777", "0100644", "20666", "", "x"))
    if kind == TREE and levels:
        return TREE, name, tree(random, objects, levels - 1)
    text = random.choice((b"x\n", b"/etc/passwd", b"a/../..", b"\r", b'[submodule "m"]\npath="m\r"\nurl=x\n'))
    return FILE if kind == TREE else kind, name, objects.blob(text)


def test_mutated_headers(tmp_path: Path) -> None:
    """What stands before the pack is read as a tip, a kind and known words, or refused."""
    seeds = corpus("headers.txt")
    for number, random in cases("headers"):
        data = mutated(random, seeds, HEADER_WORDS)
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(0, 4)))
        chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        with told("headers", number, chunks):
            is_read_or_refused(chunks, data, tmp_path / "pack")


def is_read_or_refused(chunks: list[bytes], data: bytes, place: Path) -> None:
    found = read(chunks, place)
    if isinstance(found, Refused):
        assert INERT.fullmatch(str(found))
        return
    line, _, rest = data.partition(b"\n")
    *_, named = line.split(b" ")
    assert line == f"{found.tip} {found.kind} ".encode() + named
    assert (",".join(found.left) or "-").encode() == named
    assert place.read_bytes() == rest
    assert re.fullmatch("[0-9a-f]{40}", found.tip)


def read(chunks: list[bytes], place: Path) -> gather.RawWork | Refused:
    try:
        header, _ = gather._save(((chunk, None) for chunk in chunks), place)
        return gather._parse(header, place)
    except Refused as refused:
        return refused
