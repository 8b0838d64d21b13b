"""The tree policy: what expands too far is refused fast, whatever its size on disk."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.policy import Policy, Refused, TreeWalk, parse_tree

BLOB = "11" * 20


class Trees:
    """Raw tree objects by id."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.reads = 0

    def add(self, *entries: tuple[str, bytes, str]) -> str:
        body = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
        )
        oid = hashlib.sha1(body, usedforsecurity=False).hexdigest()
        self.raw[oid] = body
        return oid

    def read(self, oid: str) -> bytes:
        self.reads += 1
        return self.raw[oid]


def test_counts_depth_and_paths() -> None:
    trees = Trees()
    inner = trees.add(("100644", b"file", BLOB), ("100755", b"tool", BLOB))
    outer = trees.add(("40000", b"dir", inner), ("120000", b"link", BLOB))
    shape = TreeWalk(trees.read).shape(outer)
    assert (shape.entries, shape.depth, shape.path) == (4, 2, len("dir/file"))


def test_a_git_bomb_is_refused_after_a_few_reads() -> None:
    trees = Trees()
    oid = trees.add(*(("100644", b"f%d" % i, BLOB) for i in range(10)))
    for _ in range(10):
        oid = trees.add(*(("40000", b"d%d" % i, oid) for i in range(10)))
    with pytest.raises(Refused, match="files"):
        TreeWalk(trees.read).shape(oid)
    assert trees.reads < 50


def test_deep_trees_are_refused_before_they_are_walked_to_the_end() -> None:
    trees = Trees()
    oid = trees.add(("100644", b"f", BLOB))
    for _ in range(20_000):
        oid = trees.add(("40000", b"d", oid))
    with pytest.raises(Refused, match="deep"):
        TreeWalk(trees.read).shape(oid)
    assert trees.reads <= Policy().depth + 2


def test_long_paths_are_refused() -> None:
    trees = Trees()
    oid = trees.add(("100644", b"f", BLOB))
    for _ in range(5):
        oid = trees.add(("40000", b"n" * 250, oid))
    with pytest.raises(Refused, match="path longer"):
        TreeWalk(trees.read).shape(oid)


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    trees = Trees()
    TreeWalk(trees.read).shape(trees.add(("100644", b"n" * 255, BLOB)))
    with pytest.raises(Refused, match="name longer than 255"):
        TreeWalk(trees.read).shape(trees.add(("100644", b"n" * 256, BLOB)))


def test_one_tree_used_by_many_is_read_once() -> None:
    trees = Trees()
    inner = trees.add(("100644", b"f", BLOB))
    outer = trees.add(("40000", b"a", inner), ("40000", b"b", inner))
    walk = TreeWalk(trees.read)
    walk.shape(outer)
    walk.shape(outer)
    assert trees.reads == 2


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("104777", b"setuid"),
        ("100664", b"group"),
        ("100644", b".git"),
        ("100644", b".GIT"),
        ("100644", b".."),
        ("40000", b"."),
        ("100644", b"a/b"),
    ],
)
def test_what_git_would_not_write_is_refused(mode: str, name: bytes) -> None:
    trees = Trees()
    with pytest.raises(Refused):
        list(parse_tree(trees.raw[trees.add((mode, name, BLOB))]))


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    try:
        entries = list(parse_tree(raw))
    except Refused:
        return
    again = b"".join(e.mode.encode() + b" " + e.name + b"\0" + e.oid for e in entries)
    assert again == raw
