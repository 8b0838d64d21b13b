"""What people are told of, and what needs them: pure functions over events and state.

A notice holds no word that a box, a model or a repository wrote: it reaches phones and chats, where a link or
a mention would be believed to be ours. What an agent said is for `corral show`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from runner.gateway.grants import Sum
from runner.names import AttemptKey
from runner.recipients import Kind
from runner.supervisor import events as e
from runner.supervisor.deadline import at, left
from runner.supervisor.graph.retrying import following
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Spent

UNITS: tuple[Literal["usd", "tokens", "requests"], ...] = ("usd", "tokens", "requests")
"""In what a budget is counted."""

WARNS_AT = 0.8
"""The share of a budget from which people are told that most of it is spent."""

_STATUS = re.compile(r".*?: HTTP [0-9]{3}\b")
KEY = "key"
"""What a person sees to where agents wait for a credential."""

QUESTION = "question "
"""What a person sees to where agents ask."""

SAME_WINDOW = 900.0
"""Seconds: a window that is told to open a little later than before is the same one still."""

NAMED = 8
"""So many tasks are named in one notice; the rest is counted."""

Needs = Mapping[str, str]
"""What needs a person: each in words, by what it is."""


@dataclass(frozen=True)
class Notice:
    """Something to be told once.

    Attributes:
        cause: By which it is known again, also by a later process.
        kind: What kind of thing it is.
        what: It, in one line.
        more: What else there is to say, a line each.
        urgent: Whether it breaks through quiet hours.
        until: From when on it need not be told any more, in seconds since the epoch; None for never.
    """

    cause: str
    kind: Kind
    what: str
    more: tuple[str, ...] = ()
    urgent: bool = False
    until: float | None = None


def told_by(event: e.Event, state: RunState) -> Iterator[Notice]:
    """What people are to be told of an event; the same for an event that is told again.

    Args:
        event: What happened.
        state: How the run stands after it.
    """
    match event:
        case e.AttemptFinal():
            yield from _of_final(event, state)
        case e.AttemptAttention():
            what = f"{event.attempt} is {_plain(event.condition)}"
            yield Notice(f"condition:{event.attempt}:{event.condition}:{int(event.at)}", "attention", what)
        case e.Signs() if event.held_kind == "credential":
            why = _refusal(event)
            yield Notice(f"credential:{why}", "attention", f"agents wait for a key: {why}", urgent=True)
        case e.RunMail():
            for one in state.open_questions[-1:]:
                if (str(one.sender), one.file) == (event.attempt, event.file):
                    yield Notice(f"question:{one.id}", "attention", _asks(one.sender))
        case e.BudgetUsed():
            cause = f"budget:{event.whose}:{event.unit}{_day_of(event.whose, event.at)}"
            yield Notice(cause, "budget", _budget(event))
        case e.WindowsChanged():
            yield from _windows(event.shut, event.at)


def needs_after(needs: Needs, event: e.Event, state: RunState) -> Needs:
    """What needs a person after one more event.

    Args:
        needs: What needed one before.
        event: What happened.
        state: How the run stands after it.
    """
    match event:
        case e.AttemptFinal() | e.AttemptStarted() | e.AttemptRetried():
            key = AttemptKey.parse(event.attempt)
            why = _unserved(state, key, event.at) if isinstance(event, e.AttemptFinal) else ""
            rest = _asked(_without(needs, key.task), state)
            return {**rest, key.task: f"{why} ({_show(state, key)})"} if why else rest
        case e.TaskDecided():
            return _asked(_without(needs, event.task) if state.task_served(event.task) else needs, state)
        case e.RunMail() | e.RunAnswer():
            return _asked(needs, state)
        case e.AttemptAttention():
            look = f"corral logs {event.attempt} --run {state.name}"
            what = f"{event.attempt} is {_plain(event.condition)} ({look})"
            return {**needs, f"{event.condition} in {event.attempt}": what}
        case e.Signs():
            return _of_signs(needs, event)
        case e.AttemptEnded():
            return {what: words for what, words in needs.items() if not what.endswith(f" in {event.attempt}")}
        case _:
            return needs


def _asked(needs: Needs, state: RunState) -> Needs:
    """What needs a person, with the questions that are open now."""
    asked = {f"{QUESTION}{one.id}": _asks(one.sender) for one in state.open_questions}
    return {what: words for what, words in needs.items() if not what.startswith(QUESTION)} | asked


def _of_signs(needs: Needs, signs: e.Signs) -> Needs:
    """What needs a person after signs of life: a key that is refused, and a condition that still stands."""
    ours = f" in {signs.attempt}"
    stands = {f"{what}{ours}" for what in (KEY if signs.held_kind == "credential" else "", signs.condition)}
    over = {what for what in needs if what.endswith(ours)} - stands
    if over:
        needs = {what: words for what, words in needs.items() if what not in over}
    if signs.held_kind == "credential" and f"{KEY}{ours}" not in needs:
        needs = {**needs, f"{KEY}{ours}": f"{signs.attempt} waits for a key: {_refusal(signs)}"}
    return needs


def budget_news(state: RunState, spent: Mapping[Spent, Sum], now: float) -> Iterator[e.BudgetUsed]:
    """Of which budgets most was spent that all attempts share, those aside that were told before.

    Args:
        state: The run.
        spent: What was spent, by whose budget.
        now: Seconds since the epoch.
    """
    for whose, caps in state.plan.budget.caps().items():
        if whose not in {"run", "day"} or whose not in spent:
            continue
        for unit in UNITS:
            cap, used = getattr(caps, unit), getattr(spent[whose], unit)
            if cap and used >= WARNS_AT * cap and (whose, unit) not in state.warned:
                yield e.BudgetUsed(at=now, whose=whose, unit=unit, used=used, cap=cap)


def end_notice(state: RunState, exit_code: int, now: float) -> Notice:
    """What is told at the run's end: what was served, what needs a decision, what it cost.

    Args:
        state: The run, with everything ended.
        exit_code: What it ends with.
        now: When, in seconds since the epoch.
    """
    tasks = [task.id for task in state.plan.tasks]
    served = sum(state.task_served(task) for task in tasks)
    lines = [f"It took {left(now, state.started)} and cost {_cost(state)}."]
    failed, waiting = _by_task(state)
    if failed:
        lines.append(
            f"Needs a decision: {_listed([f'{task} ({verdict})' for task, verdict in failed.items()])}"
        )
    if waiting:
        lines.append(f"Not started: {_listed(waiting)}")
    if exit_code == 5:
        lines.append("A bug in Corral ended something; the report says where it is written down.")
    lines.append(f"corral report {state.name}")
    what = f"{served} of {len(tasks)} tasks served"
    finals = sum(one.phase == "final" for one in state.attempts.values())
    return Notice(f"end:{state.ends}:{finals}", "end", what, tuple(lines), urgent=True)


def message(run: str, notices: tuple[Notice, ...], left_out: int = 0) -> tuple[str, str]:
    """The title and the text of what is sent.

    Args:
        run: The run's name.
        notices: What is told, at least one.
        left_out: How many more there were.
    """
    last = notices[-1]
    others = notices
    if last.kind == "end":  # which names the tasks that were not served
        others = tuple(one for one in notices[:-1] if not one.cause.startswith("attention:"))
    if len(notices) == 1 and not left_out:
        return f"Corral, run {run}: {last.what}", "\n".join(last.more) or last.what
    head = last.what if last.kind == "end" else f"{len(notices) + left_out} things to know"
    told = [*(last.more if last.kind == "end" else ()), *(f"- {one.what}" for one in others)]
    return f"Corral, run {run}: {head}", "\n".join(told + ([f"- and {left_out} more"] if left_out else []))


def _refusal(signs: e.Signs) -> str:
    """Why a key is wanted: whose, and the status; what the service says may quote the key, or the box."""
    held = signs.held or ""
    status = _STATUS.match(held)
    return held if status is None else status[0]


def _plain(condition: str) -> str:
    """A condition of an agent's, in words."""
    return condition.replace("-", " ")


