"""Watching a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.deadline import at, left
from runner.supervisor.graph.schedule import Agenda, Decision, late_words
from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.views import conditions, graphs, holds, inbox, summary, wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, line

ROWS = 20
"""Finished and waiting attempts beyond this many are counted, not listed."""

MINUTE = 60.0
SHORTEST_PACE = 3.0
"""Seconds of a run that must have been seen before its pace is told."""
MOST_READINGS = 128


class Watcher(Protocol):
    """Something that follows a run while its context is open."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, row: Row, state: RunState) -> None:
        """Take one event."""
        ...

    def building(self, text: str) -> None:
        """Take a line of build output that comes before the run."""
        ...


class PlainLines:
    """Prints one line for each thing that a person would want to know."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._news = holds.News()
        self._conditions = conditions.News()

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, row: Row, state: RunState) -> None:
        """Take one event."""
        text = sentence(row.event, state)
        if isinstance(row.event, e.Signs) and self._news.of(row.event):
            text = Text(f"{row.event.attempt}  ") + cell(holds.sentence(row.event), "yellow")
        elif isinstance(row.event, e.Signs) and (news := self._conditions.of(row.event)):
            text = Text(f"{row.event.attempt}  ") + cell(news, "yellow")
        if text is not None:
            stamp = time.strftime("%H:%M:%S", time.localtime(row.event.at))
            self._console.print(Text(f"{stamp}  ", style="dim") + text, soft_wrap=True)

    def building(self, text: str) -> None:
        """Show that something is built, by its first words."""
        if text.startswith("building "):
            self._console.print(cell(text, "dim"), soft_wrap=True)


def _of_image(event: e.ImageReady | e.ImageFailed | e.ImageGone, state: RunState) -> Text:
    match event:
        case e.ImageReady():
            return Text(f"image ready for {_source(state, event.source)}")
        case e.ImageFailed():
            return Text(f"image failed for {_source(state, event.source)}: {line(event.reason, 600)}", "red")
        case e.ImageGone():
            return Text("an image that the run needs was removed: it is prepared anew", "yellow")


def sentence(event: e.Event, state: RunState) -> Text | None:
    """An event in words, or None if it isn't worth a line."""
    match event:
        case e.RunStarted():
            words = f"run {state.name}: {wording.many(len(state.plan.attempts), 'attempt')}, "
            words += f"{'at first ' if state.auto else ''}{state.jobs} at once"
            played = summary.who_played(state)
            ends = f", to start {at(event.starts, event.at)}" if event.starts is not None else ""
            ends += f", to end {at(state.until, event.at)}" if state.until is not None else ""
            return Text(words + ends) + Text(f"; {played}" if played else "", "yellow")
        case e.ImageLine() if event.line.startswith("building "):
            return Text(line(event.line), "dim")
        case e.ImageReady() | e.ImageFailed() | e.ImageGone():
            return _of_image(event, state)
        case e.Draining():
            return Text(
                "starting nothing new; what runs comes to its end (interrupt again to stop it)", "yellow"
            )
        case e.Stopping():
            return Text("stopping what runs and bringing its work home", "yellow")
        case e.BoxStarted() if not event.again:
            return Text(f"{event.attempt}  running")
        case e.AttemptFinal():
            return _verdict_line(state.attempts[AttemptKey.parse(event.attempt)])
        case e.RunEnded():
            return Text(f"run {state.name} ended")
        case _:
            return graphs.sentence(event) or _limits(event, state)


_HELD: dict[e.Cause, str] = {
    "limit": "stopped by a limit: {why}; it goes on in a new box when that is over",
    "machine": "{why}; it goes on in a new box",
    "nudge": "nudged: {why}; it goes on in a new box",
}


