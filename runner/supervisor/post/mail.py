"""All mail of a run, folded from its events, and what of it nobody has answered. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pydantic import JsonValue

from runner.names import AttemptKey
from runner.supervisor.events import Happened, RunAnswer, RunMail
from runner.supervisor.post.message import QUESTION
from runner.tasks.plan import PERSON


@dataclass(frozen=True)
class Message:
    """A message that was read, with what is ours to say of it."""

    id: int
    sender: AttemptKey
    at: float
    file: str
    to: str
    type: str
    payload: JsonValue
    refused: str = ""

    @property
    def is_question(self) -> bool:
        """Whether it asks a person."""
        return (self.to, self.type, self.refused) == (PERSON, QUESTION, "")


@dataclass(frozen=True)
class Answer:
    """What a person answered to a question."""

    id: int
    question: int
    text: str
    at: float


@dataclass(frozen=True)
class Mail:
    """All mail of a run, in its order."""

    messages: tuple[Message, ...] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def _next(self) -> int:
        return len(self.messages) + len(self.answers) + 1

    def after(self, event: Happened) -> Mail:
        """The mail after one more event."""
        match event:
            case RunMail():
                return self._sent(event)
            case RunAnswer():
                answer = Answer(self._next, event.question, event.text, event.at)
                return replace(self, answers=(*self.answers, answer))
            case _:
                return self

    def _sent(self, event: RunMail) -> Mail:
        message = Message(
            id=self._next,
            sender=AttemptKey.parse(event.attempt),
            at=event.at,
            file=event.file,
            to=event.to,
            type=event.type,
            payload=event.payload,
            refused=event.refused,
        )
        return replace(self, messages=(*self.messages, message))

    def message(self, number: int) -> Message | None:
        """The message of that number."""
        return next((one for one in self.messages if one.id == number), None)

    def answer_to(self, question: Message) -> Answer | None:
        """What was answered to a question."""
        return next((one for one in self.answers if one.question == question.id), None)

    def open_questions(self) -> tuple[Message, ...]:
        """The questions to a person that nobody has answered."""
        answered = {answer.question for answer in self.answers}
        return tuple(one for one in self.messages if one.is_question and one.id not in answered)

    def answered_before(self, key: AttemptKey) -> Iterator[tuple[Message, Answer]]:
        """What earlier tries of an attempt asked, with the answers."""
        for message in self.messages:
            answer = self.answer_to(message) if message.is_question else None
            if answer is not None and message.sender.first == key.first and message.sender.try_ < key.try_:
                yield message, answer


def refusal_of(mail: Mail, question: int) -> str:
    """Why an answer to a question can't be taken, in words; empty if it can."""
    found = mail.message(question)
    if found is None or not found.is_question:
        return f"there is no question {question}"
    return f"question {question} is answered already" if mail.answer_to(found) is not None else ""


def asked_words(questions: tuple[Message, ...]) -> str:
    """What an attempt asked and was not told: the first question, as data; empty if none is open."""
    if not questions:
        return ""
    more = f" (and {len(questions) - 1} more)" if len(questions) > 1 else ""
    asked = json.dumps(str(questions[0].payload)[:300], ensure_ascii=False)
    return f"question {questions[0].id}{more} is not answered: {asked}"


def waited(asked: Iterable[tuple[float, float | None]], wait: float, began: float, now: float) -> float:
    """For how many seconds an attempt waited for people, between two moments of the wall clock.

    Args:
        asked: When people were asked, and when they had answered; None for what is open.
        wait: For how long it waits for each answer at most.
        began: From when on it is counted.
        now: Until when.
    """
    total, reached = 0.0, began
    for start, answered in sorted(asked, key=lambda one: one[0]):
        end = min(now, start + wait, now if answered is None else answered)
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
