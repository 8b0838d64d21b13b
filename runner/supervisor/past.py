"""What all runs say of profiles and of kinds of task: read off the journal, and put together, purely.

Of a run only the few kinds of event are read that tell how attempts ended. What counts is what counts in a
comparison: of an attempt the first try that was not ended by a fault of ours, or what came of it in the end
where that was compared. What cheated, as the audit tells, is not accepted; whether attempts had it equally
easy is not asked here, since they are of different nights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runner.compare.blocks import OUTSIDE
from runner.compare.comparing import side_of
from runner.compare.conduct import conduct
from runner.compare.scored import Scored, Side
from runner.errors import UsageError
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import tried
from runner.supervisor.morning.evidence import of_conduct
from runner.supervisor.records import journal, run_names
from runner.supervisor.scoring import counted, total
from runner.supervisor.tried import AttemptState
from runner.supervisor.verdict import RUN_OVER, served
from runner.tasks.explain import meant
from runner.tasks.fanout import item_task
from runner.tasks.plan import Profile, Task, Upstream

READ = (
    *("run.started", "task.expanded", "attempt.started", "attempt.ended", "attempt.final"),
    *("attempt.gathered", "attempt.checked", "attempt.retried"),
)
"""The kinds of event that are read."""

MOST_RUNS = 24
"""Points of a course that are runs; of more of them, weeks are the points."""


@dataclass(frozen=True)
class PastAttempt:
    """What came of an attempt.

    Attributes:
        run: Its run.
        began: When that began, in seconds since the epoch.
        profile: Who did it, with all settings as they were then.
        kind: What kind of task it was, if the task file said so.
        task: The task's id in the file.
        scored: What it is scored by; its `profile` is the identity of the profile, not the name.
        counts: Whether it says something of the profile.
    """

    run: str
    began: float
    profile: Profile
    kind: str | None
    task: str
    scored: Scored
    counts: bool


@dataclass(frozen=True)
class PastRun:
    """A run: its name, when it began, who took part, and what came of its attempts.

    `tasks` are the names and kinds of its tasks, as in the file.
    """

    name: str
    began: float
    profiles: tuple[Profile, ...]
    attempts: tuple[PastAttempt, ...]
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One row: a profile with one identity, and what it came to, for one kind of task or for all.

    Attributes:
        profile: As it was in the latest run.
        runs: In how many runs.
        side: Its figures.
        unchecked: How many of those accepted had no check, so that nobody knows.
        kind: The kind of task; None for any.
    """

    profile: Profile
    runs: int
    side: Side
    unchecked: int
    kind: str | None = None


@dataclass(frozen=True)
class Point:
    """A run, or a week of runs, in the course of a profile's figures: since when, and what they were."""

    since: float
    label: str
    side: Side


@dataclass(frozen=True)
class Change:
    """What of a profile's settings changed from one run to the next in which it took part."""

    run: str
    at: float
    before: str
    """The identity until then."""
    now: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """How the figures of a profile, by its name, went on over its runs."""

    name: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]


# -- reading


def read(settings: Settings, since: float = 0.0) -> list[PastRun]:
    """All runs that began at that time or later, in seconds since the epoch; the latest last."""
    names = run_names(settings)
    if not names:
        return []
    found = []
    with journal(settings) as book:
        for name in names:
            run = of_run(name, book.of_kinds(name, *READ), since)
            if run is not None:
                found.append(run)
    return found


