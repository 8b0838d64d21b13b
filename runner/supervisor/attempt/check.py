"""The check: a command run on the gathered commit in a clean container, judged by its exit code."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from runner.errors import EngineError
from runner.sandbox.box import BoxSpec
from runner.sandbox.ended import see_end
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.output import Output
from runner.supervisor.verdict import CHECKOUT_FAILED, KILLED, LAYOUT_FAILED, OVERLAY_FAILED, Check
from runner.tasks.units import format_duration


@dataclass(frozen=True)
class Checked:
    """What a check said, and why it failed, as far as its end tells."""

    check: Check
    reason: str = ""
    exit_code: int | None = None
    seconds: float | None = None


def run_check(engine: Engine, box: BoxSpec, log: Path, limit: float, stop: threading.Event) -> Checked:
    """Run a check to its end.

    Args:
        engine: Where it runs.
        box: The clean container, whose command is the check.
        log: The file to which its output is added.
        limit: Seconds that it may take.
        stop: Set when a person wants no more to be run.

    Raises:
        EngineError: The check could not be run.
    """
    container = engine.create(box)
    try:
        engine.start(container)
        began = time.monotonic()
        before = log.stat().st_size if log.exists() else 0
        with Output(engine, container, log, after=before) as output:
            why = _until_end(output, limit, stop)
            if why is not None:
                engine.kill(container)
        if output.fault is not None and why is None:
            raise output.fault
        state = see_end(engine, container)
    finally:
        engine.remove(container)
    seconds = time.monotonic() - began
    if why == "stopped":
        return Checked("not-run", "the run was stopped", None, seconds)
    if why is not None:
        return Checked("failed", f"the check took more than {format_duration(limit)}", None, seconds)
    return _judge(state, seconds, ready=output.ready)


def _until_end(output: Output, limit: float, stop: threading.Event) -> str | None:
    """Wait for the end; returns why it must be ended early, if so."""
    until = time.monotonic() + limit
    while not output.closed:
        for _ in output.lines(patience=0.25):
            pass
        if stop.is_set():
            return "stopped"
        if time.monotonic() > until:
            return "too long"
    return None


def _judge(state: BoxState | None, seconds: float, *, ready: bool) -> Checked:
    if state is None or state.exit_code is None or state.error:
        raise EngineError(f"the check's container was lost{': ' + state.error if state else ''}")
    if state.exit_code == LAYOUT_FAILED and not ready:
        raise EngineError("the check's workspace could not be laid out")
    if state.exit_code == OVERLAY_FAILED and not ready:
        return Checked(
            "failed", "the work stands where setup's, included or hidden files belong", None, seconds
        )
    if state.exit_code == CHECKOUT_FAILED and not ready:
        return Checked(
            "failed", "the work could not be checked out on a disk of `limits.disk`", None, seconds
        )
    if state.exit_code == 0:
        return Checked("passed", "", 0, seconds)
    return Checked("failed", _why(state), state.exit_code, seconds)


def _why(state: BoxState) -> str:
    if state.oom_killed and state.exit_code == KILLED:
        return "the check was killed at the memory limit"
    if state.exit_code == 127:
        return "the check's command was not found (exit 127)"
    why = f"the check failed with exit {state.exit_code}"
    if state.oom_killed:
        return f"{why}; the kernel killed a process of it at the memory limit"
    if state.exit_code == KILLED:
        # The engine learns of such a kill beside the end, and on a busy host after it.
        return f"{why}: it was killed, as happens at the memory limit"
    return why
