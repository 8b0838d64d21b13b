"""Which accepted branches go together, and what came of putting them together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.gather.conflicts import Matrix, Meeting
from runner.supervisor.events import Integrated
from runner.supervisor.events.of_run import Joined
from runner.supervisor.morning.chosen import Outdated, outdated
from runner.supervisor.verified import CheckResult
from runner.views import together, wording
from runner.views.inert import line
from runner.views.page.markup import Html, joined, tag
from runner.views.page.material import Material
from runner.views.page.words import as_table, link, listed, note, section, took

LARGEST = 40
"""Branches of a matrix that is drawn; of more, those with the most conflicts."""
CELL = 20
"""Pixels of a cell."""
IN_FILE = 4
"""Pairs that are listed at once of those in conflict over the same files."""
LISTED = 12
"""Conflicts, and branches of an integration, that are listed at once."""


def matrices(material: Material) -> Html | None:
    """Every two accepted branches of a repository, by how they meet."""
    found = [(repo, matrix) for repo, matrix in material.matrices.items() if len(matrix.attempts) > 1]
    if not found:
        return None
    parts = [_matrix(material, repo if len(found) > 1 else "", matrix) for repo, matrix in found]
    conflicts = sum(one.kind == "conflict" for _, matrix in found for one in matrix.meetings)
    branches = sum(len(matrix.attempts) for _, matrix in found)
    pairs = sum(len(matrix.attempts) * (len(matrix.attempts) - 1) // 2 for _, matrix in found)
    title = (
        f"{wording.many(conflicts, 'pair')} of {pairs} can’t be had together."
        if conflicts
        else f"All {branches} accepted branches merge with each other."
    )
    return section("conflicts", "Conflicts foreseen", title, parts)


def _matrix(material: Material, repo: str, matrix: Matrix) -> Html:
    meetings = {frozenset((one.a, one.b)): one for one in matrix.meetings}
    shown = _worst(matrix) if len(matrix.attempts) > LARGEST else matrix.attempts
    conflicts = [one for one in matrix.meetings if one.kind == "conflict"]
    left = len(matrix.attempts) - len(shown)
    if left:
        words = f"Drawn are the {len(shown)} branches with the most conflicts; {left} others are not."
    else:
        words = "Each branch meets those above it; its number stands over its column."
    drawing = tag(
        "div",
        _drawing(shown, meetings),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="How branches meet",
    )
    same = [note("The same files in: ", listed(group), ".") for group in matrix.same]
    return tag(
        "figure",
        tag("figcaption", tag("b", line(repo, 120))) if repo else None,
        tag(
            "div",
            tag("div", drawing, _legend(matrix), note(words)),
            tag("div", _listed(material, conflicts), same),
            class_="pair wide",
        ),
        class_="matrix",
    )


def _worst(matrix: Matrix) -> tuple[str, ...]:
    count = dict.fromkeys(matrix.attempts, 0)
    for one in matrix.meetings:
        for name in (one.a, one.b):
            count[name] = count.get(name, 0) + (1000 if one.kind == "conflict" else 1)
    worst = set(sorted(matrix.attempts, key=lambda name: -count[name])[:LARGEST])
    return tuple(name for name in matrix.attempts if name in worst)


def _drawing(shown: Sequence[str], meetings: dict[frozenset[str], Meeting]) -> Html:
    gutter = min(280, 26 + 7 * max(map(len, shown)))
    side = CELL * len(shown)
    cells: list[Html] = []
    for row, a in enumerate(shown):
        y = CELL * (row + 1)
        cells.append(tag("text", line(a, 40), x=gutter - 26, y=y + 14, text_anchor="end", class_="label"))
        cells.append(tag("text", row + 1, x=gutter - 6, y=y + 14, text_anchor="end", class_="tick"))
        if row < len(shown) - 1:
            cells.append(
                tag("text", row + 1, x=gutter + CELL * row + 9, y=14, text_anchor="middle", class_="tick")
            )
        cells += [_cell(shown, meetings, row, column, gutter, y) for column in range(row)]
    conflicts = sum(one.kind == "conflict" for one in meetings.values())
    words = f"{len(shown)} branches by {len(shown)}; {wording.many(conflicts, 'conflict')}, listed below"
    return tag("svg", cells, width=gutter + side, height=side + CELL + 4, role="img", aria_label=words)


def _cell(
    shown: Sequence[str],
    meetings: dict[frozenset[str], Meeting],
    row: int,
    column: int,
    gutter: int,
    y: int,
) -> Html:
    a, b = shown[row], shown[column]
    met = meetings.get(frozenset((a, b)))
    kind = "apart" if met is None else met.kind
    title = tag("title", f"{b} and {a}: {_words(met)}") if met is not None else None
    box = tag(
        "rect",
        title,
        x=gutter + CELL * column,
        y=y,
        width=CELL - 2,
        height=CELL - 2,
        rx=2,
        class_=f"cell {kind}",
    )
    if kind != "conflict":
        return box
    x = gutter + CELL * column
    cross = f"M{x + 5} {y + 5}l8 8m0 -8l-8 8"
    return box + tag("path", d=cross, class_="cross")


def _words(met: Meeting | None) -> str:
    if met is None:
        return "no path in common"
    files = ", ".join(line(one, 80) for one in met.files)
    return {"clean": "merge", "conflict": "conflict in", "unknown": "could not be asked"}[
        met.kind
    ] + f" {files}"


def _legend(matrix: Matrix) -> Html:
    kinds = {one.kind for one in matrix.meetings}
    entries = {
        "conflict": "conflict",
        "clean": "same paths, merge cleanly",
        "unknown": "could not be asked",
    }
    parts = [
        tag("li", tag("span", class_=f"swatch cell {kind}"), words)
        for kind, words in entries.items()
        if kind in kinds
    ]
    return tag(
        "ul", parts, tag("li", tag("span", class_="swatch cell apart"), "no path in common"), class_="legend"
    )


def _listed(material: Material, conflicts: Sequence[Meeting]) -> Html | None:
    """Conflicts by the files that they are in: one file has several, as a rule."""
    by_files: dict[tuple[str, ...], list[Meeting]] = {}
    for one in conflicts:
        by_files.setdefault(one.files, []).append(one)
    rows = [_in_files(material, files, of_it) for files, of_it in by_files.items()]
    if not rows:
        return None
    first = tag("ul", rows[:LISTED], class_="plain")
    if len(rows) <= LISTED:
        return first
    return first + as_table(f"{len(rows) - LISTED} more files", tag("ul", rows[LISTED:], class_="plain"))


def _in_files(material: Material, files: Sequence[str], of_it: Sequence[Meeting]) -> Html:
    names = ", ".join(line(file, 80) for file in files) or "files that nobody knows"
    pairs = [tag("li", joined_pair(material, one.a, one.b)) for one in of_it]
    kept, more = pairs[:IN_FILE], pairs[IN_FILE:]
    rest = tag("details", tag("summary", f"{len(more)} more pairs"), tag("ul", more)) if more else None
    return tag("li", tag("code", names), tag("ul", kept, class_="sub"), rest)


def joined_pair(material: Material, a: str, b: str) -> Html:
    """Two attempts as links."""
    return tag("span", link(material, a), " and ", link(material, b))


# -- what was put together


def integrations(material: Material) -> Html | None:
    """What went into each integration, what was left out, and why."""
    found = list(material.state.integrated.values())
    if not found:
        return None
    went_in = sum(one.went_in for event in found for one in event.joined)
    whole = sum(len(event.joined) for event in found)
    title = f"{went_in} of {wording.many(whole, 'branch', 'branches')} went in."
    old = outdated(material.state)
    parts = [_integrated(material, event, len(found), old.get(event.repo)) for event in found]
    return section("integration", "Put together", title, parts)


def _integrated(material: Material, event: Integrated, many: int, old: Outdated | None) -> Html:
    inside = [one for one in event.joined if one.went_in]
    outside = [one for one in event.joined if not one.went_in]
    facts = [
        tag("p", tag("b", line(event.repo, 120))) if many > 1 else None,
        tag(
            "p",
            "On the branch ",
            tag("code", event.branch),
            f", {(event.commit or '')[:10]}, from {event.base[:10]}.",
        )
        if event.branch
        else tag("p", "No branch was made."),
        tag("p", _checked(event), class_="note"),
        tag("p", line(together.now_otherwise(material.state, old), 400)) if old is not None else None,
    ]
    entered = [tag("li", link(material, one.attempt)) for one in inside]
    left_out = [
        tag("li", link(material, one.attempt), " ", tag("span", _why(material, one))) for one in outside
    ]
    return tag(
        "div",
        tag("div", facts),
        tag(
            "div",
            tag("div", tag("h3", f"In, in this order ({len(inside)})"), _short("ol", entered))
            if inside
            else None,
            tag("div", tag("h3", f"Left out ({len(outside)})"), _short("ul", left_out)) if outside else None,
            class_="pair",
        ),
        class_="integrated",
    )


def _short(kind: str, rows: Sequence[Html]) -> Html:
    first = tag(kind, rows[:LISTED], class_="plain")
    if len(rows) <= LISTED:
        return first
    more = tag(kind, rows[LISTED:], class_="plain", start=LISTED + 1 if kind == "ol" else None)
    return first + tag("details", tag("summary", f"{len(rows) - LISTED} more"), more)


def _checked(event: Integrated) -> str:
    said = ", ".join(f"{line(one.name, 60)} {_said(one)}" for one in event.checks) or "no check"
    lasted = "" if event.seconds is None else f", in {took(event.seconds)}"
    return f"Checked as a whole: {said}. {wording.many(event.check_runs, 'run')} of the checks{lasted}."


def _said(one: CheckResult) -> str:
    tests = one.tests
    counted = "" if tests is None else f" ({tests.passed} tests passed, {tests.failed} failed)"
    return f"{one.check}{counted}"


def _why(material: Material, one: Joined) -> Html:
    """Why it was left out, and with whom it does not go, if that was found out."""
    causes = {
        "conflict": "does not merge",
        "check": "makes the combined check fail",
        "same": "is in already",
        "cheating": "is not trusted",
        "error": "could not be tried",
        "discarded": "was discarded",
        "": "",
    }
    files = f" ({', '.join(line(file, 60) for file in one.files[:4])})" if one.files else ""
    unnamed = [part for name in together.unnamed(one) for part in (" ", link(material, name))]
    words = _linked(material, line(one.why, 240) or causes[one.cause], one.with_)
    return joined(words, files, joined(" with", unnamed) if unnamed else None)


def _linked(material: Material, words: str, names: Sequence[str]) -> Html:
    """The words, with these names as links."""
    split = re.split(f"({'|'.join(map(re.escape, names))})(?!\\w)", words) if names else [words]
    return joined([link(material, part) if n % 2 else part for n, part in enumerate(split)])
