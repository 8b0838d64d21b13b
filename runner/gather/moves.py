"""What became of the tests that a change removes: whether they are gone, or where a check still runs them.

Pure, and of the diff alone: lines are known by their shape, not by a language's grammar.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, takewhile
from posixpath import normpath

from runner.gather.diffs import File

MARKS = 20
"""Lines of decorators before a test that are looked at."""
ALIKE = 50
"""Tests that are alike which are looked through for one that a check may run."""

_TEST_FILE = re.compile(
    r"(^|/)(tests?|spec|__tests__|testing)/"
    r"|(^|/)(test_[^/]*|[^/]*_tests?)\.(py|go|rs|exs?|c|cc|cpp)$|(^|/)conftest\.py$"
    r"|\.(test|spec)\.[cm]?[jt]sx?$|(^|/)[^/]*(Test|Tests|Spec)\.(java|kt|scala|cs)$|_spec\.rb$"
)
_COLLECTED = re.compile(r"(^|/)(test_[^/]*|[^/]*_tests?|tests?)\.py$")
_TEST = re.compile(
    r"^\s*(?:async\s+)?def\s+(test\w*)\s*\("
    r"|^\s*class\s+(Test\w*)\b"
    r"|^\s*func\s+((?:Test|Fuzz)\w+)\s*\("
    r"|^\s*(?:it|test|describe)\s*\(\s*(['\"`][^'\"`]*['\"`])"
)
_MARKED_TEST = re.compile(r"^\s*(?:#\[(?:\w+::)?test\b|@(?:Parameterized)?Test\b)")
_QUOTES = re.compile(r"\"{3}|'{3}")
_SHUTS_IN = re.compile(
    r"^\s*(?:class\s+(?!\w*Test)\w+\s*(?:\(\s*(?:object)?\s*\))?\s*:"
    r"|(?:async\s+)?def\b|(?:if|elif|else|for|while)\b)"
)
"""In what no test of Python's is looked for. A class may be one of tests by its name, or by what it is of."""
_LOOKS_EVERYWHERE = re.compile(r"\b(?:pytest|py\.test)\b")


def is_of_tests(path: str) -> bool:
    """Whether a file is one of tests, by its name or its place."""
    return _TEST_FILE.search(path) is not None


def is_collected(path: str) -> bool:
    """Whether test runners look for tests in a file, as far as its name tells."""
    return not path.endswith(".py") or _COLLECTED.search(path) is not None


def test_in(text: str) -> str | None:
    """The name of the test that a line begins; None for other lines."""
    found = _TEST.search(text)
    return None if found is None else next(name for name in found.groups() if name)


@dataclass(frozen=True)
class Test:
    """A test whose first line is added or removed: where it stands, and all that it is but for its name.

    `is_shut_in` says whether the change puts it where no runner sees it: in a string, a function, a branch,
    or a class that is not one of tests.
    """

    __test__ = False

    name: str
    path: str
    body: tuple[str, ...]
    is_shut_in: bool = False

    @property
    def is_collected(self) -> bool:
        """Whether a test runner looks for it there, as far as its place and its file's name tell."""
        return is_collected(self.path) and not self.is_shut_in

    def is_seen_by(self, check: str, old: str) -> bool:
        """Whether a check that ran tests of the file `old` may run it.

        What the check names must hold this file as well as that one. Where it names nothing of the kind, a
        runner of Python's tests looks everywhere; of others nothing is known but that they looked there.
        """
        named = {word for word in _named(check) if _is_below(old, word)}
        if not named and not _LOOKS_EVERYWHERE.search(check):
            named = {old.partition("/")[0]}
        return (
            not named or self.path == old or any(_is_below(self.path, word) for word in _named(check) | named)
        )


@lru_cache(maxsize=64)
def _named(check: str) -> frozenset[str]:
    return frozenset(normpath(word) for word in re.split(r"[\s;&|()'\"=:]+", check) if word)


def _is_below(path: str, folder: str) -> bool:
    return folder in {".", path} or path.startswith(f"{folder}/")


