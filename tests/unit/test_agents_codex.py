"""Codex: what it is started with, and how what it prints is read. The lines are those of version 0.169.0."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents import catalog, codex
from runner.agents.launch import NOT_PROXIED
from runner.tasks.plan import ClaudeSettings, CodexSettings, CommandSettings

CODEX = CodexSettings(
    model="gpt-5.5", effort="high", verbosity="low", args=("-c", "model_provider=other"), env={"A": "b"}
)
THREAD = "01a21958-32ca-76c1-a447-af7eac7379e4"
STARTED = json.dumps({"type": "thread.started", "thread_id": THREAD}).encode()
COMPLETED = b'{"type":"turn.completed","usage":{"input_tokens":250,"output_tokens":20}}'


def item(kind: str, event: str = "item.completed", **more: object) -> bytes:
    return json.dumps({"type": event, "item": {"id": "item_1", "type": kind, **more}}).encode()


def test_it_gets_everything_it_needs_and_the_prompt_by_standard_input() -> None:
    launch = catalog.launch(CODEX, "do it", "run", "t/p/1")
    assert (launch.cli, launch.prompt_on_stdin, launch.forwarder, dict(launch.home)) == (
        "codex",
        True,
        True,
        {},
    )
    assert launch.argv[:3] == ("codex", "exec", "--json")
    assert launch.argv[-1] == "-"
    assert "do it" not in launch.argv
    assert launch.argv[launch.argv.index("--model") + 1] == "gpt-5.5"
    assert 'model_reasoning_effort="high"' in launch.argv
    assert 'model_verbosity="low"' in launch.argv
    assert launch.env["OPENAI_API_KEY"] == "corral-placeholder"
    assert launch.env["A"] == "b"


def test_what_corral_sets_comes_after_what_the_profile_adds_so_that_it_holds() -> None:
    argv = catalog.launch(CODEX, "x", "r", "t/p/1").argv
    assert argv.index("model_provider=other") < argv.index('model_provider="corral"')
    assert argv.index('web_search="disabled"') < argv.index("model_provider=other")  # can be switched on


def test_its_model_is_asked_by_the_forwarder_and_not_by_a_proxy() -> None:
    (address,) = (word for word in catalog.launch(CODEX, "x", "r", "t/p/1").argv if "base_url" in word)
    assert address == 'model_providers.corral.base_url="http://127.0.0.1:8484/v1"'
    assert "127.0.0.1" in NOT_PROXIED.split(",")


def test_what_is_left_out_is_left_to_the_cli() -> None:
    argv = " ".join(catalog.launch(CodexSettings(model="m"), "x", "r", "t/p/1").argv)
    assert "effort" not in argv
    assert "verbosity" not in argv


def test_a_thread_that_was_told_is_resumed() -> None:
    assert catalog.reader(CODEX).session is None
    reader = catalog.reader(CODEX)
    reader.feed(STARTED)
    reader.feed(STARTED.replace(b"01a21958", b"ffffffff"))  # of an agent that it started itself
    assert reader.session == THREAD
    argv = catalog.launch(CODEX, "go on", "run", "t/p/1.2", resume=reader.session).argv
    assert argv[-3:] == ("resume", THREAD, "-")


@pytest.mark.parametrize("told", ["--last", "", None, 7, THREAD + "\n"])
def test_what_is_no_thread_is_not_resumed(told: object) -> None:
    reader = codex.Reader()
    reader.feed(json.dumps({"type": "thread.started", "thread_id": told}).encode())
    assert reader.session is None


def test_its_own_report_is_believed_when_it_says_failure() -> None:
    reader = codex.Reader()
    assert reader.error() == "it ended without completing its turn"
    reader.feed(STARTED)
    reader.feed(b'{"type":"error","message":"Reconnecting... 1/5 (closed)"}')
    assert reader.error() == "Reconnecting... 1/5 (closed)"
    reader.feed(COMPLETED)
    assert reader.error() is None
    reader.feed(b'{"type":"turn.started"}')
    reader.feed(b'{"type":"turn.failed","error":{"message":"exceeded retry limit"}}')
    assert reader.error() == "exceeded retry limit"


def test_the_words_of_a_service_s_answer_are_taken_out_of_it() -> None:
    inner = json.dumps({"error": {"message": "the budget is spent", "code": "insufficient_quota"}})
    reader = codex.Reader()
    reader.feed(json.dumps({"type": "turn.failed", "error": {"message": inner}}).encode())
    assert reader.error() == "the budget is spent"


def test_what_it_does_is_shown() -> None:
    reader = codex.Reader()
    started = item("command_execution", "item.started", command="/bin/bash -lc ls", aggregated_output="")
    assert reader.feed(started) == "command: /bin/bash -lc ls"
    assert reader.feed(item("agent_message", text="I look.")) == "I look."
    assert reader.feed(item("file_change", changes=[{"path": "a.txt", "kind": "add"}])) == "files: a.txt"
    assert reader.feed(item("reasoning", text="hm")) is None
    assert reader.feed(b'{"type":"error","message":"Reconnecting... 2/5"}') == (
        "waiting for the model (Reconnecting... 2/5)"
    )
    assert reader.feed(COMPLETED) == "finished"


def test_a_log_is_told_as_a_person_reads_it() -> None:
    settings = CODEX
    ran = item("command_execution", command="ls", aggregated_output="a\nb\n", exit_code=0)
    assert catalog.told(settings, ran) == "command: ls\n    a\n    b"
    assert catalog.told(settings, item("command_execution", "item.started", command="ls")) is None
    assert catalog.told(settings, item("agent_message", text="Done.")) == "Done."
    assert catalog.told(settings, COMPLETED) == "[completed, 20 tokens of output]"
    assert catalog.told(settings, b'{"type":"turn.failed","error":{"message":"no"}}') == "[failed] no"
    assert catalog.told(settings, b'{"type":"error","message":"Reconnecting"}') == "[Reconnecting]"
    assert catalog.told(settings, STARTED) is None
    assert catalog.told(settings, b"plain words") == "plain words"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("type", "message", "text")), inner),
)


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda kind, key, value: json.dumps({"type": kind, key: value}).encode(),
        st.sampled_from(("item.completed", "turn.failed", "turn.completed", "error", "thread.started")),
        st.sampled_from(("item", "error", "usage", "message", "thread_id")),
        ANYTHING
        | st.builds(
            lambda kind, key, value: {"type": kind, key: value},
            st.sampled_from(("agent_message", "command_execution", "file_change", "mcp_tool_call", "error")),
            st.sampled_from(("text", "command", "changes", "aggregated_output", "message", "server")),
            ANYTHING,
        ),
    )
)
def test_no_line_makes_the_reader_fail(line: bytes) -> None:
    reader = codex.Reader()
    reader.feed(line)
    reader.error()
    codex.told(line)


def test_each_cli_has_its_layer_and_its_dialect() -> None:
    every = (ClaudeSettings(model="m"), CODEX, CommandSettings(run=("true",)))
    assert [catalog.layer(one) for one in every] == ["claude", "codex", None]
    assert [catalog.dialect(one) for one in every] == ["anthropic", "openai", None]
