"""From `retry:` in a task file to the retries of a plan."""

from __future__ import annotations

from collections.abc import Iterator

from runner.errors import Problem
from runner.tasks.models import TaskFile, TaskPart
from runner.tasks.plan import Limits, Retry
from runner.tasks.retry_part import RetryPart
from runner.tasks.units import format_size

INFRASTRUCTURE, PAUSE = 3, 15.0
"""How often after a failure of ours, and seconds before the first time: as the pauses grow, an engine that is
restarted, or a host that is out of breath, has five minutes."""


def of_task(taskfile: TaskFile, task: TaskPart) -> Retry:
    """When a task's attempts are tried again by themselves.

    An agent that was told nothing the first time, a command without a prompt, is not told more. Compared
    tasks are tried once, but for what was not their fault, unless it is asked for.
    """
    retry = _made(bool(task.prompt), taskfile.retry, task.retry)
    if taskfile.compares(task) and not are_compared(taskfile):
        return retry.model_copy(update={"feedback": 0, "memory": None})
    return retry


def of_file(taskfile: TaskFile) -> Retry:
    """What the file says of all its tasks: a part of the compared profiles' settings."""
    return _made(True, taskfile.retry)


def are_compared(taskfile: TaskFile) -> bool:
    """Whether what is compared is what comes of the profiles' retries, too."""
    return taskfile.compare is not None and taskfile.compare.retry


def left_out(taskfile: TaskFile) -> Iterator[str]:
    """What is said of retries that were asked for and that a comparison leaves out."""
    parts = [taskfile.retry, *(t.retry for t in taskfile.tasks if t.retry and taskfile.compares(t))]
    asked = any(part.feedback or part.oom for part in parts)
    if asked and taskfile.compare is not None and not are_compared(taskfile):
        yield "compared tasks are not retried with feedback or more memory: `compare: {retry: true}` would"


def too_little(taskfile: TaskFile) -> Iterator[Problem]:
    """Tries with more memory that would have no more than the first."""
    for index, task in enumerate(taskfile.tasks):
        memory, limit = _made(True, taskfile.retry, task.retry).memory, _memory(taskfile, task)
        if memory is not None and memory <= limit:
            place = ("retry", "oom", "memory")
            yield Problem(
                f"task {task.id!r}: `retry.oom.memory`, {format_size(memory)}, is no more than"
                f" `limits.memory`, {format_size(limit)}",
                taskfile.line("tasks", index, *place) or taskfile.line(*place),
                "give it more, or the task a `retry: {oom: {memory: SIZE}}` of its own",
            )


def _made(told: bool, *parts: RetryPart | None) -> Retry:
    said: dict[str, object] = {"infrastructure": INFRASTRUCTURE, "pause": PAUSE, "feedback": int(told)}
    for part in parts:
        if part is not None:
            said |= part.model_dump(exclude_none=True, exclude={"oom"})
            said |= {} if part.oom is None else {"memory": part.oom.memory}
    return Retry.model_validate(said)


def _memory(taskfile: TaskFile, task: TaskPart) -> int:
    own = task.limits.memory if task.limits else None
    return own or taskfile.limits.memory or Limits().memory