@dataclass(frozen=True)
class Moves:
    """What became of the tests that a change removes: gone, or moved, each with what it is now.

    A test moved if there is one of its name elsewhere, or one with the same lines under another name; where
    it is looked for, if it was in such a place.

    Attributes:
        gone: By the path of the file in which they were.
        moved: The same, each with the test that it is now.
        marked: How many tests fewer there are of those that are marked and have no name here (Rust, Java).
    """

    gone: defaultdict[str, list[Test]]
    moved: defaultdict[str, list[tuple[Test, Test]]]
    marked: int

    @classmethod
    def of(cls, files: list[File], check: str) -> Moves:
        """Of all files together, for a check that ran those which were there."""
        gone = [test for file in files for test in _tests_in(file, "-")]
        made = [test for file in files for test in _tests_in(file, "+")]
        moved: list[tuple[Test, Test]] = []
        for alike in (lambda test: (test.path, test.name), lambda test: test.name, lambda test: test.body):
            found, gone, made = _paired(gone, made, alike, check)
            moved += found
        moves = cls(defaultdict(list), defaultdict(list), sum(map(marked_fewer, files)))
        for test in gone:
            moves.gone[test.path].append(test)
        for pair in moved:
            moves.moved[pair[0].path].append(pair)
        return moves


def marked_fewer(file: File) -> int:
    """How many tests fewer a file has, where tests are marked and have no name that is known."""
    before, after = (sum(map(bool, map(_MARKED_TEST.search, file.lines(sign)))) for sign in "-+")
    return before - after if is_of_tests(file.path) else 0


def _paired(
    gone: list[Test], made: list[Test], alike: Callable[[Test], object], check: str
) -> tuple[list[tuple[Test, Test]], list[Test], list[Test]]:
    """Pairs of tests that are alike, and what is left of both."""
    places: dict[object, list[Test]] = {}
    for test in reversed(made):
        places.setdefault((alike(test), test.is_collected), []).append(test)
    pairs, left = [], []
    for test in gone:
        # Elsewhere it may be looked for as well as before, not worse.
        ranks = (True,) if test.is_collected else (True, False)
        them = (places.get((alike(test), rank), []) for rank in ranks)
        found = next((new for among in them if (new := _taken_from(among, check, test.path))), None)
        if found is None:
            left.append(test)
        else:
            pairs.append((test, found))
    return pairs, left, [test for them in places.values() for test in them]


def _taken_from(among: list[Test], check: str, old: str) -> Test | None:
    """The first that a check may run, taken from the end of a list; None for none."""
    for back, test in enumerate(islice(reversed(among), ALIKE), 1):
        if test.is_seen_by(check, old):
            return among.pop(-back)
    return None


def _tests_in(file: File, sign: str) -> Iterator[Test]:
    """The tests of a file whose first line is added, or removed: with what is beside it before or after."""
    if not is_of_tests(file.path):
        return
    rows = [row for row in file.rows if row[0] in {sign, " ", "@"}]
    walls = _Walls()
    for place, (kind, text) in enumerate(rows):
        shut_in = walls.around(kind, text)
        if kind == sign and (name := test_in(text)) is not None:
            marks = takewhile(_is_mark, (row for _, row in reversed(rows[max(0, place - MARKS) : place])))
            lines = (*marks, text.replace(name, "", 1), *_body(rows, place))
            body = tuple(" ".join(line.split()) for line in lines)
            yield Test(name, file.path, body, shut_in and sign == "+" and file.path.endswith(".py"))


@dataclass
class _Walls:
    """What added lines put around those that follow, within one hunk: strings, and what stands less deep."""

    _quotes: int = 0
    _above: list[tuple[int, bool]] = field(default_factory=list)

    def around(self, kind: str, text: str) -> bool:
        """Whether the next line of a file stands in what keeps tests from being run."""
        if kind == "@":
            self._quotes, self._above = 0, []
            return False
        in_string = self._quotes % 2 == 1
        self._quotes += len(_QUOTES.findall(text)) if kind == "+" else 0
        if not text.strip():
            return in_string
        depth = _depth(text)
        while self._above and self._above[-1][0] >= depth:
            self._above.pop()
        inside = any(shuts for _, shuts in self._above[-1:])
        self._above.append((depth, kind == "+" and _SHUTS_IN.search(text) is not None))
        return in_string or inside


def _is_mark(text: str) -> bool:
    return text.lstrip().startswith("@")


def _body(rows: list[tuple[str, str]], head: int) -> Iterator[str]:
    """The lines of a test: to the next one, to what stands no deeper than it does, or as far as is shown."""
    for place in range(head + 1, len(rows)):
        kind, text = rows[place]
        if kind == "@" or test_in(text) is not None:
            return
        if _depth(text) <= _depth(rows[head][1]) and text.strip() and text.lstrip()[0] not in ")]}":
            return
        if text.strip():
            yield text


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip())
