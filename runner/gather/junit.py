"""Reads the report that a check wrote: JUnit XML, as test runners write it. The bytes may be hostile.

There is no standard; what is read is what all of them agree in (the format of Ant's JUnit task): `testcase`
elements anywhere below, each with `classname` and `name`, and in it `failure`, `error` or `skipped` where it
did not pass.

It is read as it comes: neither text nor elements are kept, only the names of tests. A report beyond the
bounds is not read at all, since what follows could be a failure: 16 MiB of whatever kind take half a second
and 40 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

LARGEST = 16 * 1024 * 1024
"""Bytes of a report: a hundred thousand tests, with what they printed."""
MOST = 100_000
"""Tests."""
MOST_ELEMENTS = 500_000
"""Elements: five for each test."""
DEEPEST = 100
"""Elements in one another."""
MOST_ATTRIBUTES = 100
"""Attributes of one element."""
LONGEST_MARK = 1024 * 1024
"""Bytes of one tag, with its attributes, or of a comment: the parser must hold all of it."""
LONGEST = 300
"""Characters of a test's name."""
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Report:
    """What a report says: the names of the tests by what became of them; none of one beyond the bounds."""

    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    is_read: bool = True

    @property
    def ran(self) -> int:
        """How many tests ran."""
        return len(self.passed) + len(self.failed)


UNREAD = Report(is_read=False)
"""One beyond the bounds."""


class _BeyondBoundsError(Exception):
    """There is more of it than is read."""


@dataclass
class _Case:
    """A test whose element is open."""

    depth: int
    name: str
    became: str = "passed"


@dataclass
class _Reader:
    """What the parser tells of, element by element."""

    found: dict[str, list[str]] = field(default_factory=lambda: {"passed": [], "failed": [], "skipped": []})
    elements: int = 0
    tests: int = 0
    depth: int = 0
    cases: list[_Case] = field(default_factory=list)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        kind = tag.rpartition("}")[2]
        self.depth += 1
        self.elements += 1
        self.tests += kind == "testcase"
        if self.depth == 1 and kind not in {"testsuites", "testsuite"}:
            raise ValueError("not a report")
        if (
            self.depth > DEEPEST
            or self.elements > MOST_ELEMENTS
            or self.tests > MOST
            or len(attributes) > MOST_ATTRIBUTES
        ):
            raise _BeyondBoundsError
        if kind == "testcase":
            self.cases.append(_Case(self.depth, _name(attributes)))
        elif self.cases and self.cases[-1].depth == self.depth - 1:
            self._part(self.cases[-1], kind)

    def _part(self, case: _Case, kind: str) -> None:
        if kind in {"failure", "error"}:
            case.became = "failed"
        elif kind == "skipped" and case.became == "passed":
            case.became = "skipped"

    def end(self, _: str) -> None:
        """An element ends."""
        if self.cases and self.cases[-1].depth == self.depth:
            case = self.cases.pop()
            self.found[case.became].append(case.name)
        self.depth -= 1


def read(content: bytes) -> Report | None:
    """What a report says; None if it is none, `UNREAD` if it is beyond the bounds."""
    if len(content) > LARGEST:
        return UNREAD
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator="}", intern=None)
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = _refuse
    try:
        for fed in range(0, len(content), CHUNK):
            parser.Parse(content[fed : fed + CHUNK])
            if fed + CHUNK - parser.CurrentByteIndex > LONGEST_MARK:
                return UNREAD
        parser.Parse(b"", True)
    except _BeyondBoundsError:
        return UNREAD
    except (expat.ExpatError, ValueError, LookupError):
        return None
    passed, failed, skipped = (tuple(names) for names in reader.found.values())
    return Report(passed, failed, skipped)


def _refuse(*_: object) -> None:
    """Refuse a document type: where entities are declared, which may expand without end or name files."""
    raise ValueError("a document type")


def _name(attributes: dict[str, str]) -> str:
    words = (attributes.get("classname", ""), attributes.get("name", ""))
    return "::".join(word for word in words if word)[:LONGEST]
