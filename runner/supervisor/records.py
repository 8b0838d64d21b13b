"""What the journal says, for commands that only look: nothing is made where no run has been yet."""

from __future__ import annotations

from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor.events import RunStarted
from runner.supervisor.expected import Took, expected, took
from runner.supervisor.journal import Journal
from runner.supervisor.state import RunState, fold
from runner.tasks.plan import Plan

LOOKED_AT = 20
"""So many of the latest runs are looked at for how long things take: later ones tell more."""


def journal(settings: Settings) -> Journal:
    """The journal of the state directory."""
    return Journal(settings.home / "journal.db")


def run_names(settings: Settings) -> list[str]:
    """The names of all runs, the latest last."""
    if not _has_runs(settings):
        return []
    with journal(settings) as book:
        return book.runs()


def all_runs(settings: Settings) -> list[RunState]:
    """The state of every run, the latest last."""
    if not _has_runs(settings):
        return []
    with journal(settings) as book:
        return [_fold(book, name) for name in book.runs()]


def find_run(settings: Settings, name: str) -> RunState:
    """The state of the run that a person means.

    Raises:
        UsageError: There is none, or more than one fits.
    """
    if not _has_runs(settings):
        raise UsageError("there is no run yet", cure="corral run FILE")
    with journal(settings) as book:
        return _fold(book, book.resolve(name))


def pending_orders(settings: Settings, state: RunState) -> bool:
    """Whether somebody ordered something of a run that is not heeded yet."""
    with journal(settings) as book:
        return next(book.orders(state.name, state.heeded), None) is not None


def wanted_images(settings: Settings) -> set[str]:
    """The images of runs that have not ended."""
    return {image for run in all_runs(settings) if run.ended is None for image in run.images.values()}


def expected_times(settings: Settings, plan: Plan) -> dict[str, float]:
    """By `TASK/PROFILE`, in how many seconds an attempt of a plan is done, as far as its latest runs tell."""
    if not _has_runs(settings):
        return {}
    hashes = {profile.hash for profile in plan.profiles}
    record: list[Took] = []
    with journal(settings) as book:
        for name in [name for name in book.runs() if name != plan.run][-LOOKED_AT:]:
            earlier = next(book.of_kinds(name, "run.started"), None)
            if isinstance(earlier, RunStarted) and hashes & {one.hash for one in earlier.plan.profiles}:
                told = book.of_kinds(name, "attempt.ended", "attempt.checked")
                record += took(earlier.plan, told)
    return expected(plan, record)


def _fold(book: Journal, name: str) -> RunState:
    return fold((row.run, row.event) for row in book.events(name))


def _has_runs(settings: Settings) -> bool:
    return (settings.home / "journal.db").exists()
