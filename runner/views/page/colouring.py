"""Code in colours: what Pygments makes of it, in a few kinds that a page tells apart.

The code is hostile, and a lexer is a set of regular expressions: some take for ever over the right text. So
each piece gets a bounded time of the processor, and is shown plain if that is over.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import pygments
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_for_filename
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

from runner.views.page.markup import Html, escaped

LARGEST = 40_000
"""Characters of a piece that is coloured: longer ones are data, as a rule."""
WIDEST = 400
"""Characters of a line that is coloured."""
SECONDS = 0.4
"""Of the processor, for one piece."""
AGAIN = 0.005
"""Seconds after which it is tried again to end it."""
_LEXERS = str(Path(pygments.__file__).parent)

_KINDS: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"),
    (String, "s"),
    (Number, "n"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
    (Name.Tag, "k"),
    (Name.Attribute, "f"),
)


class _TookTooLongError(Exception):
    """A lexer did not come to its end."""


def lexer_for(path: str) -> Lexer | None:
    """What reads a file of this name; None where nothing is known to."""
    try:
        lexer = get_lexer_for_filename(path.rpartition("/")[2][-120:], stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return None if lexer.name == "Text only" else lexer


def coloured(lexer: Lexer | None, lines: Sequence[str]) -> list[Html]:
    """Lines of code, each as markup, without their ends."""
    plain = [Html(escaped(line)) for line in lines]
    size = sum(map(len, lines))
    if lexer is None or not lines or size > LARGEST or max(map(len, lines)) > WIDEST:
        return plain
    try:
        with _bounded(SECONDS):
            pieces = list(lexer.get_tokens("\n".join(lines)))
    except Exception:
        return plain
    rows = [Html("".join(row)) for row in _rows(pieces)]
    rows += [Html("")] * (len(lines) - len(rows))
    return rows if len(rows) == len(lines) else plain


def _rows(pieces: Sequence[tuple[_TokenType, str]]) -> Iterator[list[str]]:
    row: list[str] = []
    for kind, text in pieces:
        mark = _mark(kind)
        first, *more = text.split("\n")
        row.append(_marked(mark, first))
        for part in more:
            yield row
            row = [_marked(mark, part)]
    yield row


@cache
def _mark(kind: _TokenType) -> str:
    """The letter for a kind of token; empty for one that is plain."""
    return next((letter for group, letter in _KINDS if kind[: len(group)] == group), "")


def _marked(mark: str, text: str) -> str:
    safe = escaped(text)
    return f'<i class="{mark}">{safe}</i>' if mark and text.strip() else safe


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """End what takes longer, by the processor's time; only the main thread can be ended so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_number: int, frame: FrameType | None) -> None:
        # In the lexer's own code alone: raised in what the interpreter does beside it, it would be lost.
        if frame is not None and frame.f_code.co_filename.startswith(_LEXERS):
            raise _TookTooLongError

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
