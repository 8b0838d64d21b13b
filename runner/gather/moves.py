"""What became of the tests that a change removes: whether they are gone, or where a check still runs them.

Pure, and of the diff alone: lines are known by their shape, not by a language's grammar.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product, takewhile
from posixpath import normpath

from runner.gather.diffs import HEADS, File, Row
from runner.gather.known_tests import is_collected, is_marked_test, is_of_tests, skips, test_in
from runner.gather.walls import Scope, Stand, stands

MARKS = 20
"""Lines of decorators before a test that are looked at."""

_NO_PLACE = re.compile(
    r"(?<!\S)[A-Za-z_]\w*=\S*"
    r"|(?<!\S)(?:-[km]|--(?:cov|source|ignore|ignore-glob|deselect|exclude|omit)\b)[\s=]*"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s;&|()]+)"
    r"|\b(?:npm|yarn|pnpm|bun|deno|go|cargo|make|just|task|mvnw?|gradlew?|dotnet|mix|hatch|rake|rails)"
    r"\s+(?:run\s+)?[\w:]+"
)
"""Words of a check that may look like a place of tests, and are none: `npm test`, `-k "not tests"`."""
_AS_WELL = {True: (True,), False: (True, False)}
_ALL_BELOW = re.compile(r"(?:^|/)[^/]*(?:\*|\.\.\.).*")


@dataclass(frozen=True)
class Test:
    """A test whose first line is added or removed: where it stands, and all that it is but for its name.

    Attributes:
        is_named: Whether the check names a place that holds it. Where it did, it must do so after a change as
            well; where it did not, the check may look anywhere.
        is_shut_in: Whether it stands where no runner sees it: in a string, a function, a branch, or a class
            that is not one of tests.
        scope: What it stands in.
    """

    __test__ = False

    name: str
    path: str
    body: tuple[str, ...]
    is_named: bool = False
    is_shut_in: bool = False
    scope: Scope = field(default_factory=Scope)

    @property
    def is_collected(self) -> bool:
        """Whether a test runner looks for it there, as far as its place and its file's name tell."""
        return is_collected(self.path) and not self.is_shut_in

    def skipped_more(self, before: Test) -> list[str]:
        """What has it skipped now and did not before: of its own lines, and around it."""
        known = {*before.body, *map(_flat, before.scope.skipped_by())}
        marks = (*filter(skips, self.body), *map(_flat, self.scope.skipped_by()))
        return [text for text in marks if text not in known]


@lru_cache(maxsize=64)
def _places_of(check: str) -> frozenset[str]:
    """The places that a check names: `.` for all of the tree."""
    words = re.split(r"[\s;&|()'\":=]+", _NO_PLACE.sub(" ", check))
    return frozenset(normpath(_ALL_BELOW.sub("", word.removeprefix("./")) or ".") for word in words if word)


def _is_named(path: str, check: str) -> bool:
    """Whether a check names a file, or what holds it: by its path, or as Python's modules are called."""
    module = path.removesuffix(".py").replace("/", ".")
    return any(
        path == place
        or path.startswith(f"{place}/")
        or f"{module}.".startswith(f"{place}.")
        or place.startswith(f"{module}.")
        for place in _places_of(check)
    )


