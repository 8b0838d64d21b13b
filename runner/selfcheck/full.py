"""The full test: a night of attacks through the real supervisor, on a repository of its own.

All of it lies in `selfcheck/` below the state directory, with a journal of its own, and is removed in the
end; what a killed test left is removed by the next one, or by `corral reap`.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from runner import names
from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.git import closed, worktree
from runner.locks import try_locked
from runner.names import AttemptKey
from runner.sandbox.box import MIB
from runner.sandbox.disks import Rung, files_of
from runner.sandbox.engine import Engine
from runner.sandbox.output import KEPT_BYTES
from runner.sandbox.standing import Post
from runner.selfcheck import attacks, bomb, quick
from runner.selfcheck.attacks import Attack
from runner.selfcheck.judge import Facts, Given, findings, judge_probe, lacking, merged, untested
from runner.selfcheck.promises import PROMISES
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import reap
from runner.supervisor.doctor import Finding
from runner.supervisor.journal import Row
from runner.supervisor.means import images, make_home, means, standing
from runner.supervisor.night import Night
from runner.supervisor.spec import log_file
from runner.supervisor.state import AttemptState, RunState
from runner.tasks.plan import CommandSettings, Plan, PlannedAttempt, Profile, Source, Task

RUN = "selfcheck"
JOBS = 2
Tell = Callable[[str], None]
"""Takes a line about how far it is."""


@dataclass(frozen=True)
class Stakes:
    """What is attacked: a repository with a base and a secret commit, a marker's place, and a canary key."""

    home: Path
    repo: Path
    base: str
    secret: str
    key: str

    @property
    def marker(self) -> Path:
        """The file that only a host could make which runs what a box wrote."""
        return self.home / "executed"


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
            seen, rung = _attacked(engine, settings, environment, tell)
            seen = merged(seen, {"leftovers": tuple(_left(engine, place))})
            return findings(_all(seen), lacking(engine.facts(), rung))


