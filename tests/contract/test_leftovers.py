"""What processes that were killed left of their containers is gone when whoever came after them is done.

Over the FAKE engine; the same with SIGKILL and real containers is in tests/engine.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from runner import names
from runner.names import AttemptKey
from runner.sandbox.box import BoxSpec, Mount, Role
from runner.sandbox.standing import Post
from runner.supervisor.means import standing
from runner.supervisor.reap import Clearing, Leftovers
from runner.tasks.plan import PlannedAttempt
from tests.contract.fake_engine import FakeEngine
from tests.contract.fake_host import FakeHost
from tests.contract.fake_night import IMAGE, RUN, Killed, Place

KEY = AttemptKey("a", "writes")
GOING = 0.3
"""Seconds that the engine below takes to remove a container."""


class DiskEngine(FakeEngine):
    """Also plays what mounters are asked: they do it."""

    def execute(self, container: str, argv: list[str]) -> tuple[int, str]:
        """See `Engine`."""
        return (0, "") if argv[0] == "/opt/corral/disks.sh" else super().execute(container, argv)


class SlowEngine(DiskEngine):
    """Is removing every container already: a call to remove one returns at once, and it goes later."""

    def remove(self, container: str) -> None:
        """See `Engine`."""
        threading.Timer(GOING, super().remove, [container]).start()


def make(engine: FakeEngine, home: Path, role: Role, run: str = RUN, volume: str | None = None) -> str:
    """A container that was made and never started."""
    key = None if role in {"steward", "mounter"} else KEY
    mounts = () if volume is None else (Mount(volume, "/volume", is_volume=True),)
    labels = names.labels(names.home_id(str(home)), run, key, role)
    return engine.create(
        BoxSpec(
            name=f"corral-{role}-{run}-left",
            image=IMAGE,
            argv=("echo", "left"),
            labels=labels,
            user=None,
            cpus=1,
            memory=1,
            pids=1,
            mounts=mounts,
        )
    )


@pytest.mark.parametrize("role", ["steward", "mounter"])
def test_who_takes_a_run_up_ends_the_containers_that_stood_for_it(tmp_path: Path, role: Role) -> None:
    engine = DiskEngine(FakeHost())
    make(engine, tmp_path, role)
    others = make(engine, tmp_path, role, run="another")
    agent = make(engine, tmp_path, "agent")
    with standing(Post(engine, IMAGE, tmp_path, RUN)):
        assert f"corral-{role}-{RUN}-left" not in {box.name for box in engine.find([])}
    assert {box.id for box in engine.find([])} == {others, agent}


def test_a_container_that_is_going_is_waited_for_before_its_volume_is_removed(tmp_path: Path) -> None:
    host, volume = FakeHost(), f"corral-disks-{RUN}"
    engine = SlowEngine(host)
    ours = Post(DiskEngine(host), IMAGE, tmp_path, "reap")
    engine.make_volume(volume, {}, {})
    make(engine, tmp_path, "mounter", volume=volume)
    left = Leftovers(tuple(engine.find([])), (), (), (), (volume,))
    with standing(ours) as stewards:
        Clearing(engine, tmp_path, left, (), ()).clear(stewards)
        assert volume not in host.volumes
    assert (host.boxes, host.volumes) == ({}, {})


def test_a_container_that_packed_a_home_is_gone_when_its_attempt_is_final(
    place: Place, tmp_path: Path
) -> None:
    """It runs after the last thing that is noted before the end, so nothing tells the next process of it."""
    commands, attempt = {"writes": "echo x > made"}, PlannedAttempt(task="a", profile="writes")
    first = Place(tmp_path / "first")
    with first.supervisor(1) as night:
        night.start(first.plan(attempt, commands=commands))
    checked = [row.event.kind for row in first.rows()].index("attempt.checked") + 1
    with place.supervisor(1, dies_at=checked) as night, pytest.raises(Killed):
        night.start(place.plan(attempt, commands=commands))
    make(FakeEngine(place.host), place.home, "gather")
    with place.supervisor(1) as night:
        assert night.resume(RUN).exit_code == 0
    assert place.leftovers() == []
