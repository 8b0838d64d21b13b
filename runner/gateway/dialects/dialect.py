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
from runner.tasks.plan import Hosted


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


@dataclass(frozen=True)
class Reach:
    """Something that a request would have the service do besides answering: what, in words.

    `name` is under which name a task file can allow it; None for what is never allowed.
    """

    what: str
    name: Hosted | None = None


class Dialect(Protocol):
    """One provider's way of speaking."""

    name: DialectName
    root: str
    """How the paths begin that boxes ask for, where a service's address has that part already."""

    def route(self, method: str, path: str) -> bool | None:
        """Whether the usage of what is asked there counts; None where it is not passed on."""

    def query(self, query: str) -> str | None:
        """What of a URL's query passes, without the `?`; None where it is not passed on."""

    def error(self, status: int, message: str, kind: str | None = None) -> Answer:
        """An error in the form in which the service itself gives errors."""

    def to_service(self, passed: Headers, service: Service) -> Headers:
        """The headers that pass, with what this service needs besides: changed, or added."""

    def usage_reader(self, path: str, content_type: str) -> UsageReader:
        """The reader for an answer of that content type to what was asked at that path."""

    def model(self, path: str, asked: Mapping[str, Any]) -> str:
        """The model that is asked at that path with that body; empty where none is named."""

    def most_output(self, asked: Mapping[str, Any]) -> int:
        """How many tokens the answer may have at most."""

    def reaches_out(self, asked: Mapping[str, Any]) -> Iterator[Reach]:
        """What a request asks for that is not the model's own answer."""
