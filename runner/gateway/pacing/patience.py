"""How long the gateway waits for what on behalf of an agent, and how the agent is told the end: pure values.

The figures follow from what the agents' CLIs were seen to bear. Claude Code (2.1.329) drops a request that is
silent for 360 s, and a stream that is silent for 300 s, but goes on waiting for one that pings; it takes a
`retry-after` above 60 s for the end, and ends at once at a 402 (showing its message) and at a 403. Codex
(0.169.0) waits silently for as long as it takes, drops a stream of nothing but comments, and ends at a 400.
Gemini CLI (0.61.0) ends at a 402.
"""

from __future__ import annotations

import random

from runner.gateway.grants import DialectName
from runner.tasks.plan import Value

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""What the Messages API sends while nothing is ready; clients pass over it."""

COME_AGAIN = 59
"""Seconds: the longest `retry-after` that Claude Code takes for anything but a final refusal."""

ENDS: dict[str, int] = {"anthropic": 402, "openai": 400, "gemini": 402}
"""The status at which the CLI of a dialect ends without trying again."""

KEY_ENDS: dict[str, int] = {"anthropic": 403, "openai": 400, "gemini": 403}
"""The same for a credential that is refused."""


class Patience(Value):
    """Seconds, all of them.

    A limit per kind of failure starts with the first failure of a request, or with that of its account if it
    has failed for everybody since then.
    """

    silent: float = 240.0
    """After which a stream of the Messages API is begun with pings."""
    ping: float = 12.0
    """Between pings."""
    unpinged: float = 280.0
    """After which a request is told to come again that can neither be pinged nor wait silently."""
    look_again: float = 30.0
    """After which one that waits for its turn looks anew at who may answer it."""
    first: float = 1.0
    longest: float = 60.0
    """The first pause before a request is sent again, and the longest: each is twice the one before."""
    overload: float = 4 * 3600.0
    """A service with too much to do (429, 502, 503, 504, 529 and the like)."""
    failing: float = 900.0
    """A service that fails (500): the request itself may be why, and then waiting helps nobody."""
    unreachable: float = 4 * 3600.0
    """A service that does not answer."""
    credential: float = 60.0
    """A refused key, which may just be being rotated."""
    credential_poll: float = 2.0
    """Between looks at whether there is another key."""
    window_jitter: float = 30.0
    """Over which requests are spread once a window has opened again."""

    def pause(self, tries: int, chance: random.Random) -> float:
        """Seconds before a request is sent again that has failed so often: with jitter, never none."""
        full = min(self.longest, self.first * 2.0 ** min(tries - 1, 30))
        return float(full * chance.uniform(0.5, 1.0))

    def bears_silence_for(self, dialect: DialectName | str, *, streams: bool) -> float | None:
        """How long the agent may hear nothing before something is said; None for no end."""
        if dialect == "openai":
            return None
        return self.silent if can_be_pinged(dialect, streams=streams) else self.unpinged


def can_be_pinged(dialect: str, *, streams: bool) -> bool:
    """Whether a request can be kept waiting by an answer that is begun, and says nothing yet."""
    return dialect == "anthropic" and streams
