"""What a profile of Codex sets is what the real Codex asks of its model."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from runner.agents import catalog
from runner.agents.launch import FORWARD_PORT
from runner.tasks.plan import CodexSettings

ASKED: list[dict[str, Any]] = []


class Listener(BaseHTTPRequestHandler):
    """Notes what is asked, and ends the CLI with a 400."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ASKED.append({"path": self.path, "authorization": self.headers["authorization"], **body})
        self.send_response(400)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where the listener is."""
    ASKED.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("effort", "sent"),
    [("none", "none"), ("low", "low"), ("high", "high"), ("xhigh", "xhigh"), ("ultra", "xhigh")],
)
def test_model_effort_and_verbosity_are_asked_for_and_no_search(
    codex_binary: Path,
    port: int,
    tmp_path: Path,
    effort: Literal["none", "low", "high", "xhigh", "ultra"],
    sent: str,
) -> None:
    settings = CodexSettings(model="gpt-5.5", effort=effort, verbosity="low")
    launch = catalog.launch(settings, "x", "r", "t/p/1")
    argv = [str(codex_binary), *(word.replace(str(FORWARD_PORT), str(port)) for word in launch.argv[1:])]
    env = {"PATH": os.environ["PATH"], **launch.env, "HOME": str(tmp_path)}
    done = subprocess.run(
        argv, cwd=tmp_path, env=env, input=b"go", capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stdout
    (asked,) = ASKED
    assert (asked["path"], asked["authorization"]) == ("/v1/responses", "Bearer corral-placeholder")
    assert (asked["model"], asked["reasoning"]["effort"]) == ("gpt-5.5", sent)
    assert asked["text"]["verbosity"] == "low"
    assert "web_search" not in {tool["type"] for tool in asked["tools"]}
