"""A task file, from text: everything that is wrong in it is reported at once, with its line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from runner.errors import Problem, TaskFileError
from runner.tasks.explain import explain
from runner.tasks.models import TaskFile
from runner.tasks.rules import MOST_PROBLEMS, broken
from runner.tasks.source import Document, read

__all__ = ["TaskFile", "load"]


def load(text: str, file: Path) -> TaskFile:
    """The task file in `text`.

    Args:
        text: What the file holds.
        file: Its path, for messages; it is not opened.

    Raises:
        TaskFileError: All that is wrong in it.
    """
    document = read(text)
    problems = list(document.problems)
    # Without lines there are no values: the text could not be read any further.
    if document.lines:
        made = _validated(document, problems)
        problems += broken(document)
        if made is not None and not problems:
            return made
    raise TaskFileError(file, _sorted(problems))


def _validated(document: Document, problems: list[Problem]) -> TaskFile | None:
    """The file as models; or None, with what is wrong added to the problems."""
    try:
        return TaskFile.of(document)
    except ValidationError as error:
        problems += explain(error, document)
        return None


def _sorted(problems: list[Problem]) -> list[Problem]:
    unique = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    if len(unique) <= MOST_PROBLEMS:
        return unique
    return [*unique[:MOST_PROBLEMS], Problem(f"and at least {len(unique) - MOST_PROBLEMS} problems more")]
