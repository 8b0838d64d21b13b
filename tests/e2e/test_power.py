"""The power fails, or the engine, while the real Claude Code works: its session goes on from its files.

A real power cut can't be had here. It is imitated: everything is killed at once (supervisor, gateway, engine,
shims, what runs in boxes), mounts are taken away and sockets removed, and then the engine is started again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_LAYER
from tests.engine.living import Live, gateway_processes, living
from tests.engine.private_engine import PrivateEngine, private_engine
from tests.support import Corral, git, host_git_hashes, make_repo, printed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine of its own")

SCRIPT = """
turns:
  - tools: [{name: Bash, input: {command: "echo first >> made && sync made && echo said-first"}}]
    usage: {input: 100, output: 10}
  - expect: said-first
    tools: [{name: Bash, input: {command: "echo waiting; sleep 300", timeout: 400000}}]
    usage: {input: 100, output: 10}
  - expect: You were interrupted
    tools: [{name: Bash, input: {command: "echo second >> made"}}]
    usage: {input: 100, output: 10}
  - text: Done.
    usage: {input: 100, output: 10}
  - text: Done.
  - text: Done.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A task file of one task for Claude Code, with a script for its model."""
    repo = make_repo(tmp_path / "repo")
    (tmp_path / "script.yaml").write_text(SCRIPT)
    made = tmp_path / "t.yaml"
    made.write_text(
        yaml.safe_dump(
            {
                "repo": str(repo),
                "limits": {"cpus": 1, "memory": "1GiB", "time": "10min", "idle": "8min"},
                "agents": {"claude": {"cli": "claude", "model": "claude-opus-5-5"}},
                "upstream": f"script:{tmp_path / 'script.yaml'}",
                "tasks": [{"id": "a", "prompt": "Do it.", "check": 'test "$(head -1 made)" = first'}],
            }
        )
    )
    return made


@pytest.fixture
def engine(corral: Corral, file: Path) -> Iterator[PrivateEngine]:
    """An engine of the test's own, which has the images that the run needs."""
    image = corral("image", "build", file, timeout=550).out.split()[-1]
    with Engine(dict(os.environ)) as main, private_engine() as private:
        tags = [tag for facts in main.images(LABEL_LAYER) for tag in facts.tags if facts.id == image]
        stewards = [t for f in main.images(LABEL_LAYER) for t in f.tags if t.startswith("corral-steward:")]
        private.take_images([*tags, *stewards])
        yield private


@pytest.mark.timeout(900)
def test_a_session_goes_on_after_the_power_failed(
    corral: Corral, engine: PrivateEngine, file: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    before = host_git_hashes(repo)
    corral.env["DOCKER_HOST"] = engine.address
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        until_said(corral, "waiting")
        time.sleep(1)
        run.kill()
        for pid in gateway_processes(corral.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        engine.cut_the_power()
    shutil.rmtree(corral.home / "s")
    engine.start()
    with living(corral, "resume") as resumed:
        assert resumed.end() == 0, resumed.events
    went_on(resumed, repo)
    assert engine.containers() == []
    assert host_git_hashes(repo) == before


@pytest.mark.timeout(900)
def test_a_session_goes_on_after_its_engine_alone_was_restarted(
    corral: Corral, engine: PrivateEngine, file: Path, tmp_path: Path
) -> None:
    """Under a supervisor that lives, as when an upgrade restarts the engine at night."""
    repo = tmp_path / "repo"
    before = host_git_hashes(repo)
    corral.env["DOCKER_HOST"] = engine.address
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        until_said(corral, "waiting")
        time.sleep(1)
        engine.kill()
        engine.start()
        assert run.end() == 0, run.events
    went_on(run, repo)
    assert engine.containers() == []
    assert host_git_hashes(repo) == before


def went_on(run: Live, repo: Path) -> None:
    """The session went on once, in the same try, and its work is that of both boxes."""
    (held,) = [event for event in run.events if event["kind"] == "attempt.held"]
    assert (held["cause"], held["session"] is not None) == ("machine", True)
    row = run.rows()["a"]
    assert (row["verdict"], row["try"]) == ("accepted", 1)
    assert git(repo, "show", f"{row['branch']}:made").splitlines() == ["first", "second"]


def until_said(corral: Corral, words: str) -> None:
    """Wait until the agent's output holds these words."""
    end = time.monotonic() + 120
    while words not in printed(corral.home, "a"):
        assert time.monotonic() < end
        time.sleep(0.2)
