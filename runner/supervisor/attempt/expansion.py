"""What a task is done for, where a command says it: run once in a box on the base, with no way out.

The box is made as an agent's is, and gone when the command has ended; of what it wrote nothing is kept.
What it printed is data, and bounded as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from runner.errors import CorralError, EngineError
from runner.sandbox.ended import see_end
from runner.sandbox.output import Output
from runner.supervisor.attempt.agent_box import AgentBox
from runner.supervisor.attempt.spec import AttemptSpec, Beginning, Known, Orders, Rooms
from runner.supervisor.verdict import CHECKOUT_FAILED, LAYOUT_FAILED, OVERLAY_FAILED
from runner.tasks.items import ItemError, from_lines
from runner.tasks.plan import CommandSettings, Profile
from runner.tasks.units import format_duration

PROFILE = "+items"
"""No profile can be called so: its box is never taken for an attempt's."""


class NoItemsError(CorralError):
    """A command did not say what a task is done for."""


class StoppedError(CorralError):
    """A person, or the run's end, stopped it: nothing is known."""


def items_spec(spec: AttemptSpec, box: str) -> AttemptSpec:
    """The box in which a command tells the items of a task, made of an attempt of that task.

    Args:
        spec: The attempt.
        box: What the box is called.
    """
    command = (spec.task.for_each.command if spec.task.for_each else None) or ""
    profile = Profile(name=PROFILE, settings=CommandSettings(run=("sh", "-c", command)), hash=PROFILE)
    task = spec.task.model_copy(update={"prompt": "", "network": (), "hosted": (), "protect": ()})
    key = replace(spec.key, profile=PROFILE)
    return replace(
        spec,
        key=key,
        box=box,
        task=task,
        profile=profile,
        accesses=(),
        branch="",
        passed=(),
        post=None,
        words=(),
        begins=Beginning(),
    )


def find_items(spec: AttemptSpec, rooms: Rooms, orders: Orders) -> tuple[str, ...]:
    """Run the command; returns the items that it printed.

    What an earlier process left of such a box is removed first: nothing is lost, since it is begun anew.

    Raises:
        NoItemsError: It failed, took too long, or printed what can't be items.
        StoppedError: It was stopped.
        LeaseLostError: Another process finds them out: its box stays.
        CorralError: The engine or git failed.
    """
    box = AgentBox(spec, rooms, Known())
    _clear(box, orders)
    try:
        launch = box.prepare()
        orders.check_ours()
        return _printed(box.start(launch), spec, rooms, orders)
    finally:
        _clear(box, orders)


def _clear(box: AgentBox, orders: Orders) -> None:
    """Remove what there is of the box; nothing of an heir's, whose box is called the same."""
    orders.check_ours()
    box.end()
    box.take_down()


def _printed(container: str, spec: AttemptSpec, rooms: Rooms, orders: Orders) -> tuple[str, ...]:
    log = rooms.log(spec.run, spec.key)
    with Output(rooms.engine, container, log) as output:
        try:
            found = from_lines(_lines(output, spec.task.limits.time, orders))
        except ItemError as error:
            raise NoItemsError(
                f"what `for_each` printed is not taken: {error}; all of it is in {log}"
            ) from error
        finally:
            rooms.engine.kill(container)  # what still prints has nobody any more who reads it
    if output.fault is not None:
        raise output.fault
    state = see_end(rooms.engine, container)
    if state is None or state.exit_code is None or state.error:
        raise EngineError(f"the box of `for_each` was lost{': ' + state.error if state else ''}")
    if not output.ready and state.exit_code in {LAYOUT_FAILED, OVERLAY_FAILED, CHECKOUT_FAILED}:
        raise EngineError("the workspace of `for_each` could not be laid out")
    if state.exit_code != 0:
        raise NoItemsError(
            f"the command of `for_each` ended with exit {state.exit_code}; its output is in {log}"
        )
    return found


def _lines(output: Output, limit: float, orders: Orders) -> Iterator[bytes]:
    """The lines that the command prints, until it ends."""
    until = time.monotonic() + limit
    while not output.closed:
        for line in output.lines(patience=0.25):
            if output.ready:  # what comes before is ours
                yield line
        if orders.stop.is_set() or orders.over.is_set():
            raise StoppedError("stopped")
        if time.monotonic() > until:
            raise NoItemsError(f"the command of `for_each` took more than {format_duration(limit)}")
