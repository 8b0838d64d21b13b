"""A box for a person to look around in: a new one on a copy of an attempt's work, never the living one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from runner import names
from runner.agents import catalog
from runner.gateway.grants import Account
from runner.sandbox.engine import Engine
from runner.supervisor.attempt.agent_box import AgentBox
from runner.supervisor.attempt.includes import read_includes
from runner.supervisor.attempt.spec import AttemptSpec, Known, box_spec
from runner.supervisor.outfit import Means
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Plan

SHELL = ("sh", "-c", "command -v bash > /dev/null && exec bash || exec sh")


def plan_of(state: RunState) -> Plan:
    """The plan of a run under another name: what is made for the shell belongs to no run of the journal."""
    return state.plan.model_copy(update={"run": f"shell-{secrets.token_hex(4)}"})


@contextmanager
def box(
    plan: Plan,
    attempt: AttemptState,
    means: Means,
    argv: tuple[str, ...],
    *,
    terminal: bool,
    on_line: Callable[[str], None],
) -> Iterator[tuple[Engine, str]]:
    """A box, not yet started, in the image of an attempt and on its work, as the agent found its own.

    It has no way out, neither to a model nor to hosts, and what is changed in it is gone with it.

    Args:
        plan: As `plan_of`.
        attempt: Whose work; one without a branch gives what it started from.
        means: What it works with, for that plan.
        argv: What runs in it.
        terminal: Whether a person sits before it.
        on_line: Called with build output of its image, where that is not there any more.

    Raises:
        HostError: It can't be made.
    """
    task, profile = plan.task(attempt.key.task), plan.profile(attempt.key.profile)
    source = plan.sources[task.source]
    rooms = replace(means.rooms, gateway=None)
    spec = AttemptSpec(
        run=plan.run,
        key=attempt.key,
        box=names.box_id(str(rooms.home), plan.run, attempt.key),
        task=task.model_copy(update={"network": ()}),
        profile=profile,
        source=source,
        base=attempt.commit or attempt.base or source.base,
        branch="",
        image=means.images.prepare(source, catalog.layer(profile.settings), on_line),
        accesses=(),
        account=Account(),
        include=read_includes(source),
    )
    made = AgentBox(spec, rooms, Known())
    try:
        launch = made.prepare()
        mounts = made.space.agent_mounts(rooms.disks.seen(spec.box), made.base, None)
        words = ("/opt/corral/enter", "work", made.base.commit, *argv)
        env = {**launch.env, "CORRAL_STDIN": "/dev/stdin" if terminal else "/dev/null"}
        shell = replace(box_spec(spec, rooms, "shell", words, env, mounts), terminal=terminal)
        yield rooms.engine, rooms.engine.create(shell)
    finally:
        made.end()
        made.take_down()
