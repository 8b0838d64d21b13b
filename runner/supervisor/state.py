"""The state of a run, folded from its events by one pure function that every command shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.errors import CorralError, UsageError
from runner.gateway.grants import Replayed
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Used
from runner.supervisor.post.mail import Mail
from runner.supervisor.tries import Attempts
from runner.supervisor.verdict import Check, Ended, Verdict, Work, served
from runner.tasks.explain import meant
from runner.tasks.plan import Caps, Plan, PlannedAttempt, Spent

Phase = Literal["queued", "preparing", "running", "held", "gathering", "checking", "cleaning", "final"]


@dataclass(frozen=True)
class AttemptState:
    """What is known of one try of an attempt."""

    key: AttemptKey
    phase: Phase = "queued"
    box: str | None = None
    base: str | None = None
    container: str | None = None
    started: float | None = None
    running_since: float | None = None
    boxes: int = 0
    """Containers that its agent has lived in so far; more than one where it went on after a limit."""
    held_since: float | None = None
    held: str = ""
    """What it waits for between two of them, in words."""
    attention: str = ""
    """Of which condition of its agent a person was told last, in words; empty once it has ended."""
    frozen: e.AttemptFrozen | None = None
    """Since when, why and by whom it is frozen, while it is."""
    finished: float | None = None
    ended: Ended | None = None
    work: Work | None = None
    check: Check | None = None
    verdict: Verdict | None = None
    reason: str = ""
    again: bool = False
    exit_code: int | None = None
    branch: str | None = None
    commit: str | None = None
    kept: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    seconds: float | None = None
    held_s: float | None = None
    check_seconds: float | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    used: Used | None = None
    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None
    spent: Spent = ""
    session: str | None = None
    home: bool = False
    """Whether its HOME is kept for a later try."""
    retry: e.AttemptRetried | None = None
    """What led to this try, and how it begins; None for the first one."""
    rests_until: float | None = None
    """Until when it pauses before it may start, in seconds since the epoch; None once it may."""
    replayed: Replayed | None = None
    overshot: Caps = field(default_factory=Caps)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunState:
    """What is known of a run. `attempts` holds every try that was planned or made, in plan order."""

    name: str
    plan: Plan
    jobs: int
    started: float
    weaker: tuple[str, ...] = ()
    attempts: Attempts[AttemptState] = field(default_factory=Attempts)
    images: dict[tuple[int, str | None], str] = field(default_factory=dict)
    earlier_images: dict[tuple[int, str | None], str] = field(default_factory=dict)
    """Those that an earlier process prepared; what it began goes on with them."""
    broken_images: dict[tuple[int, str | None], str] = field(default_factory=dict)
    draining: bool = False
    stopping: bool = False
    until: float | None = None
    """When it must end."""
    over: bool = False
    """Whether that has come."""
    auto: bool = False
    """Whether `jobs` follows what the host bears."""
    short: e.HostShort | None = None
    """What the host has too little of for the next attempt to start, if that keeps one from it."""
    shut: tuple[e.Shut, ...] = ()
    """Which profiles wait for a window of their provider's."""
    mail: Mail = field(default_factory=Mail)
    """What its agents and people wrote to each other."""
    paused: bool = False
    """Whether a person wants nothing new to be started for now."""
    heeded: int = 0
    """The number of the last order that was heeded."""
    skipped: frozenset[str] = frozenset()
    """Tasks whose dependents go on without them, as a person decided."""
    used: frozenset[AttemptKey] = frozenset()
    """Tries whose work counts as accepted, as a person decided."""
    spent: frozenset[tuple[Spent, str]] = frozenset()
    """Which budgets that more than one attempt shares have nothing left: whose, and the name of it."""
    starts: float | None = None
    """When its first attempt may start; None for at once."""
    begun: bool = True
    """Whether that has come."""
    takes: Mapping[str, float] = field(default_factory=dict)
    """By `TASK/PROFILE`, in how many seconds an attempt is done, where that is known."""
    late: Mapping[tuple[str, str], e.Late] = field(default_factory=dict)
    """By task and profile, what is not started any more, since there is no time left for it."""
    warned: frozenset[tuple[Spent, str]] = frozenset()
    """Of which budgets most was spent, each with its unit."""
    notified: frozenset[tuple[str, str]] = frozenset()
    """What people were told: the recipient, and the notice's cause."""
    untold: Mapping[str, str] = field(default_factory=dict)
    """Why recipients could not be told when that was tried last, by their names."""
    ended: float | None = None
    exit_code: int | None = None

    def planned(self, key: AttemptKey) -> PlannedAttempt:
        """The planned attempt that a try belongs to."""
        return next(p for p in self.plan.attempts if p.key == key.first)

    def tries(self, key: AttemptKey) -> tuple[AttemptState, ...]:
        """All tries of an attempt, the latest last."""
        return self.attempts.tries(key)

    def serves(self, attempt: AttemptState) -> bool:
        """Whether this try served its task."""
        may_be_empty = self.plan.task(attempt.key.task).may_be_empty
        return attempt.verdict is not None and served(attempt.verdict, may_be_empty=may_be_empty)

    def spent_for(self, key: AttemptKey) -> Spent | None:
        """Whose budget, if any, leaves an attempt that asks a model nothing to spend, as another one saw."""
        if not self.spent or not self.plan.profile(key.profile).asks_a_model:
            return None
        return next((whose for whose, name in _budgets(key) if (whose, name) in self.spent), None)

    def shut_for(self, profile: str) -> e.Shut | None:
        """The window that attempts of a profile wait for before they start, if there is one."""
        return next((shut for shut in self.shut if shut.profile == profile), None)

    def counts(self, attempt: AttemptState) -> bool:
        """Whether this try served its task, by its verdict or by a person's word."""
        return self.serves(attempt) or attempt.key in self.used

    def late_for(self, key: AttemptKey) -> e.Late | None:
        """For want of which time an attempt is not started any more, if it is not."""
        return self.late.get((key.task, key.profile))

    def task_served(self, task: str) -> bool:
        """Whether some attempt of the task served it, or a person decided that it need not be."""
        return task in self.skipped or any(self.counts(attempt) for attempt in self.attempts.of_task(task))


