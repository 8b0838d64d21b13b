"""The report of a run: for the terminal, and as Markdown for a step summary or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.names import AttemptKey
from runner.supervisor.attempt.samples import Record
from runner.supervisor.finding import command
from runner.supervisor.graph import deciding
from runner.supervisor.graph.schedule import NO_TIME, NOT_BEFORE_END, NOT_STARTED, Standing, decide
from runner.supervisor.host.doctor import Finding
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.views import checks, comparison, fairness, inbox, measured, summary, together, wording
from runner.views.comparison import markdown_table
from runner.views.fitting import Column, Fitting
from runner.views.inert import block, cell, line, markdown

HEAD = (
    Column("attempt"),
    Column("verdict"),
    Column("check", importance=3),
    Column("time", importance=4),
    Column("peak", importance=1),
    Column("tokens", importance=2),
    Column("cost", importance=2),
    Column("change", importance=5),
)
DIFF_ROWS = 5000
DIFF_BYTES = 1_000_000
"""As much of a diff as is drawn on a terminal: drawing takes most of a second, nobody reads more."""


def terminal(state: RunState, matrices: together.Matrices | None = None) -> RenderableType:
    """The report as tables; `matrices` are how accepted branches meet, if that is known."""
    parts: list[RenderableType] = [headline(state), _attempts(state), *_remarks(state), *to_decide(state)]
    if state.plan.compared:
        parts += [Text(), *comparison.terminal(state)]
    parts += fairness.terminal(state)
    branches = [attempt for attempt in state.as_written if attempt.branch]
    if branches:
        parts += [Text(), Text("branches", "bold")]
        parts += [Text(f"  {a.branch}  ") + Text(wording.diff_stat(a), "dim") for a in branches]
    parts += together.terminal(state, matrices or {})
    parts += [Text(f"note: {line(note)}", "yellow") for note in _notes(state)]
    return Group(*parts)


def to_decide(state: RunState) -> Iterator[Text]:
    """What waits for a person, and what can be typed about it."""
    for one in deciding.undecided(state):
        yield Text()
        how = ", ".join(dict.fromkeys(_verdict(state, {}, attempt) for attempt in one.attempts))
        waits = f"; {wording.many(len(one.waiting), 'attempt')} held for it" if one.waiting else ""
        yield Text("to decide: ", "bold yellow") + cell(f"{one.task}, {how}{waits}")
        typed = deciding.commands(state, one)
        wide = max(len(command) for command, _ in typed)
        yield from (Text(f"  {command:{wide}}") + Text(f"   # {what}", "dim") for command, what in typed)


def _notes(state: RunState) -> tuple[str, ...]:
    """What a person should know of the run as a whole."""
    untold = (f"{name} could not be told: {why}" for name, why in state.untold.items())
    return (*state.weaker, *untold, *state.plan.notes)


def text_markdown(state: RunState, matrices: together.Matrices | None = None) -> str:
    """The report as Markdown; `matrices` as for `terminal`."""
    return "\n".join(_markdown_lines(state, matrices or {})) + "\n"


def attempt(state: RunState, one: AttemptState, log: Path, record: Record | None = None) -> RenderableType:
    """All that is known of one attempt; `record` is what its meter noted, if it did."""
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for name, value in _facts(state, one):
        if value:
            table.add_row(Text(name, "dim"), cell(value))
    task = state.plan.task(one.key.task)
    for name, value in measured.told(one, state.limits(one.key), record):
        table.add_row(Text(name, "dim"), cell(value))
    for check in task.checks:
        table.add_row(Text("check", "dim"), cell(checks.command(check)))
    if task.hidden is not None:
        table.add_row(Text("hidden", "dim"), cell(task.hidden.path))
    table.add_row(Text("output", "dim"), cell(log))
    prompt = (Text(), Text("prompt", "dim"), Text(block(task.prompt, 4000))) if task.prompt else ()
    return Group(table, *prompt)


def _facts(state: RunState, one: AttemptState) -> Iterator[tuple[str, str]]:
    yield "attempt", str(one.key)
    yield "item", state.plan.task(one.key.task).item or ""
    yield "model", summary.played_words(state, one.key.profile)
    yield "replay", wording.followed(one)
    standings = _standings(state)
    yield "stands at", _verdict(state, standings, one) if one.verdict is None else ""
    yield "verdict", "" if one.verdict is None else wording.judged(state, one)
    yield "why", one.reason or _held(standings, one)
    yield "tried again", "" if one.retry is None else wording.retried(one.retry)
    yield "memory", "" if one.retry is None or not one.retry.memory else wording.size(one.retry.memory)
    yield "used", "as if it were accepted: a person decided so" if one.key in state.used else ""
    yield "ended", one.ended or ""
    yield "work", one.work or ""
    yield "checked", _check(one)
    yield from (("", checks.line(check)) for check in one.checks)
    yield "change", wording.diff_stat(one) if one.branch or one.discarded else ""
    yield "branch", one.branch or wording.discarded(one)
    yield "commit", one.commit or ""
    yield "repository", state.plan.sources[state.plan.task(one.key.task).source].repo
    yield "from", one.base or ""
    yield "files kept in", one.kept or ""
    yield "time", wording.duration(one.seconds) if one.seconds is not None else ""
    yield "held for", wording.duration(one.held_s) if one.held_s else ""
    yield "boxes", str(one.boxes) if one.boxes > 1 else ""
    yield "check took", wording.duration(one.check_seconds) if one.check_seconds is not None else ""
    yield "tokens", wording.tokens(one.tokens) if one.tokens is not None else ""
    yield "cost", wording.usd(one.usd) if one.tokens is not None else ""
    yield "overshot by", wording.caps(one.overshot)
    yield "requests", str(one.requests) if one.requests is not None else ""
    audit = fairness.audit(state)
    yield from (("noticed", flag) for flag in fairness.unsaid(wording.noticed(one), audit.of(str(one.key))))
    yield from fairness.of_attempt(audit, str(one.key))


def diff(raw: bytes) -> Text:
    """A diff, made inert and coloured; of a very long one the beginning, and how much more there is."""
    rows = raw[:DIFF_BYTES].decode(errors="replace").split("\n")
    more = raw.count(b"\n") + (not raw.endswith(b"\n")) - min(len(rows) - 1, DIFF_ROWS)
    styles = {"+": "green", "-": "red", "@": "cyan"}
    shown = Text()
    for row in block("\n".join(rows[:DIFF_ROWS])).splitlines():
        head = row.startswith(("diff ", "index ", "+++", "---"))
        shown.append(row + "\n", "bold" if head else styles.get(row[:1], ""))
    if len(raw) > DIFF_BYTES or len(rows) - 1 > DIFF_ROWS:
        shown.append(f"… {more} more lines; redirected to a file, it is whole\n", "yellow")
    return shown


def next_steps(state: RunState) -> RenderableType:
    """What a person may want to do after a run, a command a line."""
    waiting = sum(_can_go_on(why) for _, why in _standings(state).values())
    good = [one for one in state.as_written if one.branch and state.serves(one)]
    cheats = fairness.cheats(state) if good else {}
    honest = [one for one in good if str(one.key) not in cheats]
    steps = [f"corral resume {state.name}   # {waiting} not started yet"] if waiting else []
    steps += inbox.steps(state)
    for best in (honest or good)[:1]:
        steps += [command(state, verb, best.key) for verb in ("show", "diff", "logs")]
        warning = "" if honest else f"   # {deciding.CHEATED}"
        steps += [command(state, "take", best.key, "my-branch") + warning]
    if len(honest) > 1:
        steps += [f"corral integrate {state.name}   # all that goes together, on one branch"]
    unserved = [a for a in state.as_written if a.verdict and not state.task_served(a.key.task)]
    for one in unserved[:1]:
        if one.check == "failed":
            steps += [f"{command(state, 'logs', one.key, '--check')}   # what its check said"]
        if one.container is not None:
            steps += [f"{command(state, 'logs', one.key)}   # what its agent did"]
        steps += [command(state, "show", one.key)]
    steps += [f"corral report {state.name} --markdown"]
    lines = [Text("next:", "dim"), *(Text(f"  {step}") for step in steps)]
    return Group(*lines)


Standings = Mapping[AttemptKey, tuple[Standing, str]]


def _standings(state: RunState) -> Standings:
    """Where each attempt stands, and why, by its last try."""
    return {decision.key: (decision.standing, decision.why) for decision in decide(state, 0)}


def _can_go_on(why: str) -> bool:
    """Whether only the interruption, or the run's end, kept an attempt from its start."""
    return why in {NOT_STARTED, NOT_BEFORE_END} or why.startswith(NO_TIME)


