"""The report's page as a file."""

from __future__ import annotations

import time
from pathlib import Path

from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor.journal import Journal
from runner.supervisor.morning.judged import judged as compared
from runner.supervisor.morning.together import foresee
from runner.supervisor.records import find_run, journal
from runner.supervisor.state import RunState, fold
from runner.views import fairness
from runner.views.page.gathering import Judged, material
from runner.views.page.page import page


def write(settings: Settings, name: str, file: Path | None) -> Path:
    """Write the page of a run.

    Args:
        settings: Where the state directory is.
        name: The run, as a person names it.
        file: Where to; None for beside the run's logs.

    Returns:
        Where it is.

    Raises:
        UsageError: There is no such run, or the file can't be written.
    """
    if file is not None and not file.absolute().parent.is_dir():
        cure = f"`mkdir -p {file.parent}` makes it; or name another file"
        raise UsageError(f"there is no directory {file.parent}", cure=cure)
    find_run(settings, name)  # says what is wrong where there is none
    with journal(settings) as book:
        run, text = _page(settings, book, name)
    target = file if file is not None else settings.home / "runs" / run / "report.html"
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(target)  # whoever has it open sees all of the one or of the other
    except OSError as error:
        part.unlink(missing_ok=True)
        cure = "name another file, or make room"
        raise UsageError(f"{target} can't be written: {error.strerror}", cure=cure) from error
    return target.absolute()


def _page(settings: Settings, book: Journal, name: str) -> tuple[str, str]:
    """The run's name, and its page."""
    run = book.resolve(name)
    events = [row.event for row in book.events(run)]
    state = fold((run, event) for event in events)
    return run, page(material(settings.home, state, events, time.time(), judged(settings.home, state)))


def judged(home: Path, state: RunState) -> Judged:
    """What the page shows besides the run itself: the one place where it comes from."""
    return Judged(
        comparison=compared(state).comparison if state.plan.compared else None,
        audit=fairness.told(state),
        matrices=foresee(home, state),
    )
