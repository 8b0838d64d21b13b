"""What a pull request says of an attempt, or of what was put together: for a page that others read.

No path of this machine stands in it, and whatever is not Corral's own stands in code: nothing in it links,
mentions or acts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.verified import CheckResult
from runner.views import summary, wording
from runner.views.fairness import cheats
from runner.views.inert import block, line, markdown
from runner.views.together import unnamed

LONGEST_TITLE = 72
LONGEST_PROMPT = 6000


def title(state: RunState, attempt: AttemptState) -> str:
    """One plain line for what an attempt did: the first of what was asked, or the task's name.

    An item's task is called by its name: an item may be words that a command printed in a box.
    """
    task = state.plan.task(attempt.key.task)
    asked = next((row for row in task.prompt.splitlines() if row.strip()), "") if task.item is None else ""
    return line(asked, LONGEST_TITLE) or task.id


def title_of_all(state: RunState, integrated: e.Integrated) -> str:
    """The same for what was put together."""
    went_in = sum(one.went_in for one in integrated.joined)
    return f"{wording.many(went_in, 'branch', 'branches')} of the Corral run {state.name}"


def body(state: RunState, attempt: AttemptState) -> str:
    """What there is to know of an attempt's branch, as Markdown."""
    return "\n".join(_body(state, attempt)) + "\n"


def body_of_all(state: RunState, integrated: e.Integrated) -> str:
    """The same for what was put together."""
    return "\n".join(_body_of_all(state, integrated)) + "\n"


def _body(state: RunState, attempt: AttemptState) -> Iterator[str]:
    task = state.plan.task(attempt.key.task)
    yield f"Made by {markdown(attempt.key.profile)} for the task {markdown(task.id)}, in a Corral run."
    yield ""
    if (how := cheats(state).get(str(attempt.key))) is not None:
        yield f"> **The audit found that it cheated**: {markdown(how)}"
        yield ""
    settings = state.plan.profile(attempt.key.profile)
    facts = (
        ("verdict", markdown(wording.judged(state, attempt))),
        ("why", markdown(attempt.reason)),
        ("model", markdown(getattr(settings.settings, "model", ""))),
        (
            "played",
            "yes: a file answered for the model" if summary.played_words(state, settings.name) else "",
        ),
        ("change", wording.diff_stat(attempt)),
        ("checks", " ".join(markdown(check.run) for check in task.checks) or "none"),
        ("time", wording.duration(attempt.seconds)),
        ("tokens", wording.tokens(attempt.tokens)),
        ("cost", wording.usd(attempt.usd)),
        ("commit", markdown(attempt.commit or "")),
    )
    yield "| | |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in facts if value)
    yield from _checks(attempt.checks)
    if attempt.flags:
        yield ""
        yield "Noticed:"
        yield ""
        yield from (f"- {markdown(flag)}" for flag in attempt.flags)
    if task.prompt.strip():
        yield ""
        yield "What was asked:"
        yield ""
        yield _fenced(block(task.prompt, LONGEST_PROMPT))


def _body_of_all(state: RunState, integrated: e.Integrated) -> Iterator[str]:
    yield f"Accepted branches of the Corral run {markdown(state.name)}, put together."
    yield ""
    yield "| attempt | | why not |"
    yield "|---|---|---|"
    for one in integrated.joined:
        why = " ".join(filter(None, (markdown(one.why), *map(markdown, (*unnamed(one), *one.files)))))
        yield f"| {markdown(one.attempt)} | {'in' if one.went_in else 'left out'} | {why} |"
    yield from _checks(integrated.checks)


def _checks(checks: tuple[CheckResult, ...]) -> Iterator[str]:
    if not checks:
        return
    yield ""
    yield "| check | says | before | |"
    yield "|---|---|---|---|"
    for one in checks:
        tests = one.tests
        counts = "" if tests is None else f"{tests.passed} passed, {tests.failed} failed"
        flaky = "flaky" if one.flaky else ""
        told = "; ".join(filter(None, (flaky, counts, markdown(one.reason))))
        yield f"| {markdown(one.name)} | {one.check} | {one.before or ''} | {told} |"


def _fenced(text: str) -> str:
    """A block of code that nothing in it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
