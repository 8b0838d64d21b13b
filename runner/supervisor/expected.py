"""In how much time an attempt is done, by the record of earlier ones: pure.

What counts is working time and the check's: time in which an attempt was held depends on the night.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from runner.supervisor import events as e
from runner.supervisor.verdict import RUN_OVER
from runner.tasks.plan import Plan

SHARE = 0.8
"""The share of earlier attempts that were done in the time that is expected: most, but not the longest."""

ENOUGH = 3
"""So many attempts of a profile, at whatever tasks, tell something about another one."""


@dataclass(frozen=True)
class Took:
    """How long an earlier attempt took: in which repository, at which task, with which settings."""

    repo: str
    task: str
    settings: str
    seconds: float


def expected(plan: Plan, record: Iterable[Took]) -> dict[str, float]:
    """By `TASK/PROFILE`, the seconds in which an attempt of a plan is done; what nobody knows is left out.

    The record of the same task in the same repository by the same settings counts first, then that of the
    same settings at any task. No attempt takes longer than its limits.

    Args:
        plan: The plan.
        record: What earlier attempts took.
    """
    same: dict[tuple[str, str, str], list[float]] = {}
    alike: dict[str, list[float]] = {}
    for took in record:
        same.setdefault((took.repo, took.task, took.settings), []).append(took.seconds)
        alike.setdefault(took.settings, []).append(took.seconds)
    found: dict[str, float] = {}
    for planned in plan.attempts:
        task, settings = plan.task(planned.task), plan.profile(planned.profile).hash
        spans = same.get((plan.sources[task.source].git_dir, task.id, settings))
        if spans is None and len(alike.get(settings, ())) >= ENOUGH:
            spans = alike[settings]
        if spans:
            most = task.limits.time + sum(one.time or task.limits.time for one in task.checks)
            found[f"{planned.task}/{planned.profile}"] = min(_of_most(spans), most)
    return found


def took(plan: Plan, events: Iterable[e.Event]) -> Iterable[Took]:
    """What the attempts of a run took that came to their own end, or were given all their time.

    Args:
        plan: The run's plan.
        events: Its events, of which ends and checks are read.
    """
    worked: dict[str, float] = {}
    checked: dict[str, float] = {}
    for event in events:
        if isinstance(event, e.AttemptEnded) and event.seconds is not None:
            worked.pop(event.attempt, None)
            if event.ended == "exited" or (event.ended == "timeout" and event.reason != RUN_OVER):
                worked[event.attempt] = event.seconds
        elif isinstance(event, e.AttemptChecked):
            checked[event.attempt] = event.seconds or 0.0
    for attempt, seconds in worked.items():
        task_id, profile, _ = attempt.split("/")
        task = plan.task(task_id)
        yield Took(
            repo=plan.sources[task.source].git_dir,
            task=task_id,
            settings=plan.profile(profile).hash,
            seconds=seconds + checked.get(attempt, 0.0),
        )


def _of_most(spans: list[float]) -> float:
    """The time in which most were done: the nearest rank of `SHARE`."""
    return sorted(spans)[math.ceil(SHARE * len(spans)) - 1]
