"""Blanks secrets in bytes that come in pieces, wherever the pieces are cut."""

from __future__ import annotations

import re

SHORTEST = 16
"""A shorter credential is a placeholder such as `none`, which may stand in any honest reply."""


class Redactor:
    """Replaces each occurrence of a secret by as many asterisks.

    Only the end of a piece that may be the beginning of a secret is held back until the next piece, so that
    an event is never delayed by more than those bytes.
    """

    def __init__(self, *secrets: bytes) -> None:
        kept = {secret for secret in secrets if len(secret) >= SHORTEST}
        # The longest first: one that begins with another is blanked as a whole.
        self._secrets = sorted(kept, key=lambda secret: (-len(secret), secret))
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets))) if kept else None
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The bytes that can be passed on now."""
        if self._pattern is None:
            return piece
        data, at, clean = self._held + piece, 0, b""
        while True:
            found = self._pattern.search(data, at)
            open_from = self._beginning_at_end_of(data, at)
            if found is None or found.start() >= open_from:
                self._held = data[open_from:]
                return clean + data[at:open_from]
            clean += data[at : found.start()] + _blank(found)
            at = found.end()

    def finish(self) -> bytes:
        """The bytes still held back; no more of a secret comes after them."""
        held, self._held = self._held, b""
        return held if self._pattern is None else self._pattern.sub(_blank, held)

    def whole(self, text: str) -> str:
        """A whole text, such as a header's value, with the secrets blanked."""
        for secret in self._secrets:
            text = text.replace(secret.decode(), "*" * len(secret))
        return text

    def _beginning_at_end_of(self, data: bytes, at: int) -> int:
        """Where the longest end of the data begins that a secret begins with too; its length for none."""
        longest = max(len(secret) for secret in self._secrets) - 1
        for start in range(max(at, len(data) - longest), len(data)):
            end = data[start:]
            if any(len(end) < len(secret) and secret.startswith(end) for secret in self._secrets):
                return start
        return len(data)


def _blank(found: re.Match[bytes]) -> bytes:
    return b"*" * len(found[0])
