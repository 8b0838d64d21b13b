"""Blanks a secret in bytes that come in pieces, wherever the pieces are cut."""

from __future__ import annotations

SHORTEST = 16
"""A shorter credential is a placeholder such as `none`, which may stand in any honest reply."""


class Redactor:
    """Replaces each occurrence of a secret by as many asterisks.

    Only the end of a piece that may be the beginning of the secret is held back until the next
    piece, so that an event is never delayed by more than those bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret if len(secret) >= SHORTEST else b""
        self._blank = b"*" * len(secret)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The bytes that can be passed on now."""
        if not self._secret:
            return piece
        *clean, tail = (self._held + piece).split(self._secret)
        keep = self._beginning_at_end_of(tail)
        self._held = tail[len(tail) - keep :]
        return self._blank.join([*clean, tail[: len(tail) - keep]])

    def finish(self) -> bytes:
        """The bytes still held back; they turned out not to be the secret."""
        held, self._held = self._held, b""
        return held

    def whole(self, text: str) -> str:
        """A whole text, such as a header's value, with the secret blanked."""
        return text.replace(self._secret.decode(), self._blank.decode()) if self._secret else text

    def _beginning_at_end_of(self, tail: bytes) -> int:
        longest = min(len(tail), len(self._secret) - 1)
        return next((n for n in range(longest, 0, -1) if self._secret.startswith(tail[-n:])), 0)
