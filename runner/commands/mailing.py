"""Commands about what agents ask and tell people."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Annotated

import typer

from runner import settings as configuration
from runner.commands.attending import give
from runner.commands.words import JsonOption, out, print_json
from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor.ownership.orders import Answer
from runner.supervisor.ownership.presence import is_left
from runner.supervisor.post.mail import Message, refusal_of
from runner.supervisor.post.message import MOST_BYTES
from runner.supervisor.records import find_run, journal
from runner.supervisor.state import RunState
from runner.views import inbox as view

inbox_app = typer.Typer(help="Read what agents ask you, and answer.", invoke_without_command=True)

RunOption = Annotated[str | None, typer.Option("--run", help="The run; the latest by default.")]
NumberArgument = Annotated[int, typer.Argument(metavar="ID", help="The message's number.")]


@inbox_app.callback()
def inbox(
    context: typer.Context,
    name: RunOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All mail, also between tasks.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what agents asked and told you; `corral inbox answer ID TEXT` answers."""
    context.obj = name
    if context.invoked_subcommand is not None:
        return
    settings = configuration.load()
    state = find_run(settings, name or "latest")
    given = _given(settings, state)
    messages = view.for_people(state, everything=everything)
    if as_json:
        print_json({"run": state.name, "messages": [view.as_json(state, one, given) for one in messages]})
        return
    out.print(view.listing(state, messages, given))


@inbox_app.command()
def show(
    context: typer.Context, number: NumberArgument, name: RunOption = None, as_json: JsonOption = False
) -> None:
    """Show a message with all that it says, and what was answered."""
    settings = configuration.load()
    state = find_run(settings, name or context.obj or "latest")
    message = _message(state, number)
    given = _given(settings, state)
    if as_json:
        print_json(view.as_json(state, message, given))
    else:
        out.print(view.whole(state, message, given), soft_wrap=True)


@inbox_app.command()
def answer(
    context: typer.Context,
    number: NumberArgument,
    text: Annotated[str, typer.Argument(help="Your answer; `-` reads it from standard input.")],
    name: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question. An attempt that waits gets it at once, one that has ended when it is tried again."""
    settings = configuration.load()
    state = find_run(settings, name or context.obj or "latest")
    message = _message(state, number)
    said = _said(text)
    refused = refusal_of(state.mail, number)
    if not refused and number in _given(settings, state):
        refused = f"question {number} is answered already"
    if refused:
        raise UsageError(f"{refused} in the run {state.name}", cure="`corral inbox` lists what is asked")
    seq = give(settings, state.name, Answer(question=number, text=said))
    if as_json:
        print_json({"run": state.name, "order": "answer", "question": number, "seq": seq})
        return
    out.print(_what_follows(settings, state, message), soft_wrap=True)


def _what_follows(settings: Settings, state: RunState, message: Message) -> str:
    stands = view.standing(state, message, ())
    if is_left(settings.home, state.name):
        more = f"`corral resume {state.name}` goes on" if stands == "waits" else "it is told when tried again"
        return f"answered; nobody works on the run {state.name} now: {more}"
    if stands == "waits":
        return f"answered; {message.sender} finds it in its inbox"
    return f"answered; {message.sender} has ended, and is told when it is tried again"


def _message(state: RunState, number: int) -> Message:
    found = state.mail.message(number)
    if found is None:
        cure = f"`corral inbox --all --run {state.name}` lists its mail"
        raise UsageError(f"the run {state.name} has no message {number}", cure=cure)
    return found


def _said(text: str) -> str:
    """The words of an answer.

    Raises:
        UsageError: There are none, too many, or not only words.
    """
    try:
        said = (sys.stdin.buffer.read(MOST_BYTES + 1).decode() if text == "-" else text).strip()
        size = len(said.encode())
    except UnicodeError as error:
        raise UsageError("an answer is text in UTF-8", cure="write it anew") from error
    if not said:
        raise UsageError("an empty answer says nothing", cure='corral inbox answer ID "TEXT"')
    if size > MOST_BYTES:
        cure = "say where the rest can be read"
        raise UsageError(f"an answer is at most {MOST_BYTES} bytes; this is {size}", cure=cure)
    return said


def _given(settings: Settings, state: RunState) -> Collection[int]:
    """The questions whose answers wait for a process that works on the run."""
    with journal(settings) as book:
        orders = [order for _, order in book.orders(state.name, state.heeded)]
    return {order.question for order in orders if isinstance(order, Answer)}
