"""Which recorded answer answers a request, and whether the request is the recorded one.

As with transcripts, it follows from the request alone: retries, and agents side by side, need no state. What
was recorded for the very same conversation is answered with. If there is none, the conversation has departed,
and what was recorded at the same turn is answered all the same, so that one sees how it goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from pydantic import JsonValue

from runner.gateway.grants import Departure, Replayed
from runner.gateway.playing.likeness import BESIDE, Blanks, comparable, difference, digest
from runner.gateway.playing.recording import Recorded, Recording
from runner.gateway.playing.script import Heard, Json, UnfitError, said_by

LONGEST = 900
"""Characters of what is told of a departure: it goes through a header."""


@dataclass(frozen=True)
class Way:
    """How a conversation is told in one API: how it is heard, and the key under which it stands."""

    hear: Callable[[Json], Heard]
    said: str
    kind: str = ""
    """Tells it from others that are told alike, but answered in another form."""


@dataclass(frozen=True)
class Told:
    """What a request says, to be compared: whose conversation, how far, each message, and all the rest."""

    opening: bytes
    """Of what was said before the model's first answer: tells conversations apart."""
    turn: int
    is_side: bool
    said: tuple[bytes, ...]
    rest: bytes

    def is_like(self, other: Told) -> int:
        """How many messages are the same from the beginning on."""
        pairs = zip(self.said, other.said, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True)
class _Known:
    """A recorded exchange, and what its request says."""

    recorded: Recorded
    way: Way
    is_stream: bool
    told: Told

    @property
    def worth(self) -> tuple[bool, bool]:
        """How good it is to answer with: what went well before what was whole, and that before a half."""
        answer = self.recorded.answer
        whole = answer is not None and answer.whole
        return whole and answer is not None and answer.status == 200, whole


@dataclass(frozen=True)
class Played:
    """What a request is answered with: an exchange of the recording, or nothing, where it has none."""

    exchange: Recorded | None
    replayed: Replayed

    @property
    def why(self) -> str:
        """Where and what the departure is, in words; empty if there is none."""
        departed = self.replayed.departed
        if departed is None:
            return ""
        where = f"at turn {departed.turn}" if departed.turn else "beside the conversation"
        return f"the replay departs from its recording {where}: {departed.what}"


