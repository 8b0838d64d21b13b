"""A container's terminal, as the engine's client hands it over: one stream that is read and written."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


class Talk:
    """A container's terminal: both directions of one connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def fileno(self) -> int:
        """The descriptor that tells when there is something to read."""
        return int(self._stream.fileno())

    def read(self) -> bytes:
        """What was printed; empty once the container has ended."""
        try:
            return bytes(self._stream.read(65536) or b"")
        except (OSError, ValueError):
            return b""

    def write(self, typed: bytes) -> None:
        """Type something; where nobody reads any more it is lost."""
        with suppress(OSError):
            self._stream._sock.sendall(typed)  # noqa: SLF001 - the reading half offers no writing

    def close(self) -> None:
        """Hang up."""
        self._stream._response.close()  # noqa: SLF001 - the stream's leaves the connection
