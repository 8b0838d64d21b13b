"""What an agent did, condensed from what it printed: pure.

What a tool was asked stands for the work; of answers the first line is kept; the same tool called again and
again becomes one step. The words of its output are an agent's own: they tell, and nothing is concluded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from runner.agents import catalog
from runner.sandbox.output import READY
from runner.tasks.plan import Settings
from runner.views.inert import line
from runner.views.page.material import Step

MOST = 36
"""Steps that are kept of an attempt: those at its end, and a third of them from its beginning."""
SAID, DID, GOT, LAST = 400, 160, 140, 1500
"""Characters of what is said, of a call, of an answer's first line, and of the last thing that is said."""
TOGETHER = 4
"""Calls of a tool in a row whose arguments are all named."""

_TOOLS = (
    *(
        "Bash",
        "BashOutput",
        "KillShell",
        "Read",
        "Write",
        "Edit",
        "MultiEdit",
        "NotebookEdit",
        "Glob",
        "Grep",
        "LS",
    ),
    *("Task", "Agent", "TodoWrite", "WebFetch", "WebSearch", "Skill", "ToolSearch", "ExitPlanMode"),
    *("command", "files"),
)
"""As agent CLIs name them; a sentence may well begin with another word and a colon."""
_CALL = re.compile(rf"({'|'.join(_TOOLS)}|mcp__\w{{1,60}}): (.*)", re.DOTALL)


def steps(settings: Settings, rows: Iterable[bytes]) -> tuple[Step, ...]:
    """The steps of an agent's output, in order; the rows are its lines, without their ends."""
    told = (catalog.told(settings, row) for row in rows if row and row != READY)
    return tuple(_merged(_once(one for words in told if words for one in _steps(words))))


def _once(found: Iterable[Step]) -> Iterator[Step]:
    """The same without an answer that the next step, how it all ended, gives again."""
    before: Step | None = None
    for step in found:
        if before is not None and not _repeats(before, step):
            yield before
        before = step
    if before is not None:
        yield before


def _repeats(before: Step, step: Step) -> bool:
    head, _, answer = step.words.partition("] ")
    if not before.kind == step.kind == "said" or not head.startswith("[") or not answer:
        return False
    is_cut = len(step.words) == LAST and answer.endswith("…")
    return before.words.startswith(answer[:-1]) if is_cut else before.words == answer


def _steps(words: str) -> Iterator[Step]:
    """What one line of its output says: text, then calls of one line or several, then indented answers."""
    rows = words.split("\n")
    while rows and rows[-1].startswith("    "):
        rows.pop()
    answer = words.split("\n")[len(rows) :]
    calls = [n for n, row in enumerate(rows) if _CALL.fullmatch(row)]
    if said := " ".join(row.strip() for row in rows[: calls[0] if calls else None] if row.strip()):
        yield Step("said", line(said, LAST))
    for begin, end in pairwise([*calls, len(rows)]):
        yield Step("did", line("\n".join(rows[begin:end]), DID))
    if answer:
        yield Step("got", line(next((row for row in answer if row.strip()), ""), GOT))


def _merged(found: Iterable[Step]) -> Iterator[Step]:
    """The same with calls of one tool in a row as one step; their answers are left out then."""
    waiting: list[Step] = []
    for step in found:
        if waiting and step.kind == "did" and _tool(step) == _tool(waiting[0]):
            waiting = [one for one in waiting if one.kind == "did"] + [step]
            continue
        if waiting and step.kind == "got":
            if len(waiting) == 1:
                waiting.append(step)
            continue
        yield from _together(waiting)
        waiting = [step] if step.kind == "did" else []
        if step.kind != "did":
            yield step
    yield from _together(waiting)


def _together(waiting: Sequence[Step]) -> Iterator[Step]:
    calls = [one for one in waiting if one.kind == "did"]
    if len(calls) < 2:
        yield from waiting
        return
    tool = _tool(calls[0])
    asked = [one.words.removeprefix(f"{tool}: ") for one in calls]
    more = f" and {len(asked) - TOGETHER} more" if len(asked) > TOGETHER else ""
    yield Step("did", f"{tool}: {line(' · '.join(line(one, 80) for one in asked[:TOGETHER]), 320)}{more}")


def _tool(step: Step) -> str:
    return step.words.partition(": ")[0]


def condensed(found: Sequence[Step], most: int = MOST) -> tuple[Step | None, ...]:
    """The beginning and the end of many steps, None between them; all but the last words are cut."""
    shown: list[Step | None] = list(found)
    if len(found) > most:
        shown = [*found[: most // 3], None, *found[len(found) - most + most // 3 :]]
    last = next((n for n in range(len(shown) - 1, -1, -1) if (one := shown[n]) and one.kind == "said"), -1)
    return tuple(one if n == last else _cut(one) for n, one in enumerate(shown))


def _cut(step: Step | None) -> Step | None:
    if step is None or step.kind != "said" or len(step.words) <= SAID:
        return step
    return Step("said", step.words[: SAID - 1].rstrip() + "…")
