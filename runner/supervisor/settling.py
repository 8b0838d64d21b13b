"""When a comparison that may end early is decided: seen as the run goes on (`stop_when: decided`)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from runner.compare.comparing import ALPHA
from runner.compare.early import Watched, decided, is_look
from runner.supervisor import events as e
from runner.supervisor.morning.evidence import honest
from runner.supervisor.scoring import Progress, left_out, scored
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.supervisor.tries import Attempts


class Settling:
    """Looks at one comparison in this process, each time that enough more of it is over."""

    def __init__(self) -> None:
        self._seen: Attempts[AttemptState] | None = None
        self._progress: Progress | None = None
        self._looked = 0

    def news(self, state: RunState) -> Iterator[e.RunDecided]:
        """That it is decided, once."""
        if not state.plan.stops_when_decided or state.decided is not None or state.attempts is self._seen:
            return
        self._seen = state.attempts
        if self._progress is None or self._progress.plan is not state.plan:
            self._progress = Progress(state.plan)
        watched = Watched(self._progress.blocks, self._progress.follow(state))
        if not is_look(watched, self._looked):
            return
        self._looked = watched.reached
        out = left_out(state)
        rows = [row for row in honest(state, scored(state)) if row.attempt not in out]
        order = decided(watched, rows, state.plan.compared, ALPHA)
        if order is not None:
            yield e.RunDecided(
                at=time.time(), order=order, blocks=watched.reached, planned=len(watched.blocks)
            )
