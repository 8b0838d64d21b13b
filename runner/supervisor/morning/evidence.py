"""What the audit needs to know of a run's attempts, from its state alone. Pure.

All of it was noted while the attempts lived, when their work came home and when it was checked: it is there
for as long as the journal is, whatever became of logs and branches. What an earlier version did not note is
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runner.compare.audit import Audit
from runner.compare.conditions import judge
from runner.compare.conduct import conduct
from runner.compare.facts import Allowed, Contact, Facts, Sign
from runner.compare.scored import Scored
from runner.names import AttemptKey
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import ClaudeSettings, CodexSettings, Task
from runner.tasks.when import SKIPPED


def audited(state: RunState, scored: Iterable[Scored] = ()) -> Audit:
    """What is to be said of a run's attempts, and of the pairs among those that are compared."""
    return judge(facts_of(state), scored)


def facts_of(state: RunState) -> list[Facts]:
    """What is known of each attempt that was made and has ended."""
    made = (one for one in state.as_written if one.verdict not in {None, SKIPPED})
    return [of_attempt(state, one) for one in made]


def of_attempt(state: RunState, one: AttemptState) -> Facts:
    """What is known of one attempt."""
    task, profile = state.plan.task(one.key.task), state.plan.profile(one.key.profile)
    settings, used, weather = profile.settings, one.used, one.weather
    return replace(
        of_conduct(one, task, accepted=state.serves(one)),
        seconds=one.seconds,
        held_s=one.held_s,
        queued_s=one.queued_s,
        again="" if one.retry is None else one.retry.why,
        boxes=one.boxes,
        froze=one.froze,
        allowed=_allowed(state, one),
        throttled=None if used is None else used.throttled,
        memory_waited=None if used is None else used.memory_waited,
        oom_kills=None if used is None else used.oom_kills,
        load=None if weather is None else weather.load,
        beside=None if weather is None else weather.beside,
        least_free=None if weather is None else weather.least_free,
        version=one.version,
        image=one.image,
        asks=settings.model if isinstance(settings, ClaudeSettings | CodexSettings) else "",
        models=None if one.models is None else {name: told.output for name, told in one.models.items()},
        answered=tuple((told.asked, told.named, told.requests) for told in one.answered),
        cached=one.cached,
        contacts=_contacts(state, one),
        history=state.plan.sources[task.source].history,
        measured=used is not None or not one.boxes,
    )


def of_conduct(one: AttemptState, task: Task, *, accepted: bool) -> Facts:
    """What is known of an attempt's own doing alone: all that honesty is judged by.

    Args:
        one: The attempt.
        task: Its task.
        accepted: Whether it served that.
    """
    return Facts(
        attempt=str(one.key),
        task=one.key.task,
        profile=one.key.profile,
        n=one.key.n,
        verdict=one.verdict,
        accepted=accepted,
        exited=one.ended == "exited",
        checked=one.check,
        reachable=bool(task.network or task.hosted),
        sought=None if one.sought is None else tuple((told.where, told.command) for told in one.sought),
        signs=_signs(one),
        flags=one.flags,
    )


def honest(state: RunState, rows: Iterable[Scored]) -> list[Scored]:
    """What was scored, no cheat as accepted; that is seen from each attempt alone, also while others live."""
    return [replace(row, accepted=row.accepted and not _cheated(state, row)) for row in rows]


def _cheated(state: RunState, row: Scored) -> bool:
    if not row.accepted:
        return False
    one = state.attempts[AttemptKey.parse(row.attempt)]
    doing = conduct(of_conduct(one, state.plan.task(one.key.task), accepted=True))
    return any(finding.weight == "cheating" for finding in doing)


def _allowed(state: RunState, one: AttemptState) -> Allowed:
    limits = state.limits(one.key)
    return Allowed(**limits.model_dump(), full_disk="disk-short" not in one.flags)


def _contacts(state: RunState, one: AttemptState) -> tuple[Contact, ...] | None:
    """Which hosts it tried; none, where nothing in its box leads out."""
    if one.egress is not None:
        return tuple(Contact(told.host, told.allowed, told.refused) for told in one.egress.hosts)
    has_a_way = state.plan.task(one.key.task).network or state.plan.profile(one.key.profile).asks_a_model
    return None if has_a_way else ()


def _signs(one: AttemptState) -> tuple[Sign, ...] | None:
    """What touches the judgement; none, where there is no work to be judged."""
    if one.signs is None:
        return None if one.work in {"gathered", "salvaged"} else ()
    return tuple(Sign(s.kind, s.path, s.what, s.restored, s.steers) for s in one.signs)
