"""Tells people what happens in one run: knows what was told, what waits, and keeps the flag file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from runner.gateway.grants import Sum
from runner.recipients import Recipient
from runner.supervisor import events as e
from runner.supervisor.deadline import Clocks
from runner.supervisor.journal import Row
from runner.supervisor.people.courier import Courier, Message
from runner.supervisor.people.flag import raise_flag
from runner.supervisor.people.notices import (
    Needs,
    Notice,
    budget_news,
    end_notice,
    message,
    needs_after,
    told_by,
)
from runner.supervisor.people.outbox import Outbox
from runner.supervisor.state import RunState, apply, begin
from runner.tasks.plan import Spent

FAREWELL = 60.0
"""Seconds for which a run that is over waits until people are told so."""

TICK = 0.2


class Herald:
    """One run's. Never raises for what a service does, and never waits for one but in `farewell`."""

    def __init__(
        self,
        recipients: tuple[Recipient, ...] = (),
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        """Tell nobody, by default.

        Args:
            recipients: Who is told.
            environment: For the programs that send, and those that tell URLs.
            home: The state directory, in which the flag is; None for no flag.
            clocks: By default those of this host.
        """
        self._boxes = {recipient.name: Outbox(recipient) for recipient in recipients}
        self._environment = environment or {}
        self._courier = Courier(self._environment)
        self._home = home
        self._clocks = clocks or Clocks()
        self._needs: Needs = {}
        self._problems: dict[str, str] = {}

    def catch_up(self, rows: Iterable[Row], now: RunState) -> None:
        """Take in what an earlier process noted: what was told already, as `now` knows, is not told again."""
        state: RunState | None = None
        for row in rows:
            state = begin(row.run, row.event) if state is None else apply(state, row.event)
            self._take(row.event, state, now.notified)
        self._fly(now)

    def heed(self, event: e.Event, state: RunState) -> None:
        """Take in what happened; `state` is how the run stands after it."""
        before = self._needs
        self._take(event, state, state.notified)
        if self._needs != before:
            self._fly(state)

    def news(self, state: RunState, spent: Mapping[Spent, Sum]) -> Iterator[e.BudgetUsed | e.Notified]:
        """Send what is due; yields of which budgets most is spent, and what became of what was sent before.

        Args:
            state: The run.
            spent: What was spent in its books, by whose they are.
        """
        yield from budget_news(state, spent, self._clocks.wall())
        for name, problem in self._courier.arrived():
            yield from self._arrived(name, problem, state)
        now, wall = self._clocks.steady(), self._clocks.wall()
        for name, box in self._boxes.items():
            if box.waiting:
                self._boxes[name] = worth = box.worth_it(wall)
                if worth.due(now, wall):
                    self._send(name, state)

    def farewell(
        self,
        state: RunState,
        code: int | None,
        hurry: Callable[[], bool],
        goes_on: Callable[[], bool] = lambda: False,
    ) -> Iterator[e.Notified]:
        """Tell that the run ended, with all that was held back, and wait for a while until it is told.

        Args:
            state: The run, in which everything ended.
            code: What it ends with; None if nobody needs to be told.
            hurry: Whether a person does not want to wait.
            goes_on: Whether it has not ended after all: then what was not told yet waits on.
        """
        wall, until = self._clocks.wall(), self._clocks.steady() + FAREWELL
        self._boxes = {name: box.worth_it(wall) for name, box in self._boxes.items()}
        if code is not None:
            self._put(end_notice(state, code, wall), state.notified)
        yield from self._part(state, lambda: hurry() or goes_on() or self._clocks.steady() >= until)
        self._courier.close()
        if not goes_on():
            stopped, late = "the run was stopped before", "it did not take the run's last message in time"
            yield from self._left_untold(stopped if code is None else late)
        self._courier = Courier(self._environment)
        self._boxes = {name: box.going_on(self._clocks.steady()) for name, box in self._boxes.items()}

    def _left_untold(self, why: str) -> Iterator[e.Notified]:
        for name, box in self._boxes.items():
            if box.waiting:
                problem = self._problems.get(name) or why
                causes = tuple(notice.cause for notice in box.waiting)
                yield e.Notified(at=self._clocks.wall(), recipient=name, causes=causes, failed=problem)

    def _part(self, state: RunState, enough: Callable[[], bool]) -> Iterator[e.Notified]:
        """Send everything that waits, once to each, and wait for what becomes of it."""
        tried: set[str] = set()
        while not enough():
            for name, box in self._boxes.items():
                if box.waiting and not box.under_way and name not in tried:
                    tried.add(name)
                    self._send(name, state)
            if not any(box.under_way for box in self._boxes.values()):
                break
            for name, problem in self._courier.arrived(patience=TICK):
                yield from self._arrived(name, problem, state)

    def close(self) -> None:
        """End what is still being sent."""
        self._courier.close()

    def _take(self, event: e.Event, state: RunState, told: frozenset[tuple[str, str]]) -> None:
        if self._home is not None:
            self._needs = needs_after(self._needs, event, state)
        if self._boxes:
            for notice in told_by(event, state):
                self._put(notice, told)

    def _put(self, notice: Notice, told: frozenset[tuple[str, str]]) -> None:
        for name, box in self._boxes.items():
            if (name, notice.cause) not in told:
                self._boxes[name] = box.put(notice, self._clocks.steady())

    def _fly(self, state: RunState) -> None:
        if self._home is not None:
            raise_flag(self._home, state.name, self._needs.values())

    def _send(self, name: str, state: RunState) -> None:
        box = self._boxes[name]
        title, body = message(state.name, box.waiting, box.left_out)
        urgent = any(notice.urgent and notice.kind != "end" for notice in box.waiting)
        self._boxes[name] = box.sending()
        self._courier.send(box.recipient, Message(title, body, urgent))

    def _arrived(self, name: str, problem: str, state: RunState) -> Iterator[e.Notified]:
        box, now = self._boxes[name], self._clocks.steady()
        if not problem:
            causes = tuple(notice.cause for notice in box.waiting[: box.under_way])
            self._boxes[name] = box.sent(now)
            self._problems.pop(name, None)
            yield e.Notified(at=self._clocks.wall(), recipient=name, causes=causes)
            return
        self._boxes[name] = box.failed(now)
        known, self._problems[name] = self._problems.get(name, state.untold.get(name)), problem
        if known != problem:
            yield e.Notified(at=self._clocks.wall(), recipient=name, failed=problem)
