"""What the engine says of itself, its containers and its images, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class EngineFacts:
    """What the engine says of itself. `cpus` and `memory` (bytes) are what containers can share."""

    version: str
    api: str
    cgroup: str
    storage: str
    cpus: int
    memory: int
    root_dir: str
    security: tuple[str, ...]
    warnings: tuple[str, ...]


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


def engine_facts(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """The engine from its answers to `/info` and `/version`."""
    return EngineFacts(
        version=version.get("Version", ""),
        api=version.get("ApiVersion", ""),
        cgroup=str(info.get("CgroupVersion") or "1"),
        storage=info.get("Driver", ""),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        root_dir=info.get("DockerRootDir", ""),
        security=tuple(info.get("SecurityOptions") or ()),
        warnings=tuple(info.get("Warnings") or ()),
    )


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
    )


def _epoch(text: str | None) -> float | None:
    """Seconds since the epoch of the engine's RFC 3339 time with nanoseconds; its year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    fraction = rest[:6].rstrip("+-:") or "0"
    moment = datetime.strptime(whole[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return moment.timestamp() + float(f"0.{fraction}" if fraction.isdigit() else 0)
