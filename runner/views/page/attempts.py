"""Each attempt at length: what was asked, what happened, what it used and changed, what its checks said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, groupby

from runner.compare.audit import Finding
from runner.supervisor.finding import command
from runner.supervisor.state import RunState
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import Task
from runner.views import checks, measured, summary, wording
from runner.views.fairness import ORDER, unsaid
from runner.views.inert import line
from runner.views.page import clock, curves, diffs, sharing
from runner.views.page.markup import NOTHING, Html, escaped, joined, tag
from runner.views.page.material import Material, Read, Shown, Step
from runner.views.page.prose import inline, prose
from runner.views.page.words import grade, mark, note, section, table, took, verdict

FRAME = 400
"""Bytes around an attempt's texts: what they are in, and what leads to what is left out."""
INFLATION = 4
"""How many bytes of a page a character becomes at most, as a rule: colours and escapes take some."""
PROMPTS = 1_000_000
"""Characters of all prompts: each task has an equal part."""
SHORT_PROMPT = 700
"""Characters of a prompt that is shown open."""
NAMES = 6
"""Names of tests that are listed at once."""


def attempts(material: Material, room: int) -> Html | None:
    """All attempts, task by task.

    Args:
        material: What is shown.
        room: Bytes that they may take; what differs in length shares what the rest leaves.
    """
    if not material.attempts:
        return None
    shown = material.attempts[: sharing.MOST_ATTEMPTS]
    facts = [(_head(material, one), _facts_of(material, one)) for one in shown]
    tasks = {name: _asked(material, name) for name in dict.fromkeys(one.key.task for one in shown)}
    taken = sum(len(one.text.encode()) for one in chain(*facts, tasks.values()))
    texts = _texts(material.state, shown, room - taken - FRAME * len(shown))
    told = [(one, _attempt(one, *known, text)) for one, known, text in zip(shown, facts, texts, strict=True)]
    parts = [
        tag("div", tasks[name], [drawn for _, drawn in of_it], class_="task")
        for name, of_it in groupby(told, lambda each: each[0].key.task)
    ]
    left = len(material.attempts) - len(shown)
    shows = f"`corral show ATTEMPT --run {material.state.name}`"
    rest = note(f"{left} attempts are not told of here: {shows} does.") if left else None
    title = wording.many(len(material.attempts), "attempt")
    return section("attempts", "One by one", f"{title}, task by task.", parts, rest)


