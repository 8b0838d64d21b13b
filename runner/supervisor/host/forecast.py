"""What this host makes of a plan: how many at once, which images, what may leave, what is weaker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from runner.errors import CorralError, EngineError, HostError, UsageError
from runner.gateway.grants import Access, Service
from runner.gateway.keys.sources import CredentialError
from runner.sandbox.engine import Engine
from runner.sandbox.facts import EngineFacts
from runner.settings import Settings
from runner.supervisor.access import NoCredentialError, accesses_for, look
from runner.supervisor.capacity import policy_of
from runner.supervisor.graph.schedule import images_of
from runner.supervisor.host import doctor
from runner.supervisor.host import machine as host
from runner.supervisor.host.adapting import first_jobs
from runner.supervisor.host.admission import Needs, Room, Short
from runner.supervisor.means import images_unbuilt
from runner.tasks.plan import Limits, Plan


@dataclass(frozen=True)
class Forecast:
    """What the host makes of a plan.

    Attributes:
        jobs: Attempts at once; the number to begin with, if `auto`.
        auto: Whether that number follows what the host bears.
        outlets: Per profile, what it may reach outside, in words.
        images: Per source, the images it needs and whether each is there; None if no engine answers.
        weaker: Promises that are weaker on this host.
        broken: What a run rests on and is not there: with any of it, a run is refused.
        left: What killed runs left here, in words; empty if nothing, or if no engine answers.
        unfit: Tasks that this host can never bear, in words: with any of them, a run is refused.
    """

    jobs: int
    outlets: dict[str, str]
    images: dict[int, list[tuple[str, bool]] | None]
    weaker: tuple[str, ...]
    broken: tuple[doctor.Finding, ...]
    left: str = ""
    unfit: tuple[str, ...] = ()
    auto: bool = False

    def require_sound(self) -> None:
        """Refuse a run on a host that can't bear it.

        Raises:
            EngineError: The engine is not, or is one that can't be used.
            HostError: Something else that a run rests on is not there.
        """
        for finding in self.broken:
            kind = EngineError if finding.name == "engine" else HostError
            raise kind(f"{finding.name}: {finding.found}", cure=finding.cure)
        if self.unfit:
            raise HostError("\n".join(self.unfit), cure=UNFIT_CURE)


UNFIT_CURE = "ask for less, or give more away (CORRAL_OVERCOMMIT_MEMORY, CORRAL_KEEP_MEMORY and others)"


def forecast(
    plan: Plan, settings: Settings, environment: Mapping[str, str], jobs: str | None, *, begun: bool = False
) -> Forecast:
    """Look at the host with a plan in mind; nothing is made.

    Args:
        plan: The plan.
        settings: The settings.
        environment: For the engine's address.
        jobs: How many attempts at once, or `auto`, if the person said.
        begun: Whether the run has begun: what its tries could ask for is no reason to keep it from going on.

    Raises:
        UsageError: A source asks for an image that can't be used.
    """
    limits = [plan.task(planned.task).limits.memory for planned in plan.attempts]
    wanted, here = jobs or settings.jobs, host.look(settings.home, _engine_facts(environment))
    findings = doctor.examine(settings, environment, {task.runtime for task in plan.tasks})
    return Forecast(
        jobs=first_jobs(here, limits) if wanted == "auto" else int(wanted),
        auto=wanted == "auto",
        outlets={profile.name: _outlet(plan, profile.name, settings) for profile in plan.profiles},
        images=_images(plan, settings, environment),
        weaker=doctor.weaker(findings),
        broken=tuple(finding for finding in findings if finding.level == "broken"),
        left=next((f.found for f in findings if f.name == doctor.LEFTOVERS and f.cure), ""),
        unfit=tuple(unfit(plan, Room(here, policy_of(settings)), tries=not begun)),
    )


def unfit(plan: Plan, room: Room, *, tries: bool) -> Iterator[str]:
    """What of a plan would not fit even if nothing else lived on the host, in words.

    Args:
        plan: The plan.
        room: The host.
        tries: Whether what `retry` gives to later tries counts, too.
    """
    for task in plan.tasks:
        if (short := room.never(Needs.of(task.limits))) is not None:
            yield f"the task {task.id} can never start here: {short.why}"
        elif tries and (short := _never_given(room, task.limits, task.retry.memory)) is not None:
            yield f"the task {task.id} can never be tried again here as its `retry` says: {short.why}"


def require_room(
    limits: Limits, memory: int | None, settings: Settings, environment: Mapping[str, str]
) -> None:
    """Refuse to give a try more memory than this host could ever bear, where it is given another limit.

    Raises:
        UsageError: It could not.
    """
    if memory is None:
        return
    here = host.look(settings.home, _engine_facts(environment))
    if (short := _never_given(Room(here, policy_of(settings)), limits, memory)) is not None:
        raise UsageError(f"it can never start here: {short.why}", cure=UNFIT_CURE)


def _never_given(room: Room, limits: Limits, memory: int | None) -> Short | None:
    """What a host has too little of for a try with so much memory; None where it gets no other, or fits."""
    if memory is None:
        return None
    return room.never(Needs.of(limits.model_copy(update={"memory": memory})))


def _engine_facts(environment: Mapping[str, str]) -> EngineFacts | None:
    """What the engine says of itself; None if none answers, which is said elsewhere."""
    try:
        with Engine(environment, timeout=doctor.PATIENCE) as engine:
            return engine.facts()
    except CorralError:
        return None


def _outlet(plan: Plan, name: str, settings: Settings) -> str:
    try:
        first = next(planned.key for planned in plan.attempts if planned.profile == name)
        accesses = accesses_for(plan.profile(name), first, settings)
        lacking = next((why for why in map(partial(_lacking, settings), accesses) if why), "")
    except NoCredentialError as error:
        return f"nothing yet: {error.message}; {error.cure}"
    if not accesses:
        lets_through = any(
            plan.task(planned.task).network for planned in plan.attempts if planned.profile == name
        )
        return "no model calls" if lets_through else "nothing"
    services = [
        f"{access.base_url} (account {access.account})" for access in accesses if isinstance(access, Service)
    ]
    if not services:
        played = plan.profile(name).upstream.kind == "replay"
        return f"{'a recording' if played else 'the scripted model'}, on this host"
    return f"model calls to {' and '.join(services)}, through the gateway{lacking}"


def _lacking(settings: Settings, access: Access) -> str:
    """What is wrong with an account's credential, as far as it can be told without running anything."""
    if not isinstance(access, Service):
        return ""
    try:
        look(access, settings.home)
    except CredentialError as lacking:
        return f"; but account {access.account}: {lacking}; {lacking.cure}"
    return ""


def _images(
    plan: Plan, settings: Settings, environment: Mapping[str, str]
) -> dict[int, list[tuple[str, bool]] | None]:
    found: dict[int, list[tuple[str, bool]] | None] = {}
    try:
        with Engine(environment, timeout=doctor.PATIENCE) as engine:
            maker = images_unbuilt(engine, settings)
            for source, cli in images_of(plan):
                rows = [(p.tag or p.layer, p.exists) for p in maker.describe(plan.sources[source], cli)]
                found[source] = list(dict.fromkeys((found.get(source) or []) + rows))
    except UsageError:
        raise
    except CorralError:
        return dict.fromkeys(range(len(plan.sources)))
    return found