def _all(seen: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every promise, also one that nothing was seen of: that can't be."""
    return {promise.name: seen.get(promise.name, (untested("nothing tests it"),)) for promise in PROMISES}


@contextmanager
def _cleared(engine: Engine, settings: Settings, place: Path) -> Iterator[None]:
    """Nothing of an earlier test is there before, and nothing of this one afterwards."""
    _clear_killed(engine, settings, place)
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
    left = reap.look(engine, place)
    if left:
        post = Post(engine, images(engine, settings).steward(), place, "reap")
        with standing(post) as stewards:
            reap.clear(engine, stewards, place, left)
    shutil.rmtree(place)


def _attacked(
    engine: Engine, settings: Settings, environment: Mapping[str, str], tell: Tell
) -> tuple[dict[str, tuple[str, ...]], Rung]:
    """Make all attacks; what was seen of each promise, and which disks the boxes had."""
    place = folder(settings.home)
    repo, base, secret = quick.make_repository(place / "repo.git")
    stakes = Stakes(place, repo, base, secret, f"sk-canary-{secrets.token_hex(16)}")
    plan = make_plan(stakes)
    own = settings.model_copy(
        update={
            "home": place,
            "anthropic_api_key": SecretStr(stakes.key),
            "anthropic_base_url": "http://127.0.0.1:9",  # the port "discard": nobody is to answer
        }
    )
    images(engine, settings).steward(tell)  # what building it downloads is kept with other caches
    images(engine, own).prepare(plan.sources[0], None, tell)
    with means(plan, own, environment, jobs=JOBS, weaker=(), on_line=tell) as has:
        tell("a probe looks around in a box")
        at_once = quick.look(has, RUN)
        state = Night(has, lambda row, now: _progress(row, now, tell)).start(plan)
        in_a_night = judge_night(stakes, state, has.rooms.uid)
        return merged(at_once, in_a_night), has.rooms.disks.rung


def _progress(row: Row, state: RunState, tell: Tell) -> None:
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


# -- what was seen


def judge_night(stakes: Stakes, state: RunState, uid: int) -> dict[str, tuple[str, ...]]:
    """What breaks a promise, as far as the night shows it; looked for on the host wherever it can be."""
    limits = attacks.LIMITS
    given = Given(limits.disk, files_of(limits.disk), limits.pids, uid)
    probed = judge_probe(Facts.parse(_log(stakes, "probe")), given)
    judges: dict[str, Callable[[Stakes, AttemptState], Iterator[str]]] = {
        "host-execution": _host_execution,
        "tree-policy": _tree_policy,
        "memory": _memory,
        "output": _output,
        "credentials": _credentials,
    }
    by_task = {key.task: attempt for key, attempt in state.attempts.items()}
    attacked = {name: _judged(judge, stakes, by_task[name]) for name, judge in judges.items()}
    return merged(probed, attacked)


def _judged(
    judge: Callable[[Stakes, AttemptState], Iterator[str]], stakes: Stakes, attempt: AttemptState
) -> tuple[str, ...]:
    """What a judge says of an attack, if the attack was made at all."""
    name = attempt.key.task
    if f"\nattacked {name}" in "\n" + _log(stakes, name):
        return tuple(judge(stakes, attempt))
    why = attempt.reason or f"its box ended as {attempt.verdict}"
    return (untested(f"the attack could not be made: {why}"),)


def _log(stakes: Stakes, task: str) -> str:
    file = _log_file(stakes, task)
    return file.read_bytes().decode(errors="replace") if file.exists() else ""


def _log_file(stakes: Stakes, task: str) -> Path:
    return log_file(stakes.home, RUN, AttemptKey(task, task))


def _host_execution(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    """No marker on the host, also after a person looks at the branch; the work came home as it was."""
    if attempt.commit is None or attempt.base is None:
        yield untested(f"its work did not come home: {attempt.reason or attempt.verdict}")
        return
    worktree.diff(stakes.repo, attempt.base, attempt.commit, stat=True)
    patch = worktree.diff(stakes.repo, attempt.base, attempt.commit, stat=False).decode(errors="replace")
    if f"\n+{attacks.HONEST}" not in patch:
        yield "a filter of the box changed what came home"
    if stakes.marker.exists():
        yield "a command that a box wrote was run on the host"


def _tree_policy(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    """The tree of the bomb never came into the repository, and that was the policy's doing."""
    tree = bomb.outermost()
    if closed.succeeds(stakes.repo, "cat-file", "-e", tree):
        yield f"a commit with {bomb.FILES:,} files came into the repository"
    elif f"attacked tree-policy {tree}" not in _log(stakes, attempt.key.task):
        yield untested(f"the commit was not made: {attempt.reason or attempt.verdict}")


def _memory(_: Stakes, attempt: AttemptState) -> Iterator[str]:
    if attempt.ended != "oom":
        limit = attacks.MEMORY.memory // MIB
        yield f"a box that takes more than its {limit} MiB ended as {attempt.ended}"


def _output(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    kept = _log_file(stakes, attempt.key.task).stat().st_size
    if kept > KEPT_BYTES + MIB:
        yield f"{kept // MIB} MiB of output were kept"
    if kept < MIB:
        yield untested("its output did not arrive")


def _credentials(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    """The key is in nothing that the box read, and in nothing that the night left."""
    if stakes.key in _log(stakes, attempt.key.task):
        yield "a box found the key"
    elif "HTTP/1.1 " not in _log(stakes, attempt.key.task):
        yield untested("the gateway did not answer the box")
    for file in sorted(stakes.home.rglob("*")):
        with suppress(OSError):  # what only root may read, no box was given
            if file.is_file() and not file.is_symlink() and stakes.key.encode() in file.read_bytes():
                yield f"{file.relative_to(stakes.home)} holds the key"


def _left(engine: Engine, place: Path) -> Iterator[str]:
    """What is left of the boxes once all is done."""
    ours = names.label_filters(names.home_id(str(place)))
    yield from (f"container {box.name}" for box in engine.find(ours))
    yield from (f"volume {name}" for name in engine.find_volumes(ours))
    for folder_ in ("w", "q", "s"):
        yield from (f"{folder_}/{left.name}" for left in sorted((place / folder_).glob("*")))
    yield from (f"worktree {left.name}" for left in (place / "repo.git" / "worktrees").glob("*"))
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it was let go just now
            if backing.read_text().startswith(f"{place}/"):
                yield f"loop device {backing.parts[3]}"
    ids = (str(place), names.home_id(str(place)))
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    yield from (f"mount {line.split()[1]}" for line in mounts if any(word in line for word in ids))
    refs = closed.git(place / "repo.git", "for-each-ref", "--format=%(refname)").decode().split()
    expected = ("refs/heads/main", "refs/heads/secret", f"refs/heads/corral/{RUN}/")
    yield from (f"ref {ref}" for ref in refs if not ref.startswith(expected))
