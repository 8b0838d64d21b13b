"""The test of a second, before a night's first attempt: one box, made as an attempt's is, that looks around.

What can't be seen in a second (a memory limit at work, an agent's whole life) is left to the full test.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner import names
from runner.errors import EngineError, HostError
from runner.gateway.grants import Account
from runner.gather.pack import RawWork
from runner.gather.policy import Refused
from runner.gather.quarantine import take_in
from runner.git import closed
from runner.git.base_store import BaseStore, base_store
from runner.names import AttemptKey
from runner.sandbox import workspace
from runner.sandbox.box import MIB
from runner.sandbox.disks import files_of
from runner.sandbox.workspace import Workspace
from runner.selfcheck import bomb
from runner.selfcheck.judge import Facts, Given, findings, judge_probe, lacking, merged, untested
from runner.supervisor.attempt.spec import AttemptSpec, Rooms, box_spec
from runner.supervisor.host.doctor import Finding
from runner.supervisor.outfit import Means
from runner.tasks.plan import CommandSettings, Limits, Profile, Source, Task

SCRIPT = Path(__file__).with_name("probe.pl")
LIMITS = Limits(cpus=1, memory=256 * MIB, pids=64, disk=16 * MIB, time=60, idle=60)
PATIENCE = 30.0
"""Seconds that the probe may take."""

KEY = AttemptKey("+selfcheck", "+probe")
"""No task can be called so: the probe's box is never taken for an attempt's."""

_HISTORY = """\
blob
mark :1
data 4
one

commit refs/heads/main
mark :2
committer Corral <corral@localhost> 0 +0000
data 4
base
M 100644 :1 a.txt

commit refs/heads/secret
mark :3
committer Corral <corral@localhost> 0 +0000
data 6
secret
from :2
M 100644 :1 secret.txt

"""


def require(has: Means, run: str, accepted: frozenset[str]) -> Means:
    """See that the promises hold here before anything of a run is started.

    Args:
        has: What the run works with.
        run: The run's name.
        accepted: Promises without which a person wants to go on.

    Returns:
        The means, with what was accepted and is broken among what is weaker.

    Raises:
        HostError: A promise is broken and was not accepted.
    """
    broken = [found for found in probe(has, run) if found.level == "broken"]
    refused = [found for found in broken if found.name not in accepted]
    if refused:
        raise HostError("\n".join(_refusal(found) for found in refused), cure=_way_on(refused))
    taken = tuple(f"{found.name} is broken, and accepted: {found.found}" for found in broken)
    return replace(has, weaker=has.weaker + taken)


def _refusal(found: Finding) -> str:
    return f"the promise {found.name} is broken here: {found.found}\n  → {found.cure}"


def _way_on(refused: list[Finding]) -> str:
    options = " ".join(f"--accept-weaker {found.name}" for found in refused)
    return f"`corral selfcheck` tests everything; `{options}` runs without"


def probe(has: Means, run: str) -> tuple[Finding, ...]:
    """What a probe finds here.

    Raises:
        HostError: It can't be made; then neither can a box.
    """
    return findings(look(has, run), lacking(has.rooms.engine.facts(), has.rooms.disks.rung))


def look(has: Means, run: str) -> dict[str, tuple[str, ...]]:
    """What breaks the promises that a probe tests, by promise."""
    try:
        return _look(has.rooms, run)
    except OSError as error:
        said = f"the promises could not be tested: {error.strerror or error}"
        raise HostError(said, cure="corral doctor") from error


def _look(rooms: Rooms, run: str) -> dict[str, tuple[str, ...]]:
    with _bench(rooms, run) as bench:
        text = _asked(rooms, bench)
        given = Given(bench.disk, files_of(bench.disk), LIMITS.pids, rooms.uid)
        seen = judge_probe(Facts.parse(text), given)
        if not bench.space.mask_holds:
            seen = merged(seen, {"git-mask": ("its file on the host was changed",)})
        return merged(seen, {"tree-policy": tree_policy(bench.folder / "bomb", bench.base)})


@dataclass(frozen=True)
class Bench:
    """A throw-away repository with a workspace on it, of which `disk` bytes are the probe's."""

    folder: Path
    spec: AttemptSpec
    space: Workspace
    base: BaseStore
    secret: str
    disk: int


