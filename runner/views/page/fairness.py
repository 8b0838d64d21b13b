"""Whether it was fair, and honest: what was found of attempts, and which pairs do not count for it."""

from __future__ import annotations

from collections.abc import Sequence

from runner.compare.audit import Audit, Finding, PairVerdict
from runner.compare.scored import Excluded
from runner.views import wording
from runner.views.comparison import never_began
from runner.views.fairness import ORDER, alike, usual
from runner.views.inert import line
from runner.views.page.markup import Html, joined, tag
from runner.views.page.material import Material
from runner.views.page.prose import inline
from runner.views.page.together import joined_pair
from runner.views.page.words import as_table, link, note, section, table

LISTED = 30
"""Rows that are shown at once."""
NAMED = 4
"""Attempts that are named of which the same was found."""
_WEIGHTS = {"cheating": "cheating", "unfair": "unfair", "note": "to know"}


def fairness(material: Material) -> Html | None:
    """The section."""
    audit = material.audit
    excluded = () if material.comparison is None else material.comparison.excluded
    if audit is None and not excluded:
        return None
    found = Audit() if audit is None else audit
    unfair = [pair for pair in found.pairs if not pair.fair]
    return section(
        "fairness",
        "Fair and honest?",
        "Nobody looked at fairness." if audit is None else _title(found, unfair),
        _findings(material, found),
        _unfair(material, unfair, len(found.pairs)),
        _excluded(material, excluded),
    )


def _title(audit: Audit, unfair: list[PairVerdict]) -> str:
    cheats = {one.attempt for one in audit.findings if one.weight == "cheating"}
    caught = (
        f"{wording.many(len(cheats), 'attempt')} reached for the result by another way." if cheats else ""
    )
    eased = {one.attempt for one in audit.findings if one.weight == "unfair"}
    harder = f"{wording.many(len(eased), 'attempt')} had it easier or harder than others." if eased else ""
    apart = f"{len(unfair)} of {wording.many(len(audit.pairs), 'pair')} left out as unfair." if unfair else ""
    return " ".join(filter(None, (caught, harder, apart))) or "Nothing unfair was found."


def _findings(material: Material, audit: Audit) -> Html | None:
    """What was found, the weightier first; of notes those of one kind are one row, and come again below."""
    if not audit.findings:
        return None
    first: list[tuple[Html, ...]] = []
    later: list[tuple[Html, ...]] = []
    for weight in ORDER:
        kinds: dict[str, list[Finding]] = {}
        for one in audit.findings:
            if one.weight == weight:
                kinds.setdefault(one.what, []).append(one)
        for of_kind in kinds.values():
            by_words = alike(of_kind)
            rows = [_finding(material, words, of_it) for words, of_it in by_words.items()]
            if weight == "note" and len(rows) > 1:
                words, of_most = usual(by_words)
                others = [one for one in of_kind if one.words != words]
                first.append(_finding(material, words, [*of_most, *others], len(others)))
                later += rows
            else:
                first += rows
    head = ("weight", "what was found", "finding", "of")
    rest = [*first[LISTED:], *later]
    shown = table(head, first[:LISTED], name="Findings")
    if not rest:
        return shown
    return shown + as_table(f"{len(rest)} findings in detail", table(head, rest, name="Findings in detail"))


def _finding(material: Material, words: str, of_it: Sequence[Finding], others: int = 0) -> tuple[Html, ...]:
    """A row; `others` of the findings, the last, are of that kind, in other words."""
    one = of_it[0]
    named = [joined(link(material, each.attempt), " ") for each in of_it[:NAMED]]
    more = tag("small", f" and {len(of_it) - NAMED} more") if len(of_it) > NAMED else None
    like = tag("small", f" – and the like of {wording.many(others, 'attempt')}") if others else None
    return (
        tag("span", _WEIGHTS[one.weight], class_=f"chip {one.weight}"),
        tag("span", inline(line(words, 400)), like),
        tag("code", line(one.what, 60)),
        tag("span", named, more),
    )


def _unfair(material: Material, unfair: list[PairVerdict], whole: int) -> Html | None:
    if not unfair:
        return None
    rows = [(joined_pair(material, one.a, one.b), line("; ".join(one.why), 400)) for one in unfair]
    head = ("pair left out", "why")
    shown = table(head, rows[:LISTED], name="Pairs left out")
    rest = (
        tag(
            "details",
            tag("summary", f"{len(rows) - LISTED} more pairs"),
            table(head, rows[LISTED:], name="More pairs left out"),
            class_="alt",
        )
        if len(rows) > LISTED
        else None
    )
    return tag("div", tag("h3", f"Pairs that do not count ({len(unfair)} of {whole})"), shown, rest)


def _excluded(material: Material, excluded: tuple[Excluded, ...]) -> Html | None:
    if not excluded:
        return None
    rows = [tag("li", line(words, 200)) for words in never_began(excluded)]
    rows += [
        tag("li", link(material, one.attempt), f" {line(one.why, 200)}") for one in excluded if one.began
    ]
    head = tag("h3", f"Attempts that are not scored ({len(excluded)})")
    more = (
        tag("details", tag("summary", f"{len(rows) - LISTED} more"), tag("ul", rows[LISTED:], class_="plain"))
        if len(rows) > LISTED
        else note("They are counted beside the scores, and not in them.")
    )
    return tag("div", head, tag("ul", rows[:LISTED], class_="plain columns"), more)
