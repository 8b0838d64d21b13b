"""Whether paths overlap, and who holds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.leases import Leases, overlap

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        ("src", "src", True),
        ("src/", "src/a.py", True),
        ("src/a", "./src//a/b", True),
        ("src/a", "src/ab", False),
        ("a.py", "b.py", False),
    ],
)
def test_overlap(one: str, other: str, result: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is result


@given(
    st.lists(
        st.tuples(st.sampled_from("rs"), st.lists(paths, max_size=2), st.sampled_from("xyz")), max_size=6
    ),
    paths,
)
def test_a_conflict_is_an_overlap_with_another_holder(
    held: list[tuple[str, list[str], str]], path: str
) -> None:
    leases = Leases()
    taken: list[tuple[str, str]] = []
    for repository, some, holder in held:
        if leases.conflict(repository, some, holder) is None:
            leases.take(repository, some, holder)
            taken += [(one, holder) for one in some if repository == "r"]
    found = leases.conflict("r", [path], "x")
    others = {holder for one, holder in taken if holder != "x" and overlap(one, path)}
    assert (found is not None) == bool(others)
    if found is not None:
        assert found[0] == path
        assert found[1] in others
