"""The dialects that the gateway speaks, and what it does with a request in any of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.gateway.dialects.anthropic import Anthropic
from runner.gateway.dialects.dialect import Answer, Dialect, Forward
from runner.gateway.dialects.gemini import Gemini
from runner.gateway.dialects.openai import OpenAI
from runner.gateway.grants import Access, Script

ANTHROPIC = Anthropic()
OPENAI = OpenAI()
GEMINI = Gemini()

DIALECTS: tuple[Dialect, ...] = (ANTHROPIC, OPENAI, GEMINI)
"""In the order in which they are asked whether a request is theirs."""


def granted(accesses: Sequence[Access]) -> tuple[Dialect, ...]:
    """The dialects in which somebody answers a box; a script answers in all of them."""
    names = {None if isinstance(access, Script) else access.dialect for access in accesses}
    return tuple(dialect for dialect in DIALECTS if None in names or dialect.name in names)


def first_of(accesses: Sequence[Access]) -> Dialect:
    """The dialect in which a box is told what it has asked in none."""
    return (*granted(accesses), *DIALECTS)[0]


def who_answers(accesses: Sequence[Access], dialect: Dialect) -> Access | None:
    """Who answers what is asked in a dialect, if anybody does."""
    found = (one for one in accesses if isinstance(one, Script) or one.dialect == dialect.name)
    return next(found, None)


NO_UPGRADE = 426
"""Codex takes this for "plain HTTP, then" and goes on at once; any other status it tries six times in 7 s."""

_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]*")


def decide(
    allowed: tuple[Dialect, ...], method: str, target: str, *, upgrade: bool
) -> tuple[Dialect, Forward | Answer]:
    """What to do with a request, by its method and its raw, undecoded target, and in which dialect.

    What is nobody's is refused in the first of the dialects that are allowed, of which there is one at least.
    """
    path, _, query = target.partition("?")
    dialect = next((one for one in allowed if one.route(method, path) is not None), allowed[0])
    if method == "CONNECT" or upgrade:
        return dialect, dialect.error(
            NO_UPGRADE if upgrade else 501,
            "this gateway speaks plain HTTP: no tunnels, no WebSocket, no other protocol",
        )
    if method == "HEAD":
        return dialect, Answer(200)
    counts = dialect.route(method, path)
    passed = None if _QUERY.fullmatch(query) is None else dialect.query(query)
    if counts is None or passed is None:
        return dialect, dialect.error(403, f"this gateway does not forward {method[:16]} {target[:200]}")
    return dialect, Forward(f"{path}?{passed}" if passed else path, counts)
