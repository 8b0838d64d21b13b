"""What a night of attacks did, as it is seen on the host afterwards: promise by promise, what breaks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner import names
from runner.errors import CorralError
from runner.git import closed, worktree
from runner.sandbox.box import MIB
from runner.sandbox.disks import files_of
from runner.sandbox.engine import Engine
from runner.sandbox.output import KEPT_BYTES
from runner.selfcheck import attacks, bomb
from runner.selfcheck.judge import Facts, Given, judge_probe, merged, untested
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState

RUN = "selfcheck"
SETTLING = 5.0
"""Seconds after which what is still there counts as left over."""


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


def judge_night(stakes: Stakes, state: RunState, uid: int) -> dict[str, tuple[str, ...]]:
    """What breaks a promise, as far as the night shows it; looked for on the host wherever it can be."""
    limits = attacks.LIMITS
    given = Given(limits.disk, files_of(limits.disk), limits.pids, uid)
    judges: dict[str, Callable[[Stakes, AttemptState], Iterator[str]]] = {
        "host-execution": _host_execution,
        "tree-policy": _tree_policy,
        "memory": _memory,
        "output": _output,
        "credentials": _credentials,
    }
    by_task = {key.task: attempt for key, attempt in state.attempts.items()}  # the last try of each
    probed = judge_probe(Facts.parse(_log(stakes, by_task["probe"])), given)
    attacked = {name: _judged(judge, stakes, by_task[name]) for name, judge in judges.items()}
    return merged(probed, attacked)


def _judged(
    judge: Callable[[Stakes, AttemptState], Iterator[str]], stakes: Stakes, attempt: AttemptState
) -> tuple[str, ...]:
    """What a judge says of an attack, if the attack was made at all."""
    try:
        if f"\nattacked {attempt.key.task}" in "\n" + _log(stakes, attempt):
            return tuple(judge(stakes, attempt))
    except (CorralError, OSError) as error:
        return (untested(str(error)),)
    why = attempt.reason or f"its box ended as {attempt.verdict}"
    return (untested(f"the attack could not be made: {why}"),)


def _log(stakes: Stakes, attempt: AttemptState) -> str:
    file = log_file(stakes.home, RUN, attempt.key)
    return file.read_bytes().decode(errors="replace") if file.exists() else ""


def _host_execution(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    """No marker on the host, also after a person looks at the branch; the work came home as it was."""
    if attempt.commit is None or attempt.base is None:
        yield untested(f"its work did not come home: {attempt.reason or attempt.verdict}")
    else:
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
    elif f"attacked tree-policy {tree}" not in _log(stakes, attempt):
        yield untested(f"the commit was not made: {attempt.reason or attempt.verdict}")


def _memory(_: Stakes, attempt: AttemptState) -> Iterator[str]:
    if attempt.ended != "oom":
        limit = attacks.MEMORY.memory // MIB
        yield f"a box that takes more than its {limit} MiB ended as {attempt.ended}"


def _output(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    kept = log_file(stakes.home, RUN, attempt.key).stat().st_size
    if kept > KEPT_BYTES + MIB:
        yield f"{kept // MIB} MiB of output were kept"
    if kept < MIB:
        yield untested("its output did not arrive")


def _credentials(stakes: Stakes, attempt: AttemptState) -> Iterator[str]:
    """The key is in nothing that the box read, and in nothing that the night left."""
    if stakes.key in _log(stakes, attempt):
        yield "a box found the key"
    elif "HTTP/1.1 " not in _log(stakes, attempt):
        yield untested("the gateway did not answer the box")
    for file in sorted(stakes.home.rglob("*")):
        with suppress(OSError):  # what only root may read, no box was given
            if file.is_file() and not file.is_symlink() and stakes.key.encode() in file.read_bytes():
                yield f"{file.relative_to(stakes.home)} holds the key"


def left(engine: Engine, stakes: Stakes, boxes: Collection[str]) -> tuple[str, ...]:
    """What is left of the boxes once all is done; the kernel has a moment to let loop devices go."""
    until = time.monotonic() + SETTLING
    while (found := tuple(_left(engine, stakes.home, boxes))) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _left(engine: Engine, place: Path, boxes: Collection[str]) -> Iterator[str]:
    ours = names.label_filters(names.home_id(str(place)))
    yield from (f"container {box.name}" for box in engine.find(ours))
    yield from (f"volume {name}" for name in engine.find_volumes(ours))
    for folder_ in ("w", "q", "s"):
        yield from (f"{folder_}/{found.name}" for found in sorted((place / folder_).glob("*")))
    yield from (f"worktree {found.name}" for found in (place / "repo.git" / "worktrees").glob("*"))
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it was let go just now
            if any(f"/w/{box}/" in backing.read_text() for box in boxes):  # as the mounter saw it
                yield f"loop device {backing.parts[3]}"
    ids = (str(place), names.home_id(str(place)))
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    yield from (f"mount {line.split()[1]}" for line in mounts if any(word in line for word in ids))
    refs = closed.git(place / "repo.git", "for-each-ref", "--format=%(refname)").decode().split()
    expected = ("refs/heads/main", "refs/heads/secret", f"refs/heads/corral/{RUN}/")
    yield from (f"ref {ref}" for ref in refs if not ref.startswith(expected))
