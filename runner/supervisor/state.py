"""The state of a run, folded from its events by one pure function that every command shares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from runner.errors import CorralError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor import tried
from runner.supervisor.deadline import midnight
from runner.supervisor.post.mail import Mail, Message
from runner.supervisor.tried import AttemptState
from runner.supervisor.tries import Attempts
from runner.supervisor.verdict import served
from runner.supervisor.verified import CheckResult
from runner.tasks.fanout import expand
from runner.tasks.plan import Limits, Plan, PlannedAttempt, Spent
from runner.tasks.when import SKIPPED


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
    versions: Mapping[str, str] = field(default_factory=dict)
    """By the image's id, the version of the agent CLI in it."""
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
    used: tuple[AttemptKey, ...] = ()
    """Tries whose work counts as accepted, as a person decided; the last word last."""
    spent: frozenset[tuple[Spent, str]] = frozenset()
    """Which budgets that more than one attempt shares have nothing left: whose, and the name of it."""
    of_day: float | None = None
    """When it was noted last that most or all of a day's budget was spent; None once that day is over."""
    starts: float | None = None
    """When its first attempt may start; None for at once."""
    begun: bool = True
    """Whether that has come."""
    takes: Mapping[str, float] = field(default_factory=dict)
    """By `TASK/PROFILE`, in how many seconds an attempt is done, where that is known."""
    late: Mapping[tuple[str, str], e.Late] = field(default_factory=dict)
    """By task and profile, what is not started any more, since there is no time left for it."""
    decided: e.RunDecided | None = None
    """That every two compared profiles are told apart, and how, if that ends the comparison."""
    decided_on: tuple[tuple[str, int], ...] = ()
    """The blocks of the plan then (`Plan.blocks`)."""
    warned: frozenset[tuple[Spent, str]] = frozenset()
    """Of which budgets most was spent, each with its unit."""
    notified: frozenset[tuple[str, str]] = frozenset()
    """What people were told: the recipient, and the notice's cause."""
    untold: Mapping[str, str] = field(default_factory=dict)
    """Why recipients could not be told when that was tried last, by their names."""
    not_expanded: dict[str, e.TaskNotExpanded] = field(default_factory=dict)
    """Tasks of which this process could not find out the items."""
    before: Mapping[tuple[str, str], tuple[CheckResult, ...]] = field(default_factory=dict)
    """By task and base commit, what its checks say of that."""
    integrated: Mapping[str, e.Integrated] = field(default_factory=dict)
    """By repository, what its accepted branches came to when they were put together last."""
    width: int = 1
    """How many attempts an adaptive run bears at once, by what came of those before."""
    ended: float | None = None
    exit_code: int | None = None
    ends: int = 0
    """How often it ended: it can be taken up again."""

    def planned(self, key: AttemptKey) -> PlannedAttempt:
        """The planned attempt that a try belongs to."""
        return self.plan.attempt(str(key.first))

    def tries(self, key: AttemptKey) -> tuple[AttemptState, ...]:
        """All tries of an attempt, the latest last."""
        return self.attempts.tries(key)

    @property
    def as_written(self) -> list[AttemptState]:
        """Every try, in the order in which the task file is written: for whoever reads of them."""
        return sorted(self.attempts.values(), key=lambda one: self.plan.place(one.key))

    def serves(self, attempt: AttemptState) -> bool:
        """Whether this try served its task."""
        if attempt.verdict == SKIPPED:
            return attempt.passes
        may_be_empty = self.plan.task(attempt.key.task).may_be_empty
        return attempt.verdict is not None and served(attempt.verdict, may_be_empty=may_be_empty)

    def spent_for(self, key: AttemptKey) -> Spent | None:
        """Whose budget, if any, leaves an attempt that asks a model nothing to spend, as another one saw.

        A day's is not among them where the next day is waited for.
        """
        whose = self._spent_for(key)
        return None if whose == "day" and self._new_day is not None else whose

    def new_day_for(self, key: AttemptKey) -> float | None:
        """When the day begins that an attempt waits for, since the budget of this one is spent."""
        return self._new_day if self._spent_for(key) == "day" else None

    def _spent_for(self, key: AttemptKey) -> Spent | None:
        if not self.spent or not self.plan.profile(key.profile).asks_a_model:
            return None
        return next((whose for whose, name in _budgets(key) if (whose, name) in self.spent), None)

    @property
    def _new_day(self) -> float | None:
        """When the day ends whose budget is spent, if what is left to do waits for that."""
        if self.of_day is None or self.plan.on_limit == "stop":
            return None
        ends = midnight(self.of_day)
        return ends if self.until is None or ends < self.until else None

    def shut_for(self, profile: str) -> e.Shut | None:
        """The window that attempts of a profile wait for before they start, if there is one."""
        return next((shut for shut in self.shut if shut.profile == profile), None)

    def limits(self, key: AttemptKey) -> Limits:
        """What a try may use: its task's limits, and the memory that it was given instead, if any."""
        limits, known = self.plan.task(key.task).limits, self.attempts.get(key)
        given = None if known is None or known.retry is None else known.retry.memory
        return limits if given is None else limits.model_copy(update={"memory": given})

    def no_items(self, key: AttemptKey) -> str | None:
        """Why nobody knows the items for which this try would be begun; None if they may be found out."""
        told = self.not_expanded.get(key.task)
        return told.reason if told is not None and told.tries >= key.try_ else None

    def counts(self, attempt: AttemptState) -> bool:
        """Whether this try served its task, by its verdict or by a person's word."""
        return self.serves(attempt) or attempt.key in self.used

    def used_of(self, keys: Collection[AttemptKey]) -> AttemptState | None:
        """The try of these attempts whose work a person chose, by the last word; None if they chose none."""
        return next((self.attempts[key] for key in reversed(self.used) if key.first in keys), None)

    @property
    def open_questions(self) -> tuple[Message, ...]:
        """What agents asked that nobody answered and that still matters: of a last try that did not serve."""
        return tuple(one for one in self.mail.open_questions() if self._wants_to_know(one.sender))

    def _wants_to_know(self, key: AttemptKey) -> bool:
        last = self.tries(key)[-1]
        return last.key == key and not self.counts(last)

    def late_for(self, key: AttemptKey) -> e.Late | None:
        """For want of which time an attempt is not started any more, if it is not."""
        return self.late.get((key.task, key.profile))

    def needless(self, key: AttemptKey) -> bool:
        """Whether an attempt is not needed any more, since what it is compared for is decided.

        What a person had tried again is needed all the same.
        """
        if self.decided is None or not self.plan.task(key.task).compared:
            return False
        return not any(one.retry is not None and one.retry.why == "person" for one in self.tries(key))

    def task_served(self, task: str) -> bool:
        """Whether an attempt of the task served it, it was not wanted, or need not be, as a person said."""
        done = (self.counts(one) or one.verdict == SKIPPED for one in self.attempts.of_task(task))
        return task in self.skipped or any(done)


