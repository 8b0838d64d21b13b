"""A diff as a page shows it: file by file, in colours, within so many bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pygments.lexer import Lexer

from runner.views import wording
from runner.views.inert import line
from runner.views.page.colouring import coloured, lexer_for
from runner.views.page.markup import Html, escaped, joined, tag

WIDEST = 5000
"""Characters of a line that are shown."""
PIECE = 160
"""Lines that are read at once: of a longer hunk no more is read than has room."""
OPEN_LINES = 120
"""Lines of a diff that is shown open."""

_HUNK = re.compile(r"@@ [^@]{1,80} @@")


@dataclass
class Hunk:
    """One piece of a file's diff: its heading, and its lines with their signs."""

    head: str
    rows: list[str] = field(default_factory=list)


@dataclass
class File:
    """One file of a diff."""

    path: str
    notes: list[str] = field(default_factory=list)
    """What git says of it besides: that it is new, its mode, that it is binary."""
    hunks: list[Hunk] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return sum(len(hunk.rows) for hunk in self.hunks)

    def count(self, sign: str) -> int:
        """How many lines are added, or removed."""
        return sum(row.startswith(sign) for hunk in self.hunks for row in hunk.rows)


def files(diff: str) -> list[File]:
    """The files of a diff that git wrote; the lines of a file are counted by its hunks' own headings."""
    found: list[File] = []
    left = [0, 0]  # lines of the hunk that are still to come: of the old file, of the new one
    for row in diff.split("\n"):
        if any(left) and row[:1] in {" ", "+", "-", "\\"} and found[-1].hunks:
            found[-1].hunks[-1].rows.append(row)
            left = [max(0, left[0] - (row[:1] != "+")), max(0, left[1] - (row[:1] != "-"))]
            left = left if row[:1] != "\\" else [left[0] + 1, left[1] + 1]
        elif row.startswith("diff --git "):
            found.append(File(_path(row)))
        elif found and _HUNK.match(row):
            found[-1].hunks.append(Hunk(row))
            left = _lengths(row)
        elif found and row.startswith(("+++ ", "--- ")):
            found[-1].path = _named(row, found[-1].path)
        elif found and row and not row.startswith(("index ", "\\")):
            found[-1].notes.append(row)
    return found


def _path(row: str) -> str:
    return row.removeprefix("diff --git ").rpartition(" b/")[2] or row


def _named(row: str, before: str) -> str:
    """The path that a heading names, where it names one: `/dev/null` stands for none."""
    name = row[4:].rstrip("\t").strip('"')
    return before if name == "/dev/null" else name.removeprefix("a/").removeprefix("b/")


def _lengths(head: str) -> list[int]:
    match = re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", head)
    if match is None:
        return [0, 0]
    return [1 if length is None else int(length) for length in match.groups()]


def drawn(diff: str, most: int, *, whole: bool, command: str, coloured: int = 10**9) -> Html:
    """A diff as markup of at most about `most` bytes; what is left out is said, with what shows all of it.

    Args:
        diff: The diff, or its beginning.
        most: Bytes.
        whole: Whether it is all of it.
        command: What shows all of it.
        coloured: Characters of it that are shown in colours; what comes later is plain.
    """
    if len(diff) > 2 * most:  # no more of it has room, and reading it takes time
        diff, whole = diff[: diff.rfind("\n", 0, 2 * most) + 1], False
    shown, left, lacking, cut = [], most, 0, not whole
    listed = files(diff)
    is_open = sum(one.lines for one in listed) <= OPEN_LINES
    for one in listed:
        body, kept, coloured = _body(one, left, coloured)
        if kept < one.lines:
            lacking += one.lines - kept
            cut = True
        if left <= 0:
            continue
        is_cut = kept < one.lines or (one is listed[-1] and not whole)
        opens = is_open or (one is listed[0] and len(body.text) < 6000)
        drawing = _file(one, body, is_open=opens, is_cut=is_cut)
        left -= len(drawing.text.encode())
        shown.append(drawing)
    if not cut:
        return joined(shown)
    missing = wording.many(lacking, "more line") if whole else "more than fits"
    files_left = len(listed) - len(shown)
    of = f" and {wording.many(files_left, 'file')} besides" if files_left else ""
    return joined(
        shown, tag("p", f"… {missing}{of}: ", tag("code", command), " shows it whole.", class_="cut")
    )


def _file(one: File, body: Html, *, is_open: bool, is_cut: bool) -> Html:
    added, removed = one.count("+"), one.count("-")
    head = tag(
        "summary",
        tag("code", line(one.path, 160), class_="path"),
        None if is_cut else tag("span", f"+{added}", class_="plus"),
        None if is_cut else tag("span", f"−{removed}", class_="minus"),
        tag("small", " · ".join(line(note, 80) for note in one.notes[:3])) if one.notes else None,
    )
    pre = tag(
        "pre", body, class_="diff", tabindex="0", role="group", aria_label=f"diff of {line(one.path, 160)}"
    )
    return tag("details", head, pre if body else None, class_="file", open=is_open)


def _body(one: File, most: int, colours: int) -> tuple[Html, int, int]:
    """A file's hunks, as far as there is room, how many lines that are, and what is left for colours."""
    parts: list[str] = []
    left, kept = most, 0
    lexer = lexer_for(one.path)
    for hunk in one.hunks:
        if left <= 0:
            break
        head = f"<b>{escaped(line(hunk.head, 160))}\n</b>"
        parts.append(head)
        left -= len(head)
        for at in range(0, len(hunk.rows), PIECE):
            rows = hunk.rows[at : at + PIECE]
            drawn = _rows(rows, [row[1:] for row in rows], lexer if colours > 0 else None)
            colours -= sum(map(len, rows))
            for drawing in drawn:
                size = len(drawing.encode())
                left = 0 if size > left else left - size
                if not left:
                    break
                parts.append(drawing)
                kept += 1
            if not left:
                break
    return Html("".join(parts)), kept, colours


def _rows(rows: list[str], code: list[str], lexer: Lexer | None) -> Iterator[str]:
    """Lines one after the other; both sides of them are read as the code that they are."""
    old = [n for n, row in enumerate(rows) if row[:1] != "+"]
    new = [n for n, row in enumerate(rows) if row[:1] != "-"]
    short = [text if len(text) <= WIDEST else text[: WIDEST - 1] + "…" for text in code]
    shown: dict[int, Html] = {}
    for side in (old, new):
        lines = coloured(lexer, [short[n] for n in side])
        shown.update(zip(side, lines, strict=True))
    for n, row in enumerate(rows):
        text, sign = shown[n].text, row[:1]
        if sign == "+":
            yield f"<ins>+{text}\n</ins>"
        elif sign == "-":
            yield f"<del>-{text}\n</del>"
        else:
            yield f"{escaped(sign)}{text}\n"
