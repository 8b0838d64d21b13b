"""What the engine says of itself, its containers and its images, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runner.errors import HostError


@dataclass(frozen=True)
class EngineFacts:
    """What the engine says of itself. `cpus` and `memory` (bytes) are what containers can share.

    Attributes:
        runtimes: The names of the runtimes that it can start containers with.
        rootless: Whether it runs without root, in a user namespace of its own.
        remaps: Whether it gives its containers a user namespace (`userns-remap`).
        uid_base: The host's uid of its containers' root, where it gives all of them a user namespace
            (`userns-remap`); None where it doesn't, or doesn't say which.
    """

    version: str
    api: str
    cgroup: str
    storage: str
    cpus: int
    memory: int
    root_dir: str
    security: tuple[str, ...]
    warnings: tuple[str, ...]
    runtimes: tuple[str, ...] = ()
    rootless: bool = False
    remaps: bool = False
    uid_base: int | None = None


@dataclass(frozen=True)
class BoxState:
    """A container as the engine sees it now. Times are seconds since the epoch."""

    id: str
    name: str
    labels: Mapping[str, str]
    status: str
    exit_code: int | None
    oom_killed: bool
    error: str
    pid: int
    started: float | None
    finished: float | None

    @property
    def alive(self) -> bool:
        """Whether its processes may still run."""
        return self.status in {"running", "paused", "restarting", "removing"}


@dataclass(frozen=True)
class ImageFacts:
    """An image that the engine holds. `created` is seconds since the epoch, `size` is bytes."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    created: float | None
    size: int
    env: tuple[str, ...]
    user: str
    volumes: tuple[str, ...]
    workdir: str = ""
    onbuild: tuple[str, ...] = ()


def engine_facts(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """The engine from its answers to `/info` and `/version`."""
    security = tuple(info.get("SecurityOptions") or ())
    root_dir = info.get("DockerRootDir") or ""
    return EngineFacts(
        version=version.get("Version", ""),
        api=version.get("ApiVersion", ""),
        cgroup=str(info.get("CgroupVersion") or "1"),
        storage=info.get("Driver", ""),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        root_dir=root_dir,
        security=security,
        warnings=tuple(info.get("Warnings") or ()),
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        rootless=_has("rootless", security),
        remaps=_has("userns", security),
        uid_base=_uid_base(root_dir) if _has("userns", security) else None,
    )


def check_runtime(facts: EngineFacts, runtime: str | None) -> None:
    """See that the engine has the runtime that a task file asks for; None asks for none.

    Raises:
        HostError: It hasn't.
    """
    if runtime is not None and runtime not in facts.runtimes:
        raise HostError(
            f"the engine has no runtime {runtime!r}; it has {', '.join(facts.runtimes) or 'none'}",
            cure="register it in the engine's daemon.json (`runtimes`) and reload the engine, or remove "
            "`runtime:` from the task file",
        )


def _has(name: str, security: tuple[str, ...]) -> bool:
    """Whether the engine lists a security option: a name, or `name=NAME` with settings after a comma."""
    return any({name, f"name={name}"} & set(option.split(",")) for option in security)


def _uid_base(root_dir: str) -> int | None:
    """The uid in the name of the directory that `userns-remap` gives the engine: …/UID.GID."""
    match = re.search(r"/(\d+)\.\d+/?$", root_dir)
    return int(match[1]) if match else None


def box_state(row: Mapping[str, Any]) -> BoxState:
    """A container from the engine's answer to an inspection."""
    state = row["State"]
    ended = state["Status"] in {"exited", "dead"}
    return BoxState(
        id=row["Id"],
        name=row["Name"].lstrip("/"),
        labels=row["Config"].get("Labels") or {},
        status=state["Status"],
        exit_code=int(state["ExitCode"]) if ended else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        pid=int(state.get("Pid") or 0),
        started=_epoch(state.get("StartedAt")),
        finished=_epoch(state.get("FinishedAt")) if ended else None,
    )


def image_facts(row: Mapping[str, Any]) -> ImageFacts:
    """An image from the engine's answer to an inspection."""
    config = row.get("Config") or {}
    return ImageFacts(
        id=row["Id"],
        tags=tuple(row.get("RepoTags") or ()),
        labels=config.get("Labels") or {},
        created=_epoch(row.get("Created")),
        size=int(row.get("Size") or 0),
        env=tuple(config.get("Env") or ()),
        user=config.get("User") or "",
        volumes=tuple(config.get("Volumes") or ()),
        workdir=config.get("WorkingDir") or "",
        onbuild=tuple(config.get("OnBuild") or ()),
    )


def _epoch(text: str | None) -> float | None:
    """Seconds since the epoch of the engine's RFC 3339 time with nanoseconds; its year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    fraction = rest[:6].rstrip("+-:") or "0"
    moment = datetime.strptime(whole[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return moment.timestamp() + float(f"0.{fraction}" if fraction.isdigit() else 0)
