"""The names in a task file and who runs what, taken from the raw values.

It works on whatever is there, so that names and cycles are checked, and reported at once with the
rest, also in a file in which single values are wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runner.tasks.fields import BASE
from runner.tasks.mention import mention
from runner.tasks.source import Place


@dataclass(frozen=True)
class TaskOutline:
    """What of a task concerns other parts of the file. What is missing or of a wrong kind is None."""

    index: int
    id: str | None
    agent: str | None
    names_agent: bool
    has_prompt: bool
    needs: tuple[tuple[int, str], ...]
    """Index in the list, and the name."""
    start: str | None
    source: tuple[object, object]
    """The repository and the base that it works on, as written."""
    mention: str | None = None
    """The agent that its prompt begins with."""
    is_fanned: bool = False
    """Whether it has `for_each`."""
    when: str | None = None
    check: str | None = None
    keys: frozenset[str] = frozenset()
    """All keys that it has."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return ("tasks", self.index)


@dataclass(frozen=True)
class Outline:
    """The names in a file."""

    agents: dict[str, str | None] | None
    """Profiles with their `cli`; None where the file has no usable `agents:`."""
    tasks: tuple[TaskOutline, ...]
    default: str | None
    has_compare: bool
    compared: tuple[tuple[int, str], ...]
    is_sequential: bool = False

    def runs(self, task: TaskOutline) -> tuple[str, ...]:
        """The profiles that do a task; empty where the file does not say."""
        compared = [name for _, name in self.compared]
        return who_runs(task.agent or task.mention, compared, self.default, list(self.agents or ()))


def who_runs(
    agent: str | None, compared: Sequence[str], default: str | None, profiles: Collection[str]
) -> tuple[str, ...]:
    """The profiles that do a task, in order; empty where nothing says who.

    Args:
        agent: The task's own agent.
        compared: The profiles of `compare`.
        default: `default_agent`.
        profiles: All profiles; a single one does what nothing else claims.
    """
    if agent is not None:
        return (agent,)
    if compared:
        return tuple(compared)
    if default is not None:
        return (default,)
    return tuple(profiles) if len(profiles) == 1 else ()


def outline(data: object) -> Outline:
    """The names in raw values."""
    top = data if isinstance(data, dict) else {}
    compare = top.get("compare")
    agents = top.get("agents")
    return Outline(
        agents={str(name): _cli(agent) for name, agent in agents.items()}
        if isinstance(agents, dict)
        else None,
        tasks=tuple(
            _task(index, task, top)
            for index, task in enumerate(_list(top.get("tasks")))
            if isinstance(task, dict)
        ),
        default=_text(top.get("default_agent")),
        has_compare=isinstance(compare, dict),
        compared=_names(compare.get("agents")) if isinstance(compare, dict) else (),
        is_sequential=top.get("mode") == "sequential",
    )


def _task(index: int, task: dict[str, object], top: dict[str, object]) -> TaskOutline:
    prompt = task.get("prompt")
    named, words = mention(prompt) if isinstance(prompt, str) else (None, "")
    return TaskOutline(
        index=index,
        id=_text(task.get("id")),
        agent=_text(task.get("agent")),
        names_agent="agent" in task or named is not None,
        # A prompt of a wrong kind is reported as such, not as missing.
        has_prompt=bool(words.strip()) if isinstance(prompt, str) else "prompt" in task,
        needs=_names(task.get("needs")),
        start=_text(task.get("from")),
        source=(
            _same(task.get("repo", top.get("repo", "."))),
            _same(task.get("base", top.get("base", "HEAD"))),
        ),
        mention=named,
        is_fanned=task.get("for_each") is not None,
        when=_text(task.get("when")),
        check=_text(task.get("check")),
        keys=frozenset(key for key in task if isinstance(key, str)),
    )


def starts_from(needs: Sequence[str], start: str | None) -> str | None:
    """The needed task whose branch a task starts from, or None for the base commit."""
    if start == BASE or not needs:
        return None
    return start if start is not None else needs[0]


def _cli(agent: object) -> str | None:
    return _text(agent.get("cli")) if isinstance(agent, dict) else None


def _same(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _names(value: object) -> tuple[tuple[int, str], ...]:
    return tuple((index, name) for index, name in enumerate(_list(value)) if isinstance(name, str))