def _budgets(key: AttemptKey) -> tuple[tuple[Spent, str], ...]:
    """The budgets that an attempt shares with others."""
    return (("task", key.task), ("profile", key.profile), ("run", ""), ("day", ""))


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
                draining=event.kept and state.draining,
                stopping=event.kept and state.stopping,
                until=event.until,
                over=False,
                takes=event.takes,
                late={},
                shut=(),
                ended=None,
                exit_code=None,
                broken_images={},
                not_expanded={},
                images={},
                earlier_images={**state.earlier_images, **state.images},
            )
        case e.ImageReady() | e.ImageFailed() | e.ImageGone():
            return _image_event(state, event)
        case e.Draining() | e.Stopping():
            stopping = state.stopping or isinstance(event, e.Stopping)
            return replace(state, draining=True, stopping=stopping)
        case e.RunOver():
            return replace(state, over=True)
        case e.WindowsChanged() | e.HostShort() | e.JobsChanged():
            return _room_event(state, event)
        case e.RunEnded():
            ends = state.ends + 1
            return replace(state, short=None, ended=event.at, exit_code=event.exit_code, ends=ends)
        case e.OrderHeeded() | e.TaskDecided() | e.RunPaused() | e.RunUnpaused():
            return _ordered(state, event)
        case _:
            return _clock_or_people(state, event)


def _image_event(state: RunState, event: e.ImageReady | e.ImageFailed | e.ImageGone) -> RunState:
    """The state after an image was prepared, could not be, or was removed."""
    match event:
        case e.ImageReady():
            told = {} if event.version is None else {event.image: event.version}
            images = {**state.images, (event.source, event.cli): event.image}
            return replace(state, images=images, versions={**state.versions, **told})
        case e.ImageFailed():
            broken = {**state.broken_images, (event.source, event.cli): event.reason}
            return replace(state, broken_images=broken)
        case e.ImageGone():
            images = {need: image for need, image in state.images.items() if image != event.image}
            return replace(state, images=images, earlier_images={**state.earlier_images, **state.images})


def _clock_or_people(state: RunState, event: e.Event) -> RunState:
    """The state after what the clock brought about, or after people were told."""
    match event:
        case e.RunBegan():
            return replace(state, begun=True)
        case e.DayBegan():
            spent = frozenset(one for one in state.spent if one[0] != "day")
            warned = frozenset(one for one in state.warned if one[0] != "day")
            return replace(state, spent=spent, warned=warned, of_day=None)
        case e.TooLate():
            return replace(state, late={**state.late, **{(one.task, one.profile): one for one in event.late}})
        case e.RunDecided():
            return replace(state, decided=event, decided_on=state.plan.blocks)
        case e.BudgetUsed():
            of_day = event.at if event.whose == "day" else state.of_day
            return replace(state, warned=state.warned | {(event.whose, event.unit)}, of_day=of_day)
        case e.Notified():
            untold = {name: why for name, why in state.untold.items() if name != event.recipient}
            if event.failed:
                untold[event.recipient] = event.failed
            told = state.notified.union((event.recipient, cause) for cause in event.causes)
            return replace(state, notified=told, untold=untold)
        case _:
            return _task_event(replace(state, mail=state.mail.after(event)), event)