def _of_task(state: RunState, task: str) -> list[AttemptState]:
    return list(state.attempts.of_task(task))


def _without(needs: Needs, what: str) -> Needs:
    return {known: words for known, words in needs.items() if known != what}


def _asks(who: AttemptKey) -> str:
    """That an agent asks a person something; what it asks is not told here."""
    return f"{who} asks you something (corral inbox)"


def _unserved(state: RunState, key: AttemptKey, now: float) -> str:
    """Why a task needs a person: all its attempts ended, none served it, and none follows; else nothing."""
    if state.task_served(key.task) or any(one.phase != "final" for one in _of_task(state, key.task)):
        return ""
    verdict = state.attempts[key].verdict
    if verdict == "cancelled" or state.over or state.stopping:  # a person, or the clock, wanted it so
        return ""
    if following(state, key, now) is not None:
        return ""
    return f"task {key.task} was not served: {verdict}"


def _of_final(event: e.AttemptFinal, state: RunState) -> Iterator[Notice]:
    key = AttemptKey.parse(event.attempt)
    if why := _unserved(state, key, event.at):
        yield Notice(f"attention:{event.attempt}", "attention", why, (_show(state, key),))
    whose = state.attempts[key].spent
    if whose in {"run", "day"}:
        cause = f"spent:{whose}{_day_of(whose, event.at)}"
        yield Notice(cause, "budget", f"the budget of the {whose} is spent")


