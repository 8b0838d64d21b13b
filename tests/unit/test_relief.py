"""Too little memory: the newest is frozen, then ended, one after the other; nothing else is touched."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.sandbox.pressure import Stall
from runner.supervisor.host.admission import Claim, Needs
from runner.supervisor.host.relief import (
    APART,
    CALM,
    COOLING,
    EFFECT,
    LONGEST,
    LONGEST_ALONE,
    PATIENCE,
    PERSISTS,
    UNREAD,
    Reading,
    Step,
    Strain,
    relieve,
)
from runner.tasks.units import GIB, MIB

FLOOR, ENOUGH = GIB, 2 * GIB


def box(name: str, since: float, used: int | None = 2 * GIB, frozen: float | None = None) -> Claim:
    return Claim(
        attempt=name,
        since=since,
        needs=Needs(memory=4 * GIB),
        used=used,
        peak=used,
        running=True,
        frozen_since=frozen,
    )


@dataclass
class Host:
    """A SIMULATED host: boxes that grow until they are frozen, and give all back soon after they ended."""

    free: float
    boxes: dict[str, Claim]
    speed: dict[str, float]
    now: float = 1000.0
    strain: Strain = field(default_factory=Strain)
    steps: list[tuple[float, Step]] = field(default_factory=list)
    dying: list[tuple[float, int]] = field(default_factory=list)
    lowest: float = float("inf")
    takes_to_die: float = 0.8

    def live(self, seconds: float, every: float = 0.2) -> None:
        for _ in range(round(seconds / every)):
            self.now += every
            self.free += sum(size for at, size in self.dying if at <= self.now)
            self.dying = [one for one in self.dying if one[0] > self.now]
            for name, one in self.boxes.items():
                more = (
                    0
                    if one.frozen
                    else int(min(self.speed[name] * every, one.needs.memory - (one.used or 0)))
                )
                self.free -= more
                used = (one.used or 0) + more
                self.boxes[name] = one.model_copy(update={"used": used, "peak": max(used, one.peak or 0)})
            self.lowest = min(self.lowest, self.free)
            reading = Reading(self.now, int(self.free), FLOOR, ENOUGH)
            self.strain, step = relieve(self.strain, reading, list(self.boxes.values()))
            if step is not None:
                self.do(step)

    def do(self, step: Step) -> None:
        self.steps.append((self.now, step))
        one = self.boxes[step.attempt]
        if step.do == "end":
            del self.boxes[step.attempt]
            self.dying.append((self.now + self.takes_to_die, one.used or 0))
        else:
            frozen = self.now if step.do == "freeze" else None
            self.boxes[step.attempt] = one.model_copy(update={"frozen_since": frozen})

    def did(self, what: str) -> list[str]:
        return [step.attempt for _, step in self.steps if step.do == what]


def host(free: float, *speeds: float) -> Host:
    """Boxes `t0` (the oldest), `t1`, … of 2 GiB each that grow by so many bytes a second, up to 4 GiB."""
    boxes = {f"t{n}": box(f"t{n}", since=float(n)) for n in range(len(speeds))}
    return Host(free, boxes, {f"t{n}": speed for n, speed in enumerate(speeds)})


def test_with_enough_memory_nothing_is_done() -> None:
    easy = host(20 * GIB, 100 * MIB, 100 * MIB)
    easy.live(60)
    assert easy.steps == []


def test_the_newest_is_frozen_and_goes_on_when_another_has_ended() -> None:
    """Freezing it helps: the other comes to its end, gives back what it had, and the frozen one goes on."""
    tight = host(1.5 * GIB, 0, 200 * MIB)
    tight.live(4)
    assert (tight.did("freeze"), tight.did("end")) == (["t1"], [])
    assert tight.strain.cooling(tight.now)
    del tight.boxes["t0"]
    tight.free += 6 * GIB
    tight.live(CALM + 1)
    assert tight.did("thaw") == ["t1"]
    tight.live(10)
    assert tight.did("end") == []


def test_where_freezing_does_not_help_the_newest_is_ended() -> None:
    """Three that grow: the newest two are frozen in turn, and the newest ended, before the memory is gone."""
    grows = host(3 * GIB, 150 * MIB, 150 * MIB, 150 * MIB)
    grows.live(60)
    assert grows.did("freeze")[:2] == ["t2", "t1"]
    assert grows.did("end")[0] == "t2"
    assert "t0" not in grows.did("end"), "the oldest comes to its end"
    assert grows.lowest > 0


@pytest.mark.parametrize("speed", [0.3, 1.0, 2.0])
def test_memory_that_goes_fast_is_saved_in_time(speed: float) -> None:
    """Eight boxes that could take all that is free, within one second and more: it never runs out."""
    fast = host(16 * GIB, *([speed * GIB] * 8))
    fast.live(90)
    assert fast.lowest > 0, fast.steps
    assert len(fast.did("end")) < 8


def test_tasks_that_only_wait_for_memory_are_relieved_too() -> None:
    strain, boxes = Strain(), [box("t0", 0), box("t1", 1)]
    thrashing = Stall(80, 40, 0, 0)
    taken = []
    for tick in range(round((PERSISTS + PATIENCE + 2) / 0.5)):
        reading = Reading(tick * 0.5, 10 * GIB, FLOOR, ENOUGH, thrashing)
        strain, step = relieve(strain, reading, boxes)
        if step is not None:
            taken.append((reading.at, step.do, step.attempt))
            boxes = [
                one.model_copy(update={"frozen_since": reading.at}) if one.attempt == step.attempt else one
                for one in boxes
                if not (step.do == "end" and one.attempt == step.attempt)
            ]
    assert taken[:2] == [(PERSISTS, "freeze", "t1"), (PERSISTS + PATIENCE, "end", "t1")]


def test_one_that_holds_next_to_nothing_is_not_what_the_memory_went_to() -> None:
    small = [box("hog", 0), box("small", 5, used=10 * MIB), box("new", 9, used=None)]
    low = Reading(100, FLOOR - 1, FLOOR, ENOUGH)
    _, step = relieve(Strain(), low, small[:2])
    assert step is not None
    assert (step.do, step.attempt) == ("freeze", "hog")
    _, step = relieve(Strain(), low, small)
    assert step is not None
    assert step.attempt == "new", "of one that was not measured yet, nobody knows"


def test_of_several_runs_the_one_with_the_newest_acts() -> None:
    ours, theirs = [box("a", 1), box("b", 3)], [box("c", 2), box("d", 4)]
    low = Reading(100, FLOOR - 1, FLOOR, ENOUGH)
    assert relieve(Strain(), low, ours, theirs)[1] is None
    step = relieve(Strain(), low, theirs, ours)[1]
    assert step is not None
    assert (step.do, step.attempt) == ("freeze", "d")
    desperate = Reading(100, FLOOR // 3, FLOOR, ENOUGH)
    step = relieve(Strain(), desperate, ours, theirs)[1]
    assert step is not None
    assert step.attempt == "b", "then everybody does what it can"


def test_what_a_person_froze_elsewhere_shields_nobody() -> None:
    ours, theirs = [box("a", 1), box("b", 3, frozen=99)], box("c", 4, frozen=90)
    low = Reading(100 + PATIENCE, FLOOR - 1, FLOOR, ENOUGH)
    strain = Strain(since=100, froze=99)
    assert relieve(strain, low, ours, [theirs])[1] is None, "that one is ended first"
    step = relieve(strain, low, ours, [theirs.model_copy(update={"paused": True})])[1]
    assert step is not None
    assert (step.do, step.attempt) == ("end", "b")


def test_what_is_frozen_for_too_long_gives_its_memory_back() -> None:
    frozen = box("t", 0, frozen=100)
    strain, step = relieve(
        Strain(), Reading(100 + LONGEST, int(1.5 * FLOOR), FLOOR, ENOUGH), [box("o", 0), frozen]
    )
    alone = Reading(100 + LONGEST_ALONE, int(1.5 * FLOOR), FLOOR, ENOUGH)
    assert relieve(Strain(), alone, [box("o", 0), frozen])[1] is None
    sooner = relieve(Strain(), alone, [frozen])[1]
    assert sooner is not None
    assert sooner.do == "end", "nobody is there who could give something back"
    assert step is not None
    assert (step.do, step.attempt) == ("end", "t")
    assert not strain.cooling(100 + LONGEST)


def test_nothing_starts_for_a_while_after_it_was_too_little() -> None:
    strain, _ = relieve(Strain(), Reading(100, FLOOR - 1, FLOOR, ENOUGH), [])
    assert strain.cooling(100)
    assert strain.cooling(100 + COOLING - 1)
    assert not strain.cooling(100 + COOLING)


READINGS = st.lists(st.tuples(st.floats(0.05, 3), st.integers(0, 4 * GIB), st.floats(0, 100)), max_size=60)


@given(READINGS, st.integers(0, 6))
def test_whatever_happens_only_the_living_are_touched_and_never_in_a_burst(
    readings: list[tuple[float, int, float]], count: int
) -> None:
    """Ends are apart, what is frozen was going, what goes on was frozen, and it is always one of ours."""
    boxes = {f"t{n}": box(f"t{n}", since=float(n)) for n in range(count)}
    strain, now, ended, froze = Strain(), 0.0, float("-inf"), float("-inf")
    for wait, free, full in readings:
        now += wait
        reading = Reading(now, free, FLOOR, ENOUGH, Stall(full, full, 0, 0))
        strain, step = relieve(strain, reading, list(boxes.values()))
        if step is None:
            continue
        one = boxes[step.attempt]
        desperate = free < FLOOR / 2
        if step.do == "end":
            assert one.frozen, "it was frozen first"
            assert now - ended >= (EFFECT if desperate else PATIENCE)
            ended = now
            del boxes[step.attempt]
        elif step.do == "freeze":
            assert not one.frozen
            assert desperate or now - froze >= APART
            froze = now
            boxes[step.attempt] = one.model_copy(update={"frozen_since": now})
        else:
            assert one.frozen
            assert free >= 2 * FLOOR
            boxes[step.attempt] = one.model_copy(update={"frozen_since": None})


def test_nothing_is_frozen_for_a_moment_while_it_is_not_known_whose_memory_it_is() -> None:
    new = [box("a", 1000.0, used=None), box("b", 1000.0, used=None)]
    short = Reading(1000.5, FLOOR - MIB, FLOOR, ENOUGH)
    assert relieve(Strain(), short, new)[1] is None
    known = [box("a", 1000.0), box("b", 1000.0, used=8 * MIB)]
    _, step = relieve(Strain(), short, known)
    assert step is not None
    assert (step.do, step.attempt) == ("freeze", "a")
    hardly = Reading(1000.5, FLOOR // 2 - MIB, FLOOR, ENOUGH)
    assert relieve(Strain(), hardly, new)[1] is not None, "there is no time to wait"
    later = Reading(1000.0 + UNREAD, FLOOR - MIB, FLOOR, ENOUGH)
    assert relieve(Strain(), later, new)[1] is not None, "nobody reads it"
