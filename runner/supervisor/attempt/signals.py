"""The signals of a living box, read where they show: its output, its control group, its processes, its disk.

Nothing is run in a box for it, and none of its files is opened: what they take of its disk is all that is
looked at. Each sign is read no more often than it is needed; processes and disk only of a box that shows no
other sign.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.agents.actions import digest
from runner.agents.launch import Reader
from runner.errors import EngineError
from runner.gateway.grants import Held, Usage
from runner.sandbox.kernel import content
from runner.sandbox.output import Output
from runner.sandbox.usage import PROC, Group
from runner.supervisor.attempt.health import (
    Care,
    Look,
    Processes,
    Row,
    Signals,
    State,
    count,
    judge,
)

WEIGHING = 3.0
"""Seconds between two looks at what a box's files take."""
DEAREST = 100.0
"""Between two looks at a disk lies so many times what the first one took: a hundredth of the time at most."""
BUSY_CORES = 0.05
"""A box that uses more CPU than this is at work, even if it says nothing."""
REMEMBERED = 64
"""Lines that a new one is compared with."""
LINES = 200
"""Lines that are compared between two looks; of an agent that prints more, the others are not looked at."""
MOST_PROCESSES = 512
"""Processes of a box that are looked at."""
MOST_THREADS = 64
"""Threads of each that are looked at."""


@dataclass(frozen=True)
class Used:
    """What a box's control group says of it; None where it says nothing.

    Attributes:
        cores: The CPU that it used since the last look.
        written: Bytes that it wrote to disks since its start.
    """

    cores: float | None = None
    written: int | None = None


@dataclass(frozen=True)
class Told:
    """What the gateway says of a box: what it used of its grant, and whether it answers us at all.

    Both are None of a box that has no grant; `usage` also while the gateway does not answer.
    """

    usage: Usage | None = None
    answers: bool | None = None


Mark = tuple[int, ...]
"""Figures of a disk that change when files on it do."""


class Scales:
    """Weighs a box's files every few seconds, in a thread of its own: it may take long, and time goes on.

    Attributes:
        heavy: Whether they take more than their limit, where only looking bounds them.
        looks: How many times what they take was looked at.
        changes: How many times it had changed since the time before.
        wanted: Whether changes are to be looked for.
    """

    def __init__(self, exceeds: Callable[[], bool], mark: Callable[[], Mark | None]) -> None:
        self.heavy = False
        self.looks = 0
        self.changes = 0
        self.wanted = False
        self._exceeds = exceeds
        self._mark = mark
        self._before: Mark | None = None
        self._next = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._weigh, name="scales", daemon=True)

    def __enter__(self) -> Scales:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._done.wait(WEIGHING):
            with contextlib.suppress(EngineError):  # whoever follows the output is told of it too
                self.heavy = self._exceeds()
                self._compare()
            if self.heavy:
                return

    def _compare(self) -> None:
        began = time.monotonic()
        if not self.wanted or began < self._next:
            return
        found = self._mark()
        self._next = began + DEAREST * (time.monotonic() - began)
        if found is None:
            return
        self.changes += self._before is not None and found != self._before
        self._before = found
        self.looks += 1


