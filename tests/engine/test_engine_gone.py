"""The engine dies while boxes run: a verdict, the work is still there, and order comes back."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_LAYER
from tests.engine.living import Live, living
from tests.engine.private_engine import PrivateEngine, private_engine
from tests.support import Corral, git, host_git_hashes, write_tasks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine of its own")
TASKS = dict.fromkeys("abc", "echo begun > made; echo begun; sleep 300")


@pytest.fixture
def engine(corral: Corral, repo: Path) -> Iterator[PrivateEngine]:
    """An engine of the test's own, which has the images that the command needs."""
    file = write_tasks(repo.parent / "t.yaml", repo, TASKS)
    image = corral("image", "build", file).out.split()[-1]  # and the steward's
    with Engine(dict(os.environ)) as main, private_engine() as private:
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


def test_work_is_kept_where_the_reason_says_and_reap_saves_it(
    corral: Corral, engine: PrivateEngine, run: Live
) -> None:
    engine.kill()
    assert run.end() == 3
    rows = run.events[-1]["attempts"]
    assert {row["verdict"] for row in rows} == {"infrastructure"}
    first = [row for row in rows if row["task"] in "ab" and row["try"] == 1]
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
