"""Putting together what a run works with, and taking it apart again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.errors import EngineError, HostError
from runner.gateway.client import Gateway
from runner.git.base_store import BaseStore, base_store
from runner.sandbox.disks import WATCHED, Disks, LimitedDisks, WatchedDirectories
from runner.sandbox.engine import Engine
from runner.sandbox.facts import check_runtime
from runner.sandbox.images import Images
from runner.sandbox.standing import Post, end_earlier
from runner.sandbox.steward import Steward
from runner.settings import Settings
from runner.supervisor.access import accesses_for, needs_gateway
from runner.supervisor.attempt import hidden
from runner.supervisor.attempt.spec import Rooms
from runner.supervisor.capacity import Capacity, ThisHost, policy_of
from runner.supervisor.outfit import Means
from runner.supervisor.ownership.lease import owned
from runner.supervisor.people.herald import Herald
from runner.supervisor.records import expected_times, journal
from runner.tasks.plan import Plan, Source


def make_home(home: Path) -> None:
    """Make the state directory. Where it lies in a repository, git sees nothing of it.

    Raises:
        HostError: It can't be made, or nothing can be written there.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = home / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        cure = "set CORRAL_HOME to a directory of yours"
        raise HostError(f"{home} can't hold state: {error.strerror}", cure=cure) from error


def images(engine: Engine, settings: Settings) -> Images:
    """What prepares images; commits are read from base stores, so that builds see whole exports.

    Raises:
        HostError: As `make_home`: whoever is the first to write there, it is the user's alone.
    """
    make_home(settings.home)

    def files(source: Source) -> BaseStore:
        return base_store(settings.home / "bases", Path(source.git_dir), source.base)

    return Images(engine, settings.home, settings.box_uid, files, settings.ca_bundle)


def images_unbuilt(engine: Engine, settings: Settings) -> Images:
    """As `images`, for looking only: commits are read where they are, and nothing is written."""

    def files(source: Source) -> BaseStore:
        return BaseStore(Path(source.git_dir), source.base)

    return Images(engine, settings.home, settings.box_uid, files, settings.ca_bundle)


@contextmanager
def means(
    plan: Plan,
    settings: Settings,
    environment: Mapping[str, str],
    *,
    jobs: int,
    auto: bool = False,
    weaker: tuple[str, ...],
    on_line: Callable[[str], None],
) -> Iterator[Means]:
    """Everything that a run needs, ended on leaving. Until then this process owns the run.

    Args:
        plan: What will be done.
        settings: The settings.
        environment: For the engine's address and the gateway's way out.
        jobs: How many attempts live at once.
        auto: Whether that follows what the host bears.
        weaker: Promises that are weaker here, for the record.
        on_line: Called with build output of Corral's own image, which comes first.

    Raises:
        OwnedError: Another process works on the run.
        UsageError: Files that only checks are to see were changed since the run was planned.
        HostError: The engine does not answer, or lacks the runtime that is asked for; the state directory
            can't be written or is full; or the steward or the gateway can't be started.
    """
    make_home(settings.home)
    with ExitStack() as stack:
        book = stack.enter_context(journal(settings))
        lease = stack.enter_context(owned(book, settings.home, plan.run))  # what is made now bears its name
        hidden.keep(plan, settings.home)
        engine = stack.enter_context(Engine(environment))
        facts = engine.facts()
        for task in plan.tasks:
            check_runtime(facts, task.runtime)
        maker = images(engine, settings)
        steward_image = maker.steward(on_line)
        post = Post(engine, steward_image, settings.home, plan.run)
        has = stack.enter_context(standing(post))
        gateway = None
        if needs_gateway(plan, settings):
            gateway = Gateway.ensure(settings.home, environment=environment)
            stack.callback(gateway.leave)
        book.reserve()
        host = ThisHost(settings.home, facts)
        capacity = stack.enter_context(Capacity(settings.home, plan.run, host, policy_of(settings)))
        herald = Herald(settings.recipients, environment, settings.home)
        stack.callback(herald.close)
        yield Means(
            rooms=Rooms(
                engine=engine,
                steward=has.steward,
                disks=has.disks,
                steward_image=steward_image,
                gateway=gateway,
                home=settings.home,
                uid=settings.box_uid,
                owner=settings.box_uid + (facts.uid_base or 0),
            ),
            journal=book,
            lease=lease,
            images=maker,
            accesses=lambda profile, key: accesses_for(profile, key, settings),
            jobs=jobs,
            weaker=weaker + has.weaker,
            auto=auto,
            capacity=capacity,
            herald=herald,
            takes=lambda: expected_times(settings, plan),
        )


@dataclass(frozen=True)
class Stewards:
    """The standing containers of a run, and what is weaker for want of one."""

    steward: Steward
    disks: Disks
    weaker: tuple[str, ...] = ()


def _prove(disks: LimitedDisks) -> None:
    """See that disks can be limited here; what failed once, as on a busy host, is tried once more."""
    try:
        disks.prove()
    except EngineError:
        disks.prove()


@contextmanager
def standing(post: Post) -> Iterator[Stewards]:
    """Those who care for files and disks; the best disks that this host can have."""
    end_earlier(post)
    with ExitStack() as stack:
        try:
            disks = stack.enter_context(LimitedDisks(post))
            _prove(disks)
        except EngineError as error:
            stack.close()
            steward = stack.enter_context(Steward(post))
            words = f"{WATCHED} ({' '.join(error.message.split())})"
            yield Stewards(steward, WatchedDirectories(steward, post.home), (words,))
            return
        steward = stack.enter_context(Steward(post, disks.shown_to_steward()))
        yield Stewards(steward, disks)
