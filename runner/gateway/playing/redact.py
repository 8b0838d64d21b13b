"""Blanks secrets: known ones in bytes that come in pieces however they are cut, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

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


BLANK = b"X"
"""What stands in recordings for each letter of a secret: to a shell it is a letter like others."""

_KEY_LIKE = (
    r"(?:sk-|sk_live_|rk_live_|AIza|gh[opsur]_|github_pat_|glpat-|xox[abpr]-|AKIA|npm_|pypi-|hf_)"
    r"[A-Za-z0-9_\-]{16,}"
)
"""How keys begin that people use; what follows is theirs, of at least sixteen letters."""

_IN_BYTES, _IN_TEXT = re.compile(_KEY_LIKE.encode()), re.compile(_KEY_LIKE)

_TOLD = re.compile(
    rb'"(text|partial_json|thinking|delta|content|arguments|input)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"',
    re.DOTALL,
)
"""Where a stream tells a piece of a longer text: each event a bit of it, under one of these keys."""


def without_keys(part: bytes) -> bytes:
    """The bytes with all that looks like a key as as many `BLANK`s."""
    return _IN_BYTES.sub(lambda found: BLANK * len(found[0]), part)


def without_keys_in(text: str) -> str:
    """The same of a text."""
    return _IN_TEXT.sub(lambda found: BLANK.decode() * len(found[0]), text)


def without_secrets(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """A whole body with each of the secrets as as many `BLANK`s; too short ones are none."""
    for secret in _long(secrets):
        body = body.replace(secret, BLANK * len(secret))
    return body


def without_told_keys(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """A stream's body without secrets and keys that it tells in pieces, one event after the other."""
    known = [re.escape(secret) for secret in _long(secrets)]
    wanted = re.compile(b"|".join([*known, _KEY_LIKE.encode()]))
    spans: dict[bytes, list[tuple[int, int]]] = {}
    for told in _TOLD.finditer(body):
        spans.setdefault(told[1], []).append(told.span(2))
    made = bytearray(body)
    for pieces in spans.values():
        whole = b"".join(body[start:end] for start, end in pieces)
        for start, end in _back(pieces, (found.span() for found in wanted.finditer(whole))):
            made[start:end] = BLANK * (end - start)
    return bytes(made)


def _back(pieces: list[tuple[int, int]], found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where stretches of the joined pieces, one behind the other, stand in what these were taken from."""
    index, at = 0, 0
    for start, end in found:
        while start < end:
            low, high = pieces[index]
            size = high - low
            if start >= at + size:
                index, at = index + 1, at + size
                continue
            here = min(end, at + size)
            yield low + start - at, low + here - at
            start = here  # noqa: PLW2901 - the rest of it is in the next piece


def _long(secrets: Iterable[bytes]) -> list[bytes]:
    return [secret for secret in secrets if len(secret) >= SHORTEST]