@contextmanager
def _bench(rooms: Rooms, run: str) -> Iterator[Bench]:
    """Lay a workspace out as for an attempt; nothing of it is left before or afterwards."""
    box = names.box_id(str(rooms.home), run, KEY)
    folder, space = rooms.home / "q" / box, Workspace(box, rooms.home / "w" / box)
    if folder.exists():  # the first thing that is made, and the last that is removed
        _clear(rooms, run, space, folder)
    git_dir, commit, secret = make_repository(folder / "repo.git")
    workspace.remember(space, run, git_dir)
    try:
        base = base_store(folder / "bases", git_dir, commit)
        workspace.lay_out(space, base, git_dir, rooms.locks, workspace.Inputs("", {}, {}, ()))
        disk = rooms.disks.make(box, "agent", LIMITS.disk, rooms.owner)
        yield Bench(folder, _spec(rooms, run, box, git_dir, commit), space, base, secret, disk)
    finally:
        _clear(rooms, run, space, folder)


def _clear(rooms: Rooms, run: str, space: Workspace, folder: Path) -> None:
    """Remove all of a run's probe, whoever made it: this process, or one that was killed while it looked.

    Containers are looked for, since one that a killed process asked for may have come after its death.
    """
    for box in rooms.engine.find(names.label_filters(names.home_id(str(rooms.home)), run, KEY)):
        rooms.engine.remove(box.id)
        rooms.engine.wait_gone(box.id)
    rooms.disks.free(space.id)
    if space.root.exists():
        space.root.rmdir()
    workspace.forget(space)
    shutil.rmtree(folder, ignore_errors=True)  # with the only repository that knows of the worktree


def make_repository(git_dir: Path) -> tuple[Path, str, str]:
    """A bare repository with a base, and a later commit on another branch: its place and both commits."""
    closed.init_bare(git_dir)
    closed.git(git_dir, "fast-import", "--quiet", stdin=_HISTORY.encode())
    commit, secret = closed.git(git_dir, "rev-parse", "main", "secret").decode().split()
    return git_dir, commit, secret


def _spec(rooms: Rooms, run: str, box: str, git_dir: Path, commit: str) -> AttemptSpec:
    return AttemptSpec(
        run=run,
        key=KEY,
        box=box,
        task=Task(id="selfcheck", limits=LIMITS),
        profile=Profile(name="probe", settings=CommandSettings(run=("perl",)), hash="probe"),
        source=Source(repo=str(git_dir), git_dir=str(git_dir), base=commit, base_name="main"),
        base=commit,
        branch="",
        image=rooms.steward_image,
        accesses=(),
        account=Account(),
        include={},
    )


def variables(base: str, secret: str, limits: Limits) -> dict[str, str]:
    """What the probe must be told."""
    return {
        "PROBE_BASE": base,
        "PROBE_SECRET": secret,
        "PROBE_DISK": str(limits.disk),
        "PROBE_FILES": str(files_of(limits.disk)),
        "PROBE_PIDS": str(limits.pids),
    }


def command() -> tuple[str, ...]:
    """The probe's command."""
    return ("perl", "-e", SCRIPT.read_text())


def _asked(rooms: Rooms, bench: Bench) -> str:
    """What the probe printed; its container is removed with the bench."""
    env = {"HOME": "/home/agent", **variables(bench.base.commit, bench.secret, LIMITS)}
    mounts = bench.space.agent_mounts(rooms.disks.seen(bench.space.id), bench.base, None)
    container = rooms.engine.create(box_spec(bench.spec, rooms, "probe", command(), env, mounts))
    rooms.engine.start(container)
    state = rooms.engine.wait_ended(container, PATIENCE)
    if state is None or state.alive:
        raise EngineError(f"a test of the promises did not end in {PATIENCE:.0f} s", cure="corral doctor")
    return b"".join(out or b"" for out, _ in rooms.engine.follow(container)).decode(errors="replace")


def tree_policy(place: Path, base: BaseStore) -> tuple[str, ...]:
    """What the quarantine does with a commit that expands to billions of files."""
    tip, content = bomb.pack(base.commit)
    file = place.with_suffix(".pack")
    file.write_bytes(content)
    try:
        take_in(place, RawWork(tip, "committed", file), base)
    except Refused as refused:
        expected = "files" in str(refused)
        return () if expected else (untested(f"it was refused for another reason: {refused}"),)
    return (f"a commit with {bomb.FILES:,} files was taken in",)
