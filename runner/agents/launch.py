"""What every agent CLI is reduced to: how to start it, and how to read what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runner.agents.actions import Actions

PROMPT_FILE = "/run/corral/in/prompt"
SOCKET = "/run/gw/gw.sock"
FORWARD_PORT = 8484
GATEWAY_NAME = "gateway.corral"
"""Stands for the gateway in the address that a CLI is given along with the socket; nobody looks it up."""

PLACEHOLDER_KEY = "corral-placeholder"
"""Stands where a CLI insists on a key; the gateway drops it and puts the real one in."""

NOT_PROXIED = f"localhost,127.0.0.1,::1,{GATEWAY_NAME}"
"""What a box reaches without the proxy: itself, where the forwarder is, and the gateway by its socket."""

PROMPT_VARIABLE_BYTES = 64 * 1024
"""Largest prompt that is also given as a variable: Linux refuses to exec with one above 128 KiB."""


_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Launch:
    """How an agent is started in its box.

    Attributes:
        argv: The command line; never holds the prompt.
        env: Its environment; never holds a key.
        home: Files of HOME, by relative path, so that nothing can prompt.
        cli: The agent layer that the image needs, or None.
        prompt_on_stdin: Whether standard input is the prompt; otherwise it is empty.
        forwarder: Whether a loopback TCP port must lead to the gateway's socket.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    home: Mapping[str, bytes] = field(default_factory=dict)
    cli: str | None = None
    prompt_on_stdin: bool = False
    forwarder: bool = False


class Reader(Protocol):
    """Reads an agent's output, line by line. What it reads may be written by an attacker.

    `session` is the id under which the agent's conversation can be taken up again in another box with the
    same HOME (`catalog.launch`, `resume`); None while the agent has told none, and for one that has none.
    `actions` are those that it told of; `tells` says whether its CLI tells any, beginning with its start.
    """

    session: str | None
    actions: Actions

    @property
    def tells(self) -> bool:
        """Whether the agent's CLI tells what it does, from its first moment on."""
        ...

    def feed(self, line: bytes) -> str | None:
        """Take one line of standard output; returns what the agent is doing now, if the line says."""
        ...

    def error(self) -> str | None:
        """Why the agent's own report says that it failed, or None."""
        ...


def session_of(value: object) -> str | None:
    """A session's id as an agent told it, if it is one: it becomes an argument of the agent's next start.

    Both CLIs use UUIDs; anything else, such as a text that reads as an option, is none.
    """
    return value if isinstance(value, str) and _SESSION.fullmatch(value) else None


def proxy_environment() -> dict[str, str]:
    """How programs in a box that is let through to hosts find the way out; none of it leads to the model.

    Programs differ in which case they read, and some read `ALL_PROXY` alone (curl's manual, "Environment").
    """
    proxy = f"http://127.0.0.1:{FORWARD_PORT}"
    names = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": NOT_PROXIED}
    return {**names, **{name.lower(): value for name, value in names.items()}}


def environment(prompt: str, own: Mapping[str, str]) -> dict[str, str]:
    """The variables of every agent's box: a neutral locale, its HOME, its prompt, then the profile's."""
    common = {
        "HOME": "/home/agent",
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "CORRAL": "1",
        "CORRAL_PROMPT_FILE": PROMPT_FILE,
    }
    if len(prompt.encode()) <= PROMPT_VARIABLE_BYTES and "\0" not in prompt:
        common["CORRAL_PROMPT"] = prompt
    return {**common, **own}