def _limits(event: e.Event, state: RunState) -> Text | None:
    """What happens at a limit of a provider's, or of the run's time, in words."""
    match event:
        case e.RunBegan() | e.DayBegan():
            began = isinstance(event, e.RunBegan)
            return Text("the run's start came" if began else "a new day began, with a budget of its own")
        case e.TooLate():
            return cell(late_sentence(event), "yellow")
        case e.RunOver():
            return Text("the run's end came: what runs is ended, and its work brought home", "yellow")
        case e.WindowsChanged():
            return cell(holds.windows(state) or "nobody waits for a provider's window any more", "yellow")
        case e.BudgetUsed():
            return cell(f"{event.used / event.cap:.0%} of the budget of the {event.whose} is spent", "yellow")
        case e.Notified() if event.failed:
            return cell(f"{event.recipient} could not be told: {event.failed}", "yellow")
        case e.AttemptAttention():
            words = f"needs attention: {conditions.plain(event.condition)}: {event.why}"
            return Text(f"{event.attempt}  ") + cell(words.rstrip(": "), "yellow")
        case e.AttemptHeld():
            return Text(f"{event.attempt}  ") + cell(_HELD[event.cause].format(why=event.why), "yellow")
        case e.BoxStarted():
            return Text(f"{event.attempt}  goes on in a new box")
        case _:
            return _room(event) or inbox.sentence(event, state)


def _room(event: e.Event) -> Text | None:
    """What the host has room for, and what is done where it has none, in words."""
    match event:
        case e.HostShort():
            words = f"waiting: {event.why}" if event.why else "there is room on the host again"
            return Text(f"{event.attempt}  " if event.attempt else "") + cell(words, "yellow")
        case e.JobsChanged():
            return cell(f"{event.jobs} at once from now on: {event.why}", "dim")
        case e.AttemptFrozen():
            return Text(f"{event.attempt}  ") + cell(f"frozen: {event.why}", "yellow")
        case e.AttemptThawed():
            return Text(f"{event.attempt}  goes on after it was frozen")
        case _:
            return None


def late_sentence(event: e.TooLate) -> str:
    """What is not started any more, in one line."""
    first, more = event.late[0], len(event.late) - 1
    others = f", and {more} more with as little time" if more else ""
    return f"{first.task}/{first.profile} is not started any more: {late_words(first)}{others}"


def _verdict_line(attempt: AttemptState) -> Text:
    text = Text(f"{attempt.key}  ")
    text.append(attempt.verdict or "", wording.colour(attempt.verdict))
    if attempt.branch:
        text.append(f"  {wording.diff_stat(attempt)}")
    if attempt.reason:
        text.append(f"  {line(attempt.reason)}", "dim")
    return text


def _source(state: RunState, index: int) -> str:
    return state.plan.sources[index].repo


@dataclass
class Seen:
    """What was shown and not journaled: the latest signs of each attempt, the latest line of the builds."""

    signs: dict[str, e.Signs] = field(default_factory=dict)
    building: str = ""
    tokens: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=MOST_READINGS))
    """When the run had used how many tokens, about once a second over the last minute."""

    def read(self, state: RunState, now: float) -> None:
        """Note how many tokens the run has used."""
        if self.tokens and now - self.tokens[-1][0] < 1.0:
            return
        self.tokens.append((now, _used(state, self.signs)[0]))
        while now - self.tokens[0][0] > MINUTE:
            self.tokens.popleft()

    def pace(self, now: float) -> int | None:
        """Tokens a minute, by the last one; None where it was not looked at for long enough."""
        if len(self.tokens) < 2 or now - self.tokens[0][0] < SHORTEST_PACE:
            return None
        (began, before), (_, last) = self.tokens[0], self.tokens[-1]
        return max(0, round((last - before) / (now - began) * MINUTE))


