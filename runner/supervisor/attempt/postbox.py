"""The mail of one attempt while its box lives: brings letters in, takes letters out, and waits for people.

What it brings and what it took is the run's state to say, which it is shown anew each time; so whoever goes
on with the attempt after a crash neither loses a message nor takes one twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import EngineAwayError, EngineError
from runner.guarded import GuardedError
from runner.names import AttemptKey
from runner.sandbox.outbox import Outbox
from runner.supervisor.deadline import steady
from runner.supervisor.events import RunMail
from runner.supervisor.post import message
from runner.supervisor.post.delivery import OfRun, View, looking, unknown_recipient
from runner.supervisor.post.mail import asked_words, waited
from runner.supervisor.post.message import RefusedError, Sent
from runner.tasks.plan import PERSON

MOST_FILES = 1000
"""Files in an outbox. Of one with more, nothing is read until there are fewer."""

_UNREAD = {
    "not-plain": "it is not a plain file",
    "too-large": f"it holds more than {message.MOST_BYTES} bytes",
}


@dataclass(frozen=True)
class Post:
    """What an attempt's mail is subject to.

    Attributes:
        wait: Seconds for which it lives on after it asked a person.
        look: What there is to know of its mail just now.
    """

    wait: float
    look: Callable[[], View]


def post_of(key: AttemptKey, of_run: OfRun) -> Post | None:
    """The mail of an attempt; None where its task has none.

    Args:
        key: The attempt.
        of_run: Gives what its run is just now.
    """
    terms = of_run()[0].task(key.task).mail
    if terms is None:
        return None
    return Post(terms.wait, looking(key, of_run))


@dataclass(frozen=True)
class Asking:
    """A person is asked, and has not answered.

    Attributes:
        at: When that was, in seconds since the epoch.
        until: Until when the attempt waits for that, in seconds of the steady clock.
        words: What was asked, as it is told of an attempt that ended for it.
    """

    at: float
    until: float
    words: str


class Postbox:
    """The inbox and the outbox of one attempt; without a `Post` it does nothing.

    Attributes:
        unread: Whether the outbox could not be read when it was looked into last.
    """

    def __init__(self, key: AttemptKey, post: Post | None, outbox: Outbox, inbox: Path) -> None:
        self.unread = False
        self._name = str(key)
        self._post = post
        self._outbox = outbox
        self._inbox = inbox
        self._brought: set[str] = set()
        self._broken: dict[str, bytes] = {}
        self._until: dict[int, float] = {}
        self._next_look = 0.0

    # -- in

    def bring(self) -> None:
        """Write what is new into the inbox, each letter whole or not at all."""
        if self._post is None:
            return
        for name, content in self._post.look().letters:
            if name not in self._brought:
                with contextlib.suppress(OSError):  # the host's disk is full: next time, perhaps
                    self._write(name, content)
                    self._brought.add(name)

    def _write(self, name: str, content: bytes) -> None:
        whole, part = self._inbox / name, self._inbox / f".{name}.part"
        if not whole.exists():
            part.write_bytes(content)
            part.chmod(0o644)
            part.rename(whole)

    # -- out

    def round(self, *, last: bool = False) -> Iterator[RunMail]:
        """Bring what is new, and tell each new message of the box's.

        Args:
            last: The box is gone: what is half written now stays so.

        Raises:
            EngineAwayError: The engine is away, and this was to be the last time.
        """
        if self._post is None or not (last or steady() >= self._next_look):
            return
        self.bring()
        try:
            yield from self._taken(self._post, last=last)
            self.unread = False
        except EngineError as error:  # the attempt's own life shows whether the engine is gone
            self.unread = True
            if last and isinstance(error, EngineAwayError):
                raise
        self._next_look = steady() + self._outbox.pause

    def _taken(self, post: Post, *, last: bool) -> Iterator[RunMail]:
        names = self._outbox.names(MOST_FILES + 1)
        if len(names) > MOST_FILES:
            if message.TOO_MANY_FILES not in post.look().taken:
                yield self._refused(message.TOO_MANY_FILES, f"more than {MOST_FILES} files in the outbox")
            return
        for name in sorted(names):
            view = post.look()
            if name.startswith(".") or name.endswith(".part") or message.shown_name(name) in view.taken:
                continue
            if message.NO_MORE in view.taken:
                return
            if len(view.taken) >= message.MOST_SENT or view.full:
                most = "this run" if view.full else f"an attempt ({message.MOST_SENT})"
                yield self._refused(message.NO_MORE, f"that is all the mail of {most}: nothing more is read")
                return
            event = self._one(name, view, last=last)
            if event is not None:
                yield event

    def _one(self, name: str, view: View, *, last: bool) -> RunMail | None:
        """The message in a file; None if it is not to be told yet."""
        if message.FILE.fullmatch(name) is None:
            return self._refused(message.shown_name(name), "a message's file is named like note-1.json")
        content = b""
        try:
            content = self._outbox.read(name, message.MOST_BYTES)
            sent = message.read(content)
            self._admit(sent, view)
        except GuardedError as error:
            why = _UNREAD.get(error.why, error.message)
            return None if error.why == "missing" else self._refused(name, why)
        except RefusedError as error:
            if error.broken and not last and self._broken.get(name) != content:
                self._broken[name] = content  # not renamed, but written in place: it may become whole
                return None
            return self._refused(name, str(error))
        return RunMail(
            at=time.time(),
            attempt=self._name,
            file=name,
            to=sent.to,
            type=sent.type,
            payload=sent.payload,
        )

    def _admit(self, sent: Sent, view: View) -> None:
        if unknown := unknown_recipient(sent.to, view.others):
            raise RefusedError(unknown)
        asks = (sent.to, sent.type) == (PERSON, message.QUESTION)
        if asks and view.questions >= message.MOST_QUESTIONS:
            raise RefusedError(f"an attempt may ask a person {message.MOST_QUESTIONS} times")

    def _refused(self, file: str, why: str) -> RunMail:
        return RunMail(at=time.time(), attempt=self._name, file=file, refused=why[:300])

    # -- people

    def asking(self) -> Asking | None:
        """What a person is asked just now, and for how long that is waited for."""
        post = self._post
        if post is None:
            return None
        questions = post.look().open
        if not questions:
            return None
        for one in questions:
            passed = max(0.0, time.time() - one.at)  # before this process looked for the first time
            self._until.setdefault(one.id, steady() + post.wait - min(passed, post.wait))
        return Asking(questions[0].at, min(self._until[one.id] for one in questions), asked_words(questions))

    def waited_since(self, began: float) -> float:
        """For how many seconds it waited for people until now, after a moment of the wall clock."""
        if self._post is None or not self._post.wait:
            return 0.0
        return waited(self._post.look().asked, self._post.wait, began, time.time())
