"""Any command as an agent: its exit code is all that is known of its success."""

from __future__ import annotations

from runner.agents.actions import Actions
from runner.agents.launch import FORWARD_PORT, PLACEHOLDER_KEY, SOCKET, Launch, environment
from runner.tasks.plan import CommandSettings

_ENVIRONMENT = {
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{FORWARD_PORT}",
    "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
    "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{FORWARD_PORT}",
    "GEMINI_API_KEY": PLACEHOLDER_KEY,
    "CORRAL_GATEWAY_SOCKET": SOCKET,
}


def launch(settings: CommandSettings, prompt: str) -> Launch:
    """How a command is started; model SDKs find the gateway at the usual variables."""
    return Launch(
        argv=settings.run,
        env=environment(prompt, {**_ENVIRONMENT, **settings.env}),
        forwarder=True,
    )


class Reader:
    """Shows the last line that the command printed. A command has no session to go on with."""

    session: str | None = None
    tells = False

    def __init__(self) -> None:
        self.actions = Actions()

    def feed(self, line: bytes) -> str | None:
        """See `launch.Reader`."""
        return line[:200].decode(errors="replace").strip() or None

    def error(self) -> str | None:
        """A command makes no report of its own."""
        return None
