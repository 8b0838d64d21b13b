"""Codex, headless.

The facts were measured with version 0.169.0. It knows no unix socket, so a forwarder on the loopback
address leads to the gateway's. Its built-in provider tries a WebSocket first and looks for accounts; one of
our own speaks plain HTTP at once. It prints one JSON object a line and ends with `turn.completed` or
`turn.failed`; an `error` before that is not the end ("Reconnecting... 1/5"). It prompts for nothing, needs
no file in its HOME, and keeps its threads there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.agents.actions import Actions
from runner.agents.launch import FORWARD_PORT, PLACEHOLDER_KEY, Launch, environment, session_of
from runner.agents.lines import indented, json_object
from runner.tasks.plan import CodexSettings

VERSION = "0.169.0"

PROVIDER = "corral"
"""The name under which Codex knows the gateway."""

_PROVIDER = {
    "name": "Corral",
    "base_url": f"http://127.0.0.1:{FORWARD_PORT}/v1",
    "env_key": "OPENAI_API_KEY",
    "wire_api": "responses",
}
_QUIET = (
    *("-c", "features.plugins=false"),
    *("-c", "analytics.enabled=false"),
    *("-c", 'web_search="disabled"'),
)
"""What a profile can switch on. Plugins and analytics: it asks github.com, chatgpt.com and others at every
start, for plugins that nobody chose, and tells of its use. The search: the service runs it, and unless the
task allows that, the gateway refuses every request that names it."""

_ENVIRONMENT = {"OPENAI_API_KEY": PLACEHOLDER_KEY}


def launch(settings: CodexSettings, prompt: str, resume: str | None = None) -> Launch:
    """How Codex is started.

    Args:
        settings: The profile's settings.
        prompt: The task's words, or what a resumed thread is told; they go in by standard input.
        resume: The thread, kept in the HOME of an earlier box, that is to go on.
    """
    return Launch(
        argv=(
            "codex",
            "exec",
            "--json",
            *_QUIET,
            *settings.args,
            *("--model", settings.model),
            *(word for name, value in _configuration(settings) for word in ("-c", f'{name}="{value}"')),
            # Its own sandbox needs rights that a box does not have: every command would fail. The box is one.
            "--dangerously-bypass-approvals-and-sandbox",
            *(() if resume is None else ("resume", resume)),
            "-",
        ),
        env=environment(prompt, {**_ENVIRONMENT, **settings.env}),
        cli="codex",
        prompt_on_stdin=True,
        forwarder=True,
    )


def _configuration(settings: CodexSettings) -> Iterator[tuple[str, str]]:
    """What is set besides the arguments, each name with its value; of a name given twice, the last holds."""
    yield "model_provider", PROVIDER
    yield from ((f"model_providers.{PROVIDER}.{name}", value) for name, value in _PROVIDER.items())
    if settings.effort:
        yield "model_reasoning_effort", settings.effort
    if settings.verbosity:
        yield "model_verbosity", settings.verbosity


_CALLS = frozenset({"command_execution", "mcp_tool_call"})
_ASKED = ("type", "command", "server", "tool", "arguments")
_ANSWERED = ("aggregated_output", "exit_code", "result", "error")
"""What an item of these kinds says of what is asked for, and of what came of it."""


class Reader:
    """Follows Codex's stream of JSON lines."""

    tells = True

    def __init__(self) -> None:
        self.session: str | None = None
        self.actions = Actions()
        self._completed = False
        self._failure = ""

    def feed(self, line: bytes) -> str | None:
        """See `launch.Reader`."""
        event = json_object(line)
        match event.get("type"):
            case "thread.started":
                self.session = self.session or session_of(event.get("thread_id"))
                return None
            case "turn.started":
                self._completed = False
                return None
            case "turn.completed":
                self._completed = True
                self.actions.finished()
                return "finished"
            case "turn.failed":
                self._completed, self._failure = False, _message(event.get("error"))
                return None
            case "error":
                self._failure = _message(event)
                return f"waiting for the model ({self._failure[:150]})"
            case "item.started" | "item.updated" | "item.completed":
                self._follow(_item(event), str(event.get("type")))
                return _said(_item(event))[:200] or None
            case _:
                return None

    def _follow(self, item: dict[str, Any], kind: str) -> None:
        """Note what it does: commands and tools, from their start to their end.

        It tells which files a change touches, and not how: no two changes are known to be the same.
        """
        key, words = str(item.get("id")), _said(item)[:200]
        if item.get("type") not in _CALLS:
            changes = item.get("type") == "file_change" and kind == "item.completed"
            (self.actions.changed if changes else self.actions.said)()
        elif kind == "item.started":
            self.actions.begun(key, words, [item.get(part) for part in _ASKED])
        elif kind == "item.completed":
            self.actions.ended(key, [item.get(part) for part in _ANSWERED])

    def error(self) -> str | None:
        """See `launch.Reader`; an agent whose last turn was not completed did not finish."""
        if self._completed:
            return None
        return self._failure[:300] or "it ended without completing its turn"


def told(line: bytes) -> str | None:
    """A line of its output as a person reads it; None where it holds nothing to read."""
    event = json_object(line)
    match event.get("type"):
        case None:
            return line.decode(errors="replace")
        case "item.completed":
            item = _item(event)
            output = item.get("aggregated_output")
            shown = indented(output) if isinstance(output, str) and output.strip() else ""
            return "\n".join(part for part in (_said(item), shown) if part) or None
        case "turn.completed":
            usage = event.get("usage")
            counted = usage.get("output_tokens") if isinstance(usage, dict) else None
            return f"[completed, {counted} tokens of output]" if isinstance(counted, int) else "[completed]"
        case "turn.failed":
            return f"[failed] {_message(event.get('error'))}".rstrip()
        case "error":
            return f"[{_message(event)}]"
        case _:
            return None


def commands(line: bytes) -> Iterator[str]:
    """The commands that a line of its output says were run."""
    if b"command_execution" not in line:
        return
    event = json_object(line)
    item = _item(event)
    if event.get("type") == "item.completed" and item.get("type") == "command_execution":
        yield _text(item.get("command"))


def _item(event: dict[str, Any]) -> dict[str, Any]:
    item = event.get("item")
    return item if isinstance(item, dict) else {}


def _said(item: dict[str, Any]) -> str:
    """What an item says or does; empty where it holds nothing for people."""
    match item.get("type"):
        case "agent_message":
            return _text(item.get("text"))
        case "command_execution":
            return f"command: {_text(item.get('command'))}"
        case "file_change":
            changes = item.get("changes")
            listed = changes if isinstance(changes, list) else []
            paths = (_text(change.get("path")) for change in listed if isinstance(change, dict))
            return f"files: {', '.join(path for path in paths if path)}"
        case "mcp_tool_call":
            return f"{_text(item.get('server'))}: {_text(item.get('tool'))}"
        case "error":
            return f"[{_message(item)}]"
        case _:
            return ""


def _message(value: object) -> str:
    """The words of an error; those of a service's answer stand as JSON in them."""
    text = _text(value.get("message")) if isinstance(value, dict) else ""
    inner = json_object(text.encode(errors="replace")).get("error")
    return (_text(inner.get("message")) if isinstance(inner, dict) else "") or text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
