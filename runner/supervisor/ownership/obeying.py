"""What an order comes to, as the run stands: pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.graph import deciding
from runner.supervisor.ownership import orders
from runner.supervisor.ownership.orders import Order
from runner.supervisor.post.mail import refusal_of
from runner.supervisor.slept import Slept
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState


@dataclass(frozen=True)
class Obeyed:
    """What an order leads to.

    Attributes:
        events: What happens.
        interruptions: As how many interruptions it counts: one drains the run, two stop it.
        refused: Why it can't be done, in words; empty if it can.
    """

    events: tuple[e.Event, ...] = ()
    interruptions: int = 0
    refused: str = ""


def obey(state: RunState, order: Order, now: float, slept: Slept | None = None) -> Obeyed:
    """What an order leads to.

    Args:
        state: The run.
        order: The order.
        now: Seconds since the epoch.
        slept: How long the machine has slept by now, if that is known.
    """
    match order:
        case orders.Drain():
            return Obeyed(_draining(state, now), interruptions=1)
        case orders.Stop():
            stopping = () if state.stopping else (e.Stopping(at=now),)
            return Obeyed((*_draining(state, now), *stopping), interruptions=2)
        case orders.Answer():
            if refused := refusal_of(state.mail, order.question):
                return Obeyed(refused=refused)
            return Obeyed((e.RunAnswer(at=now, question=order.question, text=order.text),))
        case orders.Retry() | orders.Decide():
            done = deciding.obey(state, order, now)
            return Obeyed(refused=done) if isinstance(done, str) else Obeyed((done,))
        case orders.Pause() | orders.Unpause():
            return _pause(state, order, now, slept)


def _draining(state: RunState, now: float) -> tuple[e.Event, ...]:
    return () if state.draining else (e.Draining(at=now),)


def _pause(state: RunState, order: orders.Pause | orders.Unpause, now: float, slept: Slept | None) -> Obeyed:
    """Freeze what is named, or let it go on; without names everything, and nothing new is started."""
    pausing = isinstance(order, orders.Pause)
    living = [state.attempts[key] for key in state.attempts if key in state.attempts.living]
    named = {AttemptKey.parse(name) for name in order.attempts}
    chosen = [attempt for attempt in living if not named or attempt.key in named]
    if named and not chosen:
        return Obeyed(refused="none of them lives")
    events: list[e.Event] = []
    if not named and pausing != state.paused:
        events.append(e.RunPaused(at=now) if pausing else e.RunUnpaused(at=now))
    return Obeyed((*events, *_changes(chosen, now, slept, pausing=pausing)))


def _changes(
    attempts: list[AttemptState], now: float, slept: Slept | None, *, pausing: bool
) -> Iterator[e.Event]:
    for attempt in attempts:
        name, frozen = str(attempt.key), attempt.frozen is not None and attempt.frozen.by == "person"
        if pausing and not frozen:
            yield e.AttemptFrozen(at=now, attempt=name, why="paused", by="person", slept=slept)
        elif frozen and not pausing:
            yield e.AttemptThawed(at=now, attempt=name, slept=slept)
