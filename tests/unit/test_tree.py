"""Where the links of a tree lead is where a file system would go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.tree import FOLLOWED, Tree


def tree(links: dict[str, str]) -> Tree:
    """A tree of links, each with its text."""
    return Tree(frozenset(), frozenset(links), links.__getitem__)


@pytest.mark.parametrize(
    ("links", "path", "real"),
    [
        ({}, "a/./b//c", "a/b/c"),
        ({"s": "u"}, "s/x", "u/x"),
        ({"s": "./u/"}, "s", "u"),
        ({"s": "t", "t": "u"}, "s/x", "u/x"),
        ({"a/b": "../u"}, "a/b/x", "u/x"),
        ({"s": "u/v"}, "s/../x", "u/x"),
        ({"s": "/workspace/u"}, "s/x", "u/x"),
        ({"s": "/etc"}, "s/x", None),
        ({"s": "/workspace/../u"}, "s/x", None),
        ({"s": ".."}, "s/x", None),
        ({"a": "b", "b": "a"}, "a/x", None),
        ({"a": "."}, "a/" * FOLLOWED + "x", "x"),
        ({"a": "."}, "a/" * (FOLLOWED + 1) + "x", None),
    ],
)
def test_a_path_leads_to_one_place(links: dict[str, str], path: str, real: str | None) -> None:
    assert tree(links).real(path) == real


PARTS = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
STEPS = st.one_of(PARTS, st.sampled_from(["..", "."]))
TARGETS = st.lists(STEPS, min_size=1, max_size=3).map("/".join)
ASKED = st.lists(STEPS, min_size=1, max_size=4).map("/".join)


@given(files=st.lists(PATHS, max_size=3), targets=st.dictionaries(PATHS, TARGETS, max_size=4), asked=ASKED)
def test_it_is_where_a_file_system_goes(files: list[str], targets: dict[str, str], asked: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        made = {}
        for path, text in (*((file, "") for file in files), *targets.items()):
            place = root / path
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(text) if text else place.touch(exist_ok=False)
            except OSError:
                continue  # there is something already, or something else on the way
            where = place.parent.resolve()
            if text and root in (where, *where.parents):
                made[(where / place.name).relative_to(root).as_posix()] = text
        found = tree(made).real(asked)
        try:
            real = (root / asked).resolve(strict=True)
        except (OSError, RuntimeError):
            return  # nothing is there
        if root in (real, *real.parents) and found is not None:
            assert root / found == real
        if found is None:
            assert any(".." in text.split("/") for text in (*made.values(), asked))
