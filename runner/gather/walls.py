"""What keeps tests of Python's from being run where they stand: strings, branches, functions. Pure.

Both sides of a diff are read as far as it shows them: strings and brackets by their marks, the rest by how
deep lines stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from runner.gather.diffs import HEADS, TOP, Row
from runner.gather.known_tests import skips

MOST = 20
"""Marks by which one class has its tests skipped that are kept."""

_QUOTES = ('"""', "'''")
_ENDS = {
    '"""': re.compile(r'(?:[^"\\]|\\.?|"(?!""))*+"""'),
    "'''": re.compile(r"(?:[^'\\]|\\.?|'(?!''))*+'''"),
}
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\.?|"(?!""))*+"""'
    r"|'''(?:[^'\\]|\\.?|'(?!''))*+'''"
    r"|(\"{3}|'{3}).*"
    r'|"(?:[^"\\]|\\.)*+"'
    r"|'(?:[^'\\]|\\.)*+'"
    r"|\\.|#.*"
)
"""Strings and comments of one line; of a string that goes on behind it, its mark is told."""
_MARKED = re.compile(r"[\"'#\\]")
_SHUTS_IN = re.compile(
    r"^\s*(?:class\s+(?!\w*Test)\w+\s*(?:\(\s*(?:object)?\s*\))?\s*:|(?:async\s+)?(?:def|for|with)\b"
    r"|(?:if|elif|else|while|try|except|finally|match|case)\b)"
)
"""In what no test is looked for. A class may be one of tests by its name, or by what it is of."""
_BEGINS = re.compile(r"\s*(?:@|class\b|(?:async\s+)?def\b)")
"""What stands in no brackets."""
_MAY_SKIP = re.compile(r"skipif|skipunless|importorskip", re.IGNORECASE)
"""What skips tests under a condition: it may be around them before, too, where a diff does not show it."""
_CODE = re.compile(
    r"\s*(?:@\w|(?:class|def|async def)\s+\w+\s*[(:]|assert\b|import \w|from [\w.]+ import\b|return\b)"
)


@dataclass
class Scope:
    """What lines stand in: a class, a function, a branch; or the whole file.

    Attributes:
        depth: How deep its first line stands.
        above: In what it stands itself.
        shuts: Whether it, or one of those above, keeps tests from being run.
        marks: What in it has all its tests skipped.
    """

    depth: int = -1
    above: Scope | None = None
    shuts: bool = False
    marks: list[str] = field(default_factory=list)

    def skipped_by(self) -> Iterator[str]:
        """What in it, and in those above, has all tests skipped."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.marks
            scope = scope.above


@dataclass
class _String:
    """A string of several lines, and the kinds of those that open and close it, if they are shown."""

    quote: str
    opened: str = ""
    closed: str = ""


@dataclass(frozen=True)
class Stand:
    """Where a line stands, on one side of a diff."""

    scope: Scope = field(default_factory=Scope)
    string: _String | None = None

    @property
    def is_shut_in(self) -> bool:
        """Whether no test is looked for there."""
        return self.scope.shuts or self.string is not None

    @property
    def is_put_in(self) -> bool:
        """Whether added lines alone bring that about: of a string, both its first and its last."""
        text = self.string
        return self.scope.shuts or (text is not None and text.opened == text.closed == "+")

    @property
    def is_closed_in(self) -> bool:
        """The same of a line that was there before, of a string that an added line draws out over it."""
        return self.scope.shuts or (self.string is not None and self.string.closed == "+")


_NOWHERE = Stand()


@dataclass
class _Side:
    """A file before the change or after it, line by line."""

    shutting: str
    """Kinds of lines that count as what shuts in."""
    scope: Scope = field(default_factory=Scope)
    string: _String | None = None
    deep: int = 0
    marks: list[str] = field(default_factory=list)

    def begin(self, string: _String | None) -> None:
        """What follows is another part of the file, which may begin in a string."""
        while self.scope.above is not None:
            self.scope = self.scope.above
        self.string, self.deep, self.marks = string, 0, []

    def take(self, kind: str, text: str) -> Stand:
        """Go on behind a line; where it stands."""
        inside = self.string
        code, quote = _read(text, inside.quote if inside else None)
        if inside is None or code or quote is None:
            if inside is not None:
                inside.closed = kind
            self.string = _String(quote, kind) if quote else None
        self.deep = 0 if inside is None and _BEGINS.match(text) else self.deep
        if inside is None and not self.deep and code.strip():
            stand = Stand(self._in_which(kind, text), None)
        else:
            stand = Stand(self.scope, inside)
        opened = sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))
        self.deep = max(0, self.deep + opened)
        return stand

    def _in_which(self, kind: str, text: str) -> Scope:
        """What a line of code stands in; what follows may stand in what it opens."""
        depth = len(text) - len(text.lstrip())
        while self.scope.above is not None and self.scope.depth >= depth:
            self.scope = self.scope.above
        around = self.scope
        if text.lstrip().startswith("@"):
            self.marks += [text] if len(self.marks) < MOST and _skips_all(text) else []
            return around
        if len(around.marks) < MOST and _skips_all(text):
            around.marks.append(text)
        shuts = around.shuts or (kind in self.shutting and _SHUTS_IN.match(text) is not None)
        self.scope = Scope(depth, around, shuts, self.marks)
        self.marks = []
        return around


def stands(rows: Sequence[Row]) -> list[tuple[Stand, Stand]]:
    """Where each line of a file stands: before the change, if it was there, and after it, if it is."""
    before, after = _Side(" -"), _Side("+")
    found: list[tuple[Stand, Stand]] = []
    for part in _parts(rows):
        turned = after.string if before.string is None else None
        quote = _quote_at_start(part)
        before.begin(_String(quote) if quote else None)
        after.begin(turned or before.string)
        for kind, text in part:
            old = before.take(kind, text) if kind in " -" else _NOWHERE
            found.append((old, after.take(kind, text) if kind in " +" else _NOWHERE))
    return found


def _skips_all(text: str) -> bool:
    return skips(text) and _MAY_SKIP.search(text) is None


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The lines of each hunk, with what git says before it."""
    heads = [place for place, (kind, _) in enumerate(rows) if kind in HEADS]
    for start, end in pairwise([0, *heads, len(rows)]):
        if start < end:
            yield rows[start:end]


def _quote_at_start(part: Sequence[Row]) -> str | None:
    """In what string a hunk begins: none at the top of a file, else so that most of what was code is code.

    What an agent adds has no say in it, but where nothing else has.
    """
    if part[0][0] == TOP or not any(quote in text for _, text in part for quote in _QUOTES):
        return None
    sides = [[text for kind, text in part if kind in shown] for shown in (" -", " +")]
    return max((None, *_QUOTES), key=lambda quote: [_code_in(side, quote) for side in sides])


def _code_in(lines: list[str], quote: str | None) -> int:
    """How many lines are plainly code and stand in no string, if they begin in such a one."""
    seen = 0
    for text in lines:
        seen += quote is None and _CODE.match(text) is not None
        quote = _read(text, quote)[1]
    return seen


def _read(text: str, quote: str | None) -> tuple[str, str | None]:
    """What of a line is code, if it begins in such a string; and in what string it ends."""
    if quote is not None:
        end = _ENDS[quote].match(text)
        if end is None:
            return "", quote
        text = text[end.end() :]
    if not _MARKED.search(text):
        return text, None
    parts = _TEXT.split(text)
    return "".join(parts[::2]), parts[-2] if len(parts) > 1 else None
