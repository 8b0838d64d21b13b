"""What an attempt is sent into its box with, as the run stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from runner import names
from runner.agents import catalog
from runner.gateway.grants import Account
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt import passing
from runner.supervisor.attempt.includes import read_includes
from runner.supervisor.attempt.postbox import post_of
from runner.supervisor.attempt.spec import AttemptSpec, Line
from runner.supervisor.graph import handing, trying
from runner.supervisor.outfit import Means
from runner.supervisor.post.mail import Mail
from runner.supervisor.post.told import words_for
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan


def spec_of(look: Callable[[], RunState], means: Means, key: AttemptKey, base: str) -> AttemptSpec:
    """What is to be done in one attempt.

    Args:
        look: Gives the run as it is just then: its mail goes on while the attempt lives.
        means: What the run has.
        key: The attempt.
        base: The commit that it starts from.

    Raises:
        UsageError: A file that it is to find is not there any more.
        NoCredentialError: There is no credential for what it asks.
    """

    def of_run() -> tuple[Plan, Mail]:
        now = look()  # another one with the next event: both are of the same
        return now.plan, now.mail

    state, home = look(), means.rooms.home
    plan = state.plan
    profile = plan.profile(key.profile)
    task, begins = trying.beginning(state, key, home)
    passed = handing.passed(state, key, home)
    source = plan.sources[task.source]
    return AttemptSpec(
        run=plan.run,
        key=key,
        box=names.box_id(str(home), state.name, key),
        task=task,
        profile=profile,
        source=source,
        base=base,
        branch=plan.branch(key),
        image=_image(state, (task.source, catalog.layer(profile.settings))),
        accesses=means.accesses(profile, key),
        account=_account(plan, key),
        include=read_includes(source),
        passed=passed,
        post=post_of(key, of_run),
        words=(*passing.words(task, passed), *words_for(plan, state.mail, key)),
        begins=begins,
        line=_line(state, source.base, base),
        before=lambda: look().before.get((key.task, base)),
    )


def _line(state: RunState, given: str, base: str) -> Line | None:
    """What lies between a base and what a person gave: the source's base, or work that a person chose."""
    if base == given:
        return None
    by_commit = {one.commit: one for one in state.attempts.values() if one.commit}
    wanted: list[str] = []
    tasks: list[str] = []
    here: str | None = base
    while here is not None and (before := by_commit.pop(here, None)) is not None:
        if before.key in state.used:
            given = here
            break
        wanted += state.plan.task(before.key.task).paths
        tasks.append(before.key.task)
        here = before.base
    return None if given == base else Line(given, _once(wanted), _once(tasks))


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def begins(state: RunState, key: AttemptKey, base: str, box: str, waited: float | None) -> e.AttemptStarted:
    """What is noted of an attempt that begins now.

    Args:
        state: The run.
        key: The attempt.
        base: The commit that it starts from.
        box: The name of its box.
        waited: For how many seconds it waited for its place.
    """
    image = _image(
        state, (state.plan.task(key.task).source, catalog.layer(state.plan.profile(key.profile).settings))
    )
    return e.AttemptStarted(
        at=time.time(),
        attempt=str(key),
        box=box,
        base=base,
        image=image,
        version=state.versions.get(image),
        queued_s=None if waited is None else round(waited, 3),
    )


def _account(plan: Plan, key: AttemptKey) -> Account:
    return Account(
        run=plan.run,
        task=key.task,
        profile=key.profile,
        attempt=str(key),
        budget=plan.budget,
        on_limit=plan.on_limit,
        priority=plan.task(key.task).priority,
        record=plan.record,
        prices=plan.prices,
    )


def _image(state: RunState, need: tuple[int, str | None]) -> str:
    """The image prepared now, or by the process that began what is resumed."""
    return state.images.get(need) or state.earlier_images[need]
