"""Sizes, durations and counts as people write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    format_duration,
    format_size,
    parse_count,
    parse_duration,
    parse_size,
)

anything = st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 * MIB),
        ("512M", 512 * MIB),
        ("512MB", 512 * MIB),
        ("512MiB", 512 * MIB),
        ("4GiB", 4 * GIB),
        ("4 g", 4 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("2t", 2 * TIB),
        ("7k", 7 * KIB),
        ("17B", 17),
        ("17", 17),
        (17, 17),
        (0, 0),
    ],
)
def test_sizes_are_binary(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "GiB",
        "-1",
        "4 GiBs",
        "4GiG",
        "5i",
        "5iB",
        "1,5G",
        "1.5",
        1.5,
        "1e9",
        True,
        None,
        [],
        -3,
        "٣G",
        10**20,
    ],
)
def test_what_is_no_size_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="write it like 512MiB"):
        parse_size(wrong)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90 sec", 90),
        ("5m", 300),
        ("45min", 2700),
        ("45 minutes", 2700),
        ("1h30min", 5400),
        ("1h 30 min", 5400),
        ("2d", 172800),
        ("1 day 2 hours", 93600),
        ("0.5s", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "wrong", ["", "h", "1h1h", "45MIN", "-5s", "1:30", "5 fortnights", True, None, "5s!", "٣s"]
)
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="write it like 90s"):
        parse_duration(wrong)


@pytest.mark.parametrize("bare", [45, "45", 4.5])
def test_a_duration_needs_its_unit(bare: object) -> None:
    with pytest.raises(ValueError, match=rf"has no unit: write {bare}s, {bare}min or {bare}h"):
        parse_duration(bare)


@pytest.mark.parametrize(
    ("text", "count"),
    [("40M", 40_000_000), ("250k", 250_000), ("1.5G", 1_500_000_000), (7, 7), ("2B", 2 * 10**9)],
)
def test_counts_are_decimal(text: object, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("wrong", ["", "M", "1.5", "-1", True, None, "1.0000001k", 1.5])
def test_what_is_no_count_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        parse_count(wrong)


@given(anything)
def test_parsers_raise_nothing_but_value_errors(value: object) -> None:
    for parse in (parse_size, parse_duration, parse_count):
        with suppress(ValueError):
            assert parse(value) >= 0


@given(st.integers(0, 1023), st.sampled_from([1, KIB, MIB, GIB, TIB]))
def test_whole_sizes_come_back_exactly(number: int, unit: int) -> None:
    assert parse_size(format_size(number * unit)) == number * unit


@given(st.integers(0, 2**52))
def test_sizes_come_back_to_three_digits(size: int) -> None:
    text = format_size(size)
    assert abs(parse_size(text) - size) <= size * 0.005
    assert len(text) <= 7


@given(st.integers(0, 10**9))
def test_durations_come_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.floats(0, 1e9))
def test_durations_come_back_to_the_shown_digit(seconds: float) -> None:
    assert abs(parse_duration(format_duration(seconds)) - seconds) <= (0.051 if seconds < 60 else 0.5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (4.21, "4.2s"), (59.97, "1min"), (60, "1min"), (5400, "1h30min"), (90061, "1d1h1min1s")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1536, "1.5KiB"), (512 * MIB, "512MiB"), (10 * GIB, "10GiB"), (1_234_567, "1.18MiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text
