"""The model check: the pure state machine and the schedule under random events, crashes and orders.

A machine plays the supervisor's loop and its attempts against `apply`, `fold` and `Agenda`, with a journal in
memory. At any instant the supervisor may die: then all that is left is the journal. What must hold whatever
happens is said by the invariants, against a record that the machine keeps for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.ending import exit_code, never_started
from runner.supervisor.graph import deciding, retrying
from runner.supervisor.graph.schedule import Agenda, decide, finished, images_of
from runner.supervisor.ownership import orders
from runner.supervisor.state import RunState, apply, begin, fold
from runner.supervisor.tried import AttemptState
from runner.supervisor.verdict import RUN_OVER, Check, Ended, Work, served, verdict
from runner.tasks.plan import (
    GIB,
    CheckSpec,
    ClaudeSettings,
    CommandSettings,
    Plan,
    PlannedAttempt,
    Profile,
    Retry,
    Source,
    Spent,
    Task,
)
from tests.conftest import FULL

T = TypeVar("T")
SEEDS = st.integers(0, 2**32)
BASE = "a" * 40
SPENT: tuple[Spent, ...] = ("attempt", "task", "profile", "run", "day")
OTHER_ENDS: tuple[Ended, ...] = (
    "infrastructure", "agent-error", "timeout", "stalled", "oom", "disk", "limited", "needs-input",
    "cancelled",
)  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to eight tasks over one or two repositories; each is done by one or two profiles, once or twice."""
    profiles = (
        Profile(name="p", settings=CommandSettings(run=("true",)), hash="p"),
        Profile(name="q", settings=ClaudeSettings(model="m"), hash="q"),
    )
    repositories = draw(st.integers(1, 2))
    tasks: list[Task] = []
    attempts: list[PlannedAttempt] = []
    for number in range(draw(st.integers(1, 8))):
        task = Task(
            id=f"t{number}",
            source=draw(st.integers(0, repositories - 1)),
            may_be_empty=draw(st.booleans()),
            priority=draw(st.sampled_from(["low", "normal", "high"])),
            checks=draw(st.sampled_from([(), (CheckSpec(run="true"),)])),
            retry=Retry(
                infrastructure=draw(st.integers(0, 2)),
                pause=draw(st.sampled_from([0.0, 5.0])),
                feedback=draw(st.integers(0, 1)),
                session=draw(st.sampled_from(["resume", "fresh"])),
                memory=draw(st.sampled_from([None, 8 * GIB])),
            ),
        )
        needs: list[Task] = (
            draw(st.lists(st.sampled_from(tasks), unique_by=lambda t: t.id, max_size=2)) if tasks else []
        )
        groups = tuple(tuple(str(a.key) for a in attempts if a.task == need.id) for need in needs)
        starts_there: bool = draw(st.booleans())
        start = groups[0] if groups and starts_there else ()
        for profile in draw(st.sampled_from(["p", "q", "pq"])):
            attempts += [
                PlannedAttempt(task=task.id, profile=profile, n=n, after=groups, start=start)
                for n in range(1, draw(st.integers(1, 2)) + 1)
            ]
        tasks.append(task)
    return Plan(
        run="r",
        file="/x/corral.yaml",
        sources=tuple(
            Source(repo=f"/{n}", git_dir=f"/{n}/.git", base=BASE, base_name="HEAD")
            for n in range(repositories)
        ),
        profiles=profiles,
        tasks=tuple(tasks),
        attempts=tuple(attempts),
        on_limit=draw(st.sampled_from(["wait", "stop"])),
    )


class Pick(Protocol):
    """Picks one of several."""

    def __call__(self, options: Sequence[T], /) -> T:
        """One of them."""


@dataclass
class Record:
    """What the machine knows by itself: what it did, and what was seen to be final."""

    starts: Counter[str] = field(default_factory=Counter)
    images: set[tuple[int, str | None]] = field(default_factory=set)
    shut: dict[str, bool] = field(default_factory=dict)
    """Whose window is closed; and whether they don't wait for it."""
    drains: bool = False
    over: bool = False
    finals: dict[str, AttemptState] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    chosen: set[AttemptKey] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    """What a person said of tasks and their work."""
    yesterdays: set[AttemptKey] = field(default_factory=set)
    """What ended on an earlier day."""


