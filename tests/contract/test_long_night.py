"""A night of very many attempts over the FAKE engine: what it takes grows with what it does, and no faster.

The supervisor, its threads, git, the journal and the branches are real. Bounds are bytes for each attempt,
and how the later ones compare with the earlier: never seconds.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.tasks.plan import PlannedAttempt
from tests.conftest import FULL
from tests.contract.fake_night import Place
from tests.support import processor_seconds

ATTEMPTS = 10_000 if FULL else 200
JOBS = 32
QUARTER = ATTEMPTS // 4

JOURNAL_BYTES = 6 * 1024
"""For each attempt, its part of the plan included; about 3 KiB were seen."""
MEMORY_BYTES = 24 * 1024
"""For each attempt that has ended."""
SLACK = 24 * 1024**2
"""What a process may take besides: stacks of threads, SQLite's and the allocator's own."""


@dataclass(frozen=True)
class Mark:
    """What the process held, and had used, when so many attempts had ended."""

    ended: int
    memory: int
    seconds: float


class Marks:
    """Takes a mark at each quarter of a night."""

    def __init__(self) -> None:
        self.taken: list[Mark] = []
        self.ended = 0
        self.most_alive = 0

    def __call__(self, row: Row, state: RunState) -> None:
        """Take one event."""
        self.most_alive = max(self.most_alive, len(state.attempts.living))
        if row.event.kind == "attempt.final":
            self.ended += 1
            if self.ended % QUARTER == 0:
                gc.collect()
                memory = psutil.Process().memory_info().rss
                self.taken.append(Mark(self.ended, memory, processor_seconds()))


@pytest.mark.alone
@pytest.mark.timeout(4 * 3600)
def test_what_a_night_takes_grows_with_its_attempts_and_no_faster(tmp_path: Path) -> None:
    place, marks = Place(tmp_path), Marks()
    plan = place.plan(
        *(PlannedAttempt(task=f"t{n}", profile="writes" if n % 2 else "says") for n in range(ATTEMPTS)),
        commands={"writes": "echo begun; echo x > made", "says": "echo nothing"},
    )
    with place.supervisor(JOBS, marks) as night:
        state = night.start(plan)
    assert Counter(one.verdict for one in state.attempts.values()) == {
        "done": ATTEMPTS // 2, "no-change": ATTEMPTS // 2,
    }  # fmt: skip
    assert place.folded() == state
    assert len(place.branches()) == ATTEMPTS // 2
    assert place.leftovers() == []
    assert JOBS / 2 < marks.most_alive <= JOBS

    first, second, third, last = marks.taken
    size = place.file.stat().st_size
    print(f"{size} bytes of journal", *marks.taken, sep="\n")
    assert size < JOURNAL_BYTES * ATTEMPTS + 4 * 1024**2  # with the room that it reserves
    assert last.memory - first.memory < MEMORY_BYTES * (last.ended - first.ended) + SLACK
    assert last.seconds - third.seconds < 3 * (second.seconds - first.seconds) + 5  # of processors