def of_run(name: str, events: Iterator[e.Event], since: float = 0.0) -> PastRun | None:
    """What the events of a run say; None for one that began before `since`: the rest is not read then."""
    start = next(events, None)
    if not isinstance(start, e.RunStarted) or start.at < since:
        return None
    plan, states, templates = start.plan, dict[AttemptKey, AttemptState](), dict[str, Task]()
    tasks = {task.id: task for task in plan.tasks}
    for event in events:
        if isinstance(event, e.TaskExpanded):
            numbers = range(1, len(event.items) + 1)
            templates |= {item_task(event.task, number): tasks[event.task] for number in numbers}
        elif isinstance(event, e.OfAttempt):
            key = AttemptKey.parse(event.attempt)
            states[key] = tried.after(states.get(key) or AttemptState(key), event)
            if isinstance(event, e.AttemptRetried):
                states[key.retried()] = AttemptState(key.retried(), retry=event)
    profiles = {profile.name: profile for profile in plan.profiles}
    tries: dict[AttemptKey, list[AttemptState]] = {}
    for key in sorted(states):
        tries.setdefault(key.first, []).append(states[key])
    attempts = tuple(
        _attempt(name, start, profiles[key.profile], tasks.get(key.task) or templates[key.task], of_it)
        for key, them in tries.items()
        if (of_it := counted(plan, them))[-1].verdict is not None
    )
    called = (called for task in plan.tasks for called in (task.of or task.id, task.kind) if called)
    return PastRun(name, start.at, plan.profiles, attempts, tuple(dict.fromkeys(called)))


def _attempt(
    run: str, start: e.RunStarted, profile: Profile, task: Task, tries: Sequence[AttemptState]
) -> PastAttempt:
    last = tries[-1]
    verdict = last.verdict or ""
    shared = last.spent not in {"", "attempt"}
    accepted = last.verdict is not None and served(last.verdict, may_be_empty=task.may_be_empty)
    doing = conduct(of_conduct(last, task, accepted=accepted))
    cheated = any(finding.weight == "cheating" for finding in doing)
    counts = verdict not in OUTSIDE and last.reason != RUN_OVER and not shared
    scored = Scored(
        task=last.key.task,
        profile=profile.hash,
        n=last.key.n,
        verdict=verdict,
        accepted=accepted and not cheated,
        seconds=total([one.seconds for one in tries]),
        tokens=total([one.tokens for one in tries]),
        usd=total([one.usd for one in tries]),
        attempt=str(last.key),
        at=tries[0].started,
    )
    return PastAttempt(run, start.at, profile, task.kind, task.of or task.id, scored, counts)


# -- putting together


def require_known(runs: Sequence[PastRun], task: str | None, profile: str | None) -> None:
    """See that what a person asks for has been in a run.

    Args:
        runs: The runs.
        task: As for `chosen`.
        profile: As for `chosen`.

    Raises:
        UsageError: It is in none of them.
    """
    tasks = dict.fromkeys(name for run in runs for name in run.tasks)
    if runs and task is not None and task not in tasks:
        what = "a task, or a kind of task,"
        raise UsageError(f"{_none_of(runs)} {what} called {task!r}", cure=meant(task, tasks))
    profiles = [one for run in runs for one in run.profiles]
    if runs and profile is not None and not any(is_called(one, profile) for one in profiles):
        cure = meant(profile, dict.fromkeys(one.name for one in profiles))
        raise UsageError(f"{_none_of(runs)} a profile called {profile!r}", cure=cure)


def _none_of(runs: Sequence[PastRun]) -> str:
    return "the one run looked at does not have" if len(runs) == 1 else f"none of {len(runs)} runs has"


def is_called(profile: Profile, name: str) -> bool:
    """Whether a person means this profile: by its name, or by the beginning of its identity."""
    return profile.name == name or profile.hash.startswith(name)


def chosen(runs: Iterable[PastRun], task: str | None, profile: str | None, *, played: bool) -> list[PastRun]:
    """The runs with those attempts alone that are asked for; never figures of both kinds together.

    Args:
        runs: The runs.
        task: A kind of task, or a task's id; None for any.
        profile: A profile's name, or the beginning of its identity; None for any.
        played: Whether those whose model a file played are wanted, or the others.
    """

    def is_meant(one: Profile) -> bool:
        return (profile is None or is_called(one, profile)) and one.upstream.is_played == played

    found = []
    for run in runs:
        attempts = [
            one for one in run.attempts if is_meant(one.profile) and task in {None, one.kind, one.task}
        ]
        if attempts:
            meant = tuple(filter(is_meant, run.profiles))
            found.append(replace(run, attempts=tuple(attempts), profiles=meant))
    return found