class Supervisor(RuleBasedStateMachine):
    """The loop, its attempts, and whatever else happens in a night."""

    @initialize(plan=plans(), jobs=st.integers(1, 4), seed=SEEDS)
    def start(self, plan: Plan, jobs: int, seed: int) -> None:
        """A person starts a run."""
        self.last = Random(seed)  # noqa: S311 - a test's, that hypothesis can repeat
        self.journal: list[str] = []
        self.record = Record()
        self.jobs = jobs
        self.now = 1.0
        first = e.RunStarted(at=self.now, plan=plan, jobs=jobs)
        self.journal.append(first.model_dump_json())
        self.state = begin("r", first)
        self.agenda = Agenda(self.state)

    # -- the supervisor

    def note(self, event: e.Event) -> None:
        """Write an event down and fold it in, as `Night._note`."""
        self.journal.append(event.model_dump_json())
        self.state = apply(self.state, event)
        self.now += 1

    @rule(crash=st.none() | st.integers(1, 4))
    def turn(self, crash: int | None) -> None:
        """One turn of the loop; it may die after so many events of it."""
        self.agenda.follow(self.state)
        for left, decision in enumerate(self.agenda.due(self.jobs)):
            if crash is not None and left >= crash:
                self.die(self.jobs)
                return
            name = str(decision.key)
            if decision.standing == "fail":
                for event in never_started(name, decision.why, self.now):
                    self.note(event)
            else:
                assert decision.base is not None
                self.may_start(decision.key, decision.base)
                self.record.starts[name] += 1
                self.note(e.AttemptStarted(at=self.now, attempt=name, box="0" * 12, base=decision.base))
                assert len(self.state.attempts.living) <= self.jobs

    def may_start(self, key: AttemptKey, base: str) -> None:
        """An attempt starts only when all holds that it waits for, by the machine's own record."""
        task, planned, record = self.state.plan.task(key.task), self.state.planned(key), self.record
        assert not record.drains
        assert not record.over
        assert (task.source, self.layer(key)) in record.images
        assert key.profile not in record.shut
        assert self.spent_for(key) is None
        for group in planned.after:
            assert self.first_served(group) is not None
        led = self.state.attempts[key].retry
        if led is not None and led.base is not None:
            assert led.base == base == self.state.tries(key)[-2].base, "the whole work is compared"
        else:
            assert base == self.base_of(planned.start)

    def base_of(self, group: tuple[str, ...]) -> str | None:
        """Where an attempt begins that starts from one of these."""
        expected = self.first_served(group)
        if expected is None:
            return BASE
        if expected.key.task not in self.record.skipped or self.is_served(expected):
            return expected.commit or expected.base
        return expected.base or self.base_of(self.state.planned(expected.key).start)

    def is_served(self, one: AttemptState) -> bool:
        """Whether a try served, by its verdict or by a person's word."""
        return str(one.key) in self.record.served or one.key in self.record.chosen

    def first_served(self, group: tuple[str, ...]) -> AttemptState | None:
        """The one that a person chose; or the first in their order that served, all before it being over.

        Where none did and the task is skipped, it is the first try of the first one.
        """
        chosen = [a for text in group for a in self.state.tries(AttemptKey.parse(text))]
        for one in reversed(chosen):
            if one.key in self.record.chosen:
                return one
        for text in group:
            tries = self.state.tries(AttemptKey.parse(text))
            for one in tries:
                if str(one.key) in self.record.served:
                    return one
            held = {d.key.first for d in decide(self.state, 0) if d.standing == "held"}
            assert tries[-1].phase == "final" or tries[-1].key.first in held
        return chosen[0] if chosen and chosen[0].key.task in self.record.skipped else None

    def spent_for(self, key: AttemptKey) -> Spent | None:
        """Whose budget leaves an attempt nothing to spend."""
        if key.profile == "p":
            return None
        of_day: Spent | None = None
        for other in self.state.attempts.values():
            shared = {"task": other.key.task == key.task, "profile": other.key.profile == key.profile}
            if other.spent == "day":
                of_day = of_day if self.is_past(other) else "day"
            elif shared.get(other.spent, other.spent == "run"):
                return other.spent
        return of_day

    def is_past(self, one: AttemptState) -> bool:
        """Whether it ended for the budget of a day that is over."""
        return one.spent == "day" and one.key in self.record.yesterdays

    def layer(self, key: AttemptKey) -> str | None:
        """The agent layer of an attempt's image."""
        return {"p": None, "q": "claude"}[key.profile]

    def die(self, jobs: int, *, kept: bool = False) -> None:
        """The supervisor is killed; another one takes the run up from the journal alone, by itself or not."""
        lives = {key for key, one in self.state.attempts.items() if one.phase not in {"queued", "final"}}
        self.state = self.folded()
        assert self.state.attempts.living == lives, "what lives is known, and nothing else"
        self.jobs = jobs
        record = self.record
        record.images, record.shut, record.over = set(), {}, False
        record.drains = record.drains and kept
        self.note(e.RunResumed(at=self.now, jobs=jobs, kept=kept))
        for follows in list(retrying.due(self.state, self.now)):
            self.note(follows)
        self.agenda = Agenda(self.state)

    def folded(self) -> RunState:
        """The state as a process finds it that has nothing but the journal."""
        return fold(("r", e.ADAPTER.validate_json(row)) for row in self.journal)

    # -- images

    @precondition(lambda self: self.missing())
    @rule(data=st.data(), fails=st.integers(0, 5))
    def image(self, data: st.DataObject, fails: int) -> None:
        """The image that somebody needs is ready, or can't be made."""
        need = data.draw(st.sampled_from(self.missing()))
        if fails == 0:
            self.note(e.ImageFailed(at=self.now, source=need[0], cli=need[1], reason="no disk"))
        else:
            self.image_is_ready(need)

    def image_is_ready(self, need: tuple[int, str | None]) -> None:
        """An image is ready."""
        self.record.images.add(need)
        self.note(e.ImageReady(at=self.now, source=need[0], cli=need[1], image="sha256:1"))

    @precondition(lambda self: self.record.images)
    @rule()
    def image_goes(self) -> None:
        """Somebody removes the image, and an attempt finds that it is not there any more."""
        self.record.images = set()
        self.note(e.ImageGone(at=self.now, image="sha256:1"))

    def missing(self) -> list[tuple[int, str | None]]:
        """Images that are needed and of which nothing is known yet."""
        known = {*self.record.images, *self.state.broken_images}
        return [need for need in images_of(self.state.plan) if need not in known]

    # -- attempts, each in its own order, and all of them in any

    def living(self) -> list[AttemptState]:
        """The attempts that live."""
        return [one for one in self.state.attempts.values() if one.phase not in {"queued", "final"}]

    @rule(seed=SEEDS, times=st.integers(1, 40))
    def the_night_goes_on(self, seed: int, times: int) -> None:
        """Things happen in those that live, in any order, and what may start does."""
        chance = Random(seed)  # noqa: S311 - a test's, that hypothesis can repeat
        for _ in range(times):
            living = self.living()
            if living and chance.random() < 0.8:
                self.step(chance.choice(living), chance.choice)
            else:
                self.turn(None)

    @rule()
    def pauses_end(self) -> None:
        """Who rested before it is tried again has rested."""
        for one in list(self.state.attempts.values()):
            if one.rests_until is not None:
                self.note(e.AttemptRested(at=self.now, attempt=str(one.key)))

    @rule(data=st.data())
    def a_person_decides(self, data: st.DataObject) -> None:
        """A person orders something about any task or attempt, sensible or not."""
        self.decide_something(lambda options: data.draw(st.sampled_from(options)))

    @rule(luck=st.integers(0, 2**32))
    def a_long_stretch(self, luck: int) -> None:
        """A long stretch of all of this, by chance: what is drawn one by one seldom comes so far."""
        chance = Random(luck)  # noqa: S311 - it has to come again
        for _ in range(30):
            self.turn(None)
            for need in self.missing():
                self.image_is_ready(need)
            if self.living():
                self.step(chance.choice(self.living()), chance.choice)
            if chance.random() < 0.1:
                self.pauses_end()
            if chance.random() < 0.1:
                self.decide_something(chance.choice)
            if chance.random() < 0.03:
                self.die(chance.randint(1, 4))
            self.nothing_starts_twice_and_what_is_final_stays()

    def decide_something(self, pick: Pick) -> None:
        """A person orders something about any task or attempt."""
        one = pick(list(self.state.attempts.values()))
        what = pick(["retry", "skip", "use"])
        order: orders.Retry | orders.Decide
        if what == "retry":
            order = orders.Retry(attempt=str(one.key.first))
        else:
            chosen = str(one.key) if what == "use" else None
            order = orders.Decide(task=one.key.task, what="use" if chosen else "skip", attempt=chosen)
        done = deciding.obey(self.state, order, self.now)
        if isinstance(done, str):
            return
        self.note(done)
        if what == "use":
            self.forget_words_on(one.key.task)
            self.record.chosen.add(one.key)
        elif what == "skip":
            self.forget_words_on(one.key.task)
            self.record.skipped.add(one.key.task)
        else:
            self.record.skipped.discard(one.key.task)

    def forget_words_on(self, task: str) -> None:
        """Only a person's last word on a task counts: here whatever needs one needs any of its attempts."""
        self.record.skipped.discard(task)
        self.record.chosen = {key for key in self.record.chosen if key.task != task}

    def step(self, one: AttemptState, pick: Pick) -> None:
        """What comes next in an attempt's life."""
        self.note(self.next_of(one, pick))
        after = self.state.attempts[one.key]
        if after.phase == "final":
            self.record.finals[str(one.key)] = after
            may_be_empty = self.state.plan.task(one.key.task).may_be_empty
            if after.verdict is not None and served(after.verdict, may_be_empty=may_be_empty):
                self.record.served.add(str(one.key))
            if pick(range(8)) == 7:  # the supervisor dies before it noted what follows
                self.die(self.jobs)
            elif (follows := retrying.following(self.state, one.key, self.now)) is not None:
                self.note(follows)

    def next_of(self, one: AttemptState, pick: Pick) -> e.Event:
        """One of the events that `drive` may yield then."""
        at, name = self.now, str(one.key)
        match one.phase:
            case "preparing" | "running" | "held":
                return self.of_a_box(one, pick)
            case "gathering":
                if one.ended != "infrastructure" and pick(range(8)) == 7:  # told again: a fault of ours came
                    return e.AttemptEnded(
                        at=at, attempt=name, ended="infrastructure", reason="lost", spent=one.spent
                    )
                work: Work = pick(("gathered", "none", "salvaged", "refused"))
                commit = pick(("b" * 40, "c" * 40)) if work in {"gathered", "salvaged"} else None
                return e.AttemptGathered(at=at, attempt=name, work=work, commit=commit)
            case "checking":
                has_check = self.state.plan.task(one.key.task).check is not None
                check: Check = pick(("passed", "failed", "not-run")) if has_check else "none"
                return e.AttemptChecked(at=at, attempt=name, check=check)
        assert one.ended is not None
        assert one.work is not None
        assert one.check is not None
        reached = verdict(one.ended, one.work, one.check)
        return e.AttemptFinal(at=at, attempt=name, verdict=reached, home=pick((True, False)))

    def of_a_box(self, one: AttemptState, pick: Pick) -> e.Event:
        """What its agent's box does next."""
        at, name = self.now, str(one.key)
        if self.state.stopping:
            return e.AttemptEnded(at=at, attempt=name, ended="cancelled")
        if self.record.over:
            return e.AttemptEnded(at=at, attempt=name, ended="timeout", reason=RUN_OVER)
        choice = pick(range(10))
        if one.phase != "running" and choice < 9:
            return e.BoxStarted(at=at, attempt=name, container=f"c{one.boxes}", again=one.boxes)
        if choice < 5:
            return e.AttemptEnded(at=at, attempt=name, ended="exited")
        if choice == 5 and one.phase == "running":
            return e.AttemptHeld(
                at=at, attempt=name, container="c", why="a window", seconds=1, held_s=0, told_s=0
            )
        if choice in {7, 8} and one.key.profile == "q":
            return e.AttemptEnded(at=at, attempt=name, ended="over-budget", spent=pick(SPENT))
        return e.AttemptEnded(at=at, attempt=name, ended=pick(OTHER_ENDS))

    # -- the world

    @rule(profile=st.sampled_from("pq"), kind=st.sampled_from(["closes", "opens", "closes for good"]))
    def a_window(self, profile: str, kind: str) -> None:
        """A window of a profile's provider closes, for good or for a while; or all open."""
        if kind == "opens":
            self.record.shut.clear()
        else:
            self.record.shut[profile] = kind == "closes for good"
        self.windows_change()

    @precondition(lambda self: len(self.journal) > 12)
    @rule(kind=st.sampled_from(["nothing"] * 4 + ["drain", "stop", "over"]))
    def whoever_is_in_charge(self, kind: str) -> None:
        """A person interrupts; or the run's end comes."""
        if kind in {"drain", "stop"}:
            self.record.drains = True
            self.note((e.Stopping if kind == "stop" else e.Draining)(at=self.now))
        elif kind == "over":
            self.record.over = True
            self.note(e.RunOver(at=self.now, until=self.now))

    @precondition(lambda self: self.living())
    @rule(jobs=st.integers(1, 4), kept=st.booleans())
    def another_supervisor(self, jobs: int, *, kept: bool) -> None:
        """It is killed while something lives."""
        self.die(jobs, kept=kept)

    @precondition(lambda self: self.state.of_day is not None)
    @rule()
    def a_day_begins(self) -> None:
        """It is midnight."""
        self.record.yesterdays |= {key for key, one in self.state.attempts.items() if one.ended is not None}
        self.note(e.DayBegan(at=self.now))

    def windows_change(self) -> None:
        """Tell which windows are closed."""
        self.note(
            e.WindowsChanged(
                at=self.now,
                shut=tuple(
                    e.Shut(profile=name, window="the week", since=1, until=9, for_good=for_good)
                    for name, for_good in self.record.shut.items()
                ),
            )
        )

    # -- what must hold whatever happens

    @invariant()
    def what_is_remembered_is_what_is_written(self) -> None:
        """A process that finds the journal alone knows what this one knows, and would do the same."""
        again = self.folded()
        assert again == self.state
        self.agenda.follow(self.state)
        assert self.agenda.all(self.jobs) == decide(again, self.jobs)
        assert self.agenda.finished == finished(again)
        starts = {d.key for d in decide(again, self.jobs) if d.standing == "start"}
        assert {d.key for d in self.agenda.due(self.jobs) if d.standing == "start"} == starts

    @invariant()
    def nothing_starts_twice_and_what_is_final_stays(self) -> None:
        """Every try starts once at most; what was final is as it was; no attempt is lost."""
        assert all(times == 1 for times in self.record.starts.values())
        for name, final in self.record.finals.items():
            now = self.state.attempts[AttemptKey.parse(name)]
            assert replace(now, again=False) == replace(final, again=False)
        planned = {one.key for one in self.state.plan.attempts}
        assert {key.first for key in self.state.attempts} == planned
        for key in planned:
            *earlier, last = self.state.tries(key)
            assert [one.key.try_ for one in (*earlier, last)] == list(range(1, len(earlier) + 2))
            assert all(one.phase == "final" and one.again for one in earlier)
            why = Counter(one.retry.why for one in (*earlier, last) if one.retry is not None)
            policy = self.state.plan.task(key.task).retry
            assert why["infrastructure"] <= policy.infrastructure
            assert why["feedback"] <= policy.feedback
            assert why["memory"] <= (policy.memory is not None)

    def teardown(self) -> None:
        """Whatever happened: it comes to an end, each task in one final state, and the exit code tells it."""
        if not hasattr(self, "state"):
            return
        for _ in range(100 * len(self.state.plan.attempts) + 40):
            if finished(self.state) and not self.living():
                break
            for need in self.missing():
                self.image_is_ready(need)
            if not all(self.record.shut.values()):
                self.record.shut.clear()
                self.windows_change()
            self.pauses_end()
            if self.state.of_day is not None:
                self.a_day_begins()
            self.turn(None)
            for one in self.living():
                self.step(one, self.last.choice)
        assert finished(self.state)
        decisions = {decision.key.first: decision for decision in decide(self.state, self.jobs)}
        for planned in self.state.plan.attempts:
            last = self.state.tries(planned.key)[-1]
            assert last.phase in {"final", "queued"}
            if last.phase == "queued":
                assert decisions[planned.key].standing == "held"
                assert decisions[planned.key].why
        self.note(e.RunEnded(at=self.now, exit_code=exit_code(self.state)))
        assert self.state.exit_code == self.expected()
        assert self.folded() == self.state

    def expected(self) -> int:
        """The exit code by the table in the documents: the highest of 3, 4 and 1 that applies, or 0."""
        codes = {0}
        for task in self.state.plan.tasks:
            tries = [one for key, one in self.state.attempts.items() if key.task == task.id]
            if task.id in self.record.skipped or any(self.is_served(one) for one in tries):
                continue
            lasts = [one for one in tries if not one.again]
            codes.add(1)
            if any(one.verdict == "infrastructure" for one in lasts):
                codes.add(3)
            if any(self.gave_up(one) for one in tries):
                codes.add(4)
        return next(code for code in (3, 4, 1, 0) if code in codes)

    def gave_up(self, one: AttemptState) -> bool:
        """Whether a budget, a provider's window or the run's end kept an attempt from serving."""
        if one.phase == "final":
            over = one.ended == "timeout" and one.reason == RUN_OVER
            return over or one.ended == "limited" or bool(one.spent)
        for_good = self.record.shut.get(one.key.profile, False)
        waits = self.state.plan.on_limit == "wait"
        whose = self.spent_for(one.key)
        return self.record.over or for_good or (whose is not None and not (whose == "day" and waits))


TestNight = pytest.mark.timeout(3600 if FULL else 600)(Supervisor.TestCase)
TestNight.settings = settings(
    max_examples=3000 if FULL else 60, stateful_step_count=40 if FULL else 20, deadline=None
)
