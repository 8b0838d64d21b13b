"""Reads the report that a check wrote: JUnit XML, as test runners write it. The bytes may be hostile.

There is no standard; what is read is what all of them agree in (the format of Ant's JUnit task): `testcase`
elements anywhere below, each with `classname` and `name`, and in it `failure`, `error` or `skipped` where it
did not pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

LARGEST = 16 * 1024 * 1024
"""Bytes of a report: a hundred thousand tests, with what they printed."""
MOST = 100_000
"""Tests that are counted."""
LONGEST = 300
"""Characters of a test's name."""


@dataclass(frozen=True)
class Report:
    """What a report says: the names of the tests by what became of them."""

    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def ran(self) -> int:
        """How many tests ran."""
        return len(self.passed) + len(self.failed)


def read(content: bytes) -> Report | None:
    """What a report says; None if it is none, or is made to be expanded without end."""
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, RecursionError, LookupError):
        return None
    if _plain(root.tag) not in {"testsuites", "testsuite"}:
        return None
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in _cases(root):
        found[_became(case)].append(_name(case))
    return Report(*(tuple(names) for names in found.values()))


def _cases(root: Element) -> Iterator[Element]:
    count = 0
    for element in root.iter():
        if _plain(element.tag) == "testcase":
            count += 1
            if count > MOST:
                return
            yield element


def _became(case: Element) -> str:
    parts = {_plain(part.tag) for part in case}
    if parts & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in parts else "passed"


def _name(case: Element) -> str:
    words = (case.get("classname", ""), case.get("name", ""))
    return "::".join(word for word in words if word)[:LONGEST]


def _plain(tag: object) -> str:
    """A tag without its namespace."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
