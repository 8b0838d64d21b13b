"""Which checks are run on what was put together."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runner.errors import EngineError
from runner.sandbox import workspace
from runner.sandbox.workspace import Workspace
from runner.supervisor.attempt.spec import Rooms
from runner.supervisor.morning.combined import Combined, _distinct
from runner.tasks.plan import CheckSpec, Task
from tests.support import make_repo
from tests.unit.makers import make_plan

TESTS, LINT = CheckSpec(run="make test"), CheckSpec(name="lint", run="make lint")


def test_a_check_is_run_once_for_all_that_ask_the_same_of_the_same_files() -> None:
    tasks = [
        Task(id="a", checks=(TESTS,)),
        Task(id="same", checks=(TESTS, LINT)),
        Task(id="elsewhere", source=1, checks=(TESTS,)),
        Task(id="protects", protect=("tests",), checks=(TESTS,)),
        Task(id="none"),
    ]
    asked = [(task.id, [check.name for check in task.checks]) for task in _distinct(tasks)]
    assert asked == [("a", ["check"]), ("same", ["lint"]), ("elsewhere", ["check"]), ("protects", ["check"])]


@pytest.mark.parametrize("fails", [True, False])
def test_what_cannot_be_removed_stays_written_down(tmp_path: Path, fails: bool) -> None:
    """So that `corral reap` finds it: a place whose files are there still can't be taken down."""

    def free(_: str) -> None:
        if fails:
            raise EngineError("the steward is gone")
        shutil.rmtree(space.root)
        space.root.mkdir()

    git_dir = make_repo(tmp_path / "repo") / ".git"
    space = Workspace("0" * 12, tmp_path / "w" / ("0" * 12))
    workspace.remember(space, "r", git_dir)
    workspace.lay_out_clean(space, {})
    engine, disks = SimpleNamespace(find=lambda _: []), SimpleNamespace(free=free)
    rooms = SimpleNamespace(engine=engine, disks=disks, home=tmp_path, locks=tmp_path / "locks")
    Combined(make_plan(), cast(Rooms, rooms), lambda _: "")._remove(space, git_dir)
    assert (space.root.exists(), space.note.exists()) == (fails, fails)
