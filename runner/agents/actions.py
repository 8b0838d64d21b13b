"""What an agent does, one action after the other, as far as its CLI tells; and whether it repeats itself.

An action is told apart by what was asked for and by what came of it: whoever asks the same again and gets
another answer each time makes progress, such as one who waits for a build. What differs in answers only
because time passes (clocks, durations, addresses) does not count.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass

LONGEST_CYCLE = 4
"""Actions that may take turns in a loop."""
MOST_OPEN = 64
"""Actions under way that are kept track of; who claims more loses the oldest."""
LONGEST_KEY, LONGEST_WORDS = 128, 200
"""Characters that are kept of what names an action."""
LOOKED_AT = 16 * 1024
"""Characters of a text, at its beginning and at its end, by which it is told apart."""

_PASSING = re.compile(
    r"(?<!\d)\d{1,4}([:/-]\d{1,2}){1,2}(?!\d)([T.,]\d{1,9})?"  # clocks and dates
    r"|(?<![\d.])\d{1,12}([.,]\d{1,9})? ?(ns|µs|us|ms|s|secs?|seconds?|mins?|minutes?|hours?|h)\b"
    r"|0x[0-9a-fA-F]{4,16}"
)


def digest(text: str) -> int:
    """A number that two texts share if they differ only in what passing time changes; for this process."""
    if len(text) > 2 * LOOKED_AT:
        text = text[:LOOKED_AT] + text[-LOOKED_AT:]
    return hash(_PASSING.sub("·", text))


@dataclass(frozen=True)
class Repeats:
    """The latest actions are the same `length` ones, `times` times in a row."""

    length: int = 0
    times: int = 0

    def __str__(self) -> str:
        what = "action" if self.length == 1 else f"{self.length} actions"
        return f"the same {what} {self.times} times"


class Repetition:
    """Follows a sequence, and knows how often its end repeats itself."""

    def __init__(self, longest: int = LONGEST_CYCLE) -> None:
        """Follow one in which cycles of at most `longest` are looked for."""
        self._last: deque[int] = deque(maxlen=longest)
        self._runs = [0] * (longest + 1)  # by the cycle's length: how many in a row equal the one so far back

    def add(self, item: int) -> None:
        """Take the next of the sequence."""
        for length in range(1, len(self._runs)):
            same = len(self._last) >= length and self._last[-length] == item
            self._runs[length] = self._runs[length] + 1 if same else 0
        self._last.append(item)

    @property
    def repeats(self) -> Repeats:
        """What repeats at the end, in its shortest cycle; `times` is 1 where nothing does."""
        found = Repeats(1, 1) if self._last else Repeats()
        for length, run in enumerate(self._runs):
            if length and run >= length and run // length + 1 > found.times:
                found = Repeats(length, run // length + 1)
        return found


class Actions:
    """The actions that an agent tells of.

    Attributes:
        count: How much it told: actions begun and ended, and things said.
        repeats: How the latest actions that ended repeat themselves.
    """

    def __init__(self) -> None:
        self.count = 0
        self.repeats = Repeats()
        self._open: dict[str, tuple[int, str, bool]] = {}
        self._ended = Repetition()

    def begun(self, key: str, words: str, asked: object, *, question: bool = False) -> None:
        """An action began.

        Args:
            key: By which its end will name it.
            words: What it is, for people.
            asked: All that makes it this action and no other: a value of JSON.
            question: Whether only a person can answer it.
        """
        self.count += 1
        if len(self._open) >= MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[key[:LONGEST_KEY]] = (hash(_text(asked)), words[:LONGEST_WORDS], question)

    def ended(self, key: str, answer: object) -> None:
        """An action ended, with this answer; one that was never begun is no action."""
        self.count += 1
        begun = self._open.pop(key[:LONGEST_KEY], None)
        if begun is not None:
            self._ended.add(hash((begun[0], digest(_text(answer)))))
            self.repeats = self._ended.repeats

    def changed(self) -> None:
        """It changed something, and does not tell what exactly: what it does from here on begins anew."""
        self.count += 1
        self._ended = Repetition()
        self.repeats = Repeats()

    def said(self) -> None:
        """It said something."""
        self.count += 1

    def finished(self) -> None:
        """It says that it is done: nothing is under way."""
        self.count += 1
        self._open.clear()

    @property
    def running(self) -> str:
        """The latest action that is under way, in words; empty for none."""
        return next((words for _, words, question in reversed(self._open.values()) if not question), "")

    @property
    def question(self) -> str:
        """What it asked a person and was not answered, in words; empty for nothing."""
        return next((words for _, words, question in self._open.values() if question), "")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except (ValueError, RecursionError):
        return ""