class LiveTable:
    """A table that follows the run: what runs, since when, what it uses, what it does."""

    def __init__(self, console: Console) -> None:
        self._seen = Seen()
        self._state: RunState | None = None
        self._agenda: Agenda | None = None
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=4,
            transient=False,
            auto_refresh=True,
        )

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, row: Row, state: RunState) -> None:
        """Take one event."""
        event = row.event
        if isinstance(event, e.Signs):
            self._seen.signs[event.attempt] = event
        elif isinstance(event, e.ImageLine):
            self._seen.building = event.line
        elif isinstance(event, e.ImageReady | e.ImageFailed):
            self._seen.building = ""
        self._state = state
        self._seen.read(state, time.time())

    def building(self, text: str) -> None:
        """Show the line."""
        self._seen.building = text

    def _draw(self) -> RenderableType:
        state = self._state
        if state is None:
            return Text("starting …")
        if self._agenda is None:
            self._agenda = Agenda(state)
        self._agenda.follow(state)
        now = time.time()
        return draw(state, self._seen.signs, self._seen.building, now, self._seen.pace(now), self._agenda)


HEAD = (
    Column("attempt"),
    Column("", importance=8),
    Column("since", importance=4),
    Column("cpu", importance=1),
    Column("memory", importance=3),
    Column("tokens", importance=2),
    Column("cost", importance=2),
    Column("doing", importance=5, prose=True),
)


def draw(
    state: RunState,
    signs: dict[str, e.Signs],
    building: str,
    now: float,
    pace: int | None = None,
    agenda: Agenda | None = None,
) -> RenderableType:
    """The picture of a run at a moment; `pace` is in tokens a minute, `agenda` one that follows it."""
    standing = agenda or Agenda(state)
    decisions = {decision.key: decision for decision in standing.all(state.jobs)}
    shown = _chosen(state)
    rows = [_row(state, a, signs.get(str(a.key)), decisions.get(a.key), now) for a in shown]
    rest = len(state.attempts) - len(shown)
    parts: list[RenderableType] = [_headline(state, signs, now, pace), Fitting(HEAD, rows)]
    if rest:
        parts.append(Text(f"… and {rest} more", "dim"))
    if building:
        parts.append(Text(f"preparing an image: {line(building, 100)}", "dim"))
    return Group(*parts)


def _chosen(state: RunState) -> list[AttemptState]:
    """Everything in plan order; of very many, what lives first, then the latest ended, then what waits."""
    everything = list(state.attempts.values())
    if len(everything) <= ROWS:
        return everything
    living = [a for a in everything if a.phase not in {"queued", "final"}]
    ended = sorted((a for a in everything if a.phase == "final"), key=lambda a: -(a.finished or 0))
    waiting = [a for a in everything if a.phase == "queued"]
    return [*living, *ended, *waiting][: max(ROWS, len(living))]


def _used(state: RunState, signs: dict[str, e.Signs]) -> tuple[int, str]:
    """The tokens of the run until now, and their cost; a plus says that there is more, of unknown cost."""
    ended = [(a.tokens, a.usd) for a in state.attempts.values() if a.phase == "final"]
    living = [signs.get(str(a.key)) for a in state.attempts.values() if a.phase != "final"]
    shown = ended + [(seen.tokens, seen.usd) for seen in living if seen is not None]
    asked = [(tokens, usd) for tokens, usd in shown if tokens is not None]
    known = sum(usd for _, usd in asked if usd is not None)
    more = "+" if any(usd is None for _, usd in asked) else ""
    return sum(tokens for tokens, _ in asked), f"{wording.usd(known)}{more}" if asked else ""


def _spent(state: RunState, signs: dict[str, e.Signs], pace: int | None) -> str:
    """What the run spent on models until now, and how fast."""
    tokens, usd = _used(state, signs)
    if not usd:
        return ""
    fast = f", {wording.tokens(pace)} a minute" if pace is not None and state.ended is None else ""
    return f"{usd} spent  {wording.tokens(tokens)} tokens{fast}"


