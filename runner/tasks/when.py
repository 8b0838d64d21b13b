"""The language of `when:`: comparisons of facts about needed tasks, joined by `and`, `or` and `not`.

    fix.verdict == 'rejected' and fix.files < 20
    not (lint.check in ('passed', 'none'))
    parts.failed > 0

It is parsed by hand and computed by walking what was parsed: nothing of it is ever run as a program. A fact
that nobody knows makes a comparison unknown, which is neither true nor false (Kleene's three values).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal

SKIPPED: Literal["skipped"] = "skipped"

WORDS: dict[str, tuple[str, ...]] = {
    "verdict": (
        "accepted", "done", "rejected", "no-change", "refused", "timeout", "stalled", "oom", "disk",
        "over-budget", "limited", "needs-input", "agent-error", "cancelled", "infrastructure", SKIPPED,
    ),
    "ended": (
        "exited", "timeout", "stalled", "oom", "disk", "over-budget", "limited", "needs-input", "agent-error",
        "cancelled", "infrastructure",
    ),
    "work": ("none", "gathered", "salvaged", "refused"),
    "check": ("passed", "failed", "not-run", "none"),
}  # fmt: skip
"""Facts that are words, each with the words that it can be (`docs/verdicts.md`)."""

FIGURES = ("files", "usd")
"""Facts that are numbers: the files that it changed, and what its model calls cost in US dollars."""

COUNTS = ("items", "served", "failed")
"""Facts of a task with `for_each`: how many items there are, how many served, and how many did not."""

LONGEST = 1000
DEEPEST = 50

Fact = str | float | None
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]*)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>==|!=|<=|>=|[<>=(),]))"
)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_KEYWORDS = frozenset({"and", "or", "not", "in"})
_EXAMPLE = "write it like `fix.verdict == 'rejected'`"


class WhenError(ValueError):
    """An expression that is not understood: why, and what to write instead."""

    def __init__(self, message: str, cure: str = _EXAMPLE) -> None:
        super().__init__(message)
        self.cure = cure


@dataclass(frozen=True)
class Comparison:
    """A fact of a task, compared with one value, or looked for among several (`in`)."""

    task: str
    fact: str
    sign: str
    values: tuple[str | float, ...]


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Expression


@dataclass(frozen=True)
class Joined:
    """Several parts, of which all or one must hold."""

    how: Literal["and", "or"]
    parts: tuple[Expression, ...]


Expression = Comparison | Not | Joined


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """All comparisons of an expression, in the order in which they are written."""
    match expression:
        case Comparison():
            yield expression
        case Not():
            yield from comparisons(expression.part)
        case Joined():
            for part in expression.parts:
                yield from comparisons(part)


def holds(expression: Expression, fact: Callable[[str, str], Fact]) -> bool | None:
    """Whether an expression holds; None where that is not known.

    Args:
        expression: What is asked.
        fact: The fact of a task, by both their names; None if it is not known.
    """
    match expression:
        case Comparison():
            return _compared(expression, fact(expression.task, expression.fact))
        case Not():
            inner = holds(expression.part, fact)
            return None if inner is None else not inner
        case Joined():
            results = [holds(part, fact) for part in expression.parts]
            decisive = expression.how == "or"
            if decisive in results:
                return decisive
            return None if None in results else not decisive


def _compared(asked: Comparison, known: Fact) -> bool | None:
    if known is None:
        return None
    if asked.sign in {"in", "not in"}:
        return (known in asked.values) == (asked.sign == "in")
    return _OPERATORS[asked.sign](known, asked.values[0])


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """The expression that a text means.

    Raises:
        WhenError: It means none, or compares a fact with what it can never be.
    """
    if len(text) > LONGEST:
        raise WhenError(f"more than {LONGEST} characters", "say it in fewer, or split the task")
    reader = _Reader(text, _tokens(text))
    expression = reader.either(0)
    if (rest := reader.peek()) is not None:
        raise WhenError(
            f"{rest!r} is not expected at the end of {text!r}", "join comparisons by `and` or `or`"
        )
    return expression


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise WhenError(f"{text[at:].strip()[:20]!r} is not understood")
        found.append(match[match.lastgroup or 0])
        at = match.end()
    return found


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str | None:
        """The next token, if there is one."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def either(self, depth: int) -> Expression:
        """Parts joined by `or`."""
        return self._joined("or", lambda: self._joined("and", lambda: self._single(depth)))

    def _joined(self, how: Literal["and", "or"], part: Callable[[], Expression]) -> Expression:
        parts = [part()]
        while self.peek() == how:
            self._next()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(how, tuple(parts))

    def _single(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise WhenError(f"more than {DEEPEST} levels deep", "split the task")
        if self.peek() == "not":
            self._next()
            return Not(self._single(depth + 1))
        if self.peek() == "(":
            self._next()
            inside = self.either(depth + 1)
            self._expect(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Comparison:
        task, fact = self._fact()
        sign = self._sign()
        values = self._list() if sign in {"in", "not in"} else (self._value(),)
        for value in values:
            _fitting(task, fact, sign, value)
        return Comparison(task, fact, sign, values)

    def _fact(self) -> tuple[str, str]:
        token = self._next()
        task, _, fact = token.rpartition(".")
        if not task or token[0] in "'\"" or _NUMBER.fullmatch(token) or token in _KEYWORDS:
            raise WhenError(f"{token!r} is no fact of a task", "a fact stands first, like `fix.verdict`")
        known = (*WORDS, *FIGURES, *COUNTS)
        if fact not in known:
            raise WhenError(f"tasks have no fact {fact!r}", _closest(fact, known))
        return task, fact

    def _sign(self) -> str:
        token = self._next()
        if token == "not":  # noqa: S105 - a word of the language
            self._expect("in")
            return "not in"
        if token != "in" and token not in _OPERATORS:  # noqa: S105 - as above
            cure = "compare by ==" if token == "=" else "compare by ==, !=, <, <=, >, >= or `in`"  # noqa: S105
            raise WhenError(f"{token!r} compares nothing", cure)
        return token

    def _list(self) -> tuple[str | float, ...]:
        self._expect("(")
        values = [self._value()]
        while self.peek() == ",":
            self._next()
            if self.peek() == ")":
                break
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> str | float:
        token = self._next()
        if token[0] in "'\"":
            return token[1:-1]
        if _NUMBER.fullmatch(token):
            return float(token)
        raise WhenError(f"{token!r} is no value", f"put words into quotes: '{token}'")

    def _next(self) -> str:
        token = self.peek()
        if token is None:
            raise WhenError(f"it ends too early: {self._text!r}")
        self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        token = self._next()
        if token != wanted:
            raise WhenError(f"{token!r} stands where {wanted!r} belongs")


def _fitting(task: str, fact: str, sign: str, value: str | float) -> None:
    """See that a fact can be what it is compared with."""
    words = WORDS.get(fact)
    if words is None:
        if isinstance(value, str):
            raise WhenError(
                f"{task}.{fact} is a number, and {value!r} is none", "write the number, without quotes"
            )
        return
    if sign in {"<", "<=", ">", ">="}:
        raise WhenError(f"{task}.{fact} is a word: it has no order", "compare by ==, != or `in`")
    if value not in words:
        raise WhenError(f"{task}.{fact} is never {value!r}", _closest(str(value), words))


def _closest(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
