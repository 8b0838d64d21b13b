"""The attempt that a person means, and what they type to mean it."""

from __future__ import annotations

from runner.errors import UsageError
from runner.names import AttemptKey
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.explain import meant

SHOWN = 8
"""Names told where a name could be any of many."""


def find_attempt(state: RunState, text: str) -> AttemptState:
    """The attempt that a person means by `TASK[/PROFILE[/N[.TRY]]]`; without a try, the last one.

    Raises:
        UsageError: None, or more than one, fits.
    """
    named = next(
        (attempt for key, attempt in state.attempts.items() if text in {str(key), f"{key.first}.{key.try_}"}),
        None,
    )
    if named is not None and "." in text.rpartition("/")[2]:
        return named
    fitting = [key for key in state.attempts if str(key) == text] or [
        key for key in state.attempts if _names(text.split("/"), key)
    ]
    fitting = fitting or [key for key in state.attempts if str(key).startswith(text)]
    if not fitting:
        cure = meant(text, map(str, state.attempts), f"`corral status {state.name}` lists them")
        raise UsageError(f"no attempt of the run {state.name} is called {text!r}", cure=cure)
    if len({key.first for key in fitting}) > 1:
        some = ", ".join(map(str, fitting[:SHOWN])) + (" …" if len(fitting) > SHOWN else "")
        raise UsageError(f"{text!r} could be any of {some}", cure="write more of its name")
    return state.tries(fitting[0])[-1]


def _names(parts: list[str], key: AttemptKey) -> bool:
    """Whether these are the parts of an attempt's name, in their order, of which some may be left out."""
    whole = iter((key.task, key.profile, str(key.n)))
    return parts[0] == key.task and all(part in whole for part in parts)


def command(state: RunState, verb: str, key: AttemptKey, *more: str) -> str:
    """What a person types to have something done about one try, whichever run is the latest by then.

    A try that others followed is called with its number: without it, the last one is meant.
    """
    name = str(key) if state.tries(key)[-1].key == key else f"{key.first}.{key.try_}"
    return " ".join(("corral", verb, name, *more, "--run", state.name))