class Pulse:
    """Follows the signals of one box.

    Attributes:
        signals: What was seen of it.
        state: The condition that it is in.
    """

    def __init__(
        self,
        reader: Reader,
        table: Mapping[Row, Care],
        scales: Scales,
        group: Group | None,
        init: int,
        silence: float = 0.0,
    ) -> None:
        """Begin to follow a box.

        Args:
            reader: What its agent prints is read by.
            table: For how long its conditions are borne.
            scales: What weighs its files.
            group: Its control group, where that can be seen from here.
            init: Its first process as this host sees it; 0 where that is not known.
            silence: For how long an earlier process saw no sign of life of it.
        """
        self.signals = Signals.silent(silence)
        self.state = State("working")
        self._reader = reader
        self._table = table
        self._scales = scales
        self._group = group
        self._init = init
        self._lines: deque[int] = deque(maxlen=REMEMBERED)
        self._compared = 0
        self._novel = False
        self._acted = 0
        self._files: tuple[int, int] | None = None
        self._worked: float | None = None
        self._looked = time.monotonic()
        self._model: Usage | None = None
        self._held: tuple[float, float] | None = None

    def heard(self, line: bytes) -> None:
        """Take one line that its agent printed."""
        if self._compared >= LINES:
            return
        self._compared += 1
        same = digest(line.decode(errors="replace"))
        self._novel = self._novel or same not in self._lines
        self._lines.append(same)

    def beat(self, worked: float, output: Output, used: Used, told: Told, question: str = "") -> State:
        """Look at it once more; returns the condition that it is in.

        Args:
            worked: Its working time until now, in seconds.
            output: What it prints.
            used: What its control group says of it.
            told: What the gateway says of it.
            question: What it asked a person by other ways than its CLI's, and waits for.
        """
        look = self._look(output, used, told, question)
        step = 0.0 if self._worked is None else worked - self._worked
        self._worked = worked
        self.signals = self.signals.after(look, step)
        effect = min(self.signals.acted, self.signals.asked, self.signals.burned)
        self._scales.wanted = effect >= WEIGHING / 2
        self.state = judge(self.signals, self._table)
        return self.state

    def _look(self, output: Output, used: Used, told: Told, question: str) -> Look:
        actions, model = self._reader.actions, told.usage
        held = model.held if model is not None else None
        now, files = time.monotonic(), (self._scales.changes, used.written or 0)
        processes = self._processes(used.cores)
        anew = not output.repeats  # else an earlier process saw it already
        look = Look(
            printed=output.last_piece > self._looked,
            novel=anew and self._novel,
            spoke=output.spoke,
            acted=anew and actions.count != self._acted,
            asked=self._asked(model),
            burned=(used.cores or 0.0) > BUSY_CORES or _at_work(processes, used.cores),
            changed=self._files is not None and files != self._files,
            sees_files=used.written is not None or self._scales.looks > 0,
            tells=self._reader.tells,
            in_flight=model.in_flight if model is not None else 0,
            held=held.why if held is not None else "",
            held_s=self._held_for(held),
            answers=told.answers,
            question=question or actions.question,
            tool=actions.running,
            repeats=actions.repeats,
            processes=processes,
        )
        self._looked, self._novel, self._compared = now, False, 0
        self._acted, self._files, self._model = actions.count, files, model
        return look

    def _held_for(self, held: Held | None) -> float:
        """For how long it has been held, by the wall clock at first, and then whatever becomes of that."""
        if held is None:
            self._held = None
            return 0.0
        if self._held is None or self._held[0] != held.since:
            self._held = held.since, time.monotonic() - max(0.0, time.time() - held.since)
        return time.monotonic() - self._held[1]

    def _asked(self, model: Usage | None) -> bool:
        """Whether something went to or came from a model or a host since the last look."""
        before = self._model
        if model is None or before is None:
            return False
        return (before.last_activity, before.egress) != (model.last_activity, model.egress)

    def _processes(self, cores: float | None) -> Processes | None:
        """Its processes, if nothing else tells of life in it."""
        if self._group is None or not self._init:
            return None
        if cores is not None and self.signals.silence < WEIGHING / 2:
            return None
        return processes(self._group, self._init)


def _at_work(found: Processes | None, cores: float | None) -> bool:
    """Whether processes prove work that the CPU's figures don't show."""
    return found is not None and (found.waiting > 0 or (cores is None and found.running > 0))


def processes(group: Group, init: int, proc: Path = PROC) -> Processes | None:
    """The processes of a control group; None where they can't be seen from here.

    Args:
        group: The box's.
        init: The box's first process.
        proc: Where processes are told.
    """
    living = (content(f"{group.memory}/cgroup.procs") or "").split()[:MOST_PROCESSES]
    children = (pid for parent in living for pid in _children(f"{proc}/{parent}/task"))
    pids = list(dict.fromkeys((*living, *children)))[:MOST_PROCESSES]
    stats = [said for pid in pids if (said := content(f"{proc}/{pid}/stat"))]  # some go meanwhile
    return count(stats, init) if stats else None


def _children(tasks: str) -> Iterator[str]:
    """The children of a process, by its threads; also those that have ended, which no control group lists.

    Source: proc(5), `/proc/pid/task/tid/children`, where the kernel has CONFIG_PROC_CHILDREN; else nothing.
    """
    try:
        threads = [thread.name for thread in Path(tasks).iterdir()][:MOST_THREADS]
    except OSError:  # it has ended meanwhile
        return
    for thread in threads:
        yield from (content(f"{tasks}/{thread}/children") or "").split()
