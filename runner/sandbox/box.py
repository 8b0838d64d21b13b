"""What a container may be and do, as values; and the one pure function from there to the engine's words.

Every container that Corral starts is described by a `BoxSpec` and created with exactly what
`create_arguments` makes of it, so that the whole boundary can be read, and tested, in one place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from runner.sandbox import seccomp

Role = Literal["agent", "gather", "check", "steward", "mounter", "probe", "shell"]
Propagation = Literal["rprivate", "rslave", "rshared"]

MIB = 1024**2

LOG_BYTES = 10 * MIB
"""Size at which the engine turns over a box's output; two such files are kept, so it is bounded."""


@dataclass(frozen=True)
class Mount:
    """A host directory or file, or a volume of the engine's, inside a box.

    Sources never lie inside anything a box can write. `propagation` says whether what is mounted below a
    directory later shows on the other side; it is private for everything but stewards.
    """

    source: str
    target: str
    read_only: bool = True
    propagation: Propagation = "rprivate"
    is_volume: bool = False


@dataclass(frozen=True)
class BoxSpec:
    """One container. Sizes are bytes.

    Attributes:
        name: The container's name, unique on the engine.
        image: An image by its content id.
        argv: The command; the image's own entry point never runs.
        user: Numeric uid (also used as gid), or None for a steward, which is root without most powers.
        capabilities: What is added after everything was dropped; only stewards have any.
        tmp: Size of the scratch tmpfs at /tmp, charged to the box's memory.
        keep_output: False where the output is read as a stream and must not lie in the engine's log.
        stdin_lifeline: The main process reads standard input and ends when its one reader goes away.
        terminal: A person sits before it: what it prints is one stream, and it reads what they type.
        mounts_disks: It may attach loop devices and mount them: for the mounter alone.
        runtime: The engine's name of the runtime that starts it; None for the engine's own choice.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    labels: dict[str, str]
    user: int | None
    cpus: float
    memory: int
    pids: int
    mounts: tuple[Mount, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/workspace"
    capabilities: tuple[str, ...] = ()
    tmp: int = 1024 * MIB
    keep_output: bool = True
    stdin_lifeline: bool = False
    terminal: bool = False
    mounts_disks: bool = False
    runtime: str | None = None


TAKEN_BACK = (
    *("LD_AUDIT", "LD_PRELOAD"),
    *("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY"),
    *("all_proxy", "ftp_proxy", "https_proxy", "http_proxy"),
)
"""Variables that an image may set and a box doesn't get: code that would be loaded into every program,
ours included, before its own, and ways out that don't exist where there is no network. An entry without
a value removes the image's (Engine API 1.41, "Create a container"). A profile's `env:` can set them."""

OOM_SCORE = 500
"""Of 1000: where the host runs out of memory, its kernel ends something in a box before the supervisor and
the gateway (proc(5), oom_score_adj). At its own limit it compares processes of that box with each other."""

LOOP_DEVICES = ("b 7:* rmw", "c 10:237 rmw")
"""The kernel's loop devices and their control device: Documentation/admin-guide/devices.txt."""


def create_arguments(spec: BoxSpec) -> dict[str, Any]:
    """The body of the engine's `POST /containers/create`, within API 1.41.

    Everything is stated, also what the image could otherwise bring along: entry point, command, health
    check, stop signal, user and working directory are ours, and variables that reach into our own
    programs are removed. Memory and swap are equal, so there is no swap.
    `NanoCpus` and the CFS quota exist on both cgroup versions.
    """
    user = "0:0" if spec.user is None else f"{spec.user}:{spec.user}"
    owner = 0 if spec.user is None else spec.user
    return {
        "Image": spec.image,
        "Cmd": list(spec.argv),
        "Entrypoint": [""],
        "Env": [
            *(f"{name}={value}" for name, value in sorted(spec.env.items())),
            *(name for name in TAKEN_BACK if name not in spec.env),
        ],
        "User": user,
        "WorkingDir": spec.workdir,
        "Labels": dict(sorted(spec.labels.items())),
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": 5,
        "Tty": spec.terminal,
        "OpenStdin": spec.stdin_lifeline or spec.terminal,
        "StdinOnce": spec.stdin_lifeline or spec.terminal,
        "AttachStdin": spec.stdin_lifeline or spec.terminal,
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": True,
        "HostConfig": {
            **({} if spec.runtime is None else {"Runtime": spec.runtime}),
            "NetworkMode": "none",
            "Init": True,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": list(spec.capabilities),
            "SecurityOpt": _security(spec),
            "DeviceCgroupRules": list(LOOP_DEVICES) if spec.mounts_disks else [],
            "UsernsMode": "host" if spec.user is None else "",
            "Privileged": False,
            "AutoRemove": spec.stdin_lifeline,
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "IpcMode": "private",
            "ShmSize": 256 * MIB,
            "NanoCpus": round(spec.cpus * 1e9),
            "Memory": spec.memory,
            "MemorySwap": spec.memory,
            "PidsLimit": spec.pids,
            "OomScoreAdj": 0 if spec.user is None else OOM_SCORE,
            "Ulimits": [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "nofile", "Soft": 8192, "Hard": 8192},
            ],
            "Tmpfs": {
                "/tmp": f"rw,nosuid,nodev,exec,size={spec.tmp},mode=1777,uid={owner},gid={owner}",  # noqa: S108 - a path inside the box
            },
            "LogConfig": _log_config(spec),
            "Mounts": [_mount(mount) for mount in spec.mounts],
        },
    }


def _security(spec: BoxSpec) -> list[str]:
    """Boxes run under a seccomp profile of our own, stewards under the engine's.

    The mounter runs without AppArmor's, which forbids `mount`.
    """
    if spec.user is not None:
        return ["no-new-privileges", f"seccomp={_profile()}"]
    return ["no-new-privileges", *(["apparmor=unconfined"] if spec.mounts_disks else [])]


@cache
def _profile() -> str:
    return json.dumps(seccomp.profile(), separators=(",", ":"))


def _mount(mount: Mount) -> dict[str, Any]:
    kind = "volume" if mount.is_volume else "bind"
    told = {"Type": kind, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.propagation != "rprivate":
        told["BindOptions"] = {"Propagation": mount.propagation}
    return told


def _log_config(spec: BoxSpec) -> dict[str, Any]:
    if not spec.keep_output:
        return {"Type": "none", "Config": {}}
    return {"Type": "json-file", "Config": {"max-size": str(LOG_BYTES), "max-file": "2"}}
