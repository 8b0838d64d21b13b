"""Where an attempt's time went, and what happened in a run, from the events of its journal: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from runner.supervisor import events as e
from runner.tasks.units import format_duration
from runner.views import wording
from runner.views.page.material import Moment, Span, Stage


def spans(planned_at: float, events: Sequence[e.Event], now: float) -> tuple[Span, ...]:
    """Where one attempt's time went.

    Args:
        planned_at: When it began to wait.
        events: Its events in order.
        now: When a stage ends that still goes on.
    """
    found: list[Span] = []
    stage: Stage | None = "waiting"
    since, why = planned_at, ""
    below: Stage = "working"
    for event in events:
        after = _stage(event, below)
        if after is None:
            continue
        if stage is not None and event.at > since:
            found.append(Span(stage, since, event.at, why))
        stage = None if after == "over" else after  # type: ignore[assignment]
        below = stage if stage in {"working", "held"} and stage is not None else below
        since, why = max(since, event.at), _why(event)
    if stage is not None and now > since:
        found.append(Span(stage, since, now, why))
    return tuple(found)


def _stage(event: e.Event, below: Stage) -> str | None:
    """What begins with an event; `over` for nothing more, None where it changes nothing."""
    match event:
        case e.AttemptStarted():
            return "preparing"
        case e.BoxStarted():
            return "working"
        case e.AttemptHeld():
            return "held"
        case e.AttemptFrozen():
            return "frozen"
        case e.AttemptThawed():
            return below
        case e.AttemptEnded():
            return "checking"
        case e.AttemptFinal() | e.AttemptSkipped():
            return "over"
        case _:
            return None


def _why(event: e.Event) -> str:
    return event.why if isinstance(event, e.AttemptHeld | e.AttemptFrozen) else ""


def moments_of(events: Iterable[e.Event]) -> tuple[Moment, ...]:
    """What happened to one attempt, in words."""
    return tuple(Moment(event.at, words) for event in events if (words := _of_attempt(event)))


def _of_attempt(event: e.Event) -> str:
    match event:
        case e.AttemptStarted():
            return f"began, from {event.base[:10]}"
        case e.BoxStarted():
            return "went on in a new box" if event.again else "its box ran"
        case e.AttemptHeld():
            return f"held: {event.why}"
        case e.AttemptFrozen():
            return f"frozen: {event.why}"
        case e.AttemptThawed():
            return "went on after it was frozen"
        case e.AttemptAttention():
            return f"{event.condition.replace('-', ' ')}: {event.why}".rstrip(": ")
        case e.AttemptRetried():
            return wording.retried(event).partition("  ")[2]
        case _:
            return _at_its_end(event)


def _at_its_end(event: e.Event) -> str:
    match event:
        case e.AttemptEnded():
            worked = f" after {format_duration(round(event.seconds))} of work" if event.seconds else ""
            why = f": {event.reason}" if event.reason else ""
            how = "its agent was done" if event.ended == "exited" else f"its agent ended: {event.ended}"
            return f"{how}{worked}{why}"
        case e.AttemptGathered(work="none"):
            return "it changed nothing"
        case e.AttemptGathered():
            return f"its work was {event.work}" + (f": {event.reason}" if event.reason else "")
        case e.AttemptChecked(check="passed" | "failed"):
            return f"its check {event.check}" + (f": {event.reason}" if event.reason else "")
        case e.AttemptFinal():
            return f"judged: {event.verdict}"
        case e.AttemptSkipped():
            return f"not wanted: {event.reason}"
        case _:
            return ""


def moments_of_run(events: Iterable[e.Event]) -> tuple[Moment, ...]:
    """What happened to the run as a whole, in words; what says the same as the one before is left out."""
    found: list[Moment] = []
    for event in events:
        for words in _of_run(event):
            if not found or found[-1].words != words:
                found.append(Moment(event.at, words))
    return tuple(found)


def _of_run(event: e.Event) -> Iterator[str]:
    match event:
        case e.RunResumed():
            yield "the run was taken up again"
        case e.RunBegan():
            yield "the time came to start"
        case e.RunPaused():
            yield "paused by a person"
        case e.RunUnpaused():
            yield "went on, as a person wanted"
        case e.Draining():
            yield "a person wanted nothing new to be started"
        case e.Stopping():
            yield "a person stopped the run"
        case e.RunOver():
            yield "its end came: what ran was brought home"
        case _:
            yield from _of_means(event)


def _of_means(event: e.Event) -> Iterator[str]:
    """What happened to what its attempts share, and what people and the morning made of it."""
    match event:
        case e.BudgetUsed():
            unit = {"usd": "dollars", "tokens": "tokens", "requests": "requests"}[event.unit]
            yield f"{event.used / event.cap:.0%} of the {event.whose}’s {unit} were spent"
        case e.WindowsChanged():
            yield from (f"{one.profile} waits: {one.window}" for one in event.shut)
        case e.HostShort(why=str(why)) if why:
            yield f"the host was short: {why}"
        case e.ImageGone():
            yield "an image was removed, to be prepared anew"
        case e.ImageFailed():
            yield f"an image could not be prepared: {event.reason}"
        case e.TaskDecided():
            yield wording.retried(event)
        case e.Integrated():
            went_in = sum(one.went_in for one in event.joined)
            where = event.repo.rstrip("/").rpartition("/")[2]
            yield f"{wording.many(went_in, 'branch', 'branches')} of {where} put together"


def shut(events: Iterable[e.Event], end: float) -> tuple[e.Shut, ...]:
    """For whom which window was closed, each for as long as it was; `end` is where one ends that still is."""
    found: list[e.Shut] = []
    now: dict[tuple[str, str], e.Shut] = {}
    for event in events:
        if not isinstance(event, e.WindowsChanged | e.RunResumed):
            continue
        listed = event.shut if isinstance(event, e.WindowsChanged) else ()
        after = {(one.profile, one.window): one for one in listed}
        for key, one in now.items():
            if key not in after:
                found.append(one.model_copy(update={"until": event.at}))
        now = {key: now.get(key, one.model_copy(update={"since": event.at})) for key, one in after.items()}
    found += [one.model_copy(update={"until": end}) for one in now.values()]
    return tuple(one for one in found if one.until > one.since)


def took(events: Iterable[e.Event], now: float) -> float:
    """Seconds in which somebody worked on a run: not those between its end and its being taken up again."""
    whole, began, last = 0.0, None, now
    for event in events:
        if isinstance(event, e.RunStarted | e.RunResumed):
            whole += 0.0 if began is None else last - began  # who worked on it was killed
            began = event.at
        elif isinstance(event, e.RunEnded) and began is not None:
            whole, began = whole + event.at - began, None
        last = event.at
    return whole + (0.0 if began is None else now - began)