def _budgets(key: AttemptKey) -> tuple[tuple[Spent, str], ...]:
    """The budgets that an attempt shares with others."""
    return (("task", key.task), ("profile", key.profile), ("run", ""), ("day", ""))


SHOWN = 8
"""Names told where a name could be any of many."""


def find_attempt(state: RunState, text: str) -> AttemptState:
    """The attempt that a person means by `TASK[/PROFILE[/N[.TRY]]]`; without a try, the last one.

    Raises:
        UsageError: None, or more than one, fits.
    """
    named = next(
        (attempt for key, attempt in state.attempts.items() if text in {str(key), f"{key.first}.{key.try_}"}),
        None,
    )
    if named is not None and "." in text.rpartition("/")[2]:
        return named
    fitting = [key for key in state.attempts if str(key) == text] or [
        key for key in state.attempts if _names(text.split("/"), key)
    ]
    fitting = fitting or [key for key in state.attempts if str(key).startswith(text)]
    if not fitting:
        cure = meant(text, map(str, state.attempts), f"`corral status {state.name}` lists them")
        raise UsageError(f"no attempt of the run {state.name} is called {text!r}", cure=cure)
    if len({key.first for key in fitting}) > 1:
        some = ", ".join(map(str, fitting[:SHOWN])) + (" …" if len(fitting) > SHOWN else "")
        raise UsageError(f"{text!r} could be any of {some}", cure="write more of its name")
    return state.tries(fitting[0])[-1]


def _names(parts: list[str], key: AttemptKey) -> bool:
    """Whether these are the parts of an attempt's name, in their order, of which some may be left out."""
    whole = iter((key.task, key.profile, str(key.n)))
    return parts[0] == key.task and all(part in whole for part in parts)


