"""Who gets which message, and as what: what one attempt needs to know of its run's mail. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from pydantic import JsonValue

from runner.names import AttemptKey
from runner.supervisor.post.mail import Mail, Message
from runner.supervisor.post.message import ANSWER, MOST_IN_RUN, REFUSED
from runner.tasks.explain import meant
from runner.tasks.plan import ALL, CORRAL, PERSON, Plan

OfRun = Callable[[], tuple[Plan, Mail]]
"""Gives the run's plan and all of its mail as they are just now: items are found out while others live."""

_NAMED = 8
"""Tasks that are named in a refusal."""


def recipients(plan: Plan, key: AttemptKey) -> tuple[str, ...]:
    """The names of the other tasks that take mail, as an attempt can write to them.

    Before the items of a task stands what the file calls that task: who writes to it reaches all of them.
    """
    others = (task for task in plan.tasks if task.mail is not None and task.id != key.task)
    return tuple(dict.fromkeys(name for task in others for name in (task.of, task.id) if name is not None))


def unknown_recipient(to: str, tasks: tuple[str, ...]) -> str:
    """Why nobody is reached by that name, in words; empty if somebody is."""
    if to in {PERSON, ALL, *tasks}:
        return ""
    others = ", ".join(islice(tasks, _NAMED)) or "none"
    cure = meant(to[:100], tasks, f"there are: {others}{' …' if len(tasks) > _NAMED else ''}")
    return f"no other task that takes mail is called {to[:80]!a}; {cure}"


def reaches(plan: Plan, sender: AttemptKey, to: str, key: AttemptKey) -> bool:
    """Whether one attempt's message is for another: of two compared tasks, only for that of its lineage."""
    task = plan.task(key.task)
    if sender.task == key.task or to not in {ALL, task.id, task.of} or task.mail is None:
        return False
    both = task.compared and plan.task(sender.task).compared
    return not both or (sender.profile, sender.n) == (key.profile, key.n)


@dataclass(frozen=True)
class View:
    """What one try of an attempt needs to know of its run's mail.

    Attributes:
        taken: The files of its outbox that were read, as they were told.
        questions: How often it asked a person.
        letters: What belongs into its inbox: each file's name with its content.
        open: Its questions that nobody answered.
        asked: When a person was asked and had answered, in seconds since the epoch; None for not yet.
        full: Whether the run's mail takes nothing more.
        others: The names of the other tasks that it can write to.
    """

    taken: frozenset[str] = frozenset()
    questions: int = 0
    letters: tuple[tuple[str, bytes], ...] = ()
    open: tuple[Message, ...] = ()
    asked: tuple[tuple[float, float | None], ...] = ()
    full: bool = False
    others: tuple[str, ...] = ()


def view(plan: Plan, mail: Mail, key: AttemptKey, others: tuple[str, ...] | None = None) -> View:
    """What an attempt's try needs to know of the run's mail.

    Args:
        plan: The run's plan.
        mail: All of its mail.
        key: The try.
        others: Its `recipients`, if they are known: they are asked for more often than they change.
    """
    own = [message for message in mail.messages if message.sender == key]
    questions = [message for message in own if message.is_question]
    answers = [mail.answer_to(question) for question in questions]
    letters = [*_for(plan, mail, key), *_answers(mail, key), *_refusals(own)]
    return View(
        taken=frozenset(message.file for message in own),
        questions=len(questions),
        letters=tuple(_letter(letter) for letter in letters),
        open=tuple(one for one, answer in zip(questions, answers, strict=True) if answer is None),
        asked=tuple(
            (one.at, None if answer is None else answer.at)
            for one, answer in zip(questions, answers, strict=True)
        ),
        full=len(mail.messages) >= MOST_IN_RUN,
        others=recipients(plan, key) if others is None else others,
    )


def looking(key: AttemptKey, of_run: OfRun) -> Callable[[], View]:
    """A view that is always of the latest plan and mail, and made anew only where these have changed."""
    seen: list[tuple[Plan, Mail, View]] = []

    def look() -> View:
        plan, mail = of_run()
        known = seen[-1] if seen and seen[-1][0] is plan else None
        if known is None or known[1] is not mail:
            seen[:] = [(plan, mail, view(plan, mail, key, known[2].others if known else None))]
        return seen[-1][2]

    return look


Letter = dict[str, JsonValue]


def _for(plan: Plan, mail: Mail, key: AttemptKey) -> Iterator[Letter]:
    for one in mail.messages:
        if not one.refused and reaches(plan, one.sender, one.to, key):
            yield as_letter(one)


def _answers(mail: Mail, key: AttemptKey) -> Iterator[Letter]:
    """What people answered to any try of the attempt."""
    for answer in mail.answers:
        question = mail.message(answer.question)
        if question is not None and question.sender.first == key.first:
            told: JsonValue = {"file": question.file, "question": question.payload, "answer": answer.text}
            yield _stamped(answer.id, answer.at, PERSON, key.task, ANSWER, told)


def _refusals(own: list[Message]) -> Iterator[Letter]:
    for one in own:
        if one.refused:
            told: JsonValue = {"file": one.file, "reason": one.refused}
            yield _stamped(one.id, one.at, CORRAL, one.sender.task, REFUSED, told)


def as_letter(message: Message) -> Letter:
    """A message as it is delivered."""
    return _stamped(message.id, message.at, message.sender.task, message.to, message.type, message.payload)


def _stamped(number: int, at: float, sender: str, to: str, kind: str, payload: JsonValue) -> Letter:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": number, "from": sender, "to": to, "type": kind, "payload": payload, "timestamp": when}


def _letter(letter: Letter) -> tuple[str, bytes]:
    return f"{letter['id']:04}.json", (json.dumps(letter, ensure_ascii=False, indent=1) + "\n").encode()
