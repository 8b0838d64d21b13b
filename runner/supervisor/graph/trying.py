"""How a later try of an attempt begins: its task, as its agent is told it, and what it has of others."""

from __future__ import annotations

import os
from pathlib import Path

from runner.names import AttemptKey
from runner.sandbox.output import READY
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import HOME, Beginning, log_file
from runner.supervisor.graph import feedback
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Task
from runner.tasks.units import format_size

TAIL = 256 * 1024
"""Bytes at the end of a check's output that are looked at; more is told of none."""


def beginning(state: RunState, key: AttemptKey, home: Path) -> tuple[Task, Beginning]:
    """The task of a try, and what it begins with.

    Args:
        state: The run.
        key: The try.
        home: The state directory.
    """
    task = state.plan.task(key.task)
    retry = state.attempts[key].retry
    if retry is None:
        return task, Beginning()
    begins = _begins(state, retry, home)
    changed: dict[str, object] = {"limits": state.limits(key)}
    if retry.told is not None:
        earlier = state.attempts[AttemptKey.parse(retry.told)]
        # What a check printed of tests that no agent is to see may be those tests.
        seen = task.hidden is None
        output = _output(log_file(home, state.name, earlier.key, "check.log")) if seen else ""
        changed["prompt"] = _words(task, retry, begins, earlier, output)
    return task.model_copy(update=changed), begins


def forget(state: RunState, key: AttemptKey, home: Path) -> None:
    """Remove what is kept of an attempt's tries for later ones."""
    for attempt in state.tries(key):
        log_file(home, state.name, attempt.key, HOME).unlink(missing_ok=True)


def _begins(state: RunState, retry: e.AttemptRetried, home: Path) -> Beginning:
    """What a try begins with; a conversation can't go on whose HOME somebody removed."""
    if retry.home is None:
        return Beginning(retry.on)
    archive = log_file(home, state.name, AttemptKey.parse(retry.home), HOME)
    return Beginning(retry.on, retry.session, archive) if archive.exists() else Beginning(retry.on)


def _words(task: Task, retry: e.AttemptRetried, begins: Beginning, earlier: AttemptState, output: str) -> str:
    more = retry.memory is not None and retry.why in {"memory", "person"}
    return feedback.words(
        task.prompt,
        ending=_ending(earlier, hidden=task.hidden is not None),
        check=task.check if earlier.check == "failed" and task.hidden is None else None,
        output=output,
        goes_on=begins.on is not None,
        session=begins.session is not None,
        memory=format_size(retry.memory) if more and retry.memory else "",
        note=retry.note,
    )


def _ending(earlier: AttemptState, *, hidden: bool) -> str:
    """How a try ended, as the end of a sentence. What its agent's own report says is not repeated to it.

    Of checks with hidden tests it is told which failed, and nothing that these said.
    """
    if earlier.check == "failed" and earlier.ended == "exited":
        if hidden:
            failed = ", ".join(one.name for one in earlier.checks if one.check == "failed")
            return f"did not pass all of its checks ({failed}), which use tests that are not shown to you"
        return f"did not pass its check ({earlier.reason or 'it failed'})"
    said = {
        "timeout": "was ended at its time limit",
        "stalled": "was ended because nothing happened for too long",
        "oom": "was ended by the system because it used more memory than it may",
        "disk": "was ended because its disk was full",
        "over-budget": "was ended because its budget was spent",
        "limited": "was ended because the model service had no more room for it",
        "needs-input": "was ended because it asked a question that nobody answered",
        "cancelled": "was stopped by a person",
        "infrastructure": "was ended by a fault that was not its own",
    }
    ended = said.get(earlier.ended or "", f"ended with an error{_code(earlier)}")
    return f"{ended}, and did not pass its check" if earlier.check == "failed" else ended


def _code(earlier: AttemptState) -> str:
    return f" (exit {earlier.exit_code})" if earlier.exit_code else ""


def _output(log: Path) -> str:
    """What a check printed last; empty where nothing is kept of it."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return feedback.plain(file.read(), READY)
    except OSError:
        return ""