def _ordered(state: RunState, event: e.OrderHeeded | e.TaskDecided | e.RunPaused | e.RunUnpaused) -> RunState:
    """The state after an order of another process, or what it led to."""
    match event:
        case e.OrderHeeded():
            return replace(state, heeded=event.seq)
        case e.TaskDecided():
            return _judged_anew(_decided(state, event), event.task)
        case _:
            return replace(state, paused=isinstance(event, e.RunPaused))


def _decided(state: RunState, event: e.TaskDecided) -> RunState:
    """The state after a person's word on a task, which takes the place of those before it.

    One who chooses an attempt says nothing for what needs another one of its task and not that one, as the
    lineages of a comparison do: for them the earlier words hold.
    """
    others = tuple(key for key in state.used if key.task != event.task)
    if event.attempt is None:
        return replace(state, used=others, skipped=state.skipped | {event.task})
    chosen = AttemptKey.parse(event.attempt)
    groups = [group for planned in state.plan.attempts for group in (*planned.after, planned.start)]
    apart = {name for group in groups if str(chosen.first) not in group for name in group}
    kept = tuple(key for key in state.used if key.task == event.task and str(key.first) in apart)
    lacking = any(AttemptKey.parse(name).task == event.task for name in apart)
    skipped = state.skipped if lacking else state.skipped - {event.task}
    return replace(state, used=(*others, *kept, chosen), skipped=skipped)


def _room_event(state: RunState, event: e.WindowsChanged | e.HostShort | e.JobsChanged) -> RunState:
    """The state after a change of what providers and the host have room for."""
    if isinstance(event, e.WindowsChanged):
        return replace(state, shut=event.shut)
    if isinstance(event, e.JobsChanged):
        return replace(state, jobs=event.jobs)
    return replace(state, short=event if event.why else None)


def _task_event(state: RunState, event: e.Event) -> RunState:
    """The state once a task's items are known, or can't be; told twice, they change nothing."""
    if isinstance(event, e.CheckedBefore):
        return replace(state, before={**state.before, (event.task, event.base): event.checks})
    if isinstance(event, e.Integrated):
        return replace(state, integrated={**state.integrated, event.repo: event})
    if isinstance(event, e.TaskNotExpanded):
        return replace(state, not_expanded={**state.not_expanded, event.task: event})
    if not isinstance(event, e.TaskExpanded):
        return state
    if event.task not in {task.id for task in state.plan.waiting}:
        return state
    plan = expand(state.plan, event.task, event.items)
    known = (state.tries(planned.key) or (AttemptState(planned.key),) for planned in plan.attempts)
    return replace(state, plan=plan, attempts=Attempts(attempt for tries in known for attempt in tries))


def _width(state: RunState, attempt: AttemptState) -> int:
    """How many attempts an adaptive run bears: one more for each that served, half for each that did not.

    So TCP finds out how much a path bears (additive increase, multiplicative decrease: RFC 5681).
    """
    if state.plan.mode != "adaptive" or attempt.phase != "final" or attempt.verdict in {"cancelled", SKIPPED}:
        return state.width
    return min(state.width + 1, state.jobs) if state.serves(attempt) else max(1, state.width // 2)


def _attempt_event(state: RunState, event: e.OfAttempt) -> RunState:
    if isinstance(event, e.Signs):  # the most of what happens, and nothing that lasts
        return state
    key = AttemptKey.parse(event.attempt)
    before = state.attempts.get(key) or AttemptState(key)
    now = tried.skipped(before, event) if isinstance(event, e.AttemptSkipped) else tried.after(before, event)
    changed = [now]
    skipped = state.skipped
    if isinstance(event, e.AttemptFinal) and event.again:  # of earlier versions
        changed.append(AttemptState(key.retried()))
    if isinstance(event, e.AttemptRetried):
        changed.append(AttemptState(key.retried(), retry=event, rests_until=event.not_before))
        skipped = skipped - {key.task} if key.task in skipped else skipped
    spent, of_day = state.spent, state.of_day
    if now.spent and not before.spent:  # what happens to it later says nothing of the day that it is then
        spent |= {budget for budget in _budgets(key) if budget[0] == now.spent}
        of_day = event.at if now.spent == "day" else of_day
    after = replace(
        state,
        attempts=state.attempts.updated(*changed),
        spent=spent,
        of_day=of_day,
        skipped=skipped,
        mail=state.mail.after(event),
        width=_width(state, now) if isinstance(event, e.AttemptFinal) else state.width,
    )
    return _judged_anew(after, key.task) if isinstance(event, e.AttemptRetried) else after


def _judged_anew(state: RunState, task: str) -> RunState:
    """With what was not wanted for what came of a task, or of others that were not, open again."""
    changed, anew = {task}, []
    for planned in state.plan.attempts:  # what is asked about stands before who asks
        asks_of = {AttemptKey.parse(name).task for name in planned.settled}
        last = state.tries(planned.key)[-1]
        if last.verdict == SKIPPED and not changed.isdisjoint(asks_of):
            anew.append(AttemptState(last.key, retry=last.retry))
            changed.add(planned.task)
    return replace(state, attempts=state.attempts.updated(*anew)) if anew else state
