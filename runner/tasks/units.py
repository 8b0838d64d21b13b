"""Sizes, durations and counts as people write them: `4GiB`, `1h30min`, `40M`.

Sizes are binary whatever the spelling: `512m`, `512M`, `512MB` and `512MiB` are all 512 · 2²⁰ bytes.
In a duration `m` is a minute. Counts (of tokens) are decimal: `40M` is forty million.
"""

from __future__ import annotations

import re
from decimal import Decimal

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
SIZE_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})?\s*([KkMmGgTt]?[Ii]?[Bb]?)$"
DURATION_PATTERN = (
    r"^([0-9]{1,9}(\.[0-9]{1,3})?\s*(days?|d|hours?|h|minutes?|mins?|m|seconds?|secs?|sec|s)\s*)+$"
)
COUNT_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})?\s*[KkMmGgBb]?$"

_SIZE = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_COUNT = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_LARGEST_INTEGER = 10**15


def parse_size(value: object) -> int:
    """The bytes that `value` means; a bare integer is bytes.

    Raises:
        ValueError: It is not a size; the message says how one is written.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)(i?)(b?)", _text(value), re.IGNORECASE)
    # "5i" and "5ib" have no letter that the i could belong to.
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{_shown(value)} is not a size: write it like 512MiB, 4GiB or 10G")
    size = Decimal(match[1]) * _SIZE[match[2].lower()]
    if not match[2] and size != int(size):
        raise ValueError(f"{_shown(value)} is not a whole number of bytes: write it like 512MiB, 4GiB or 10G")
    return int(size)


def parse_duration(value: object) -> float:
    """The seconds that `value` means. A bare number is refused, because it could be seconds or minutes.

    Raises:
        ValueError: It is not a duration; the message says how one is written.
    """
    text = _text(value)
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"{_shown(value)} has no unit: write {text}s, {text}min or {text}h")
    if re.fullmatch(DURATION_PATTERN, text, re.ASCII) is None:
        raise ValueError(f"{_shown(value)} is not a duration: write it like 90s, 45min, 1h30min or 2d")
    parts = re.findall(r"([0-9.]+)\s*([a-z])", text)
    units = [unit for _, unit in parts]
    if len(set(units)) < len(units):
        raise ValueError(f"{_shown(value)} names a unit twice: write it like 90s, 45min or 1h30min")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts))


def parse_count(value: object) -> int:
    """The number that `value` means: `250k`, `40M`, `1.5G`, or a bare integer.

    Raises:
        ValueError: It is not a whole number; the message says how one is written.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgb]?)", _text(value), re.IGNORECASE)
    count = Decimal(match[1]) * _COUNT[match[2].lower()] if match else Decimal("0.5")
    if count != int(count):
        raise ValueError(f"{_shown(value)} is not a count: write it like 500000, 250k or 40M")
    return int(count)


def format_size(size: float) -> str:
    """A size for people, with at most three significant digits: `512MiB`, `1.5GiB`, `17B`."""
    for factor, unit in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        # 999.5 of the smaller unit would round to four digits, so from there on the larger one is used.
        if size >= factor:
            return f"{_digits(size / factor)}{unit}"
    return f"{size:.0f}B"


def format_duration(seconds: float) -> str:
    """A duration for people: `1h30min`, `45min`, `4.2s`; from a minute on to the whole second."""
    if seconds < 60 and round(seconds, 1) < 60:
        return f"{_plain(round(seconds, 1))}s"
    rest, text = round(seconds), ""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, length)
        text += f"{number}{unit}" if number else ""
    return text


def _text(value: object) -> str:
    """The text to parse; what is neither text nor a plain number becomes text that no pattern takes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "?"
    if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER:
        return "?"
    return str(value).strip()


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:37]}…"


def _digits(number: float) -> str:
    """Up to 1023 as whole number from 100 on, else with as many decimals as make three digits."""
    decimals = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return _plain(round(number, decimals))


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
