"""All tries of a run's attempts, as a frozen mapping that is cheap to change and to compare.

A run of 10,000 attempts has some 60,000 events. A `dict` that is copied for each of them would take minutes;
here a change copies two short tuples and shares all the rest with what was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import Generic, Protocol, TypeVar

from runner.names import AttemptKey

CHUNK = 128
"""Attempts that are kept in one tuple: about the square root of the most that a run has."""


class Tried(Protocol):
    """What is known of one try of an attempt."""

    @property
    def key(self) -> AttemptKey:
        """Which try."""
        ...

    @property
    def phase(self) -> str:
        """How far it is: `queued`, `final`, or one of those between, in which it lives."""
        ...


T = TypeVar("T", bound=Tried)
_Group = tuple[T, ...]


class Attempts(Mapping[AttemptKey, T], Generic[T]):
    """Every try of every attempt by its key: attempts in plan order, the tries of one side by side.

    Frozen: `updated` gives another mapping. An attempt keeps its place for good; a new one comes behind.
    """

    __slots__ = ("_chunks", "_of_task", "_places", "_size", "living")

    living: frozenset[AttemptKey]
    """Those that have begun and are not final."""

    def __init__(self, attempts: Iterable[T] = ()) -> None:
        """These tries, in this order."""
        self._chunks: tuple[tuple[_Group[T], ...], ...] = ()
        self._places: Mapping[AttemptKey, int] = {}  # of first tries; shared between versions, never changed
        self._of_task: Mapping[str, tuple[AttemptKey, ...]] = {}
        self._size = 0
        self.living = frozenset()
        self._put_in(tuple(attempts))

    def updated(self, *attempts: T) -> Attempts[T]:
        """The mapping with these tries put in, each in the place of what was known of it before."""
        made: Attempts[T] = Attempts()
        made._chunks, made._places, made._of_task = self._chunks, self._places, self._of_task
        made._size, made.living = self._size, self.living
        made._put_in(attempts)
        return made

    def tries(self, key: AttemptKey) -> tuple[T, ...]:
        """All tries of the attempt that this one is a try of, the latest last; empty if there is none."""
        place = self._places.get(key.first)
        return () if place is None else self._chunks[place // CHUNK][place % CHUNK]

    def of_task(self, task: str) -> Iterator[T]:
        """All tries of a task's attempts."""
        return (attempt for first in self._of_task.get(task, ()) for attempt in self.tries(first))

    def firsts_of(self, task: str) -> tuple[AttemptKey, ...]:
        """The first tries of a task's attempts."""
        return self._of_task.get(task, ())

    def changed_since(self, before: Attempts[T]) -> Iterator[AttemptKey]:
        """The first tries of the attempts of which something else is known here than in an earlier mapping.

        It costs little where one came of the other by a few changes: what they share is not looked at.
        """
        for outer, chunk in enumerate(self._chunks):
            then = before._chunks[outer] if outer < len(before._chunks) else ()
            if chunk is then:
                continue
            for inner, tries in enumerate(chunk):
                if inner >= len(then) or tries is not then[inner]:
                    yield tries[0].key.first

    def __getitem__(self, key: AttemptKey) -> T:
        for attempt in self.tries(key):
            if attempt.key.try_ == key.try_:
                return attempt
        raise KeyError(key)

    def __iter__(self) -> Iterator[AttemptKey]:
        return (attempt.key for attempt in self.in_order())

    def __len__(self) -> int:
        return self._size

    def values(self) -> ValuesView[T]:
        """All tries, in order."""
        return _Values(self)

    def __repr__(self) -> str:
        return f"Attempts({list(self.in_order())!r})"

    def in_order(self) -> Iterator[T]:
        """All tries: those of `values`."""
        return (attempt for chunk in self._chunks for tries in chunk for attempt in tries)

    def _put_in(self, attempts: tuple[T, ...]) -> None:
        """Put tries into a mapping that nobody knows yet."""
        if fresh := dict.fromkeys(a.key.first for a in attempts if a.key.first not in self._places):
            self._places = {**self._places, **{first: n for n, first in enumerate(fresh, len(self._places))}}
            self._of_task = _by_task(self._of_task, fresh)
        chunks = list(self._chunks)
        for attempt in attempts:
            outer, inner = divmod(self._places[attempt.key.first], CHUNK)
            if outer == len(chunks):
                chunks.append(())
            chunk = chunks[outer]
            before = chunk[inner] if inner < len(chunk) else ()
            tries = _put(before, attempt)
            chunks[outer] = (*chunk[:inner], tries, *chunk[inner + 1 :])
            self._size += len(tries) - len(before)
            if (attempt.phase not in {"queued", "final"}) != (attempt.key in self.living):
                self.living = self.living ^ {attempt.key}
        self._chunks = tuple(chunks)


class _Values(ValuesView[T]):
    """All tries in order, without looking each one up."""

    def __init__(self, attempts: Attempts[T]) -> None:
        super().__init__(attempts)
        self._attempts = attempts

    def __iter__(self) -> Iterator[T]:
        return self._attempts.in_order()


def _put(tries: _Group[T], attempt: T) -> _Group[T]:
    """These tries with one put in, the latest last."""
    at = next((n for n, one in enumerate(tries) if one.key.try_ >= attempt.key.try_), len(tries))
    known = at < len(tries) and tries[at].key.try_ == attempt.key.try_
    return (*tries[:at], attempt, *tries[at + known :])


def _by_task(
    before: Mapping[str, tuple[AttemptKey, ...]], fresh: Iterable[AttemptKey]
) -> dict[str, tuple[AttemptKey, ...]]:
    added: dict[str, list[AttemptKey]] = {}
    for first in fresh:
        added.setdefault(first.task, []).append(first)
    return {**before, **{task: (*before.get(task, ()), *keys) for task, keys in added.items()}}
