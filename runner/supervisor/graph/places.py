"""Whose turn it is of those attempts that could start, and why the others wait: pure.

Free places go in the order given. What does not find room on the host lets others go first for a while, and
from then on holds them back, so that a large one is not passed by small ones for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runner.names import AttemptKey
from runner.supervisor.host.admission import Claim, Needs, Room, Short
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.leases import Leases

PATIENCE = 120.0
"""Seconds for which an attempt that finds no room lets others pass."""

MOST_LOOKED_AT = 32
"""Attempts without room that are looked at; what comes after so many waits behind them."""

NO_PLACE = "for a free place (--jobs)"


@dataclass(frozen=True)
class Turn:
    """Whether an attempt is to be started; if not, why, and what the host is short of, if that is why."""

    key: AttemptKey
    why: str = ""
    short: Short | None = None
    closes: bool = False
    """Whether nothing that comes after it can start either."""
    never: bool = False
    """Whether this host could not even bear it alone: nobody waits for it."""

    @property
    def starts(self) -> bool:
        """Whether it is its turn now."""
        return not self.why


def turns(
    state: RunState,
    ready: Iterable[AttemptKey],
    jobs: int,
    room: Room | None = None,
    waits: Mapping[AttemptKey, float] | None = None,
) -> Iterator[Turn]:
    """Whose turn it is, in the order given.

    Args:
        state: The run.
        ready: The attempts that could start, in the order in which places go to them.
        jobs: How many attempts of the run may live at once.
        room: What there is on the host; None where nobody asks it.
        waits: Since when which of them have found no room, on the clock of `room`.
    """
    if len(state.attempts.living) >= jobs:  # as nearly always: nobody has to be counted
        yield from (Turn(key, NO_PLACE, closes=True) for key in ready)
        return
    caps = _Caps(state)
    jobs, no_place = _bearable(state, jobs)
    refused: list[AttemptKey] = []
    behind: AttemptKey | None = None
    for key in ready:
        if caps.living >= jobs:
            yield Turn(key, no_place, closes=True)
            continue
        if behind is not None:
            yield Turn(key, f"behind {behind}, which finds no room", closes=True)
            continue
        if why := caps.full_for(key):
            yield Turn(key, why)
            continue
        short = None if room is None else room.short(needs_of(state, key))
        if short is None:
            caps.take(key)
            if room is not None:
                room = room.taken(Claim(attempt=str(key), since=room.now, needs=needs_of(state, key)))
            yield Turn(key)
            continue
        if room is not None and (never := room.never(needs_of(state, key))) is not None:
            yield Turn(key, f"it can never start here: {never.why}", never=True)
            continue
        refused.append(key)
        yield Turn(key, short.why, short)
        waited = (room.now if room else 0.0) - (waits or {}).get(key, float("inf"))
        if waited >= PATIENCE or len(refused) >= MOST_LOOKED_AT:
            behind = refused[0] if waited < PATIENCE else key


def _bearable(state: RunState, jobs: int) -> tuple[int, str]:
    """How many attempts may live at once, and what those wait for that don't."""
    if state.plan.mode != "adaptive" or state.width >= jobs:
        return jobs, NO_PLACE
    return state.width, f"for a free place (adaptive: {state.width} at once)"


def needs_of(state: RunState, key: AttemptKey) -> Needs:
    """What an attempt may use at most."""
    return Needs.of(state.limits(key))


def living(state: RunState) -> Iterable[AttemptState]:
    """The attempts that have begun and are not final."""
    return (state.attempts[key] for key in sorted(state.attempts.living))


class _Caps:
    """How many live, in all and where the task file bounds it, and on which paths."""

    def __init__(self, state: RunState) -> None:
        self.living = 0
        self._plan = state.plan
        self._lives: Counter[tuple[str, str]] = Counter()
        self._leases = Leases()
        for attempt in living(state):
            self.take(attempt.key)

    def take(self, key: AttemptKey) -> None:
        """One more lives."""
        self.living += 1
        self._lives.update(self._groups(key).keys())
        self._leases.take(*self._paths(key), key.task)

    def full_for(self, key: AttemptKey) -> str:
        """Why an attempt waits for others of its kind, in words; empty if it need not."""
        for (kind, name), most in self._groups(key).items():
            if self._lives[kind, name] >= most:
                return f"for a free place of {kind} {name} (`at_once: {most}`)"
        taken = self._leases.conflict(*self._paths(key), key.task)
        return "" if taken is None else f"for {taken[0]}, on which {taken[1]} works"

    def _paths(self, key: AttemptKey) -> tuple[str, tuple[str, ...]]:
        """The repository that an attempt works on, and the paths in it that are its task's alone."""
        task = self._plan.task(key.task)
        return self._plan.sources[task.source].git_dir, task.paths

    def _groups(self, key: AttemptKey) -> dict[tuple[str, str], int]:
        """The bounded groups that an attempt belongs to, each with its bound."""
        found = {}
        if (most := self._plan.profile(key.profile).at_once) is not None:
            found["agent", key.profile] = most
        repo = self._plan.sources[self._plan.task(key.task).source].repo
        if (most := self._plan.repositories.get(repo)) is not None:
            found["repository", repo] = most
        return found
