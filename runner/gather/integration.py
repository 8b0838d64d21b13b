"""Branches put together one by one, and those found that do not go together: pure but for what it is given.

Everything that merges is put onto the base in order, and the combined checks are run on what comes of it.
Where they fail, bisecting finds the first branch with which they do: without it they pass, with it they do
not. It is left out, those with which it does not go together are looked for, and the rest goes on from there.
So every branch that is in is part of something that was checked, and for every branch that is not there is a
reason: files in conflict with what is in, or checks that failed with it and passed without it.

Checks cost minutes, merges a hundredth of a second: so the number of check runs is what is kept small, about
two times the logarithm of the number of branches for each that is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from runner.tasks.plan import Priority

RANK: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}

MOST_PARTNERS = 3
"""With how many others a branch fails together at most, that are looked for one by one."""


@dataclass(frozen=True)
class Candidate:
    """A branch that is to go in.

    Attributes:
        attempt: The name of its attempt.
        task: The task.
        commit: Its commit.
        priority: Of its task: the higher goes first.
        size: Inserted and deleted lines; None where that is not known. The smaller goes first.
        holds: The names of the others whose commits it holds.
        asks: The tasks whose checks are to pass where it is in: its own, and those whose work it holds.
    """

    attempt: str
    task: str
    commit: str
    priority: Priority = "normal"
    size: int | None = None
    holds: frozenset[str] = frozenset()
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tip:
    """What branches came to when they were put together.

    Attributes:
        commit: The commit.
        tree: Its files.
        members: The branches, in the order in which they went in.
    """

    commit: str
    tree: str
    members: tuple[Candidate, ...] = ()

    def tasks(self) -> tuple[str, ...]:
        """The tasks whose checks must pass on it."""
        return tuple(dict.fromkeys(task for one in self.members for task in one.asks))


@dataclass(frozen=True)
class Clash:
    """That a branch can't be merged into others: the files in conflict, or why it could not be tried."""

    files: tuple[str, ...] = ()
    error: str = ""


class Put(Protocol):
    """Merges a branch into what others came to."""

    def __call__(self, tip: Tip, one: Candidate) -> Tip | Clash:
        """The next tip, the same commit where the branch brings nothing new; or why there is none."""
        ...


Passes = Callable[[Tip], bool]
"""Whether the checks of a tip's tasks pass on it; without tasks they do. Asked twice, it remembers."""

How = Literal["merged", "held", "same"]
"""How a branch is in: by a merge; since another that is in holds its commits; or all that it changes is."""

Cause = Literal["conflict", "check", "error"]


