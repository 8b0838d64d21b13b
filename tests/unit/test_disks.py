"""How large a disk is, and what is said of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import EngineError
from runner.sandbox.disks import FEWEST_FILES, MOST_FILES, SMALLEST, Room, _room, files_of, share_of

GIB = 1024**3
sizes = st.integers(min_value=SMALLEST, max_value=10**15)


@given(sizes, st.integers(min_value=0, max_value=10**16))
def test_a_disk_is_never_more_than_the_host_can_bear(size: int, free: int) -> None:
    if free < 2 * size and min(size, free // 4) < SMALLEST:
        with pytest.raises(EngineError, match="No space left"):
            share_of(size, free)
        return
    granted, scarce = share_of(size, free)
    assert SMALLEST <= granted <= size
    assert granted <= free
    assert scarce == (free < 2 * size)


def test_a_host_with_room_gives_all_that_was_asked_for() -> None:
    assert share_of(10 * GIB, 20 * GIB) == (10 * GIB, False)
    assert share_of(10 * GIB, 20 * GIB - 1) == (5 * GIB - 1, True)


@given(sizes)
def test_files_are_bounded_by_the_size(size: int) -> None:
    assert FEWEST_FILES <= files_of(size) <= MOST_FILES


@pytest.mark.parametrize(
    ("room", "full"), [(Room(0, 5), True), (Room(10**9, 0), True), (Room(10**9, 1), False)]
)
def test_a_disk_without_bytes_or_files_is_full(room: Room, full: bool) -> None:
    assert room.is_full == full


def test_what_is_no_mount_says_nothing(tmp_path: Path) -> None:
    assert _room(tmp_path) is None
    assert _room(tmp_path / "missing") is None
