"""The promises and whether they hold here: for a person, a promise a line, and for programs."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from runner.supervisor.host.doctor import Finding
from runner.views.inert import cell
from runner.views.summary import Json

_WORDS = {"ok": ("holds", "green"), "weaker": ("weaker here", "yellow"), "broken": ("BROKEN", "bold red")}


def terminal(findings: tuple[Finding, ...]) -> RenderableType:
    """A promise a line, with the cure where it doesn't hold, and what it comes to."""
    return Group(*(_line(finding) for finding in findings), Text(), _sum(findings))


def as_json(findings: tuple[Finding, ...]) -> list[Json]:
    """The findings as plain values; `level` is `ok`, `weaker` or `broken`."""
    return [{"name": f.name, "level": f.level, "found": f.found, "cure": f.cure} for f in findings]


def _line(finding: Finding) -> Text:
    word, colour = _WORDS[finding.level]
    text = Text(f"{word:12}", colour)
    text.append(f"{finding.name}: ", "bold").append_text(cell(finding.found))
    if finding.cure:
        text.append(f"\n            → {finding.cure}", "dim")
    return text


def _sum(findings: tuple[Finding, ...]) -> Text:
    count = {level: sum(finding.level == level for finding in findings) for level in _WORDS}
    if count["broken"]:
        broken = ", ".join(finding.name for finding in findings if finding.level == "broken")
        return Text(f"{count['broken']} of {len(findings)} promises broken: {broken}", "bold red")
    weaker = f", {count['weaker']} weaker here" if count["weaker"] else ""
    return Text(f"{count['ok']} of {len(findings)} promises hold{weaker}", "yellow" if weaker else "green")
