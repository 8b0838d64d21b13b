"""Whose results an agent gets, as values for its attempt. Pure."""

from __future__ import annotations

from pathlib import Path

from runner.names import AttemptKey
from runner.supervisor.attempt.passing import Passed
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.graph.routing import results
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState


def passed(state: RunState, key: AttemptKey, home: Path) -> tuple[Passed, ...]:
    """What an attempt gets of those before it; nothing where its task does not ask for it (`pass`).

    Args:
        state: The run.
        key: The attempt.
        home: The state directory, where logs are.
    """
    if not state.plan.task(key.task).passes:
        return ()
    return tuple(_of(state, one, home) for one in results(state, state.planned(key)))


def _of(state: RunState, one: AttemptState, home: Path) -> Passed:
    task = state.plan.task(one.key.task)
    source = state.plan.sources[task.source]
    unseen = task.hidden is not None and one.check == "failed"  # it may name tests that no agent is to know
    changed = None if one.files is None else f"{one.files} files, +{one.insertions} -{one.deletions} lines"
    facts = {
        "verdict": one.verdict,
        "ended": one.ended,
        "work": one.work,
        "check": one.check,
        "reason": None if unseen else one.reason,
        "branch": one.branch,
        "commit": one.commit,
        "started from": one.base,
        "changed": changed,
    }
    return Passed(
        name=str(one.key),
        item=task.item,
        facts=tuple((name, str(value)) for name, value in facts.items() if value is not None),
        settings=state.plan.profile(one.key.profile).settings,
        log=log_file(home, state.name, one.key),
        git_dir=Path(source.git_dir),
        base=one.base or source.base,
        commit=one.commit,
    )