class Player:
    """Plays one recording.

    `way_of` says how the API at a path is told, and None for what is no conversation.
    """

    def __init__(self, recording: Recording, way_of: Callable[[str], Way | None]) -> None:
        self.recording = recording
        self._way_of = way_of
        self._blanks = Blanks()
        self._known = [known for one in recording.exchanges if (known := self._know(one)) is not None]
        main = next((one.told.opening for one in self._known if not one.told.is_side), None)
        self._main = main
        turns = [
            one.told.turn + 1 for one in self._known if one.told.opening == main and not one.told.is_side
        ]
        self._turns = max(turns, default=0)

    def play(self, path: str, request: Json) -> Played:
        """What answers a conversation.

        Raises:
            UnfitError: The request is malformed, or was recorded in the other form only (a stream, or whole).
        """
        way = self._way_of(path)
        if way is None:
            raise UnfitError(f"no conversation goes to {path}")
        told = _told(path, request, way, self._blanks)
        there = [one for one in self._known if one.way == way and one.recorded.answer is not None]
        like = [one for one in there if one.told == told]
        if like:
            return Played(_best(like, request).recorded, self._replayed(like[0].told, None))
        nearest = self._nearest(there, told)
        if nearest is None:
            last = "breaks off" if self.recording.incomplete else "ends"
            departure = Departure(turn=_shown(told), what=f"the recording {last} before it")
            return Played(None, self._replayed(told, departure))
        what = self._what(nearest, path, request)
        twins = [one for one in there if one.told == nearest.told]
        departure = Departure(turn=_shown(told), what=what[:LONGEST])
        return Played(_best(twins, request).recorded, self._replayed(nearest.told, departure))

    def beside(self, method: str, path: str) -> Recorded | None:
        """What was answered there, to what is no conversation; the last answer that went well."""
        found = [
            one
            for one in self.recording.exchanges
            if (one.method, _path(one)) == (method, path)
            and one.answer is not None
            and one.answer.whole
            and one.answer.status == 200
        ]
        return found[-1] if found else None

    def _nearest(self, there: list[_Known], told: Told) -> _Known | None:
        """The exchange at the same turn that is the most alike."""
        at_turn = [one for one in there if (one.told.turn, one.told.is_side) == (told.turn, told.is_side)]
        own = [one for one in there if one.told.opening == told.opening]
        opening = told.opening if own or told.is_side else self._main
        candidates = [one for one in at_turn if told.is_side or one.told.opening == opening]
        return max(
            candidates,
            key=lambda one: (
                one.told.opening == told.opening,
                one.told.is_like(told),
                one.told.rest == told.rest,
                -one.recorded.number,
            ),
            default=None,
        )

    def _what(self, nearest: _Known, path: str, request: Json) -> str:
        before: JsonValue = json.loads(self.recording.bytes_of(nearest.recorded.body))
        if not isinstance(before, dict):
            return "another request"
        way, then = nearest.way, _path(nearest.recorded)
        said_then, rest_then = _parted(then, before, way, self._blanks)
        said_now, rest_now = _parted(path, request, way, self._blanks)
        if found := difference(said_then, said_now, way.said) or difference(rest_then, rest_now, ""):
            return found
        return "the same words, at another turn"

    def _replayed(self, told: Told, departed: Departure | None) -> Replayed:
        is_main = told.opening == self._main and not told.is_side
        return Replayed(turns=self._turns, reached=told.turn + 1 if is_main else 0, departed=departed)

    def _know(self, one: Recorded) -> _Known | None:
        path = _path(one)
        way = self._way_of(path)
        if way is None or one.method != "POST":
            return None
        try:
            request: JsonValue = json.loads(self.recording.bytes_of(one.body))
            if not isinstance(request, dict):
                return None
            return _Known(one, way, bool(request.get("stream")), _told(path, request, way, self._blanks))
        except (UnfitError, ValueError, RecursionError):
            return None


def _best(known: list[_Known], request: Json) -> _Known:
    streamed = bool(request.get("stream"))
    fitting = [one for one in known if one.is_stream == streamed]
    if not fitting:
        raise UnfitError(f"this was recorded {'whole' if streamed else 'as a stream'} only")
    return max(fitting, key=lambda one: (one.worth, one.recorded.number))


def _shown(told: Told) -> int:
    return 0 if told.is_side else told.turn + 1


def _told(path: str, request: Json, way: Way, blanks: Blanks) -> Told:
    heard = way.hear(request)
    said, rest = _parted(path, request, way, blanks)
    opening: list[JsonValue] = [
        comparable(said_by(message), blanks)
        for message in takewhile(lambda one: one.get("role") != "assistant", heard.messages)
        if message.get("role") == "user"
    ]
    return Told(
        opening=digest(opening),
        turn=heard.turn,
        is_side=not heard.offers_tools,
        said=tuple(digest(one) for one in said),
        rest=digest(rest),
    )


def _parted(path: str, request: Json, way: Way, blanks: Blanks) -> tuple[list[JsonValue], Json]:
    """What is said in a request, and all else of it that is compared."""
    given = request.get(way.said)
    said = comparable(given if isinstance(given, list) else [given], blanks)
    rest = {
        name: comparable(value, blanks)
        for name, value in request.items()
        if name != way.said and name not in BESIDE
    }
    return (said if isinstance(said, list) else [said]), {**rest, "path": path}  # which may name the model


def _path(one: Recorded) -> str:
    return one.target.partition("?")[0]
