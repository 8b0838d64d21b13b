"""Names are made and matched in one place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import names
from runner.names import AttemptKey

IDS = st.from_regex(re.compile(names.ID_PATTERN), fullmatch=True).filter(names.is_id)


@given(IDS, IDS, st.integers(1, 999), st.integers(1, 9))
def test_keys_survive_being_written(task: str, profile: str, n: int, try_: int) -> None:
    key = AttemptKey(task, profile, n, try_)
    assert AttemptKey.parse(str(key)) == key
    assert AttemptKey.parse(str(key)).first == AttemptKey(task, profile, n)


@pytest.mark.parametrize(
    "text",
    ["", "../x", "a..b", "a.lock", "a.", "-flag", "--flag", "A", "a\n", "a/b", "a b", "x" * 65, "ä", ".a"],
)
def test_what_is_no_id(text: str) -> None:
    assert not names.is_id(text)


@given(st.text(max_size=70))
def test_ids_are_always_good_parts_of_a_ref(text: str) -> None:
    if names.is_id(text):
        assert re.fullmatch(r"[a-z0-9._-]+", text)
        assert not text.startswith(("-", "."))


def test_labels_are_found_by_their_filters() -> None:
    key = AttemptKey("t", "p")
    made = {f"{name}={value}" for name, value in names.labels("h", "r", key, "agent").items()}
    assert set(names.label_filters("h", "r", key)) <= made


def test_box_ids_differ_between_runs_homes_and_tries() -> None:
    key = AttemptKey("t", "p")
    ids = {names.box_id(h, r, k) for h in "ab" for r in "cd" for k in (key, key.retried())}
    assert len(ids) == 8
    assert all(re.fullmatch(r"[0-9a-f]{12}", one) for one in ids)
