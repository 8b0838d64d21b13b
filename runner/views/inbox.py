"""What agents ask and tell people, in words and as plain values."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from runner.supervisor import events as e
from runner.supervisor.post.mail import Message
from runner.supervisor.state import RunState
from runner.tasks.plan import PERSON
from runner.views.fitting import Column, Fitting
from runner.views.inert import block, cell

HEAD = (
    Column("id"),
    Column("", importance=7),
    Column("at", importance=2),
    Column("from", importance=6),
    Column("to", importance=4),
    Column("type", importance=3),
    Column("what", importance=5, prose=True),
)
_COLOURS = {"waits": "yellow", "open": "yellow", "refused": "red"}


def standing(state: RunState, message: Message, given: Collection[int]) -> str:
    """How a message stands: of a question `waits` (its attempt lives), `open`, `given` or `answered`.

    Args:
        state: The run.
        message: The message.
        given: Questions whose answers no process has taken in yet.
    """
    if message.refused:
        return "refused"
    if not message.is_question:
        return ""
    if state.mail.answer_to(message) is not None:
        return "answered"
    if message.id in given:
        return "given"
    lives = state.attempts[message.sender].phase not in {"queued", "final"}
    return "waits" if lives else "open"


def for_people(state: RunState, *, everything: bool) -> list[Message]:
    """The messages to a person, in their order; or all mail of the run."""
    return [one for one in state.mail.messages if everything or (one.to == PERSON and not one.refused)]


def listing(state: RunState, messages: list[Message], given: Collection[int]) -> RenderableType:
    """Messages, one a row."""
    if not messages:
        return Text(f"nothing for you in the run {state.name}", "dim")
    return Fitting(HEAD, [_row(state, one, given) for one in messages])


def _row(state: RunState, one: Message, given: Collection[int]) -> tuple[Text, ...]:
    stands = standing(state, one, given)
    return (
        Text(str(one.id)),
        Text(stands, _COLOURS.get(stands, "dim")),
        Text(time.strftime("%H:%M", time.localtime(one.at)), "dim"),
        Text(str(one.sender)),
        cell(one.to),
        cell(one.type),
        cell(one.refused or _text(one.payload)),
    )


def whole(state: RunState, one: Message, given: Collection[int]) -> RenderableType:
    """A message with all that it says, and what was answered."""
    stands = standing(state, one, given)
    head = Text(f"{one.id}  {one.sender} → ", "bold").append_text(cell(one.to)).append("  ")
    head.append_text(cell(one.type)).append(f"  {stands}", _COLOURS.get(stands, "dim"))
    parts = [head, Text(block(one.refused or _text(one.payload)))]
    answer = state.mail.answer_to(one)
    if answer is not None:
        parts += [Text("answered:", "dim"), Text(block(answer.text))]
    elif one.is_question:
        parts.append(Text(f'corral inbox answer {one.id} "…" --run {state.name}', "dim"))
    return Group(*parts)


def _text(payload: JsonValue) -> str:
    return payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)


def as_json(state: RunState, one: Message, given: Collection[int]) -> dict[str, JsonValue]:
    """A message for programs."""
    answer = state.mail.answer_to(one)
    return {
        "id": one.id,
        "attempt": str(one.sender),
        "at": one.at,
        "to": one.to,
        "type": one.type,
        "payload": one.payload,
        "file": one.file,
        "refused": one.refused or None,
        "standing": standing(state, one, given) or None,
        "answer": None if answer is None else answer.text,
        "answered_at": None if answer is None else answer.at,
    }


def waiting(state: RunState) -> str:
    """What a headline says of questions that nobody answered; empty if there are none."""
    number = len(state.open_questions)
    return f"{number} question{'' if number == 1 else 's'} for you: corral inbox" if number else ""


def sentence(event: e.Event, state: RunState) -> Text | None:
    """A message to a person, or one that went to nobody, in a line."""
    match event:
        case e.RunAnswer():
            return Text(f"question {event.question} is answered")
        case e.RunMail() if event.refused:
            return Text(f"{event.attempt}  ") + cell(f"mail refused: {event.file}: {event.refused}", "yellow")
        case e.RunMail() if event.to == PERSON:
            number = state.mail.messages[-1].id
            asks = f"asks ({number})" if state.mail.messages[-1].is_question else f"tells you ({number})"
            return Text(f"{event.attempt}  {asks}: ") + cell(_text(event.payload), "yellow")
        case _:
            return None


def steps(state: RunState) -> Iterator[str]:
    """The commands with which a person answers."""
    questions = state.open_questions
    if questions:
        yield f"corral inbox --run {state.name}   # {waiting(state).partition(':')[0]}"
        yield f'corral inbox answer {questions[0].id} "…" --run {state.name}'
