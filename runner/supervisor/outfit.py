"""What a run works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runner.gateway.grants import Access
from runner.names import AttemptKey
from runner.supervisor import capacity
from runner.supervisor.attempt.spec import Rooms
from runner.supervisor.imaging import ImageMaker
from runner.supervisor.journal import Journal
from runner.supervisor.ownership.lease import Lease
from runner.supervisor.people.herald import Herald
from runner.tasks.plan import Profile


@dataclass(frozen=True)
class Means:
    """What a run works with. `accesses` says who answers the model calls of a profile's attempt, and
    `takes` in how many seconds attempts are done (`expected`)."""

    rooms: Rooms
    journal: Journal
    lease: Lease
    images: ImageMaker
    accesses: Callable[[Profile, AttemptKey], tuple[Access, ...]]
    jobs: int
    weaker: tuple[str, ...] = ()
    auto: bool = False
    """Whether `jobs` follows what the host bears."""
    capacity: capacity.Capacity | None = None
    """What the host has for the run; None where nobody asks."""
    herald: Herald = field(default_factory=Herald)
    takes: Callable[[], dict[str, float]] = dict