@dataclass(frozen=True)
class Left:
    """A branch that is not in.

    Attributes:
        one: The branch.
        cause: Whether it doesn't merge, or checks fail with it, or it could not be tried.
        partners: The names of those with which it does not go together, as far as that was found out.
        files: The files in conflict.
        alone: Of one with which checks fail: whether they fail on it alone.
        error: Why it could not be tried.
    """

    one: Candidate
    cause: Cause
    partners: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    alone: bool = False
    error: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of putting branches together: `line` holds the base, and a tip for each that is in."""

    line: tuple[Tip, ...]
    left: tuple[Left, ...]

    @property
    def tip(self) -> Tip:
        """What is in, all together."""
        return self.line[-1]

    def how(self) -> Iterator[tuple[Candidate, How]]:
        """How each of those is in that are."""
        before = self.line[0]
        for tip in self.line[1:]:
            one = tip.members[-1]
            held = any(one.attempt in other.holds for other in before.members)
            yield one, "merged" if tip.commit != before.commit else "held" if held else "same"
            before = tip


def ordered(wanted: Sequence[Candidate], conflicts: Mapping[str, int]) -> list[Candidate]:
    """The order in which branches go in: by priority, then the smaller, then the one with fewer conflicts.

    One whose commits another holds stands before that, so that it is known which of them a fault comes with.

    Args:
        wanted: The branches, in the order of the plan, which decides where nothing else does.
        conflicts: By attempt, with how many of the others it is in conflict.
    """

    def key(one: Candidate) -> tuple[int, float, int]:
        size = float("inf") if one.size is None else one.size
        return RANK[one.priority], size, conflicts.get(one.attempt, 0)

    placed: dict[str, Candidate] = {}
    by_key = sorted(wanted, key=key)
    for one in by_key:
        # Those that hold little stand before those that hold these in turn.
        held = [other for other in by_key if other.attempt in one.holds]
        for other in [*sorted(held, key=lambda other: len(other.holds)), one]:
            placed.setdefault(other.attempt, other)
    return list(placed.values())


def integrate(base: Tip, wanted: Sequence[Candidate], put: Put, passes: Passes) -> Outcome:
    """Put branches together, as many as go together.

    Args:
        base: The commit that they go onto; it has no members.
        wanted: The branches, in the order in which they go in.
        put: Merges one.
        passes: Runs the checks.
    """
    return _Work(base, put, passes).through(wanted)


@dataclass
class _Work:
    base: Tip
    put: Put
    passes: Passes
    left: list[Left] = field(default_factory=list)

    def through(self, wanted: Sequence[Candidate]) -> Outcome:
        line, rest = [self.base], list(wanted)
        while True:
            chain, clashed = self._chain(line[-1], rest)
            if self.passes(chain[-1]):
                line += chain[1:]
                if len(chain) == 1:
                    break
                rest = [one for one, _ in clashed]  # what came after may have brought what was missing
                continue
            first = self._first_failing(chain)
            line += chain[1:first]
            culprit = chain[first].members[-1]
            self.left.append(self._blamed(line, chain[first], culprit))
            done = {one.attempt for one in chain[first].members}
            rest = [one for one in rest if one.attempt not in done]
        self.left += [self._clashed(line, one, clash) for one, clash in clashed]
        return Outcome(tuple(line), tuple(self.left))

    def _chain(self, tip: Tip, rest: Sequence[Candidate]) -> tuple[list[Tip], list[tuple[Candidate, Clash]]]:
        """All that merges, one onto the other; and what does not merge with what stands before it."""
        chain, clashed = [tip], []
        for one in rest:
            put = self.put(chain[-1], one)
            if isinstance(put, Clash):
                clashed.append((one, put))
            else:
                chain.append(put)
        return chain, clashed

    def _first_failing(self, chain: Sequence[Tip]) -> int:
        """The place of a tip on which checks fail while they pass on the one before it."""
        low, high = 0, len(chain) - 1  # they pass there; they fail here
        while high - low > 1:
            middle = (low + high) // 2
            if self.passes(chain[middle]):
                low = middle
            else:
                high = middle
        return high

    # -- with whom

    def _blamed(self, line: Sequence[Tip], failing: Tip, culprit: Candidate) -> Left:
        """Why checks fail with a branch: on it alone, or with which of those that were in before it."""
        left = Left(culprit, "check")
        alone = self._together(self.base, [culprit])
        if alone is None:
            return left
        if len(failing.members) == 1 or not self.passes(alone):
            return replace(left, alone=True)
        return replace(left, partners=self._partners(line, culprit))

    def _partners(self, line: Sequence[Tip], culprit: Candidate) -> tuple[str, ...]:
        """The few of those before it with which checks fail; none where that can't be found out.

        Of those before it the shortest row from the first on is looked for with which it fails: its last one
        is a partner. If these two do not fail by themselves, there is another one before that, and so on.
        """
        found: list[Candidate] = []
        high = len(line) - 1
        while high and len(found) < MOST_PARTNERS:
            last = self._shortest(line, high, [*found, culprit])
            if last is None:
                return ()
            found.insert(0, line[last].members[-1])
            few = self._together(self.base, [*found, culprit])
            if few is None or not self.passes(few):
                return () if few is None else tuple(one.attempt for one in found)
            high = last - 1
        return ()

    def _shortest(self, line: Sequence[Tip], high: int, more: Sequence[Candidate]) -> int | None:
        """How many of the first branches are needed for checks to fail with these besides; at most `high`."""
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            tip = self._together(line[middle], more)
            if tip is None:
                return None
            if self.passes(tip):
                low = middle
            else:
                high = middle
        return high

    def _together(self, tip: Tip, more: Sequence[Candidate]) -> Tip | None:
        """These put onto a tip; None where they do not merge in this order."""
        for one in more:
            put = self.put(tip, one)
            if isinstance(put, Clash):
                return None
            tip = put
        return tip

    def _clashed(self, line: Sequence[Tip], one: Candidate, clash: Clash) -> Left:
        """Why a branch does not merge with what is in: since which of the others is."""
        if clash.error:
            return Left(one, "error", error=clash.error)
        low, high = 0, len(line) - 1  # on the base it merges; on all that is in, it does not
        while high - low > 1:
            middle = (low + high) // 2
            if isinstance(self.put(line[middle], one), Clash):
                high = middle
            else:
                low = middle
        return Left(one, "conflict", (line[high].members[-1].attempt,), clash.files)
