"""What was frozen when its box died, and goes on in another one: over the FAKE engine, with the supervisor.

Its agent's CLI tells a session, as Claude Code does: so it goes on after the machine stopped.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from runner import names
from runner.agents import catalog
from runner.agents.launch import Launch
from runner.supervisor import events as e
from runner.supervisor.attempt import resuming
from runner.supervisor.journal import Journal, Row
from runner.supervisor.ownership import orders
from runner.supervisor.state import RunState
from runner.tasks.plan import ClaudeSettings, Plan, PlannedAttempt
from tests.contract.fake_night import RUN, Killed, Place

SESSION = "01234567-89ab-cdef-0123-456789abcdef"
INIT = f'{{"type":"system","subtype":"init","session_id":"{SESSION}"}}'
DONE = f'{{"type":"result","subtype":"success","is_error":false,"session_id":"{SESSION}"}}'
WORDS = {False: f"echo '{INIT}'; sleep 60", True: f"echo '{INIT}'; sleep 1; echo x > made; echo '{DONE}'"}
"""What the agent does in its first box, and what in one in which it goes on."""

AT_BOX = 4
"""The write of the journal that says that the first box runs."""
PATIENCE = 60.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where a night takes place."""

    def launch(*_: object, resume: str | None = None, **__: object) -> Launch:
        return Launch(("sh", "-c", WORDS[resume is not None]))

    tell = threading.excepthook

    def unless_it_exits(thrown: threading.ExceptHookArgs) -> None:
        """As Python does by itself, and pytest does not: a thread may exit."""
        if thrown.exc_type is not SystemExit:
            tell(thrown)

    monkeypatch.setattr(threading, "excepthook", unless_it_exits)
    monkeypatch.setattr(catalog, "launch", launch)
    monkeypatch.setattr(resuming, "FIRST_PAUSE", 0.2)
    return Place(tmp_path)


def plan_of(place: Place) -> Plan:
    plan = place.plan(PlannedAttempt(task="a", profile="p"), commands={"p": "true"})
    profile = plan.profiles[0].model_copy(update={"settings": ClaudeSettings(model="m")})
    return plan.model_copy(update={"profiles": (profile,)})


def agents_box(place: Place) -> Any:
    return next(box for box in place.host.boxes.values() if box.spec.labels[names.LABEL_ROLE] == "agent")


class Looker:
    """Sees how the night goes on, and lets what is frozen go on once its new box was seen to be."""

    def __init__(self, place: Place) -> None:
        self.was_frozen = False
        self.kinds: list[str] = []
        self._place = place
        self._until = time.monotonic() + PATIENCE

    def __call__(self, row: Row, state: RunState) -> None:
        if time.monotonic() > self._until:
            raise AssertionError(f"it goes on for ever: {self.kinds}")
        self.kinds.append(row.event.kind)
        attempt = next(iter(state.attempts.values()))
        again = isinstance(row.event, e.Signs) and attempt.phase == "running" and attempt.boxes > 1
        if again and not self.was_frozen and agents_box(self._place).status == "paused":
            self.was_frozen = True
            with Journal(self._place.file) as journal:
                journal.order(RUN, orders.Unpause(), time.time())


@pytest.mark.parametrize("by", ["person", "pressure"])
def test_what_was_frozen_when_the_machine_died_goes_on(
    place: Place, by: Literal["person", "pressure"]
) -> None:
    """In its next box only what a person froze is frozen, and that goes on once a person says so."""
    with place.supervisor(1, dies_at=AT_BOX) as night, pytest.raises(Killed):
        night.start(plan_of(place))
    assert [row.event.kind for row in place.rows()][-1] == "attempt.running"
    with Journal(place.file) as journal:
        if by == "person":
            journal.append(RUN, e.RunPaused(at=time.time()))
        journal.append(RUN, e.AttemptFrozen(at=time.time(), attempt="a/p/1", why="so", by=by))
    place.host.die(agents_box(place).id, 137)
    looker = Looker(place)
    with place.supervisor(1, looker) as night:
        state = night.resume(RUN)
    attempt = next(iter(state.attempts.values()))
    assert (attempt.verdict, attempt.boxes, attempt.frozen) == ("done", 2, None)
    assert looker.was_frozen == (by == "person")
    assert place.folded() == state