def finding(found: Finding) -> Text:
    """One finding of `doctor`, with its cure."""
    colours = {"ok": "green", "weaker": "yellow", "broken": "red"}
    text = Text(f"{found.level:8}", colours[found.level])
    text.append(f"{found.name}: ", "bold").append_text(cell(found.found))
    if found.cure:
        text.append(f"\n        → {found.cure}", "dim")
    return text


def headline(state: RunState) -> Text:
    served = sum(state.task_served(task.id) for task in state.plan.tasks)
    text = Text(f"run {state.name}", "bold")
    text.append(f"  {served} of {len(state.plan.tasks)} tasks served", "not bold")
    if state.ended is None:
        text.append("  (not ended)", "yellow")
    if played := summary.who_played(state):
        text.append(f"  {played}", "yellow")
    return text


def _attempts(state: RunState) -> Fitting:
    standings = _standings(state)
    rows = [
        (
            wording.named(attempt.key, state.plan.task(attempt.key.task)),
            Text(_verdict(state, standings, attempt), wording.colour(attempt.verdict)),
            Text(_check(attempt)),
            Text(wording.duration(attempt.seconds) if attempt.verdict else ""),
            Text(wording.size(attempt.peak_memory) if attempt.peak_memory else ""),
            Text("" if attempt.tokens is None else wording.tokens(attempt.tokens)),
            Text("" if attempt.tokens is None else wording.usd(attempt.usd)),
            Text(wording.diff_stat(attempt) if attempt.verdict else ""),
        )
        for attempt in state.as_written
    ]
    return Fitting(HEAD, rows)


