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


def old_base(trees: Trees) -> str:
    """A tree such as old tools made, in a directory of it too."""
    inner = trees.add(("100664", b"group", BLOB), ("100700", b"tool", BLOB), ("120777", b"link", BLOB))
    return trees.add(("040000", b"dir", inner), ("100664", b"file", BLOB))


def test_what_old_tools_wrote_in_the_base_is_not_held_against_the_work() -> None:
    trees = Trees()
    base = old_base(trees)
    walk = TreeWalk(trees.read, is_given=set(trees.raw).__contains__)
    walk.begin_with(base)
    inner = trees.raw[base].split(b"dir\0")[1][:20].hex()
    work = trees.add(("40000", b"dir", inner), ("100644", b"file", BLOB), ("100644", b"new", BLOB))
    assert walk.shape(work).entries == 6


def test_what_the_base_has_is_refused_where_the_work_makes_it_anew() -> None:
    trees = Trees()
    base = old_base(trees)
    walk = TreeWalk(trees.read, is_given=set(trees.raw).__contains__)
    walk.begin_with(base)
    with pytest.raises(Refused, match="100664"):
        walk.shape(trees.add(("100664", b"other", BLOB)))


def test_an_odd_tree_of_the_history_before_the_base_may_come_back() -> None:
    trees = Trees()
    earlier = old_base(trees)
    walk = TreeWalk(trees.read, is_given=set(trees.raw).__contains__)
    walk.begin_with(trees.add(("100644", b"file", BLOB)))
    assert walk.shape(earlier).entries == 5


def nested(trees: Trees, levels: int) -> str:
    oid = trees.add(("100644", b"f", BLOB))
    for _ in range(levels - 1):
        oid = trees.add(("40000", b"d", oid))
    return oid


def test_a_base_beyond_the_bounds_leaves_work_on_it_as_much_room_again() -> None:
    trees = Trees()
    walk = TreeWalk(trees.read, Policy(depth=10))
    walk.begin_with(nested(trees, 20))
    assert walk.shape(nested(trees, 40)).depth == 40
    with pytest.raises(Refused, match="deep"):
        walk.shape(nested(trees, 41))


def test_a_small_base_does_not_narrow_the_bounds_and_a_vast_one_is_refused() -> None:
    trees = Trees()
    walk = TreeWalk(trees.read, Policy(depth=10))
    walk.begin_with(nested(trees, 1))
    assert walk.shape(nested(trees, 10)).depth == 10
    with pytest.raises(Refused, match="its base has directories nested"):
        TreeWalk(trees.read, Policy(depth=10)).begin_with(nested(trees, 81))


@pytest.mark.parametrize(("mode", "taken_for"), [
    ("100664", "100644"), ("100600", "100644"), ("100775", "100755"), ("040000", "40000"),
    ("40755", "40000"), ("120777", "120000"), ("160755", "160000"), ("0", "160000"),
])  # fmt: skip
def test_an_old_mode_is_taken_for_what_git_takes_it_for(mode: str, taken_for: str) -> None:
    trees = Trees()
    raw = trees.raw[trees.add((mode, b"old", BLOB))]
    assert [entry.mode for entry in parse_tree(raw, as_git_reads=True)] == [taken_for]


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    try:
        entries = list(parse_tree(raw))
    except Refused:
        return
    again = b"".join(e.mode.encode() + b" " + e.name + b"\0" + e.oid for e in entries)
    assert again == raw
