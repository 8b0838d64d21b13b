"""An image that is removed during a run is prepared once more, and costs one try. Over the FAKE engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, PlannedAttempt, Retry, Source
from tests.contract.fake_night import IMAGE, RUN, FakeImages, Place


def planned(place: Place) -> Plan:
    """One task that writes, is checked, and is tried again at once after a fault of ours."""
    plan = place.plan(
        PlannedAttempt(task="a", profile="writes"), commands={"writes": "echo work > f"}, check="true"
    )
    changed = {"retry": Retry(infrastructure=1, pause=0), "check_base": False}
    return plan.model_copy(update={"tasks": (plan.tasks[0].model_copy(update=changed),)})


@pytest.mark.parametrize("kind", ["attempt.started", "attempt.gathered"])
def test_what_found_no_image_is_tried_again_with_a_new_one(place: Place, kind: str) -> None:
    goes = iter([True])

    def watcher(row: Row, state: RunState) -> None:  # noqa: ARG001
        if row.event.kind == kind and next(goes, False):
            place.host.images = set()

    with place.supervisor(1, watcher) as night:
        state = night.start(planned(place))
    told = [row.event.kind for row in place.rows() if row.event.kind.startswith("image.")]
    assert told == ["image.ready", "image.gone", "image.ready"]
    assert [one.verdict for one in state.attempts.values()] == ["infrastructure", "accepted"]
    assert state == place.folded()


def test_who_makes_an_image_that_nobody_waits_for_ends_with_the_night(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.supervisor(1) as night:
        night.start(planned(place))
    goes_on = threading.Event()

    def slowly(self: FakeImages, source: Source, cli: str | None, on_line: Callable[[str], None]) -> str:  # noqa: ARG001
        goes_on.wait(10)
        return IMAGE

    monkeypatch.setattr(FakeImages, "prepare", slowly)
    with place.supervisor(1) as night:
        night.resume(RUN)
    makers = [thread for thread in threading.enumerate() if thread.name == "images"]
    goes_on.set()
    for thread in makers:
        thread.join(timeout=5)
    assert [thread.is_alive() for thread in makers] == [False]
