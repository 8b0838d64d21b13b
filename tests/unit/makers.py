"""Small plans and events for tests."""

from __future__ import annotations

from runner.supervisor import events as e
from runner.supervisor.state import RunState, apply, begin
from runner.tasks.plan import CommandSettings, Plan, PlannedAttempt, Profile, Source, Task

BASE = "a" * 40


def make_plan(*attempts: PlannedAttempt, may_be_empty: bool = False) -> Plan:
    """A plan of these attempts over one repository; every profile is a command."""
    profiles = dict.fromkeys(attempt.profile for attempt in attempts)
    tasks = dict.fromkeys(attempt.task for attempt in attempts)
    return Plan(
        run="r",
        file="/x/corral.yaml",
        sources=(Source(repo="/x", git_dir="/x/.git", base=BASE, base_name="HEAD"),),
        profiles=tuple(Profile(name=p, settings=CommandSettings(run=("true",)), hash=p) for p in profiles),
        tasks=tuple(Task(id=t, may_be_empty=may_be_empty) for t in tasks),
        attempts=attempts,
    )


def started(plan: Plan, jobs: int = 2, *, image: bool = True) -> RunState:
    """The state of a run of that plan just after its start, its image ready."""
    state = begin("r", e.RunStarted(at=1, plan=plan, jobs=jobs))
    if image:
        state = apply(state, e.ImageReady(at=1, source=0, cli=None, image="sha256:1"))
    return state


def life(
    attempt: str, verdict: str, *, again: bool = False, commit: str | None = "b" * 40, base: str = BASE
) -> list[e.Event]:
    """The events of an attempt that ends with this verdict."""
    ended = "exited" if verdict in {"accepted", "rejected", "done", "no-change", "refused"} else verdict
    work = {"no-change": "none", "refused": "refused"}.get(verdict, "gathered")
    check = {"accepted": "passed", "rejected": "failed", "done": "none"}.get(verdict, "not-run")
    return [
        e.AttemptStarted(at=2, attempt=attempt, box="0" * 12, base=base),
        e.BoxStarted(at=3, attempt=attempt, container="c"),
        e.AttemptEnded.model_validate({"at": 4, "attempt": attempt, "ended": ended}),
        e.AttemptGathered.model_validate(
            {"at": 5, "attempt": attempt, "work": work, "commit": commit if work == "gathered" else None}
        ),
        e.AttemptChecked.model_validate({"at": 6, "attempt": attempt, "check": check}),
        e.AttemptFinal.model_validate({"at": 7, "attempt": attempt, "verdict": verdict, "again": again}),
    ]


def after(state: RunState, *events: e.Event) -> RunState:
    """The state after these events."""
    for event in events:
        state = apply(state, event)
    return state
