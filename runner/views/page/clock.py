"""Times as a person reads them, and where along a night they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from runner.views.page.markup import Html, percent, tag

_STEPS = (
    1,
    2,
    5,
    10,
    20,
    30,
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)),
)
"""Seconds between two marks of an axis."""


def told(at: float, zone: tzinfo | None) -> str:
    """A time of day, by the host's clock where there is no zone."""
    return moment(at, zone).strftime("%H:%M")


def moment(at: float, zone: tzinfo | None) -> datetime:
    """A moment by a clock on the wall."""
    return datetime.fromtimestamp(at, zone) if zone is not None else datetime.fromtimestamp(at).astimezone()


@dataclass(frozen=True)
class Axis:
    """A stretch of time, drawn from left to right."""

    start: float
    end: float
    zone: tzinfo | None = None

    def share(self, at: float) -> float:
        """Where a moment stands, from 0 to 1."""
        return min(1.0, max(0.0, (at - self.start) / (self.end - self.start)))

    def marks(self, most: int = 8) -> Iterator[tuple[float, str]]:
        """Round times of the clock: where each stands, and how it is called."""
        length = self.end - self.start
        step = float(next((one for one in _STEPS if length / one <= most), _STEPS[-1]))
        form = "%H:%M" if step >= 60 else "%H:%M:%S"
        offset = moment(self.start, self.zone).utcoffset()
        shift = 0.0 if offset is None else offset.total_seconds()
        at = ((self.start + shift) // step + 1) * step - shift
        while at < self.end:
            yield self.share(at), moment(at, self.zone).strftime(form)
            at += step

    def lines(self) -> Html:
        """The marks as lines down a drawing."""
        return Html("".join(_line(share) for share, _ in self.marks()))

    def labels(self) -> Html:
        """The marks' names; those that would run over an edge are left out."""
        shown = [(share, name) for share, name in self.marks() if 0.03 < share < 0.97]
        return Html(
            "".join(
                tag("text", name, x=percent(share), y="12", class_="tick", text_anchor="middle").text
                for share, name in shown
            )
        )


def _line(share: float) -> str:
    return tag("line", x1=percent(share), x2=percent(share), y1="0", y2="100%", class_="hour").text
