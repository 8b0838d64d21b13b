"""The real Claude Code, on the host, through a real gateway process to the scripted model."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.gateway.client import Gateway
from runner.gateway.grants import Script

BOX = "c1a0dec0de00"
TRANSCRIPT = """
turns:
  - text: I will look first, and write then.
    tools:
      - {name: Bash, input: {command: "echo seen-by-bash", description: look}}
      - {name: Bash, input: {command: "echo second", description: look again}}
    usage: {input: 1200, output: 40, cache_read: 300, cache_write: 5000}
  - expect: seen-by-bash[\\s\\S]*second
    tools:
      - {name: Bash, input: {command: "echo made > made.txt", description: write}}
    usage: {input: 700, output: 31, cache_read: 5300}
    pause: 0.02
  - text: Done, the file is written.
    usage: {input: 90, output: 12, cache_read: 6000, cache_write: 11}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of this test alone."""
    made = Gateway.ensure(tmp_path / "home", idle=20)
    yield made
    made.revoke(BOX)
    assert made.leave()


def run_claude(binary: Path, socket: Path, place: Path) -> tuple[int, dict[str, Any]]:
    """One run of the CLI: its exit code and the last event of its output."""
    work = place / "work"
    work.mkdir()
    (place / "claude-home").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "claude-home"),
        "TMPDIR": str(place),
        "IS_SANDBOX": "1",
        "ANTHROPIC_API_KEY": "placeholder",
        "ANTHROPIC_BASE_URL": "http://gateway",
        "ANTHROPIC_UNIX_SOCKET": str(socket),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [str(binary), "-p", "Write the file.", "--output-format", "stream-json", "--verbose"]
    command += ["--dangerously-skip-permissions", "--model", "claude-opus-5-5"]
    done = subprocess.run(
        command,
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_tools_run_and_the_gateway_counts_what_the_cli_counts(
    claude_binary: Path, gateway: Gateway, tmp_path: Path
) -> None:
    transcript = tmp_path / "transcript.yaml"
    transcript.write_text(TRANSCRIPT)
    socket = gateway.grant(BOX, Script(transcript=str(transcript))) / "gw.sock"

    code, result = run_claude(claude_binary, socket, tmp_path)

    assert (code, result["subtype"], result["is_error"]) == (0, "success", False), result["result"]
    assert result["result"] == "Done, the file is written."
    assert (tmp_path / "work" / "made.txt").read_text() == "made\n"
    used = gateway.usage(BOX)
    told = result["usage"]
    assert (used.input, used.output) == (told["input_tokens"], told["output_tokens"]) == (1990, 83)
    assert used.cache_read == told["cache_read_input_tokens"] == 11600
    assert used.cache_write == told["cache_creation_input_tokens"] == 5011
    assert (used.requests, used.in_flight, used.scripted, used.last_status) == (3, 0, True, 200)
    assert list(used.models) == ["claude-opus-5-5"]


def test_a_402_ends_the_run_at_once_with_its_own_words(
    claude_binary: Path, gateway: Gateway, tmp_path: Path
) -> None:
    transcript = tmp_path / "transcript.yaml"
    transcript.write_text("turns: [{error: {status: 402, message: the budget is spent}}]")
    socket = gateway.grant(BOX, Script(transcript=str(transcript))) / "gw.sock"

    code, result = run_claude(claude_binary, socket, tmp_path)

    assert (code, result["is_error"], result["api_error_status"]) == (1, True, 402)
    assert "the budget is spent" in result["result"]
    assert gateway.usage(BOX).requests == 1
    assert gateway.usage(BOX).last_status == 402
