"""What a killed run leaves is listed, saved and removed; what belongs to others stays."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from runner.gateway.client import Gateway
from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_LAYER
from runner.sandbox.standing import Post
from runner.settings import Settings
from runner.supervisor import reap as reaping
from runner.supervisor.means import images, standing
from tests.engine.living import Live, gateway_processes, living
from tests.support import Corral, git, host_git_hashes, write_tasks


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A container that isn't ours, of an image that is here."""
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)  # its reaper comes from a registry
    with Engine(dict(os.environ)) as engine:
        image = next(facts.id for facts in engine.images(LABEL_LAYER) if stewards(facts.tags))
    with DockerContainer(image).with_command("sleep 300").with_kwargs(network_mode="none") as container:
        yield container


def stewards(tags: tuple[str, ...]) -> bool:
    """Whether these are names of the image that every run needs."""
    return any(tag.startswith("corral-steward:") for tag in tags)


@pytest.fixture
def killed(corral: Corral, repo: Path) -> Live:
    """A run that was killed while two of its boxes live: with work that is nowhere else, and with grants."""
    transcript = repo.parent / "transcript.yaml"
    transcript.write_text("turns:\n  - text: hello\n")
    made = {"a": "echo unsaved > made", "b": "git commit -q --allow-empty -m x"}
    tasks = {task: f"{sh}; echo begun; sleep 300" for task, sh in made.items()}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    file.write_text(
        file.read_text().replace("cli: command", f"cli: command\n    upstream: script:{transcript}")
    )
    with living(corral, "run", file, "--jobs", "2", "--name", "killed") as run:
        run.until_said("begun", 2)
        run.kill()
    return run


def boxes(run: Live) -> list[str]:
    """The ids of the run's containers."""
    return list(run.boxes().values())


def alive(containers: list[str]) -> list[bool]:
    """Which of these containers run."""
    with Engine(dict(os.environ)) as engine:
        states = [engine.inspect(container) for container in containers]
    return [state is not None and state.alive for state in states]


def test_a_dry_run_lists_what_is_left_and_removes_nothing(corral: Corral, killed: Live) -> None:
    said = corral("reap", "--dry-run")
    assert (said.code, said.out.count("container corral-agent-")) == (0, 2)
    assert said.out.count(f"workspace {corral.home}/w/") == 2
    assert said.out.count(f"grant of a model {corral.home}/s/") == 2
    assert alive(boxes(killed)) == [True, True]
    assert corral("reap").code == 0


def test_reap_removes_it_and_saves_the_work_first(corral: Corral, repo: Path, killed: Live) -> None:
    said = corral("reap")
    assert (said.code, said.out.count("its files were saved in ")) == (0, 2)
    assert alive(boxes(killed)) == [False, False]
    assert gateway_processes(corral.home) == []
    assert git(repo, "worktree", "list").count("\n") == 0
    assert "unsaved\n" in [text for archive in (corral.home / "kept").iterdir() for text in texts(archive)]
    assert "nothing is left over" in corral("reap").out


def texts(archive: Path) -> list[str]:
    """What the file that the task made holds, if it is in the archive."""
    with tarfile.open(archive) as files:
        found = [files.extractfile(name) for name in files.getnames() if name.endswith("/made")]
        return [file.read().decode() for file in found if file is not None]


def test_the_repository_is_as_before(corral: Corral, repo: Path, request: pytest.FixtureRequest) -> None:
    before = host_git_hashes(repo)
    request.getfixturevalue("killed")
    assert corral("reap").code == 0
    assert host_git_hashes(repo) == before


def test_a_reaped_run_can_be_resumed_and_starts_afresh(corral: Corral, repo: Path, killed: Live) -> None:
    assert corral("reap").code == 0
    with living(corral, "resume", "killed") as resumed:
        resumed.until_said("begun", 2)
        resumed.process.terminate()
        assert resumed.end() == 143
    assert set(boxes(resumed)).isdisjoint(boxes(killed))
    row = resumed.rows()["a"]
    assert (row["verdict"], row["try"]) == ("cancelled", 1)
    assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "unsaved"


def test_a_gateway_that_nobody_needs_is_ended(corral: Corral) -> None:
    """As it runs on for a while when the last supervisor is killed just before it would let it leave."""
    Gateway.ensure(corral.home)
    assert corral("reap", "--dry-run").code == 0
    assert len(gateway_processes(corral.home)) == 1
    assert corral("reap").out == "nothing is left over\n"
    assert gateway_processes(corral.home) == []


def test_a_gateway_that_a_living_run_needs_stays(corral: Corral, repo: Path) -> None:
    transcript = repo.parent / "transcript.yaml"
    transcript.write_text("turns:\n  - text: hello\n")
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": "touch x; sleep 6"})
    file.write_text(
        file.read_text().replace("cli: command", f"cli: command\n    upstream: script:{transcript}")
    )
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        before = gateway_processes(corral.home)
        assert corral("reap").code == 0
        assert (gateway_processes(corral.home), len(before)) == (before, 1)
        assert run.end() == 0


def test_what_is_not_ours_stays(corral: Corral, killed: Live, stranger: Any) -> None:
    container = stranger.get_wrapped_container()
    assert container.name not in corral("reap", "--dry-run").out
    assert corral("reap").code == 0
    assert alive([container.id, *boxes(killed)]) == [True, False, False]


def test_a_living_run_stays(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": "touch x; sleep 12"})
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        assert "nothing is left over" in corral("reap").out
        assert alive(boxes(run)) == [True]
        assert run.end() == 0
    assert run.rows()["a"]["verdict"] == "done"


def test_what_boxes_were_granted_is_revoked_before_they_are_ended(
    corral: Corral, killed: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real parts, watched: whenever a box is removed, no socket of any box is there any more."""
    seen: list[tuple[str, list[str]]] = []
    removes = Engine.remove

    def watched(engine: Engine, container: str) -> None:
        seen.append((container, [place.name for place in (corral.home / "s").iterdir()]))
        removes(engine, container)

    monkeypatch.setattr(Engine, "remove", watched)
    settings = Settings(home=corral.home)
    with Engine(dict(os.environ)) as engine, reaping.clearing(engine, corral.home) as clearing:
        assert len(clearing.left.grants) == 2
        post = Post(engine, images(engine, settings).steward(), corral.home, "reap")
        with standing(post) as stewards:
            clearing.clear(stewards)
    ended = [grants for container, grants in seen if container in boxes(killed)]
    assert ended == [[], []]


def test_what_was_left_is_told_before_the_next_run(corral: Corral, repo: Path, killed: Live) -> None:
    assert "killed runs left 2 containers, 2 workspaces, 2 grants" in corral("doctor").out
    file = write_tasks(repo.parent / "next.yaml", repo, {"a": "true"})
    assert "note: killed runs left 2 containers" in corral("plan", file).out
    done = corral("run", file)
    assert "note: killed runs left 2 containers" in done.err
    assert "`corral reap` gives up" in done.err
    listed = corral("reap", "--dry-run", "--json").json
    assert {row["id"] for row in listed["containers"]} == set(boxes(killed))
    assert (len(listed["workspaces"]), listed["removed"], listed["saved"]) == (2, False, [])
    removed = corral("reap", "--json").json
    assert (removed["removed"], len(removed["saved"])) == (True, 2)
    assert corral("reap", "--json").json["containers"] == []
    assert "nothing of killed runs" in corral("doctor").out