def _headline(state: RunState, signs: dict[str, e.Signs], now: float, pace: int | None) -> Text:
    final = [a for a in state.attempts.values() if a.phase == "final"]
    living = sum(1 for a in state.attempts.values() if a.phase not in {"queued", "final"})
    text = Text(f"run {state.name}", "bold")
    text.append(f"  {wording.duration((state.ended or now) - state.started)}", "not bold")
    text.append(f"  {len(final)} of {len(state.attempts)} ended, {living} running", "not bold")
    if spent := _spent(state, signs, pace):
        text.append(f"  {spent}", "not bold")
    if state.ended is None and state.stopping:
        text.append("  stopping", "yellow")
    elif state.ended is None and state.draining:
        text.append("  draining (^C again: stop)", "yellow")
    if state.ended is None and not state.begun and state.starts is not None:
        text.append(f"  starts {at(state.starts, now)} (in {left(state.starts, now)})", "yellow")
    if state.ended is None and state.over:
        text.append("  its end came", "yellow")
    elif state.ended is None and state.until is not None:
        text.append(f"  ends {at(state.until, now)} (in {left(state.until, now)})", "not bold")
    if played := summary.who_played(state):
        text.append(f"  {played}", "yellow")
    if asked := inbox.waiting(state):
        text.append(f"  {asked}", "yellow")
    return text


def _row(
    state: RunState, attempt: AttemptState, signs: e.Signs | None, decision: Decision | None, now: float
) -> tuple[Text, ...]:
    limits = state.limits(attempt.key)
    name = wording.named(attempt.key, state.plan.task(attempt.key.task))
    if attempt.phase == "final":
        doing = attempt.reason or wording.diff_stat(attempt)
        verdict = Text(wording.judged(state, attempt), wording.colour(attempt.verdict))
        peak = wording.size(attempt.peak_memory) if attempt.peak_memory is not None else ""
        return (
            name,
            verdict,
            Text(wording.duration(attempt.seconds)),
            Text(""),
            Text(peak),
            _tokens(attempt.tokens),
            _usd(attempt.tokens, attempt.usd),
            cell(doing, "dim"),
        )
    if attempt.phase == "queued":
        return name, Text("waiting", "dim"), *(Text(""),) * 5, cell(waiting(state, decision, now), "dim")
    since = wording.duration(now - (attempt.running_since or attempt.started or now))
    cpu = f"{signs.cpu:.1f}/{limits.cpus:g}" if signs is not None and signs.cpu is not None else ""
    memory = f"{wording.size(signs.memory)}/{wording.size(limits.memory)}" if signs and signs.memory else ""
    stage = signs.stage if signs is not None and attempt.phase in {"running", "checking"} else attempt.phase
    held = _held(attempt, signs, now)
    return (
        name,
        Text("held", "yellow") if held else conditions.stage(signs, stage),
        Text(since),
        Text(cpu),
        Text(memory),
        _tokens(signs.tokens if signs else None),
        _usd(signs.tokens, signs.usd) if signs else Text(""),
        cell(held, "yellow") if held else conditions.doing(signs),
    )


def waiting(state: RunState, decision: Decision | None, now: float) -> str:
    """Why an attempt was not started yet, with the countdown where that is known."""
    if decision is None:
        return ""
    if decision.standing == "start":  # it could be, if the host had room for it
        return state.short.why if state.short is not None else ""
    if decision.until is None or decision.until <= now:
        return decision.why
    return f"{decision.why} (in {left(decision.until, now)})"


def _held(attempt: AttemptState, signs: e.Signs | None, now: float) -> str:
    """What an attempt waits for that has begun, in words."""
    if attempt.frozen is not None:
        return f"frozen: {attempt.frozen.why}"
    if signs is not None and signs.held is not None:
        return holds.words(signs.held, signs.held_until, now)
    return attempt.held if attempt.phase == "held" else ""


def _usd(tokens: int | None, amount: float | None) -> Text:
    return Text("" if tokens is None else wording.usd(amount))


def _tokens(count: int | None) -> Text:
    return Text("" if count is None else wording.tokens(count))
