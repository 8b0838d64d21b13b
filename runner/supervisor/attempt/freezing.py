"""A box that is frozen by order, and goes on by order: it keeps its memory and gets no CPU meanwhile.

The supervisor orders it (`spec.Orders.frozen`), and the watch over a box heeds that four times a second.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from runner.errors import EngineError
from runner.sandbox.engine import BoxState, Engine


class Frost:
    """Keeps a box as frozen as is ordered.

    Attributes:
        frozen: Whether it is frozen now, as far as the engine did what it was asked.
    """

    def __init__(
        self, engine: Engine, container: str, state: BoxState | None, ordered: Callable[[], bool]
    ) -> None:
        """Look after a box.

        Args:
            engine: Whose box it is.
            container: The box.
            state: As it is now: an earlier process may have left it frozen.
            ordered: Whether it is to be frozen just now.
        """
        self.frozen = state is not None and state.status == "paused"
        self._since = time.monotonic()
        self._before = 0.0
        self._engine = engine
        self._container = container
        self._ordered = ordered

    def heed(self) -> float:
        """Do what is ordered; what the engine could not do now is tried again the next time.

        Returns:
            For how many seconds the box was frozen since it is looked after here.
        """
        wanted = self._ordered()
        if wanted != self.frozen:
            with contextlib.suppress(EngineError):
                (self._engine.pause if wanted else self._engine.unpause)(self._container)
                self._before, self._since = self._seconds(), time.monotonic()
                self.frozen = wanted
        return self._seconds()

    def _seconds(self) -> float:
        return self._before + (time.monotonic() - self._since if self.frozen else 0.0)
