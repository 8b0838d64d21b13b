"""What a dialect is: how one provider's API is spoken, as pure functions of bytes and values.

A dialect says which requests are its own and which of them are passed on, how a credential is shown, how
errors are told, what an answer has used, and what a request would have the service reach out for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.gateway.dialects.headers import Headers
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import DialectName, Service


@dataclass(frozen=True)
class Forward:
    """A request that goes to the service: its path and query, and whether its usage counts."""

    target: str
    counts: bool


@dataclass(frozen=True)
class Answer:
    """What the gateway answers by itself; `body` is empty for a HEAD."""

    status: int
    body: bytes = b""


class Dialect(Protocol):
    """One provider's way of speaking."""

    name: DialectName
    root: str
    """How the paths begin that boxes ask for, where a service's address has that part already."""

    def route(self, method: str, path: str) -> bool | None:
        """Whether the usage of what is asked there counts; None where it is not passed on."""

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """An error in the form in which the service itself gives errors."""

    def to_service(self, passed: Headers, service: Service) -> Headers:
        """The headers that pass, with what this service needs besides: changed, or added."""

    def usage_reader(self, path: str, content_type: str) -> UsageReader:
        """The reader for an answer of that content type to what was asked at that path."""

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[str]:
        """What a request asks for that is not the model's own answer."""
