"""The files of a diff, of git's `--patch` form without renames: read line by line, within bounds. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

Row = tuple[str, str]
"""A line and what it begins with: `+`, `-`, a blank; or, for what git says a hunk is in, one of `HEADS`."""
TOP = "^"
"""A hunk that begins with the first line of its file."""
HEADS = {"@", TOP}

ROWS = 50_000
"""Lines of a diff that are looked at."""
LONGEST = 300
"""Characters of a line that are looked at; and so many marks of strings and brackets behind them."""
_OTHERS = re.compile(rb"[^'\"\\#()\[\]{}]+")
LARGEST = 16 * 1024**2
"""Bytes of a diff that are."""


@dataclass
class File:
    """What a diff says of one file: added and removed lines, each with what stands around it."""

    path: str
    is_new: bool = False
    is_gone: bool = False
    rows: list[Row] = field(default_factory=list)

    def lines(self, sign: str) -> list[str]:
        """Its lines of one kind."""
        return [text for kind, text in self.rows if kind == sign]


def files_of(diff: Iterable[bytes]) -> tuple[list[File], bool]:
    """The files of a diff, and whether that is all of it."""
    files: list[File] = []
    in_head, size = False, 0
    for count, raw in enumerate(diff, 1):
        size += len(raw)
        if count > ROWS or size > LARGEST:
            return files, False
        row = _shortened(raw).decode(errors="replace").rstrip("\r")
        if row.startswith("diff --git "):
            files.append(File(_path_of(row)))
            in_head = True
        elif files and row.startswith("@@ "):
            in_head = False
            kind = TOP if row.startswith(("@@ -0,0 ", "@@ -1 ", "@@ -1,")) else "@"
            files[-1].rows.append((kind, row.split("@@", 2)[-1].removeprefix(" ")))
        elif files and in_head:
            files[-1].is_new |= row.startswith("new file mode")
            files[-1].is_gone |= row.startswith("deleted file mode")
        elif files and row[:1] in {"+", "-", " "}:
            files[-1].rows.append((row[0], row[1:]))
    return files, True


def _shortened(raw: bytes) -> bytes:
    """What is looked at of a line: where a string ends tells what comes behind it."""
    return raw if len(raw) <= LONGEST else raw[:LONGEST] + _OTHERS.sub(b" ", raw[LONGEST:])[:LONGEST]


def _path_of(head: str) -> str:
    """The path in the first line of a file's diff: without renames both halves say the same."""
    both = head.removeprefix("diff --git ")
    if both.startswith('"'):
        return both[: (len(both) - 1) // 2].strip('"').removeprefix("a/")
    return both[: (len(both) - 1) // 2].removeprefix("a/")
