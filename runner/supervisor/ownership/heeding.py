"""Heeding orders to a run on which nobody works: at once, where nothing has to be begun for that."""

from __future__ import annotations

import time
from pathlib import Path

from runner.supervisor import events as e
from runner.supervisor.ending import exit_code
from runner.supervisor.graph.deciding import left_to_do
from runner.supervisor.journal import Journal
from runner.supervisor.ownership import obeying
from runner.supervisor.ownership.lease import OwnedError, owned
from runner.supervisor.ownership.orders import Answer, Decide, Retry
from runner.supervisor.ownership.presence import is_left
from runner.supervisor.state import RunState, apply, fold


def heed(home: Path, run: str) -> RunState | None:
    """Note what follows from the words of a person that a run has not heeded yet, if nobody works on it.

    Whoever does so owns the run meanwhile, as a supervisor does, which begins later what is to be begun.

    Args:
        home: The state directory.
        run: The run.

    Returns:
        How the run stands then; None where the words wait for who works on it, or for who takes it up.

    Raises:
        HostError: The journal can't be written.
    """
    if not is_left(home, run):
        return None
    try:
        with Journal(home / "journal.db") as book, owned(book, home, run) as lease:
            state = fold((row.run, row.event) for row in book.events(run))
            wanted = list(book.orders(run, state.heeded))
            if not all(isinstance(order, Answer | Retry | Decide) for _, order in wanted):
                return None  # the others steer a supervisor
            for seq, order in wanted:
                done = obeying.obey(state, order, time.time())
                heeded = e.OrderHeeded(at=time.time(), seq=seq, order=order, refused=done.refused)
                for event in (*done.events, heeded):
                    book.append(run, event, lease.token)
                    state = apply(state, event)
            code = exit_code(state)
            if state.ended is not None and state.exit_code != code and not left_to_do(state):
                ended = e.RunEnded(at=state.ended, exit_code=code)  # nothing was done since: it ended then
                book.append(run, ended, lease.token)
                state = apply(state, ended)
            return state
    except OwnedError:  # somebody has just taken it up
        return None
