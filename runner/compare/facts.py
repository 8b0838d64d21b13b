"""What the audit needs of one attempt: plain values, gathered by `supervisor.morning.evidence`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contact:
    """How often a host was tried; its name is what a box asked for, and empty where that is not told."""

    host: str
    allowed: int
    refused: int


@dataclass(frozen=True)
class Sign:
    """What in an attempt's change touches the judgement on it; see `gather.tampering.Sign`."""

    kind: str
    path: str = ""
    what: str = ""
    restored: bool = False
    steers: bool = False


@dataclass(frozen=True)
class Allowed:
    """What an attempt might use, in the units of `tasks.plan.Limits`; `full_disk`: whether it got that."""

    cpus: float = 0.0
    memory: int = 0
    pids: int = 0
    disk: int = 0
    time: float = 0.0
    idle: float = 0.0
    full_disk: bool = True


@dataclass(frozen=True)
class Facts:
    """What is known of one attempt. None is unknown, never nothing.

    Attributes:
        attempt: Its name.
        task: The task.
        profile: Who did it.
        n: Which repeat it is.
        verdict: What became of it; None while it lives.
        accepted: Whether it served its task.
        exited: Whether its agent ended by itself, as if it had done its task.
        checked: What the check said: `passed`, `failed`, `not-run` or `none`.
        seconds: Working time.
        held_s: Seconds for which the gateway held it, or it waited to go on.
        queued_s: Seconds for which only a place, or room on the host, kept it from its start.
        again: Why it is a later try; empty for a first one.
        boxes: In how many boxes its agent lived.
        froze: How often it was frozen, since the host had hardly any memory left.
        allowed: What it might use.
        throttled: The share of its periods at work in which its limit of CPU stopped it.
        memory_waited: Seconds in which something in its boxes waited for memory.
        oom_kills: How many of its processes the kernel killed for want of memory.
        load: How many tasks ran or wanted to for each of the host's cores, in the mean.
        beside: How many other attempts lived, in the mean.
        least_free: The smallest share of the host's memory that was free at one time.
        version: The version of the agent CLI.
        image: The id of its image.
        asks: The model that the profile names; empty where it names none.
        models: Output tokens by the model that replies name; None where no model was to be reached.
        answered: How many requests for one model were answered in the name of which.
        cached: The share of its input that came from the service's cache.
        contacts: Which hosts it tried to reach; None where nobody knows.
        reachable: Whether its task lets it, or the service for it, reach anything but the model.
        history: What of the history it saw: `full`, `shallow` or `none`.
        sought: What its agent ran to find an answer: `history` or `upstream`, and the command. None: unknown.
        signs: What in its change touches the judgement on it. None: not looked at.
        flags: What was flagged when its work came home and was checked.
        measured: Whether what its boxes used is known.
    """

    attempt: str
    task: str = ""
    profile: str = ""
    n: int = 1
    verdict: str | None = None
    accepted: bool = False
    exited: bool = False
    checked: str | None = None
    seconds: float | None = None
    held_s: float | None = None
    queued_s: float | None = None
    again: str = ""
    boxes: int = 1
    froze: int = 0
    allowed: Allowed = Allowed()
    throttled: float | None = None
    memory_waited: float | None = None
    oom_kills: int | None = None
    load: float | None = None
    beside: float | None = None
    least_free: float | None = None
    version: str | None = None
    image: str | None = None
    asks: str = ""
    models: Mapping[str, int] | None = None
    answered: tuple[tuple[str, str, int], ...] = ()
    cached: float | None = None
    contacts: tuple[Contact, ...] | None = ()
    reachable: bool = False
    history: str = "full"
    sought: tuple[tuple[str, str], ...] | None = ()
    signs: tuple[Sign, ...] | None = ()
    flags: tuple[str, ...] = field(default=())
    measured: bool = True