def _remarks(state: RunState) -> Iterator[Text]:
    """What the table has no room for: why, what was noticed, where files are kept."""
    standings = _standings(state)
    for one in state.as_written:
        kept = (f"its files are kept in {one.kept}",) if one.kept else ()
        said = (one.reason, _held(standings, one), wording.followed(one), wording.discarded(one))
        for words in (*said, *wording.noticed(one), *kept):
            if words:
                yield Text(f"  {one.key}: ", "dim") + cell(words)


def _held(standings: Standings, one: AttemptState) -> str:
    """Why an attempt that was not started will not be."""
    standing, why = standings.get(one.key, ("final", ""))
    return why if standing == "held" else ""


def _verdict(state: RunState, standings: Standings, attempt: AttemptState) -> str:
    if attempt.verdict is None:
        held = standings.get(attempt.key, ("final", ""))[0] == "held"
        return "held" if held else attempt.phase
    again = attempt.again and attempt.key not in state.used
    return f"{attempt.verdict}, tried again" if again else wording.judged(state, attempt)


def _check(attempt: AttemptState) -> str:
    return "" if attempt.check in {None, "none"} else str(attempt.check)


def _markdown_lines(state: RunState, matrices: together.Matrices) -> Iterator[str]:
    standings = _standings(state)
    yield f"## Corral run `{state.name}`"
    yield ""
    if words := summary.played_words(state):
        yield f"> {words}"
        yield ""
    yield from markdown_table(
        ("attempt", "verdict", "check", "time", "tokens", "cost", "change", "branch"),
        [
            (
                " ".join(
                    filter(None, (markdown(str(a.key)), markdown(state.plan.task(a.key.task).item or "")))
                ),
                _verdict(state, standings, a),
                _check(a),
                wording.duration(a.seconds) if a.verdict else "",
                "" if a.tokens is None else wording.tokens(a.tokens),
                "" if a.tokens is None else wording.usd(a.usd),
                "; ".join(
                    filter(
                        None,
                        (
                            wording.diff_stat(a) if a.verdict else "",
                            markdown(a.reason),
                            *map(markdown, wording.noticed(a)),
                        ),
                    )
                ),
                markdown(a.branch or wording.discarded(a)),
            )
            for a in state.as_written
        ],
    )
    for undecided in deciding.undecided(state):
        yield ""
        yield f"### To decide: {markdown(undecided.task)}"
        yield ""
        yield from (f"- `{command}`: {what}" for command, what in deciding.commands(state, undecided))
    if state.plan.compared:
        yield ""
        yield from comparison.text_markdown(state)
    yield from fairness.markdown_lines(state)
    yield from together.lines(state, matrices)
    for note in _notes(state):
        yield ""
        yield f"*{markdown(note)}*"
