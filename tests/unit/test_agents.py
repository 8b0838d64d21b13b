"""What agents are started with, and how what they print is read: it may be written by an attacker."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents import catalog, claude
from runner.agents.launch import proxy_environment
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.tasks.plan import ClaudeSettings, CommandSettings

COMMAND = CommandSettings(run=("true",))
CLAUDE = ClaudeSettings(model="claude-opus-5-5", effort="high", args=("--max-turns", "9"), env={"A": "b"})


def test_claude_gets_everything_it_needs_and_the_prompt_by_standard_input() -> None:
    launch = catalog.launch(CLAUDE, "do it", "run", "t/p/1")
    assert launch.prompt_on_stdin
    assert "do it" not in launch.argv
    assert launch.argv[-4:] == ("--effort", "high", "--max-turns", "9")
    assert launch.env["ANTHROPIC_UNIX_SOCKET"] == "/run/gw/gw.sock"
    assert launch.env["ANTHROPIC_BASE_URL"].startswith("http://")
    assert json.loads(launch.home[".claude.json"])["hasCompletedOnboarding"] is True


def test_the_session_is_ours_and_the_same_each_time() -> None:
    first = catalog.launch(CLAUDE, "x", "run", "t/p/1").argv
    assert first == catalog.launch(CLAUDE, "x", "run", "t/p/1").argv
    assert first != catalog.launch(CLAUDE, "x", "run", "t/p/1.2").argv


def test_a_session_that_was_told_is_resumed_under_its_id() -> None:
    session = "0bffbb74-0000-4000-8000-000000000001"
    assert claude.Reader().session is None
    reader = claude.Reader()
    reader.feed(b'{"type":"system","subtype":"init","session_id":"%s"}' % session.encode())
    assert reader.session == session
    argv = catalog.launch(CLAUDE, "go on", "run", "t/p/1.2", resume=reader.session).argv
    assert argv[argv.index("--resume") + 1] == session
    assert "--session-id" not in argv


@pytest.mark.parametrize("told", ["--settings=x", "", "0bffbb74", None, 7, ["0"]])
def test_what_is_no_session_is_not_resumed(told: object) -> None:
    reader = claude.Reader()
    reader.feed(json.dumps({"type": "system", "subtype": "init", "session_id": told}).encode())
    assert reader.session is None


def test_a_command_begins_anew() -> None:
    launch = catalog.launch(COMMAND, "x", "r", "t/p/1", resume="0bffbb74-0000-4000-8000-000000000001")
    assert launch.argv == ("true",)
    assert catalog.reader(COMMAND).session is None


def test_a_way_out_is_found_in_every_spelling_and_never_leads_to_the_model() -> None:
    ways = proxy_environment()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        assert ways[name] == ways[name.lower()] == "http://127.0.0.1:8484"
    not_proxied = ways["no_proxy"].split(",")
    assert ways["NO_PROXY"] == ways["no_proxy"]
    for launch in (catalog.launch(CLAUDE, "x", "r", "t/p/1"), catalog.launch(COMMAND, "x", "r", "t/p/1")):
        for name in {"ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"} & launch.env.keys():
            assert urlsplit(launch.env[name]).hostname in not_proxied
    assert catalog.launch(COMMAND, "x", "r", "t/p/1").env["GOOGLE_GEMINI_BASE_URL"].startswith("http://")


@pytest.mark.parametrize(("size", "there"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_long_prompts_come_by_file_alone(size: int, there: bool) -> None:
    env = catalog.launch(CommandSettings(run=("true",)), "x" * size, "r", "t/p/1").env
    assert ("CORRAL_PROMPT" in env) is there
    assert env["CORRAL_PROMPT_FILE"]


def test_claude_s_own_report_is_believed_when_it_says_failure() -> None:
    reader = claude.Reader()
    assert reader.error() == "it ended without a result"
    reader.feed(b'{"type":"result","subtype":"success","is_error":false}')
    assert reader.error() is None
    reader.feed(
        b'{"type":"result","subtype":"success","is_error":true,"api_error_status":402,"result":"spent"}'
    )
    assert reader.error() == "spent (API status 402)"


def test_what_it_does_is_shown() -> None:
    block = {"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}
    line = json.dumps({"type": "assistant", "message": {"content": [block]}}).encode()
    assert claude.Reader().feed(line) == "Bash: ls"


@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        ).map(lambda value: json.dumps({"type": "assistant", "message": value}).encode()),
    )
)
def test_no_line_makes_the_reader_fail(line: bytes) -> None:
    reader = claude.Reader()
    reader.feed(line)
    reader.error()


def test_half_a_surrogate_pair_in_a_report_can_be_written_down(tmp_path: Path) -> None:
    reader = claude.Reader()
    reader.feed(b'{"type":"result","is_error":true,"result":"\\ud800"}')
    event = e.AttemptEnded(
        at=1, attempt="t/p/1", ended="agent-error", reason=reader.error() or "", flags=("\udfff",)
    )
    with Journal(tmp_path / "journal.db") as journal:
        journal.append("r", event)
        assert [row.event for row in journal.events("r")] == [event]


def test_deep_nesting_is_no_bomb() -> None:
    assert claude.Reader().feed(b'{"type":' + b"[" * 100_000) is None


def test_a_log_is_told_as_a_person_reads_it() -> None:
    def line(kind: str, *blocks: dict[str, object]) -> bytes:
        return json.dumps({"type": kind, "message": {"content": list(blocks)}}).encode()

    assert claude.told(line("assistant", {"type": "text", "text": "I look."})) == "I look."
    assert claude.told(line("user", {"type": "tool_result", "content": "a\nb"})) == "    a\n    b"
    assert claude.told(b'{"type":"system","subtype":"init"}') is None
    assert claude.told(b"plain words") == "plain words"
    long = claude.told(line("user", {"type": "tool_result", "content": "x\n" * 50}))
    assert long is not None
    assert long.endswith("… 30 more lines")
