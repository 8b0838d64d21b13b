"""What a person wrote as Markdown: its code is shown as code, and the rest as it was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from textwrap import dedent

from runner.views.page.markup import Html, joined, tag

_CODE = re.compile(r"`([^`\n]+)`")


def prose(text: str) -> Html:
    """Text with its blocks of code, fenced or indented, and its pieces of code."""
    parts: list[Html] = []
    for is_code, rows in groupby(_rows(text.split("\n")), key=lambda row: row[0]):
        shown = "\n".join(row for _, row in rows).strip("\n")
        if shown:
            parts.append(tag("pre", dedent(shown)) if is_code else inline(shown))
    return joined(parts)


def inline(text: str) -> Html:
    """Text with its pieces of code."""
    return joined(tag("code", part) if n % 2 else part for n, part in enumerate(_CODE.split(text)))


def _rows(rows: Iterable[str]) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it is code: within fences, or indented below an empty line."""
    is_fenced, may_begin = False, True
    for row in rows:
        if row.lstrip().startswith("```"):
            is_fenced = not is_fenced
            continue
        is_code = is_fenced or (may_begin and row.startswith(("    ", "\t")))
        may_begin = is_code or not row.strip()
        yield is_code, row
