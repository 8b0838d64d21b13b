"""Conditions that only a CLI's own events tell: containers that print such events, watched as any box is."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.agents import claude
from runner.git.base_store import BaseStore
from runner.sandbox.box import MIB, BoxSpec
from runner.sandbox.engine import Engine
from runner.sandbox.images import Images
from runner.settings import BOX_UID
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.attempt.watch import Watch, Watched
from runner.tasks.plan import Health, Limits, Patience, Source
from tests.support import git, make_repo

ASKS = {
    "type": "tool_use",
    "id": "t1",
    "name": "AskUserQuestion",
    "input": {"questions": [{"question": "Which?"}]},
}
QUESTION = json.dumps({"type": "assistant", "message": {"content": [ASKS]}})
INIT = '{"type":"system","subtype":"init"}'


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(os.environ) as connection:
        yield connection


@pytest.fixture(scope="module")
def image(engine: Engine, prepared: None, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001
    """Corral's own development image."""
    folder = make_repo(tmp_path_factory.mktemp("repo"))
    head = git(folder, "rev-parse", "HEAD")
    source = Source(repo=str(folder), git_dir=f"{folder}/.git", base=head, base_name="HEAD")
    bundle = os.environ.get("SSL_CERT_FILE")
    images = Images(
        engine,
        tmp_path_factory.mktemp("home"),
        BOX_UID,
        lambda one: BaseStore(Path(one.git_dir), one.base),
        Path(bundle) if bundle else None,
    )
    return images.prepare(source, None)


def watched(engine: Engine, image: str, script: str, health: Health, folder: Path) -> Watched:
    """What was seen of a container that plays an agent, to its end."""
    argv = ("sh", "-c", f"echo 'corral: ready'; {script}")
    name = f"corral-test-{uuid.uuid4().hex[:12]}"
    box = engine.create(BoxSpec(name, image, argv, {}, BOX_UID, 1.0, 256 * MIB, 64, workdir="/tmp"))  # noqa: S108
    try:
        engine.start(box)
        watch = Watch(
            engine=engine,
            gateway=None,
            container=box,
            grant=None,
            limits=Limits(time=60, idle=60),
            reader=claude.Reader(),
            log=folder / "log",
            orders=Orders(),
            exceeds=lambda: False,
            health=health,
        )
        return list(watch.signs())[-1]
    finally:
        engine.remove(box)
        engine.wait_gone(box)


def test_who_waits_for_a_person_needs_input(engine: Engine, image: str, tmp_path: Path) -> None:
    health = Health(waiting_for_a_person=Patience(after=3))
    seen = watched(engine, image, f"echo '{INIT}'; echo '{QUESTION}'; exec sleep 60", health, tmp_path)
    assert seen.exit is not None
    assert (seen.exit.stopped, seen.exit.cause) == ("needs-input", "waiting for a person: Which?")


def test_a_cli_that_never_says_a_word_is_tried_again(engine: Engine, image: str, tmp_path: Path) -> None:
    health = Health(first_output=Patience(after=4))
    seen = watched(engine, image, "exec sleep 60", health, tmp_path)
    assert seen.exit is not None
    assert seen.exit.stopped == "infrastructure"
    assert seen.exit.cause.startswith("hung: no output since its start, and no sign of life for ")


def test_one_that_said_a_word_is_not(engine: Engine, image: str, tmp_path: Path) -> None:
    health = Health(first_output=Patience(after=2), hung=Patience(after=6))
    seen = watched(engine, image, f"echo '{INIT}'; exec sleep 60", health, tmp_path)
    assert seen.exit is not None
    assert seen.exit.stopped == "stalled"