def _asked(material: Material, name: str) -> Html:
    """What a task is."""
    task = material.state.plan.task(name)
    facts = [tag("p", "for ", tag("code", line(task.item, 200)))] if task.item else []
    if task.checks:
        named = [joined(tag("code", line(checks.command(one), 300)), " ") for one in task.checks]
        facts.append(tag("p", "checked by ", named))
    return joined(tag("h3", name), _prompt(task, PROMPTS // len(material.state.plan.tasks)), facts)


def _prompt(task: Task, most: int) -> Html | None:
    words = task.prompt.strip()
    if not words:
        return None
    cut = words if len(words) <= most else words[:most] + "…"
    text = tag("blockquote", prose(cut))
    if len(words) <= SHORT_PROMPT:
        return text
    head = tag("summary", "What was asked: ", inline(line(words, 90)))
    return tag("details", head, text, class_="alt")


def _facts_of(material: Material, one: Shown) -> Html:
    """What is told of an attempt however many there are."""
    pair = tag("div", _story(material, one), _side(material, one), class_="pair")
    return joined(pair, _checks(one.name, one.state.checks))


def _head(material: Material, one: Shown) -> Html:
    state = one.state
    found, changed = grade(material, state), state.branch or state.discarded
    return tag(
        "summary",
        mark(found),
        tag("span", tag("b", state.key.profile), f" /{_number(one)}", class_="who"),
        tag("span", verdict(material, state), class_=f"chip {found}"),
        tag("span", took(state.seconds) if state.seconds is not None else "", class_="figure"),
        tag("span", wording.usd(state.usd) if state.tokens is not None else "", class_="figure"),
        tag("span", wording.diff_stat(state) if changed else "", class_="figure change"),
    )


def _attempt(one: Shown, head: Html, facts: Html, texts: Html) -> Html:
    # What a link leads to is inside: a browser opens what it is in.
    body = tag("div", facts, texts, id=one.name, class_="body")
    return tag("details", head, body, class_="attempt")


def _number(one: Shown) -> str:
    return str(one.key).rpartition("/")[2]


# -- what happened


def _story(material: Material, one: Shown) -> Html:
    state = one.state
    told = [
        tag("li", tag("time", clock.told(moment.at, material.zone)), " ", line(moment.words, 240))
        for moment in one.moments
    ]
    found = () if material.audit is None else material.audit.of(one.name)
    notes = [tag("li", _weighed(each)) for each in found if each.weight == "note"]
    flags = [tag("li", _weighed(each)) for weight in ORDER[:-1] for each in found if each.weight == weight]
    flags += [*(tag("li", inline(line(flag, 300))) for flag in unsaid(wording.noticed(state), found)), *notes]
    return tag(
        "div",
        tag("p", inline(line(state.reason, 500)), class_="reason") if state.reason else None,
        joined(tag("h4", "Noticed"), tag("ul", flags, class_="flags")) if flags else None,
        joined(tag("h4", "What happened"), tag("ol", told, class_="moments")) if told else None,
        _activity(material, one),
        class_="story",
    )


def _weighed(found: Finding) -> Html:
    chip = tag("span", found.weight, class_=f"chip {found.weight}")
    return joined(chip, " ", inline(line(found.words, 300)))


def _activity(material: Material, one: Shown) -> Html | None:
    if not one.steps:
        return None
    rows = [_step(material, one, step) for step in one.steps]
    return joined(tag("h4", "What its agent did"), tag("ol", rows, class_="steps"))


def _step(material: Material, one: Shown, step: Step | None) -> Html:
    if step is None:
        logs = tag("code", command(material.state, "logs", one.key))
        return tag("li", "… ", logs, " has what comes between", class_="cut")
    if step.kind != "did":
        return tag("li", inline(step.words), class_=step.kind)
    tool, colon, asked = step.words.partition(": ")
    return tag("li", tag("b", tool), " ", tag("code", asked) if colon else None, class_="did")


def _side(material: Material, one: Shown) -> Html:
    state = one.state
    facts = [(name, value) for name, value in _facts(material, one) if value]
    rows = [tag("div", tag("dt", name), tag("dd", line(value, 300))) for name, value in facts]
    return tag(
        "div",
        curves.resources(one, material.state.limits(state.key)),
        tag("dl", rows, class_="facts"),
        class_="side",
    )


def _facts(material: Material, one: Shown) -> Iterator[tuple[str, str]]:
    state = one.state
    yield "model", summary.played_words(material.state, state.key.profile)
    yield "branch", state.branch or wording.discarded(state)
    yield "take it", command(material.state, "take", one.key, "my-branch") if state.branch else ""
    yield "files kept in", state.kept or ""
    yield "worked", took(state.seconds) if state.seconds is not None else ""
    yield "held", took(state.held_s) if state.held_s else ""
    yield "boxes", str(state.boxes) if state.boxes > 1 else ""
    yield "check took", took(state.check_seconds) if state.check_seconds is not None else ""
    yield "tokens", wording.tokens(state.tokens) if state.tokens is not None else ""
    yield "cost", wording.usd(state.usd) if state.tokens is not None else ""
    yield "overshot by", wording.caps(state.overshot)
    yield "replay", wording.followed(state)
    yield "tried again", "" if state.retry is None else wording.retried(state.retry).partition("  ")[2]
    yield from measured.told(state, material.state.limits(state.key), None)


# -- checks


def _checks(attempt: str, said: Sequence[CheckResult]) -> Html | None:
    if not said:
        return None
    head = ("check", "before", "after", "tests", "runs", "took")
    rows = [
        (
            tag("span", line(one.name, 80), _flaky(one)),
            _said(one.before) if one.before is not None else tag("span", "not asked", class_="dim"),
            joined(_said(one.check), tag("small", f" {line(one.reason, 200)}") if one.reason else None),
            _tests(one),
            one.runs,
            took(one.seconds),
        )
        for one in said
    ]
    words = f"Checks of {attempt}"
    return joined(tag("h4", "Checks"), table(head, rows, figures=4, name=words), _named(said))


def _flaky(one: CheckResult) -> Html | None:
    return tag("span", "flaky", class_="chip odd") if one.flaky else None


def _said(check: str) -> Html:
    kind = {"passed": "good", "failed": "bad"}.get(check, "odd")
    return tag("span", check, class_=f"said {kind}")


def _tests(one: CheckResult) -> str:
    if one.tests is None:
        return "–"
    parts = [
        f"{count} {name}"
        for count, name in (
            (one.tests.passed, "passed"),
            (one.tests.failed, "failed"),
            (one.tests.skipped, "skipped"),
        )
        if count
    ]
    return ", ".join(parts) or "none"


def _named(said: Sequence[CheckResult]) -> Html | None:
    parts: list[Html] = []
    for one in said:
        for words, names in (
            ("failing", () if one.tests is None else one.tests.failing),
            ("passed before, fail now", one.broken),
        ):
            if names:
                more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
                listed = [joined(tag("code", line(name, 120)), " ") for name in names[:NAMES]]
                parts.append(note(f"{line(one.name, 60)}, {words}: ", listed, more))
    return joined(parts) if parts else None


# -- what is long


def _texts(state: RunState, shown: Sequence[Shown], room: int) -> list[Html]:
    """Of each its diff and its outputs: all of them together within so many bytes."""
    colours = sharing.shares([len(one.diff.text) for one in shown], sharing.COLOURED)
    texts = [
        each
        for one, coloured in zip(shown, colours, strict=True)
        for each in (
            (one.diff, partial(_diff, state, one, coloured)),
            (one.check, partial(_check_output, state, one)),
            (one.output, partial(_own_output, state, one)),
        )
    ]
    needs = [INFLATION * len(read.text) + FRAME if read.text else 0 for read, _ in texts]
    drawn = sharing.within(needs, room, lambda n, most: texts[n][1](most))
    return [joined(drawn[n : n + 3]) for n in range(0, len(drawn), 3)]


def _diff(state: RunState, one: Shown, coloured: int, most: int) -> Html:
    text, shows = one.diff.text, command(state, "diff", one.key)
    if not text:
        return NOTHING
    if most < min(len(text), sharing.SMALLEST):
        return tag("p", tag("code", shows), " shows what it changed.", class_="cut")
    drawn = diffs.drawn(text, most, whole=one.diff.whole, command=shows, coloured=coloured)
    return joined(tag("h4", "What it changed"), drawn)


def _check_output(state: RunState, one: Shown, most: int) -> Html:
    shows = command(state, "logs", one.key, "--check")
    return _output("What its check printed", one.check, most, shows, is_open=one.state.check == "failed")


def _own_output(state: RunState, one: Shown, most: int) -> Html:
    return _output("What it printed", one.output, most, command(state, "logs", one.key), is_open=False)


def _output(words: str, read: Read, most: int, command: str, *, is_open: bool) -> Html:
    """The end of an output: what matters stands there."""
    if not read.text.strip() or most < min(len(read.text), sharing.SMALLEST):
        return NOTHING
    kept = read.text[-max(1, most) :]
    while (size := len(escaped(kept).encode())) > most and len(kept) > 1:  # what is written out takes more
        kept = kept[-max(1, len(kept) * most // size) :]
    cut = None
    if len(kept) < len(read.text) or not read.whole:
        cut = tag("p", "Its end; ", tag("code", command), " shows it whole.", class_="cut")
    text = tag(
        "pre",
        "\n".join(row.rstrip() for row in kept.split("\n")),
        tabindex="0",
        role="group",
        aria_label=words,
    )
    return tag("details", tag("summary", words), cut, text, class_="alt", open=is_open and len(kept) < 6000)


def jumps(material: Material, sections: Sequence[tuple[str, str]]) -> Html:
    """The way to each part of the page."""
    items = [tag("li", tag("a", words, href=f"#{name}")) for name, words in sections]
    return tag("nav", tag("ul", items), aria_label=f"Parts of the report on {material.state.name}")
