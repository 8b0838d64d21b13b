"""Claude Code, headless.

The facts were measured with version 2.1.329: it speaks to the gateway's unix socket itself when
`ANTHROPIC_UNIX_SOCKET` and an http base URL are set, prints one JSON object a line, ends with a
`result` whose `is_error` is the truth (its `subtype` may say success after an API error), and takes its
prompt from standard input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from runner.agents.actions import Actions
from runner.agents.launch import GATEWAY_NAME, PLACEHOLDER_KEY, SOCKET, Launch, environment, session_of
from runner.agents.lines import indented, json_object
from runner.tasks.plan import ClaudeSettings

VERSION = "2.1.329"

_ONBOARDED = {
    "hasCompletedOnboarding": True,
    "bypassPermissionsModeAccepted": True,
    "projects": {"/workspace": {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
}
_ENVIRONMENT = {
    "ANTHROPIC_BASE_URL": f"http://{GATEWAY_NAME}",
    "ANTHROPIC_UNIX_SOCKET": SOCKET,
    "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}


def launch(settings: ClaudeSettings, prompt: str, session: str, *, resume: bool = False) -> Launch:
    """How Claude Code is started.

    Args:
        settings: The profile's settings.
        prompt: The task's words, or what a resumed session is told; they go in by standard input.
        session: The session's id (a UUID), chosen by us.
        resume: Whether the session is there already, in the HOME of an earlier box, and goes on. It keeps
            its id; begun anew under the same id, the CLI would refuse ("already in use").
    """
    effort = ("--effort", settings.effort) if settings.effort else ()
    return Launch(
        argv=(
            "claude",
            "-p",
            *("--output-format", "stream-json", "--verbose"),
            "--dangerously-skip-permissions",
            *("--disallowedTools", "AskUserQuestion"),
            *("--resume" if resume else "--session-id", session),
            *("--model", settings.model),
            *effort,
            *settings.args,
        ),
        env=environment(prompt, {**_ENVIRONMENT, **settings.env}),
        home={".claude.json": json.dumps(_ONBOARDED).encode()},
        cli="claude",
        prompt_on_stdin=True,
    )


QUESTIONS = frozenset({"AskUserQuestion"})
"""Tools that only a person can answer; it is told not to use them (`--disallowedTools`)."""


class Reader:
    """Follows Claude Code's stream of JSON lines."""

    tells = True

    def __init__(self) -> None:
        self.session: str | None = None
        self.actions = Actions()
        self._result: dict[str, Any] | None = None

    def feed(self, line: bytes) -> str | None:
        """See `launch.Reader`."""
        event = json_object(line)
        kind = event.get("type")
        if kind == "result":
            self._result = event
            self.actions.finished()
            return "finished"
        if kind in {"assistant", "user"}:
            self._follow(event)
            return _doing(event) if kind == "assistant" else None
        if kind == "system" and event.get("subtype") == "init":
            self.session = self.session or session_of(event.get("session_id"))
            return None
        if kind == "system" and event.get("subtype") == "api_retry":
            return f"waiting for the model (try {event.get('attempt')}, status {event.get('error_status')})"
        return None

    def _follow(self, event: dict[str, Any]) -> None:
        """Note what it does: which tools it calls, and what they answer."""
        for block in _content(event):
            match block.get("type"):
                case "tool_use":
                    asked = [block.get("name"), block.get("input")]
                    question = str(block.get("name")) in QUESTIONS
                    words = _question(block) if question else _block(block) or ""
                    self.actions.begun(str(block.get("id")), words[:200], asked, question=question)
                case "tool_result":
                    self.actions.ended(str(block.get("tool_use_id")), block.get("content"))
                case "text":
                    self.actions.said()

    def error(self) -> str | None:
        """See `launch.Reader`; an agent that never reported a result did not finish."""
        if self._result is None:
            return "it ended without a result"
        if not self._result.get("is_error"):
            return None
        status = self._result.get("api_error_status")
        said = str(self._result.get("result") or self._result.get("subtype") or "")[:300]
        return f"{said} (API status {str(status)[:30]})" if status else said


def told(line: bytes) -> str | None:
    """A line of its output as a person reads it; None where it holds nothing to read."""
    event = json_object(line)
    match event.get("type"):
        case None:
            return line.decode(errors="replace")
        case "assistant":
            return "\n".join(_blocks(event)) or None
        case "user":
            return "\n".join(_results(event)) or None
        case "result":
            failed = "failed: " if event.get("is_error") else ""
            head = f"[{failed}{event.get('subtype')}, {event.get('num_turns')} turns]"
            return f"{head} {event.get('result') or ''}".rstrip()
        case "system" if event.get("subtype") == "api_retry":
            return f"[waiting for the model, status {event.get('error_status')}]"
        case _:
            return None


_TELLING = {"Bash": "command", "WebFetch": "url", "WebSearch": "query"}
"""Which part of a tool's input says what is run, or where it is looked."""


def commands(line: bytes) -> Iterator[str]:
    """The commands and addresses of the tools that a line of its output calls."""
    event = json_object(line) if b'"tool_use"' in line else {}
    for block in _content(event) if event.get("type") == "assistant" else ():
        name, values = str(block.get("name")), block.get("input")
        if block.get("type") == "tool_use" and name in _TELLING and isinstance(values, dict):
            told = values.get(_TELLING[name])
            if isinstance(told, str):
                yield told if name == "Bash" else f"{name} {told}"


def _blocks(event: dict[str, Any]) -> list[str]:
    """What an assistant's message says and calls."""
    return [text for block in _content(event) if (text := _block(block))]


def _results(event: dict[str, Any]) -> list[str]:
    """What tools answered, indented, the long ones cut."""
    texts = [block.get("content") for block in _content(event) if block.get("type") == "tool_result"]
    return [indented(text) for text in texts if isinstance(text, str) and text.strip()]


def _content(event: dict[str, Any]) -> list[dict[str, Any]]:
    message = event.get("message")
    blocks = message.get("content") if isinstance(message, dict) else None
    return [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []


def _question(block: dict[str, Any]) -> str:
    """What a person is asked, if it can be made out."""
    values = block.get("input")
    asked = values.get("questions") if isinstance(values, dict) else None
    first = asked[0] if isinstance(asked, list) and asked else None
    words = first.get("question") if isinstance(first, dict) else None
    return words if isinstance(words, str) and words else str(block.get("name"))


def _doing(event: dict[str, Any]) -> str | None:
    said = _blocks(event)
    return said[-1][:200] if said else None


def _block(block: dict[str, Any]) -> str | None:
    if block.get("type") == "text":
        return str(block.get("text"))
    if block.get("type") == "tool_use":
        values = block.get("input")
        shown = (
            next((v for v in values.values() if isinstance(v, str)), "") if isinstance(values, dict) else ""
        )
        return f"{block.get('name')}: {shown}"
    return None