@dataclass(frozen=True)
class Moves:
    """What became of the tests that a change removes: gone, or moved, each with what it is now.

    A test moved if there is one of its name elsewhere, or one with the same lines under another name; where
    it is looked for, if it was in such a place.

    Attributes:
        gone: By the path of the file in which they were.
        moved: The same, each with the test that it is now.
        astray: Those of the moved that the check may no longer run, as far as is known: it names neither
            place, and these are not in the same topmost directory.
        marked: How many tests fewer there are of those that are marked and have no name here (Rust, Java).
    """

    gone: defaultdict[str, list[Test]]
    moved: defaultdict[str, list[tuple[Test, Test]]]
    astray: defaultdict[str, list[tuple[Test, Test]]]
    marked: int

    @classmethod
    def of(cls, files: list[File], check: str) -> Moves:
        """Of all files together, for a check that ran those which were there."""
        gone: list[Test] = []
        made: list[Test] = []
        for file in filter(lambda file: is_of_tests(file.path), files):
            seen, named = _stands(file), _is_named(file.path, check)
            gone += _tests_in(file, "-", seen, named)
            made += _tests_in(file, "+", seen, named)
        moved: list[tuple[Test, Test]] = []
        for alike in (lambda test: (test.path, test.name), lambda test: test.name, lambda test: test.body):
            found, gone, made = _paired(gone, made, alike)
            moved += found
        fewer = sum(map(marked_fewer, files))
        moves = cls(defaultdict(list), defaultdict(list), defaultdict(list), fewer)
        for test in gone:
            moves.gone[test.path].append(test)
        for pair in moved:
            moves.moved[pair[0].path].append(pair)
            if "." not in _places_of(check) and _is_astray(*pair):
                moves.astray[pair[0].path].append(pair)
        return moves


def marked_fewer(file: File) -> int:
    """How many tests fewer a file has, where tests are marked and have no name that is known."""
    before, after = (sum(map(is_marked_test, file.lines(sign))) for sign in "-+")
    return before - after if is_of_tests(file.path) else 0


def _paired(
    gone: list[Test], made: list[Test], alike: Callable[[Test], object]
) -> tuple[list[tuple[Test, Test]], list[Test], list[Test]]:
    """Pairs of tests that are alike, and what is left of both."""
    places: dict[object, list[Test]] = {}
    for test in reversed(made):
        places.setdefault((alike(test), test.is_collected, test.is_named), []).append(test)
    pairs, left = [], []
    for test in gone:
        # Elsewhere it may be looked for as well as before, not worse.
        ranks = product(_AS_WELL[test.is_collected], _AS_WELL[test.is_named])
        found = next((them for rank in ranks if (them := places.get((alike(test), *rank)))), None)
        if found:
            pairs.append((test, found.pop()))
        else:
            left.append(test)
    return pairs, left, [test for them in places.values() for test in them]


def _is_astray(old: Test, new: Test) -> bool:
    tops = ([*test.path.split("/")[:-1], ""][0] for test in (old, new))
    return not (old.is_named or new.is_named) and len(set(tops)) > 1


def _stands(file: File) -> list[tuple[Stand, Stand]]:
    """Where each of its lines stood and stands, of which only Python's are known."""
    return stands(file.rows) if file.path.endswith(".py") else [(Stand(), Stand())] * len(file.rows)


def _tests_in(file: File, sign: str, seen: list[tuple[Stand, Stand]], named: bool) -> Iterator[Test]:
    """The tests of a file that are removed, or added: with what is beside their first lines before or after.

    Removed are those, too, that added lines shut in.
    """
    shown = [(row, seen[place]) for place, row in enumerate(file.rows) if row[0] in {sign, " ", *HEADS}]
    rows = [row for row, _ in shown]
    for place, ((kind, text), (old, new)) in enumerate(shown):
        is_lost = kind == " " and sign == "-" and new.is_closed_in and not old.is_shut_in
        if (kind == sign or is_lost) and (name := test_in(text)) is not None:
            marks = takewhile(_is_mark, (row for _, row in reversed(rows[max(0, place - MARKS) : place])))
            lines = (*marks, text.replace(name, "", 1), *_body(rows, place))
            shut_in, scope = (old.is_shut_in, old.scope) if sign == "-" else (new.is_put_in, new.scope)
            yield Test(name, file.path, tuple(map(_flat, lines)), named, shut_in, scope)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _is_mark(text: str) -> bool:
    return text.lstrip().startswith("@")


def _body(rows: list[Row], head: int) -> Iterator[str]:
    """The lines of a test: to the next one, to what stands no deeper than it does, or as far as is shown."""
    for place in range(head + 1, len(rows)):
        kind, text = rows[place]
        if kind in HEADS or test_in(text) is not None:
            return
        if _depth(text) <= _depth(rows[head][1]) and text.strip() and text.lstrip()[0] not in ")]}":
            return
        if text.strip():
            yield text


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip())
