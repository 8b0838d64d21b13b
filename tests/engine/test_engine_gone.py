"""The engine dies while boxes run: it is waited for, no work is lost, and no box lives on unwatched."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_LAYER
from tests.conftest import FULL
from tests.engine.living import Live, living
from tests.engine.private_engine import PrivateEngine, private_engine
from tests.support import Corral, git, host_git_hashes, write_tasks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine of its own")
TASKS = dict.fromkeys("abc", "echo begun > made; echo begun; sleep 300")
LIVES_ON = pytest.mark.parametrize("engine", [("--live-restore",)], indirect=True)


@pytest.fixture
def tasks() -> dict[str, str]:
    """What the tasks' commands do."""
    return TASKS


@pytest.fixture
def engine(
    corral: Corral, repo: Path, tasks: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[PrivateEngine]:
    """An engine of the test's own, which has the images that the command needs."""
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    image = corral("image", "build", file).out.split()[-1]  # and the steward's
    with Engine(dict(os.environ)) as main, private_engine(*getattr(request, "param", ())) as private:
        held = main.images(LABEL_LAYER)
        private.take_images([tag for facts in held for tag in facts.tags if needed(tag, facts.id, image)])
        yield private


def needed(tag: str, id_: str, image: str) -> bool:
    """Whether a run asks for an image by this name."""
    return id_ == image or tag.startswith("corral-steward:")


@pytest.fixture
def run(corral: Corral, repo: Path, engine: PrivateEngine) -> Iterator[Live]:
    """A run of which two attempts live on that engine, and one waits."""
    corral.env["DOCKER_HOST"] = engine.address
    before = host_git_hashes(repo)
    with living(corral, "run", repo.parent / "t.yaml", "--jobs", "2") as live:
        live.until_said("begun", 2)
        yield live
    assert host_git_hashes(repo) == before


def until_missed(run: Live) -> None:
    """Listen until both attempts say that they wait for their engine, which takes a quarter of a minute."""
    while len({one["attempt"] for one in run.events if one.get("held_kind") == "engine"}) < 2:
        run.until("attempt.signs", run.count("attempt.signs") + 1)


def test_work_is_kept_where_the_reason_says_and_reap_saves_it(
    corral: Corral, engine: PrivateEngine, run: Live
) -> None:
    engine.kill()
    until_missed(run)
    assert run.count("attempt.ended") == 0, "it is waited for"
    assert run.stop() == 130
    rows = run.events[-1]["attempts"]
    first = [row for row in rows if row["task"] in "ab"]
    assert [(row["verdict"], row["try"]) for row in first] == [("infrastructure", 1)] * 2
    for row in first:
        assert row["kept"] in row["reason"]
        assert (Path(row["kept"]) / "agent.ext4").is_file()
    engine.start()
    assert corral("reap", "--dry-run").out.count("workspace ") >= 2
    assert corral("reap").code == 0
    saved = [next((corral.home / "kept").glob(f"*{Path(row['kept']).name}*")) for row in first]
    assert [text_in(archive) for archive in saved] == ["begun\n"] * 2
    assert engine.containers() == []
    assert "nothing is left over" in corral("reap").out


def text_in(archive: Path) -> str:
    """What the command wrote, from an archive of its workspace."""
    with tarfile.open(archive) as files:
        name = next(name for name in files.getnames() if name.endswith("/made"))
        content = files.extractfile(name)
        assert content is not None
        return content.read().decode()


def test_a_run_whose_engine_and_supervisor_died_can_be_resumed(
    corral: Corral, repo: Path, engine: PrivateEngine, run: Live
) -> None:
    run.kill()
    engine.kill()
    engine.start()
    with living(corral, "resume", "--jobs", "3") as resumed:
        resumed.until("attempt.gathered", 2)
        resumed.process.terminate()
        assert resumed.end() == 143
    first = [row for row in resumed.events[-1]["attempts"] if row["task"] in "ab" and row["try"] == 1]
    for row in first:
        assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "begun"
        assert row["ended"] == "infrastructure", "a command has no session that could go on"
        assert "the machine, or its engine, stopped" in row["reason"]
    assert engine.containers() == []


@pytest.mark.parametrize("how", ["kill", "stop"] if FULL else ["stop"])
def test_boxes_that_an_engine_takes_along_bring_their_work_home_and_begin_anew(
    repo: Path, engine: PrivateEngine, run: Live, how: str
) -> None:
    """A killed engine ends them as it starts again, a stopped one as it goes down."""
    engine.kill() if how == "kill" else engine.stop()
    engine.start()
    run.until("attempt.final", 2)
    run.until("attempt.running", 4)
    assert len(engine.containers()) <= 2 + 2, "two boxes, and who cares for files and disks"
    run.process.terminate()
    assert run.end() == 143
    first = [row for row in run.events[-1]["attempts"] if row["task"] in "ab" and row["try"] == 1]
    assert len(first) == 2
    for row in first:
        assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "begun"
        assert row["ended"] == "infrastructure", "a command has no session that could go on"
        assert "the machine, or its engine, stopped" in row["reason"]
    assert engine.containers() == []


@LIVES_ON
@pytest.mark.parametrize("how", ["kill", "stop"] if FULL else ["kill"])
@pytest.mark.parametrize(
    "tasks", [dict.fromkeys("ab", "echo begun > made; echo begun; sleep 25; echo end >> made")]
)
def test_boxes_that_outlive_their_engine_are_watched_on(
    repo: Path, engine: PrivateEngine, run: Live, how: str
) -> None:
    engine.kill() if how == "kill" else engine.stop()
    time.sleep(3)
    engine.start()
    assert run.end() == 0
    rows = run.events[-1]["attempts"]
    assert [(row["verdict"], row["try"]) for row in rows] == [("done", 1)] * 2
    assert run.count("attempt.running") == run.count("attempt.ended") == 2
    for row in rows:
        assert git(repo, "cat-file", "blob", f"{row['branch']}:made").split() == ["begun", "end"]
        assert 24 < row["seconds"] < 32
    assert engine.containers() == []
