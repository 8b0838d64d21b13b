"""A CA bundle is written after every real FROM, and nothing else of a Dockerfile changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.sandbox.dockerfile import BUNDLE, PLACE, VARIABLES, instructions, with_bundle

ADDITION = [f"COPY {BUNDLE} {PLACE}", *(f"ARG {name}={PLACE}" for name in VARIABLES)]


def places(text: str) -> list[str]:
    """The lines after which the bundle was added."""
    lines = with_bundle(text).replace("\r\n", "\n").split("\n")
    width = len(ADDITION)
    return [lines[i - 1] for i in range(1, len(lines)) if lines[i : i + width] == ADDITION]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM debian\nRUN true\n", ["FROM debian"]),
        ("FROM debian", ["FROM debian"]),
        (
            "ARG V=1\nFROM debian:$V AS a\nFROM scratch\nCOPY --from=a /x /x\n",
            ["FROM debian:$V AS a", "FROM scratch"],
        ),
        ("# syntax=docker/dockerfile:1\n\n  from debian\n", ["  from debian"]),
        ("FROM \\\n  debian \\\n# remark\n  AS x\nRUN true\n", ["  AS x"]),
        ("FROM a\nRUN echo \\\nFROM b\n", ["FROM a"]),
        ("FROM a\nRUN echo \\\n\n# x\nFROM b\nFROM c\n", ["FROM a", "FROM c"]),
        ("FROM a\n# FROM b\n", ["FROM a"]),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c\n", ["FROM a", "FROM c"]),
        ("FROM a\nRUN <<-'EOF' cat\n\tFROM b\n\tEOF\nFROM c\n", ["FROM a", "FROM c"]),
        ("FROM a\nCOPY <<A <<B /x/\nFROM b\nA\nFROM c\nB\nFROM d\n", ["FROM a", "FROM d"]),
        ("FROM a\nRUN echo $((1<<x))\nFROM b\n", ["FROM a", "FROM b"]),
        ("FROM a\nRUN echo never <<closed\nFROM b\n", ["FROM a", "FROM b"]),
        ("# escape=`\nFROM a\nRUN dir `\nFROM b\nRUN c:\\\nFROM c\n", ["FROM a", "FROM c"]),
        ("FROM a\r\nRUN x \\\r\nFROM b\r\nFROM c\r\n", ["FROM a", "FROM c"]),
        ("\ufeffFROM a\n", ["\ufeffFROM a"]),
        ('FROM a\nLABEL x="FROM b"\nENV FROM=1\n', ["FROM a"]),
        ("FROMAGE x\n", []),
        ("", []),
    ],
)
def test_only_real_from_instructions_count(text: str, expected: list[str]) -> None:
    assert places(text) == expected


LINES = st.sampled_from(
    [
        "FROM a",
        "from b AS c",
        "RUN x \\",
        "  y",
        "# z",
        "",
        "RUN <<E",
        "E",
        "ARG A",
        "# escape=`",
        "RUN p `",
        "\tE",
    ]
)


@settings(max_examples=200)
@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_the_rest_of_any_file_stays_as_it_is(lines: list[str], end: str, closed: bool) -> None:
    text = end.join(lines) + (end if closed and lines else "")
    out = with_bundle(text)
    assert [line for line in out.splitlines() if line not in ADDITION] == text.splitlines()
    groups = list(instructions(text))
    assert "".join(line for group in groups for line in group) == text
    heads = [group[0].split()[:1] for group in groups]
    assert out.count(ADDITION[0]) == sum(head != [] and head[0].upper() == "FROM" for head in heads)


@settings(max_examples=200)
@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert "".join(line for group in instructions(text) for line in group) == text
