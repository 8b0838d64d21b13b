"""The full test: a night of attacks through the real supervisor, on a repository of its own.

All of it lies in `selfcheck/` below the state directory, with a journal of its own, and is removed in the
end; what a killed test left is removed by the next one, or by `corral reap`.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.locks import try_locked
from runner.sandbox.disks import Rung
from runner.sandbox.engine import Engine
from runner.sandbox.standing import Post
from runner.selfcheck import attacks, quick
from runner.selfcheck.attacks import Attack
from runner.selfcheck.judge import findings, lacking, merged, untested
from runner.selfcheck.promises import PROMISES
from runner.selfcheck.witness import RUN, Stakes, judge_night, left
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import reap
from runner.supervisor.host.doctor import Finding
from runner.supervisor.journal import Row
from runner.supervisor.means import images, make_home, means, standing
from runner.supervisor.night import Night
from runner.supervisor.state import RunState
from runner.tasks.plan import CommandSettings, Plan, PlannedAttempt, Profile, Source, Task

JOBS = 2
NOBODY = "http://127.0.0.1:9"
"""The port "discard": no service is to answer."""

Tell = Callable[[str], None]
"""Takes a line about how far it is."""


def folder(home: Path) -> Path:
    """Where the full test has its state, below the state directory."""
    return home / "selfcheck"


def examine(settings: Settings, environment: Mapping[str, str], tell: Tell) -> tuple[Finding, ...]:
    """Test every promise on this host.

    Args:
        settings: The settings; of the credentials in them nothing is used.
        environment: For the engine's address.
        tell: Called with a line about each step.

    Raises:
        HostError: No engine answers, the state directory can't be used, or another test is under way.
    """
    make_home(settings.home)
    with try_locked(settings.home / "locks" / "selfcheck") as ours:
        if not ours:
            raise HostError("another `corral selfcheck` is under way", cure="wait for it")
        place = folder(settings.home)
        with Engine(environment) as engine, _cleared(engine, settings, place):
            stakes = _stakes(place)
            seen, rung, boxes = _attacked(engine, settings, environment, stakes, tell)
            seen = merged(seen, {"leftovers": left(engine, stakes, boxes)})
            return findings(_all(seen), lacking(engine.facts(), rung))


def _stakes(place: Path) -> Stakes:
    repo, base, secret = quick.make_repository(place / "repo.git")
    return Stakes(place, repo, base, secret, f"sk-canary-{secrets.token_hex(16)}")


def _all(seen: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every promise, also one that nothing was seen of: that can't be."""
    return {promise.name: seen.get(promise.name, (untested("nothing tests it"),)) for promise in PROMISES}


@contextmanager
def _cleared(engine: Engine, settings: Settings, place: Path) -> Iterator[None]:
    """Nothing of an earlier test is there before, and nothing of this one afterwards."""
    _clear_killed(engine, settings, place)
    if place.exists():
        raise HostError(f"{place} is left over and can't be removed", cure="remove it by hand")
    place.mkdir(mode=0o700)
    try:
        yield
    finally:
        _clear(engine, settings, place)


def clear_killed(engine: Engine, settings: Settings) -> bool:
    """Remove what a killed test left, unless one is under way; returns whether there was something."""
    place = folder(settings.home)
    if not place.exists():
        return False
    with try_locked(settings.home / "locks" / "selfcheck") as ours:
        if ours:
            _clear_killed(engine, settings, place)
        return ours


def _clear_killed(engine: Engine, settings: Settings, place: Path) -> None:
    if (place / "g").exists():  # its gateway may wait for somebody who needs it
        Gateway.ensure(place).leave()
    if place.exists():
        _clear(engine, settings, place)


def _clear(engine: Engine, settings: Settings, place: Path) -> None:
    with reap.clearing(engine, place) as clearing:
        if clearing.left:
            post = Post(engine, images(engine, settings).steward(), place, "reap")
            with standing(post) as stewards:
                clearing.clear(stewards)
    shutil.rmtree(place, ignore_errors=True)  # what stays is told, and stops, the next test


def with_canaries(settings: Settings, stakes: Stakes) -> Settings:
    """The settings with a credential that is worth nothing, and none of the user's."""
    return settings.model_copy(
        update={
            "home": stakes.home,
            "anthropic_api_key": SecretStr(stakes.key),
            "anthropic_base_url": NOBODY,
            "anthropic_auth_token": None,
            "claude_code_oauth_token": None,
            "openai_api_key": None,
            "openai_base_url": NOBODY,
            "gemini_api_key": None,
            "gemini_base_url": NOBODY,
            "accounts": (),
        }
    )


def _attacked(
    engine: Engine, settings: Settings, environment: Mapping[str, str], stakes: Stakes, tell: Tell
) -> tuple[dict[str, tuple[str, ...]], Rung, set[str]]:
    """Make all attacks: what was seen of each promise, which disks the boxes had, and the boxes."""
    plan = make_plan(stakes)
    own = with_canaries(settings, stakes)
    images(engine, settings).steward(tell)  # what building it downloads is kept with other caches
    with means(plan, own, environment, jobs=JOBS, weaker=(), on_line=tell) as has:
        tell("a probe looks around in a box")
        at_once = quick.look(has, RUN)
        state = Night(has, lambda row, now: _progress(row, now, tell)).start(plan)
        in_a_night = judge_night(stakes, state, has.rooms.uid)
        boxes = {attempt.box for attempt in state.attempts.values() if attempt.box is not None}
        return merged(at_once, in_a_night), has.rooms.disks.rung, boxes


def _progress(row: Row, state: RunState, tell: Tell) -> None:
    if isinstance(row.event, e.ImageLine):
        tell(row.event.line)
    if isinstance(row.event, e.AttemptFinal):
        done = sum(attempt.phase == "final" for attempt in state.attempts.values())
        tell(f"attack {done} of {len(state.attempts)}: {row.event.attempt.partition('/')[0]}")


# -- the plan


def make_plan(stakes: Stakes) -> Plan:
    """A run with one task for each attack."""
    made = [
        attacks.host_execution(stakes.marker),
        attacks.tree_policy(),
        attacks.MEMORY_BOMB,
        attacks.OUTPUT_FLOOD,
        attacks.CREDENTIALS,
    ]
    told = quick.variables(stakes.base, stakes.secret, attacks.LIMITS)
    probe = Profile(name="probe", settings=CommandSettings(run=quick.command(), env=told), hash="probe")
    profiles = (probe, *(_profile(attack) for attack in made))
    tasks = (
        Task(id="probe", limits=attacks.LIMITS),
        *(Task(id=attack.name, limits=attack.limits) for attack in made),
    )
    return Plan(
        run=RUN,
        file=str(stakes.home),
        sources=(
            Source(repo=str(stakes.repo), git_dir=str(stakes.repo), base=stakes.base, base_name="main"),
        ),
        profiles=profiles,
        tasks=tasks,
        attempts=tuple(PlannedAttempt(task=task.id, profile=task.id) for task in tasks),
    )


def _profile(attack: Attack) -> Profile:
    settings = CommandSettings(run=("sh", "-c", attack.script))
    return Profile(name=attack.name, settings=settings, hash=attack.name)
