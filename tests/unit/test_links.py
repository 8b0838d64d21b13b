"""The other names that links of a tree give its files are names that a file system would take for them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.links import MOST_NAMES, Links, led_to


def links(**targets: str) -> Links:
    """Links by their names, each with its text."""
    found = Links()
    for name, target in targets.items():
        path = name.replace("_", "/").encode()
        found.by_target.setdefault(led_to(path, target.encode()), []).append(path)
    return found


@pytest.mark.parametrize(
    ("known", "names"),
    [
        ({}, {"u/x"}),
        ({"s": "u"}, {"u/x", "s/x"}),
        ({"s": "./u/"}, {"u/x", "s/x"}),
        ({"s": "u/x"}, {"u/x", "s"}),
        ({"s": "t", "t": "u"}, {"u/x", "t/x", "s/x"}),
        ({"a_b": "../u", "c": "a/b/x"}, {"u/x", "a/b/x", "c"}),
        ({"s": "/workspace/u", "t": "/etc", "v": "../u", "w": "/workspace/../u"}, {"u/x", "s/x"}),
        ({"s": "other", "u_y": "x"}, {"u/x", "u/y"}),
    ],
)
def test_a_file_is_known_by_all_names_that_lead_to_it(known: dict[str, str], names: set[str]) -> None:
    assert {name.decode() for name in links(**known).names(b"u/x")} == names


@pytest.mark.parametrize("known", [{"s": "."}, {"a": "b", "b": "a"}, {"u_y": "../u"}, {"s": "s"}])
def test_links_in_circles_come_to_an_end(known: dict[str, str]) -> None:
    found = list(links(**known).names(b"u/x"))
    assert found[0] == b"u/x"
    assert len(found) == len(set(found)) <= MOST_NAMES + len(known)


PARTS = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.one_of(PARTS, st.sampled_from(["..", "."])), min_size=1, max_size=3).map("/".join)


@given(file=PATHS, targets=st.dictionaries(PATHS, TARGETS, max_size=3))
def test_all_names_lead_to_the_file(file: str, targets: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        made = Links()
        for path, text in ({file: ""} | targets).items():
            place = root / path
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(text) if text else place.touch(exist_ok=False)
            except OSError:
                continue  # there is something already, or something else on the way
            if text and root in (place.parent.resolve(), *place.parent.resolve().parents):
                real = os.fsencode((place.parent.resolve() / place.name).relative_to(root))
                made.by_target.setdefault(led_to(real, text.encode()), []).append(real)
        wanted = os.path.realpath(root / file)
        for name in made.names(file.encode()):
            seen = os.path.realpath(root / os.fsdecode(name))
            assert seen == wanted or not Path(seen).exists(), (name, made.by_target)
