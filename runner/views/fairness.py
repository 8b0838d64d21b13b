"""Was it fair, was it honest: what the audit found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.text import Text

from runner.compare.audit import Audit, Finding, Weight, discounted, left_out
from runner.supervisor.morning.evidence import audited
from runner.supervisor.state import RunState
from runner.views import summary, wording
from runner.views.inert import line, markdown

ORDER: tuple[Weight, ...] = ("cheating", "unfair", "note")
COLOURS: dict[Weight, str] = {"cheating": "bold red", "unfair": "yellow", "note": "dim"}
LONGEST = 400
"""Characters of what was found."""


def audit(state: RunState) -> Audit:
    """What was found of a run."""
    return audited(state, summary.scored(state))


def cheats(state: RunState) -> dict[str, str]:
    """The attempts of a run that cheated, and how."""
    return discounted(audit(state))


USUAL = {"history-visible", "not-measured"}
"""Notes that say nothing to who compares nothing."""


def told(state: RunState) -> Audit:
    """What of it a report tells: where nothing is compared, less."""
    found = audit(state)
    if state.plan.compared:
        return found
    return replace(found, findings=tuple(one for one in found.findings if one.what not in USUAL))


def rows(found: Audit) -> Iterator[tuple[Weight, str, str]]:
    """Each finding as weight, name and words, the weightier first; all notes of one kind are one."""
    for weight in ORDER:
        of_weight = [finding for finding in found.findings if finding.weight == weight]
        for what in dict.fromkeys(finding.what for finding in of_weight):
            yield from _of_kind(weight, what, [one for one in of_weight if one.what == what])


def _of_kind(weight: Weight, what: str, findings: list[Finding]) -> Iterator[tuple[Weight, str, str]]:
    by_words = alike(findings)
    if weight == "note" and len(by_words) > 1:
        words, of_it = usual(by_words)
        whose = f"{wording.many(len(findings), 'attempt')}, such as {of_it[0].attempt}"
        yield weight, what, f"{whose}: {line(words, LONGEST)}"
        return
    for words, of_it in by_words.items():
        whose = of_it[0].attempt if len(of_it) == 1 else wording.many(len(of_it), "attempt")
        yield weight, what, f"{whose}: {line(words, LONGEST)}"


def alike(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by their words."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.words, []).append(finding)
    return found


def usual(by_words: dict[str, list[Finding]]) -> tuple[str, list[Finding]]:
    """The words of the most findings."""
    return max(by_words.items(), key=lambda each: len(each[1]))


def consequences(found: Audit) -> Iterator[str]:
    """What follows from it for a comparison, in sentences."""
    cheats, unfair = discounted(found), left_out(found)
    pairs = sum(not pair.fair for pair in found.pairs)
    if cheats:
        yield f"not counted as accepted, since they cheated: {_named(cheats)}"
    if unfair:
        yield f"left out of comparisons, since they had it easier or harder: {_named(unfair)}"
    if found.pairs:
        yield f"{len(found.pairs) - pairs} of {wording.many(len(found.pairs), 'pair')} may be compared"


def _named(attempts: dict[str, str], most: int = 10) -> str:
    more = f" and {len(attempts) - most} more" if len(attempts) > most else ""
    return ", ".join(list(attempts)[:most]) + more


def terminal(state: RunState) -> Iterator[Text]:
    """The section of a report."""
    found = told(state)
    if not found.findings:
        return
    yield Text()
    yield Text("was it fair?", "bold")
    for weight, what, words in rows(found):
        yield Text(f"  {weight:9}", COLOURS[weight]) + Text(f"{what}  ") + Text(line(words, LONGEST), "dim")
    for sentence in consequences(found):
        yield Text(f"  {line(sentence, LONGEST)}")


def markdown_lines(state: RunState) -> Iterator[str]:
    """The same as Markdown."""
    found = told(state)
    if not found.findings:
        return
    yield ""
    yield "### Was it fair?"
    yield ""
    yield "| weight | finding | |"
    yield "|---|---|---|"
    for weight, what, words in rows(found):
        yield f"| {weight} | {what} | {markdown(words)} |"
    for sentence in consequences(found):
        yield ""
        yield markdown(sentence)


def of_attempt(found: Audit, attempt: str) -> Iterator[tuple[str, str]]:
    """What was found of one attempt: each weight and name, and the words."""
    mine = found.of(attempt)
    for weight in ORDER:
        yield from ((f"{weight}: {one.what}", one.words) for one in mine if one.weight == weight)


def unsaid(flags: Iterable[str], found: Iterable[Finding]) -> list[str]:
    """What was noticed of an attempt that no finding says as well."""
    said = {words for one in found for words in (one.words, f"{one.what}: {one.words}")}
    return [flag for flag in flags if flag not in said]


def as_json(found: Audit) -> summary.Json:
    """All of it for programs."""
    return {
        "findings": [finding_row(finding) for finding in found.findings],
        "pairs": [
            {"a": pair.a, "b": pair.b, "fair": pair.fair, "why": list(pair.why)} for pair in found.pairs
        ],
        "left_out": dict(left_out(found)),
        "discounted": dict(discounted(found)),
    }


def finding_row(finding: Finding) -> summary.Json:
    """One finding for programs."""
    return {
        "attempt": finding.attempt,
        "what": finding.what,
        "weight": finding.weight,
        "words": finding.words,
    }
