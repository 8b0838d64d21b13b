"""Watching a run for programs: one JSON event a line."""

from __future__ import annotations

from collections.abc import Callable

from runner.supervisor import events as e
from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.views import conditions, holds, summary


class JsonLines:
    """Writes every journaled event as plain values, and signs of what is held; the summary last."""

    def __init__(self, write: Callable[[summary.Json], None]) -> None:
        self._write = write
        self._news = holds.News()
        self._conditions = conditions.News()

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, row: Row, state: RunState) -> None:
        """Take one event."""
        if row.seq or (isinstance(row.event, e.Signs) and self._is_news(row.event)):
            self._write(summary.event_row(row))
        if isinstance(row.event, e.RunEnded):
            self._write(summary.summary(state))

    def _is_news(self, signs: e.Signs) -> bool:
        held, condition = self._news.of(signs), self._conditions.of(signs)
        return held or bool(condition)

    def building(self, text: str) -> None:
        """Programs are told of events only."""