def _day_of(whose: Spent, at: float) -> str:
    """What tells the budget of one day from that of another; empty for other budgets."""
    return time.strftime(":%Y-%m-%d", time.localtime(at)) if whose == "day" else ""


def _show(state: RunState, key: AttemptKey) -> str:
    return f"corral show {key} --run {state.name}"


def _windows(shut: tuple[e.Shut, ...], now: float) -> Iterator[Notice]:
    waiting: dict[tuple[str, float], list[e.Shut]] = {}
    for one in shut:
        waiting.setdefault((one.window, round(one.until / SAME_WINDOW)), []).append(one)
    for (window, around), ones in waiting.items():
        until = max(one.until for one in ones)
        who = _listed([one.profile for one in ones])
        verb = "waits" if len(ones) == 1 else "wait"
        does = "starts nothing more" if all(one.for_good for one in ones) else f"{verb} for it"
        what = f"{window} is used up until {at(until, now)} (in {left(until, now)}); {who} {does}"
        yield Notice(f"window:{window}:{around}", "window", what, until=until)


def _budget(event: e.BudgetUsed) -> str:
    amounts = [
        f"${amount:.2f}" if event.unit == "usd" else f"{amount:,.0f}" for amount in (event.used, event.cap)
    ]
    unit = "" if event.unit == "usd" else f" {event.unit}"
    share = f"{event.used / event.cap:.0%}"
    return f"{share} of the budget of the {event.whose} is spent: {amounts[0]} of {amounts[1]}{unit}"


def _by_task(state: RunState) -> tuple[dict[str, str], list[str]]:
    """The tasks that were tried and not served, each with its last verdict, and those never started."""
    failed: dict[str, str] = {}
    waiting: dict[str, None] = {}
    for one in state.attempts.values():
        if one.verdict is None:
            waiting[one.key.task] = None
        elif not one.again:
            failed[one.key.task] = one.verdict
    unserved = {task for task in {**failed, **waiting} if not state.task_served(task)}
    return (
        {task: verdict for task, verdict in failed.items() if task in unserved},
        [task for task in waiting if task in unserved and task not in failed],
    )


def _cost(state: RunState) -> str:
    """What a run cost, as far as that is known."""
    asked = [one for one in state.attempts.values() if one.tokens is not None]
    known = sum(one.usd for one in asked if one.usd is not None)
    unknown = sum(one.usd is None for one in asked)
    words = f"${known:.2f}"
    if unknown:
        words = (
            f"at least {words} (of {unknown} of the attempts it is not known)"
            if known
            else "nobody knows what"
        )
    played = any(profile.upstream.is_played for profile in state.plan.profiles)
    return (
        f"{words} ({'partly ' if _some_real(state) else ''}invented: a file played the model)"
        if played
        else words
    )


def _some_real(state: RunState) -> bool:
    return any(not profile.upstream.is_played and profile.asks_a_model for profile in state.plan.profiles)


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