def entries(runs: Sequence[PastRun]) -> list[Entry]:
    """A row for each identity, in the order in which they first took part."""
    return [_entry(them) for them in _by_identity(runs, _attempts(runs)) if them]


def entries_by_kind(runs: Sequence[PastRun]) -> list[Entry]:
    """A row for each kind of task and identity; tasks without a kind come last, as a kind of their own."""
    found = list(_attempts(runs))
    kinds = sorted({one.kind for one in found if one.kind is not None})
    return [
        replace(_entry(them), kind=kind)
        for kind in (*kinds, None)
        for them in _by_identity(runs, (one for one in found if one.kind == kind))
        if them
    ]


def courses(runs: Sequence[PastRun]) -> list[Course]:
    """How each profile, by its name, went on, and what was changed of it: in the order of their names."""
    names = sorted({profile.name for run in runs for profile in run.profiles})
    return [Course(name, tuple(_points(runs, name)), tuple(_changes(runs, name))) for name in names]


def _attempts(runs: Iterable[PastRun]) -> Iterator[PastAttempt]:
    return (attempt for run in runs for attempt in run.attempts)


def _by_identity(runs: Iterable[PastRun], attempts: Iterable[PastAttempt]) -> Iterable[Sequence[PastAttempt]]:
    """The attempts of each identity, in the order in which runs name them; of some there may be none."""
    found: dict[str, list[PastAttempt]] = {profile.hash: [] for run in runs for profile in run.profiles}
    for attempt in attempts:
        found[attempt.profile.hash].append(attempt)
    return found.values()


def _entry(attempts: Sequence[PastAttempt]) -> Entry:
    return Entry(
        profile=attempts[-1].profile,
        runs=len({one.run for one in attempts}),
        side=side(attempts),
        unchecked=sum(one.counts and one.scored.verdict == "done" for one in attempts),
    )


def side(attempts: Sequence[PastAttempt]) -> Side:
    """The figures of some attempts of one profile."""
    rows, good = [one.scored for one in attempts], [one.scored for one in attempts if one.counts]
    last = attempts[-1].profile
    return replace(side_of(last.hash, last.hash, rows, good), profile=last.name)


def _points(runs: Sequence[PastRun], name: str) -> Iterator[Point]:
    own = [run for run in runs if any(one.profile.name == name for one in run.attempts)]
    weeks = len(own) > MOST_RUNS
    groups: dict[str, list[PastRun]] = {}
    for run in own:
        groups.setdefault(_week(run.began) if weeks else run.name, []).append(run)
    for label, them in groups.items():
        attempts = [one for one in _attempts(them) if one.profile.name == name]
        yield Point(them[0].began, label, side(attempts))


def _week(at: float) -> str:
    """The Monday of a day's week, by the host's time."""
    day = datetime.fromtimestamp(at).astimezone().date()
    return (day - timedelta(days=day.weekday())).isoformat()


def _changes(runs: Sequence[PastRun], name: str) -> Iterator[Change]:
    before: Profile | None = None
    for run in runs:
        now = next((profile for profile in run.profiles if profile.name == name), None)
        if now is None:
            continue
        if before is not None and before.hash != now.hash:
            yield Change(run.name, run.began, before.hash, now.hash, tuple(_changed(before, now)))
        before = now


def _changed(before: Profile, now: Profile) -> Iterator[str]:
    """What of a profile is not as it was, in words."""
    old, new = before.settings.model_dump(mode="json"), now.settings.model_dump(mode="json")
    yield from _turned("CLI version", before.version, now.version)
    for field in dict.fromkeys((*old, *new)):
        if field in {"args", "env", "run"}:
            yield from (field for _ in (1,) if old.get(field) != new.get(field))
        else:
            yield from _turned(field, old.get(field), new.get(field))
    yield from _turned("answered by", _answering(before.upstream), _answering(now.upstream))


def _answering(upstream: Upstream) -> str:
    return " and ".join(upstream.places) or upstream.kind


def _turned(what: str, before: str | None, now: str | None) -> Iterator[str]:
    if before != now:
        yield f"{what} {before or '?'} → {now or '?'}"
