"""Whether two requests ask the same, though ids, dates and durations in them differ; and if not, where.

Two runs of one agent are never the same to the byte. What differs by nature is blanked before they are
compared, as little as will do: numbers stay, since "3 passed" and "2 passed" are not the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from runner.gateway.playing.redact import without_keys_in

Json = dict[str, JsonValue]

BESIDE = frozenset(
    (
        "metadata",
        "client_metadata",
        "prompt_cache_key",
        "safety_identifier",
        "user",
        "stream",
        "stream_options",
    )
)
"""Keys of a request that say who asks, and in which form the answer comes; not what is asked."""

ANYWHERE = frozenset(("cache_control",))
"""Keys that are about cost alone."""

CALLS = ("tool_use_id", "tool_call_id", "call_id")
"""Keys under which a tool's call or result says which call it is."""

_DAYS, _MONTHS = (
    "Mon|Tue|Wed|Thu|Fri|Sat|Sun",
    "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec",
)
_TIME = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"
_BY_NATURE = re.compile(
    r"(?P<billing>x-anthropic-billing-header:[^\n]*)"
    r"|(?P<id>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b|\btmp[._][A-Za-z0-9]{6,}\b"
    r"|\btmp[a-z0-9_]{8}\b)"
    rf"|(?P<date>\b\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]{_TIME})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
    rf"|\b(?:(?:{_DAYS})[a-z]*,? )?(?:{_MONTHS})[a-z]* +\d{{1,2}}"
    rf"(?:,? {_TIME})?(?: [A-Z]{{3,4}})?(?:,? \d{{4}})?(?: [+-]\d{{4}})?"
    rf"|\b{_TIME}(?: ?[AP]M\b)?)"
    r"|(?P<time>\b\d+(?:\.\d+)?(?:m\d+(?:\.\d+)?s| ?(?:ms|µs|us|ns|s|secs?|seconds?|min|minutes?))\b)"
    r"|(?P<span>\b(?:duration|elapsed|latency)\w*[\"']?\s*[:=>]\s*\d+(?:\.\d+)?)"
    r"|(?P<hash>\b[0-9a-f]{7,64}\b)"
)
"""What differs by nature, each with the word that takes its place. Whole words of seven hex digits and more
are taken for hashes, as git shortens them."""

LONGEST = 160
"""Characters of a text that are shown around a difference."""


MOST_REMEMBERED = 64 * 1024 * 1024
"""Characters of texts that are remembered: of what a box says there is no end."""


class Blanks:
    """Blanks texts; long ones are remembered, since a conversation repeats them with each request."""

    def __init__(self) -> None:
        self._done: dict[str, str] = {}
        self._room = MOST_REMEMBERED

    def __call__(self, text: str) -> str:
        """The text with what differs by nature blanked."""
        if len(text) < 64:
            return _blanked(text)
        made = self._done.get(text)
        if made is None:
            made = _blanked(text)
            if self._room >= len(text):
                self._room -= len(text)
                self._done[text] = made
        return made


def _blanked(text: str) -> str:
    return _BY_NATURE.sub(lambda found: f"<{found.lastgroup}>", without_keys_in(text))


def comparable(value: JsonValue, blank: Blanks) -> JsonValue:
    """A value of JSON as it is compared; what tools that ran side by side gave stands in one order."""
    if isinstance(value, str):
        return blank(value)
    if isinstance(value, list):
        return [*_in_order([comparable(one, blank) for one in value])]
    if isinstance(value, dict):
        return {name: comparable(one, blank) for name, one in value.items() if name not in ANYWHERE}
    return value


def _in_order(values: list[JsonValue]) -> list[JsonValue]:
    """The values, each run of parts that belong to calls sorted by call, and within one as they stand."""
    made: list[JsonValue] = []
    run: list[tuple[str, JsonValue]] = []
    for value in [*values, None]:
        named = value if isinstance(value, dict) else {}
        call = next((named[name] for name in CALLS if name in named), None)
        if call is not None:
            run.append((str(call), value))
            continue
        made += [one for _, one in sorted(run, key=lambda pair: pair[0])]
        run.clear()
        made.append(value)
    return made[:-1]


def digest(value: JsonValue) -> bytes:
    """The same for values that are the same."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()[:16]


def difference(recorded: JsonValue, came: JsonValue, place: str) -> str | None:
    """The first difference of two comparable values, in words; None where there is none."""
    if isinstance(recorded, dict) and isinstance(came, dict):
        return _of_mappings(recorded, came, place)
    if isinstance(recorded, list) and isinstance(came, list):
        return _of_lists(recorded, came, place)
    if recorded == came and type(recorded) is type(came):
        return None
    one, other = _around(_text(recorded), _text(came))
    return f"{place}: recorded {one}, now {other}"


def _of_mappings(recorded: Mapping[str, JsonValue], came: Mapping[str, JsonValue], place: str) -> str | None:
    for name in (*recorded, *(name for name in came if name not in recorded)):
        where = f"{place}.{name}" if place else name
        if name not in came:
            return f"{where}: recorded {_short(recorded[name])}, now nothing"
        if name not in recorded:
            return f"{where}: recorded nothing, now {_short(came[name])}"
        if found := difference(recorded[name], came[name], where):
            return found
    return None


def _of_lists(recorded: Sequence[JsonValue], came: Sequence[JsonValue], place: str) -> str | None:
    for index, (one, other) in enumerate(zip(recorded, came, strict=False)):
        if found := difference(one, other, f"{place}[{index}]"):
            return found
    at = min(len(recorded), len(came))
    if len(recorded) > at:
        return f"{place}[{at}]: recorded {_short(recorded[at])}, now nothing"
    if len(came) > at:
        return f"{place}[{at}]: recorded nothing, now {_short(came[at])}"
    return None


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: JsonValue) -> str:
    text = _text(value)
    return repr(text if len(text) <= LONGEST else text[:LONGEST] + "…")


def _around(one: str, other: str) -> tuple[str, str]:
    """Both texts from a little before where they part."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = max(0, same - LONGEST // 4)
    dots = "…" if start else ""
    shown = [
        repr(dots + text[start : start + LONGEST] + ("…" if len(text) > start + LONGEST else ""))
        for text in (one, other)
    ]
    return shown[0], shown[1]
