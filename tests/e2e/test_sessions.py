"""A session of a real CLI goes on in another box with the same HOME, however the box before it ended."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.agents import catalog
from runner.agents.launch import FORWARD_PORT, Reader
from runner.gateway.client import Gateway
from runner.gateway.grants import Script
from runner.git.base_store import BaseStore
from runner.sandbox.box import MIB, BoxSpec, Mount
from runner.sandbox.engine import Engine
from runner.sandbox.images import Images
from runner.settings import BOX_UID
from runner.tasks.plan import ClaudeSettings, CodexSettings, Settings, Source
from tests.support import git, make_repo

BOX = "5e5510c0de00"
CLIS: dict[str, tuple[Settings, str, str]] = {
    "claude": (ClaudeSettings(model="claude-opus-5-5"), "Bash", "command"),
    "codex": (CodexSettings(model="gpt-5.5"), "exec_command", "cmd"),
}
SEEN = "seen-by-the-first-box"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(os.environ) as connection:
        yield connection


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of this test alone."""
    made = Gateway.ensure(tmp_path / "home", idle=60)
    yield made
    made.revoke(BOX)
    assert made.leave()


@pytest.fixture
def home_volume(engine: Engine) -> Iterator[str]:
    """What the boxes of this test have as their HOME."""
    name = f"corral-test-{uuid.uuid4().hex[:12]}"
    engine.make_volume(name, {}, {})
    yield name
    engine.remove_volume(name)


def image(engine: Engine, tmp_path: Path, cli: str) -> str:
    """The image of that CLI, on Corral's own."""
    repo = make_repo(tmp_path / "repo")
    source = Source(
        repo=str(repo), git_dir=str(repo / ".git"), base=git(repo, "rev-parse", "HEAD"), base_name="HEAD"
    )
    bundle = os.environ.get("SSL_CERT_FILE")
    maker = Images(
        engine,
        tmp_path / "home",
        BOX_UID,
        lambda one: BaseStore(Path(one.git_dir), one.base),
        Path(bundle) if bundle else None,
    )
    return maker.prepare(source, cli)


class Boxes:
    """Boxes of one attempt: the same HOME and the same script, one after the other."""

    def __init__(self, engine: Engine, image: str, cli: str, sockets: Path, volume: str) -> None:
        self.settings, self.tool, self.key = CLIS[cli]
        self._engine, self._image = engine, image
        self._mounts = (
            Mount(str(sockets), "/run/gw"),
            Mount(volume, "/home/agent", read_only=False, is_volume=True),
        )

    def call(self, command: str) -> list[dict[str, Any]]:
        """The tools of a turn in which the CLI runs that command."""
        return [{"name": self.tool, "input": {self.key: command}}]

    def run(self, prompt: str, resume: str | None = None, until: str | None = None) -> tuple[Reader, str]:
        """Let the CLI work in a box, to its end, or until it prints a text and is killed for it."""
        launch = catalog.launch(self.settings, prompt, "r", "t/p/1", resume)
        listen = f"TCP-LISTEN:{FORWARD_PORT},bind=127.0.0.1,fork,reuseaddr"
        script = f'socat {listen} UNIX-CONNECT:/run/gw/gw.sock & printf %s "$CORRAL_PROMPT" | "$@"'
        spec = BoxSpec(
            f"corral-test-{uuid.uuid4().hex[:12]}",
            self._image,
            ("/bin/sh", "-c", script, "sh", *launch.argv),
            {},
            BOX_UID,
            1.0,
            1024 * MIB,
            256,
            mounts=self._mounts,
            env=dict(launch.env),
        )
        box = self._engine.create(spec)
        try:
            return self._follow(box, until)
        finally:
            self._engine.remove(box)
            self._engine.wait_gone(box)

    def _follow(self, box: str, until: str | None) -> tuple[Reader, str]:
        reader, text, rest = catalog.reader(self.settings), "", b""
        output = self._engine.attach(box)
        self._engine.start(box)
        for out, err in output:
            text += ((out or b"") + (err or b"")).decode(errors="replace")
            *lines, rest = (rest + (out or b"")).split(b"\n")
            for line in lines:
                reader.feed(line)
            if until is not None and until in text:
                time.sleep(
                    1
                )  # the CLI writes down what it has begun, and is killed at no instant of its choice
                self._engine.kill(box)
                until = None
        return reader, text


@pytest.mark.parametrize("cli", CLIS)
def test_a_session_goes_on_after_a_kill_and_after_a_refusal(
    engine: Engine, gateway: Gateway, home_volume: str, tmp_path: Path, cli: str
) -> None:
    script = tmp_path / "script.yaml"
    sockets = gateway.grant(BOX, Script(transcript=str(script)))
    boxes = Boxes(engine, image(engine, tmp_path, cli), cli, sockets, home_volume)

    def play(*turns: dict[str, Any]) -> None:
        script.write_text(yaml.safe_dump({"turns": list(turns)}))

    looked = {"tools": boxes.call(f"echo {SEEN}")}
    play(looked, {"text": "I wait.", "tools": boxes.call("echo begun-to-wait; sleep 600")})
    killed, said = boxes.run("Do it.", until="sleep 600")
    assert killed.session is not None, said
    assert killed.error() is not None

    refused_turn = {"error": {"status": 400, "message": "no more for now"}}
    play(looked, {"text": "I wait."}, refused_turn)
    refused, said = boxes.run("Go on.", resume=killed.session)
    assert refused.session == killed.session, said
    assert "no more for now" in (refused.error() or ""), said

    # Which turn is played tells how much of the conversation is there: what a CLI puts in for a killed call,
    # Claude Code an answer and Codex the output "aborted", may be one more.
    play(*[{"text": "It begins anew."}] * 2, *[{"text": "The whole conversation is here."}] * 4)
    ended, said = boxes.run("Go on, for good.", resume=refused.session)
    assert ended.session == killed.session, said
    assert ended.error() is None, said
    assert "The whole conversation is here." in said
