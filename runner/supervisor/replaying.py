"""From a run that was recorded to one in which its recordings play the model."""

from __future__ import annotations

from pathlib import Path

from runner.agents import catalog
from runner.errors import UsageError
from runner.gateway.places import recordings
from runner.names import AttemptKey
from runner.supervisor.access import recording
from runner.supervisor.state import RunState
from runner.tasks.identity import settings_hash
from runner.tasks.plan import Plan, PlannedAttempt, Retry, Upstream

OFFLINE = "hosts that `network` names are not reached in a replay: what agents fetched there is missing"


def replay_of(state: RunState, home: Path, only: AttemptKey | None = None, *, strict: bool = False) -> Plan:
    """The plan of a run again: the same agents, from the same commits, its recordings in the model's place.

    Nothing of it leaves this host. What was not recorded is left out, and what starts from it.

    Args:
        state: The run.
        home: The state directory.
        only: The one attempt that is wanted; what it starts from comes along.
        strict: Whether what departs from a recording is refused.

    Raises:
        UsageError: Nothing of it was recorded, or not the one that is wanted.
    """
    plan, place = state.plan, recordings(home, state.name)
    kept: dict[str, PlannedAttempt] = {}
    missing: list[str] = []
    for planned in plan.attempts:  # what an attempt needs stands before it
        if not _can_be_played(plan, planned, place):
            missing.append(str(planned.key))
        elif _has_its_needs(plan, planned, kept):
            kept[str(planned.key)] = planned
    if only is not None:
        wanted = _with_needs(only.first, kept)
        if not wanted:
            raise _not_recorded(f"the attempt {only.first} of the run {state.name}")
        kept = {name: planned for name, planned in kept.items() if name in wanted}
        missing = []
    if not any(recording(place, planned.key).exists() for planned in kept.values()):
        raise _not_recorded(f"the run {state.name}")
    attempts = tuple(_among(plan, planned, kept) for planned in kept.values())
    notes = [f"not recorded, and left out: {', '.join(missing)}"] if missing else []
    if any(plan.task(planned.task).network for planned in attempts):
        notes.append(OFFLINE)
    made = _played(plan, attempts, place, strict=strict, tries=_tries(state))
    return made.model_copy(update={"notes": tuple(notes)})


def exit_code(state: RunState, code: int) -> int:
    """What a replay ends with: 0 if every attempt followed its recording to the end, 1 if not.

    What became of the tasks is not asked; where Corral, the host or a signal ended it, `code` is its own.
    """
    if code not in {0, 1, 4}:
        return code
    told = [attempt.replayed for attempt in state.attempts.values() if not attempt.again]
    return int(any(one is not None and one.first_departure() is not None for one in told))


def _tries(state: RunState) -> dict[str, int]:
    """Which tries are played: of an attempt that was told how it failed, the one before that.

    A try that is told something goes on with another's conversation and work, which a replay does not make.
    """
    found: dict[str, int] = {}
    for planned in state.plan.attempts:
        tries = state.tries(planned.key)
        plain = [one for one in tries if one.retry is None or one.retry.told is None]
        if len(plain) < len(tries):
            found[str(planned.key)] = plain[-1].key.try_
    return found


def _played(
    plan: Plan, attempts: tuple[PlannedAttempt, ...], place: Path, *, strict: bool, tries: dict[str, int]
) -> Plan:
    upstream = Upstream(kind="replay", script=str(place), strict=strict, tries=tries)
    used = {planned.profile for planned in attempts}
    profiles = tuple(
        profile.model_copy(
            update={
                "upstream": upstream,
                "hash": settings_hash(
                    profile.settings, f"replay:{profile.hash}", version=catalog.version(profile.settings.cli)
                ),
                "version": catalog.version(profile.settings.cli),
            }
        )
        for profile in plan.profiles
        if profile.name in used
    )
    tasks = tuple(
        task.model_copy(update={"network": (), "retry": _untold(task.retry)}) for task in plan.tasks
    )
    done = {planned.task for planned in attempts}
    changed = {
        "profiles": profiles,
        "tasks": tuple(task for task in tasks if task.id in done),
        "attempts": attempts,
        "compared": tuple(name for name in plan.compared if name in used),
        "record": False,
    }
    # Made anew, since a copy would keep what was looked up in the other one.
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | changed)


def _untold(retry: Retry) -> Retry:
    """The retries of a replay: what a fault of ours ended is played again, and nobody is told more."""
    return retry.model_copy(update={"feedback": 0, "memory": None})


def _can_be_played(plan: Plan, planned: PlannedAttempt, place: Path) -> bool:
    """Whether a recording is there, or no model is needed."""
    settings = plan.profile(planned.profile).settings
    return catalog.layer(settings) is None or recording(place, planned.key).exists()


def _with_needs(key: AttemptKey, kept: dict[str, PlannedAttempt]) -> set[str]:
    wanted: set[str] = set()
    pending = [str(key)]
    while pending:
        name = pending.pop()
        if name in kept and name not in wanted:
            wanted.add(name)
            pending += [other for group in kept[name].after for other in group]
            pending += (*kept[name].settled, *kept[name].previous)
    return wanted


def _has_its_needs(plan: Plan, planned: PlannedAttempt, kept: dict[str, PlannedAttempt]) -> bool:
    """Whether what an attempt needs is kept, and what its task asks about."""
    asks = plan.task(planned.task).when is not None
    return all(any(name in kept for name in group) for group in planned.after) and not (
        asks and any(name not in kept for name in planned.settled)
    )


def _among(plan: Plan, planned: PlannedAttempt, kept: dict[str, PlannedAttempt]) -> PlannedAttempt:
    """The attempt, needing none but those that are kept, and after the last of these in a sequence."""
    previous = planned.previous
    while previous and not any(name in kept for name in previous):
        previous = plan.attempt(previous[0]).previous
    after = tuple(tuple(name for name in group if name in kept) for group in planned.after)
    rest = {"start": planned.start, "settled": planned.settled, "previous": previous}
    among = {key: tuple(name for name in names if name in kept) for key, names in rest.items()}
    return planned.model_copy(update={"after": after, **among})


def _not_recorded(what: str) -> UsageError:
    return UsageError(f"{what} was not recorded", cure="`corral run --record`, or `record: true` in the file")
