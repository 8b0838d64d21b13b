"""What an attempt inherits from the tasks on whose work it goes on (`from:`), of files that steer its checks.

Those tasks may have had no check at all. What they made of files that a check restores, or is steered by,
counts as far as a person wanted it: by the `paths` of their tasks, or by choosing their work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.gather.findings import Between
from runner.supervisor.attempt.verifying import inside, outside


@dataclass(frozen=True)
class Inherited:
    """The work before an attempt's own.

    Attributes:
        work: What it made of the commit that a person gave.
        wanted: The paths that its tasks were to change.
        tasks: These tasks' names, where they are known.
    """

    work: Between
    wanted: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    def restored(self, protect: Iterable[str]) -> tuple[str, ...]:
        """Protected files that a person gave, and that this work changed or took away.

        Files that it added stay: whoever is to write tests for the next task to pass adds some.

        Raises:
            GitError: It can't be read.
        """
        return inside(outside(self.work.altered(), self.wanted), protect)

    @property
    def cure(self) -> str:
        """What a person can do who wants changed what it changed."""
        return f"name it in the `paths` of {' or '.join(self.tasks) or 'the task that changed it'}"

    def planted(self, commands: tuple[str, ...]) -> tuple[str, ...]:
        """Files that steer checks and that this work has otherwise than the commit that a person gave.

        Args:
            commands: What the checks run.

        Raises:
            GitError: It can't be read.
        """
        return outside(self.work.steering(commands), self.wanted)

    def seen(self, protect: Iterable[str], commands: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """The commit that protected paths are taken from, and the files that differ there from this work's.

        What it planted comes from it no more than what it changed of what a person gave.

        Raises:
            GitError: It can't be read, or made.
        """
        known, planted = tuple(protect), self.planted(commands)
        restored = tuple(dict.fromkeys((*self.restored(known), *inside(planted, known))))
        return self.without(tuple({*restored, *planted})), restored

    def without(self, files: tuple[str, ...]) -> str:
        """A commit like this work's last, with these files as a person gave them; that one itself for none.

        Raises:
            GitError: It can't be made.
        """
        return self.work.without(files, alone=True) if files else self.work.tip
