"""Reports of checks are read as what they are: bytes that the code under test may have written."""

from __future__ import annotations

from base64 import b64encode
from types import SimpleNamespace
from typing import Any, cast
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather import junit
from runner.gather.junit import Report
from runner.supervisor.attempt.check import Checked
from runner.supervisor.attempt.verifying import Bench

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.05">
<testcase classname="tests.test_a" name="test_good" time="0.001" />
<testcase classname="tests.test_a" name="test_bad"><failure message="assert 1 == 2">text</failure></testcase>
<testcase classname="tests.test_a" name="test_left"><skipped type="pytest.skip" message="no" /></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">text</error></testcase>
</testsuite></testsuites>"""


def test_what_pytest_writes() -> None:
    assert junit.read(PYTEST) == Report(
        ("tests.test_a::test_good",), ("tests.test_a::test_bad", "tests.test_b"), ("tests.test_a::test_left",)
    )


def test_a_namespace_and_nested_suites_change_nothing() -> None:
    inner = '<testsuite><testcase name="t"/></testsuite>'
    assert junit.read(f'<testsuite xmlns="urn:x">{inner}</testsuite>'.encode()) == Report(("t",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ok",
        b"<html/>",
        b"<testsuite>",
        b'<?xml version="1.0" encoding="no-such"?><testsuite/>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite name="&b;"/>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"<testsuite>&undefined;</testsuite>",
    ],
)
def test_what_is_no_report_is_none(content: bytes) -> None:
    assert junit.read(content) is None


def suite(inside: str) -> bytes:
    return f"<testsuite>{inside}</testsuite>".encode()


@pytest.mark.parametrize(
    "content",
    [
        suite('<testcase name="t"/>' * (junit.MOST + 1)),
        suite("<a/>" * (junit.MOST_ELEMENTS + 1)),
        suite("<a>" * junit.DEEPEST + "</a>" * junit.DEEPEST),
        suite("<a " + " ".join(f'a{n}=""' for n in range(junit.MOST_ATTRIBUTES + 1)) + "/>"),
        suite(f'<testcase name="{"x" * 2 * junit.LONGEST_MARK}"/>'),
        suite(f"<!--{'x' * 2 * junit.LONGEST_MARK}-->"),
        suite(f"<!--{'&' * 2 * junit.LONGEST_MARK}"),
        b"<testsuite>" + b" " * junit.LARGEST,
    ],
    ids=["tests", "elements", "depth", "attributes", "attribute", "comment", "unended", "size"],
)
def test_what_is_beyond_the_bounds_is_not_read(content: bytes) -> None:
    assert junit.read(content) is junit.UNREAD


def test_what_tests_printed_may_be_long() -> None:
    printed = f"<system-out>{'line &lt;1&gt;' * 200_000}</system-out>"
    failed = f'<testcase name="b"><failure message="{"x" * (junit.LONGEST_MARK // 2)}"/></testcase>'
    many = "".join(f'<testcase name="{n}"/>' for n in range(junit.MOST - 2))
    found = junit.read(suite(f'<testcase name="a">{printed}</testcase>{failed}{many}'))
    assert found is not None
    assert (found.ran, found.failed) == (junit.MOST, ("b",))


CASES = st.lists(
    st.tuples(
        st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), min_size=1, max_size=20),
        st.sampled_from(["", "<failure/>", "<error/>", "<skipped/>"]),
    ),
    max_size=20,
)


@given(CASES)
def test_every_test_is_counted_once(cases: list[tuple[str, str]]) -> None:
    rows = "".join(f"<testcase name={quoteattr(name)}>{inner}</testcase>" for name, inner in cases)
    found = junit.read(f"<testsuite>{rows}</testsuite>".encode())
    assert found is not None
    assert len(found.passed) == sum(inner == "" for _, inner in cases)
    assert found.ran + len(found.skipped) == len(cases)


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(content: bytes) -> None:
    junit.read(content)
    junit.read(b"<testsuite>" + content)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (f"plain {b64encode(PYTEST).decode()}", junit.read(PYTEST)),
        (f"plain {b64encode(PYTEST + b' ').decode()}", junit.UNREAD),
        ("missing", None),
        ("other", None),
    ],
)
def test_one_that_is_too_large_to_be_fetched_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, said: str, wanted: Report | None
) -> None:
    monkeypatch.setattr(junit, "LARGEST", len(PYTEST))
    asked: list[int] = []

    def report(_box: str, _name: str, most: int) -> str:
        asked.append(most)
        return said

    rooms = SimpleNamespace(steward=SimpleNamespace(report=report))
    unused = cast("Any", None)
    bench = Bench(cast("Any", SimpleNamespace(box="b")), cast("Any", rooms), unused, unused, unused)
    assert bench._report(Checked("passed", "", 0, 1.0)) == wanted
    assert asked == [len(PYTEST) + 1], "one byte more tells that there is more"
