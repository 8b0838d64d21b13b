"""The promises: what Corral says of every box, by the names that `--accept-weaker` takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.errors import UsageError


@dataclass(frozen=True)
class Promise:
    """One promise, in a plain sentence, and what to do where it doesn't hold."""

    name: str
    says: str
    cure: str


_ENGINE = "look at how the engine is set up (`docker info`, daemon.json), or upgrade it; `corral doctor`"
_OURS = "install Corral again; if it stays so, this is a hole: report it as docs/security.md says"
_DISK = "let the engine mount loop devices, or keep CORRAL_HOME on a file system of its own; `corral doctor`"
_CGROUP = "enable the control group on the kernel's command line (cgroup_enable=memory), or use cgroup v2"

PROMISES = (
    Promise("git-mask", "a box can't change what its `.git` points to", _OURS),
    Promise("base-store", "no commit of yours is in a box but the base's own history", _OURS),
    Promise("host-execution", "hooks, filters and settings that a box makes never run on the host", _OURS),
    Promise(
        "tree-policy", "a commit that expands to billions of files is refused before git reads it", _OURS
    ),
    Promise("system-calls", "a box gets at no part of the kernel that ordinary work can do without", _ENGINE),
    Promise(
        "privileges", "a box has no capability, gains none, is its own user, on a read-only root", _ENGINE
    ),
    Promise("disk-bytes", "a box can't write more than `limits.disk`, whatever becomes of Corral", _DISK),
    Promise("disk-files", "a box can't make files without end", _DISK),
    Promise("setuid", "programs and devices that a box makes give nobody rights", _DISK),
    Promise("memory", "a box that takes more than `limits.memory` is ended", _CGROUP),
    Promise("processes", "a box can't have more processes than `limits.pids`", _CGROUP),
    Promise("network", "a box reaches no network and no engine", _ENGINE),
    Promise("credentials", "your key is in no file, variable or reply that a box can read", _OURS),
    Promise("output", "what a box prints takes a bounded room", _OURS),
    Promise(
        "leftovers", "nothing of a box is left when it is done", "corral reap, and look at the engine's log"
    ),
)
BY_NAME = {promise.name: promise for promise in PROMISES}


def check_names(names: Iterable[str]) -> frozenset[str]:
    """The names of promises that a person gave.

    Raises:
        UsageError: One of them is no promise's.
    """
    given = frozenset(names)
    unknown = sorted(given - BY_NAME.keys())
    if unknown:
        raise UsageError(f"there is no promise {unknown[0]!r}", cure=f"there are: {', '.join(BY_NAME)}")
    return given
