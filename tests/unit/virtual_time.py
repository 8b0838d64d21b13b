"""An event loop whose clock stands still while anything happens, and jumps to what comes next otherwise."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """While `busy` is not zero, a thread works for somebody, and the clock does not jump."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.busy = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds since the beginning."""
        return self.elapsed


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if self._loop.busy or timeout is None:
            return super().select(0.05)
        self._loop.elapsed += timeout
        return []


def run_virtually(story: Coroutine[Any, Any, None], loop: VirtualLoop) -> None:
    """Let a story happen in its own time."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(story)
        assert not asyncio.all_tasks(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