def fold(rows: Iterable[tuple[str, e.Event]]) -> RunState:
    """The state after these events of one run, each with the run's name.

    Raises:
        CorralError: The events don't begin with the start of a run.
    """
    state: RunState | None = None
    for run, event in rows:
        state = begin(run, event) if state is None else apply(state, event)
    if state is None:
        raise CorralError("a run without events")
    return state


def begin(run: str, event: e.Event) -> RunState:
    """The state after the first event of a run."""
    if not isinstance(event, e.RunStarted):
        raise CorralError(f"the run {run} begins with {event.kind}, not with its start")
    attempts = Attempts(AttemptState(planned.key) for planned in event.plan.attempts)
    return RunState(
        run,
        event.plan,
        event.jobs,
        event.at,
        weaker=event.weaker,
        attempts=attempts,
        until=event.until,
        auto=event.auto,
        starts=event.starts,
        begun=event.starts is None,
        takes=event.takes,
    )


def apply(state: RunState, event: e.Event) -> RunState:
    """The state after one more event."""
    if isinstance(event, e.OfAttempt):
        return _attempt_event(state, event)
    match event:
        case e.RunResumed():
            return replace(
                state,
                jobs=event.jobs,
                auto=event.auto,
                short=None,
                weaker=tuple(dict.fromkeys(state.weaker + event.weaker)),
                draining=False,
                stopping=False,
                until=event.until,
                over=False,
                takes=event.takes,
                late={},
                shut=(),
                ended=None,
                exit_code=None,
                broken_images={},
                images={},
                earlier_images={**state.earlier_images, **state.images},
            )
        case e.ImageReady():
            return replace(state, images={**state.images, (event.source, event.cli): event.image})
        case e.ImageFailed():
            broken = {**state.broken_images, (event.source, event.cli): event.reason}
            return replace(state, broken_images=broken)
        case e.Draining() | e.Stopping():
            stopping = state.stopping or isinstance(event, e.Stopping)
            return replace(state, draining=True, stopping=stopping)
        case e.RunOver():
            return replace(state, over=True)
        case e.WindowsChanged() | e.HostShort() | e.JobsChanged():
            return _room_event(state, event)
        case e.RunEnded():
            return replace(state, short=None, ended=event.at, exit_code=event.exit_code)
        case e.OrderHeeded() | e.TaskDecided() | e.RunPaused() | e.RunUnpaused():
            return _ordered(state, event)
        case _:
            return _clock_or_people(state, event)


def _clock_or_people(state: RunState, event: e.Event) -> RunState:
    """The state after what the clock brought about, or after people were told."""
    match event:
        case e.RunBegan():
            return replace(state, begun=True)
        case e.TooLate():
            return replace(state, late={**state.late, **{(one.task, one.profile): one for one in event.late}})
        case e.BudgetUsed():
            return replace(state, warned=state.warned | {(event.whose, event.unit)})
        case e.Notified():
            untold = {name: why for name, why in state.untold.items() if name != event.recipient}
            if event.failed:
                untold[event.recipient] = event.failed
            told = state.notified.union((event.recipient, cause) for cause in event.causes)
            return replace(state, notified=told, untold=untold)
        case _:
            return replace(state, mail=state.mail.after(event))


def _ordered(state: RunState, event: e.OrderHeeded | e.TaskDecided | e.RunPaused | e.RunUnpaused) -> RunState:
    """The state after an order of another process, or what it led to."""
    match event:
        case e.OrderHeeded():
            return replace(state, heeded=event.seq)
        case e.TaskDecided(attempt=str(attempt)):
            return replace(state, used=state.used | {AttemptKey.parse(attempt)})
        case e.TaskDecided():
            return replace(state, skipped=state.skipped | {event.task})
        case _:
            return replace(state, paused=isinstance(event, e.RunPaused))


def _room_event(state: RunState, event: e.WindowsChanged | e.HostShort | e.JobsChanged) -> RunState:
    """The state after a change of what providers and the host have room for."""
    if isinstance(event, e.WindowsChanged):
        return replace(state, shut=event.shut)
    if isinstance(event, e.JobsChanged):
        return replace(state, jobs=event.jobs)
    return replace(state, short=event if event.why else None)


def _attempt_event(state: RunState, event: e.OfAttempt) -> RunState:
    if isinstance(event, e.Signs):  # the most of what happens, and nothing that lasts
        return state
    key = AttemptKey.parse(event.attempt)
    after = _after(state.attempts.get(key) or AttemptState(key), event)
    changed = [after]
    skipped = state.skipped
    if isinstance(event, e.AttemptFinal) and event.again:  # of earlier versions
        changed.append(AttemptState(key.retried()))
    if isinstance(event, e.AttemptRetried):
        changed.append(AttemptState(key.retried(), retry=event, rests_until=event.not_before))
        skipped = skipped - {key.task} if key.task in skipped else skipped
    spent = state.spent
    if after.spent:
        spent |= {budget for budget in _budgets(key) if budget[0] == after.spent}
    return replace(
        state,
        attempts=state.attempts.updated(*changed),
        spent=spent,
        skipped=skipped,
        mail=state.mail.after(event),
    )


def _after(before: AttemptState, event: e.OfAttempt) -> AttemptState:
    match event:
        case e.AttemptStarted():
            return AttemptState(
                before.key,
                "preparing",
                box=event.box,
                base=event.base,
                started=event.at,
                retry=before.retry,
            )
        case e.BoxStarted():
            return replace(
                before,
                phase="running",
                container=event.container,
                running_since=before.running_since or event.at,
                boxes=event.again + 1,
                held_since=None,
                held="",
            )
        case e.AttemptAttention():
            return replace(before, attention=f"{event.condition.replace('-', ' ')}: {event.why}".rstrip(": "))
        case e.AttemptHeld():
            return replace(before, phase="held", held_since=event.at, held=event.why, frozen=None)
        case e.AttemptFrozen() | e.AttemptThawed():
            return replace(before, frozen=event if isinstance(event, e.AttemptFrozen) else None)
        case e.AttemptEnded():
            return _ended(before, event)
        case e.AttemptGathered():
            return _gathered(before, event)
        case e.AttemptChecked():
            return replace(
                before,
                phase="cleaning",
                check=event.check,
                check_seconds=event.seconds,
                reason=before.reason or event.reason,
            )
        case e.AttemptFinal() | e.AttemptRetried() | e.AttemptRested():
            return _judged(before, event)
        case _:
            return before


def _judged(before: AttemptState, event: e.AttemptFinal | e.AttemptRetried | e.AttemptRested) -> AttemptState:
    if isinstance(event, e.AttemptFinal):
        return replace(
            before,
            phase="final",
            verdict=event.verdict,
            reason=before.reason or event.reason,
            again=event.again,
            home=event.home,
            finished=event.at,
        )
    if isinstance(event, e.AttemptRetried):
        return replace(before, again=True)
    return replace(before, rests_until=None)


def _ended(before: AttemptState, event: e.AttemptEnded) -> AttemptState:
    parts = (event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    known = [part for part in parts if part is not None]
    return replace(
        before,
        phase="gathering",
        attention="",
        frozen=None,
        ended=event.ended,
        reason=event.reason,
        exit_code=event.exit_code,
        seconds=event.seconds,
        held_s=event.held_s,
        peak_memory=event.peak_memory,
        cpu_seconds=event.cpu_seconds,
        used=event.used,
        requests=event.requests,
        tokens=sum(known) if known else None,
        usd=event.usd,
        spent=event.spent,
        session=event.session,
        replayed=event.replayed,
        overshot=event.overshot,
        flags=event.flags,
    )


def _gathered(before: AttemptState, event: e.AttemptGathered) -> AttemptState:
    return replace(
        before,
        phase="checking",
        work=event.work,
        reason=before.reason or event.reason,
        branch=event.branch,
        commit=event.commit,
        files=event.files,
        insertions=event.insertions,
        deletions=event.deletions,
        kept=event.kept,
        flags=tuple(dict.fromkeys(before.flags + event.flags)),  # told again after a resume
    )
