"""Every name that Corral gives to something in the outside world, made and matched in this one module.

Ids of tasks, profiles and runs; branches; container labels. What carries a label was started by
Corral and may be removed by it; nothing is ever found or removed by a broad name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

ID_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
ID_RULE = (
    "a lower-case letter or digit, then up to 63 of a-z 0-9 . _ - ; no '..', and not ending in '.' or '.lock'"
)
BRANCH_PREFIX = "corral"

LABEL_HOME = "corral.home"
LABEL_RUN = "corral.run"
LABEL_ATTEMPT = "corral.attempt"
LABEL_ROLE = "corral.role"


def is_id(text: str) -> bool:
    """Whether `text` may name a task, a profile or a run (it becomes a part of a git ref)."""
    return (
        re.fullmatch(ID_PATTERN, text) is not None and ".." not in text and not text.endswith((".", ".lock"))
    )


@dataclass(frozen=True, order=True)
class AttemptKey:
    """Which attempt: task × profile × repeat `n`, and the `try_` within it (1 unless retried)."""

    task: str
    profile: str
    n: int = 1
    try_: int = 1

    def __str__(self) -> str:
        text = f"{self.task}/{self.profile}/{self.n}"
        return text if self.try_ == 1 else f"{text}.{self.try_}"

    @classmethod
    def parse(cls, text: str) -> AttemptKey:
        """The key that `str` of it gave.

        Raises:
            ValueError: `text` is not of the form TASK/PROFILE/N or TASK/PROFILE/N.TRY.
        """
        match = re.fullmatch(rf"({ID_PATTERN})/({ID_PATTERN})/(\d+)(?:\.(\d+))?", text)
        if match is None:
            raise ValueError(f"not an attempt: {text!r}")
        return cls(match[1], match[2], int(match[3]), int(match[4] or 1))

    @property
    def first(self) -> AttemptKey:
        """The key of the attempt's first try."""
        return AttemptKey(self.task, self.profile, self.n)

    def retried(self) -> AttemptKey:
        """The key of the next try of the same attempt."""
        return AttemptKey(self.task, self.profile, self.n, self.try_ + 1)


def branch(run: str, key: AttemptKey, prefix: str = BRANCH_PREFIX) -> str:
    """The branch, without `refs/heads/`, on which an attempt's work comes home."""
    return f"{prefix}/{run}/{key}"


def integration(run: str, number: int = 1, prefix: str = BRANCH_PREFIX) -> str:
    """The branch on which a run's accepted work is put together, and later ones that came out differently.

    No task can be called so: ids begin with a letter or a digit.
    """
    return f"{prefix}/{run}/+integration" + ("" if number == 1 else f".{number}")


def box_id(home: str, run: str, key: AttemptKey) -> str:
    """Twelve hex digits that name an attempt's files, socket and containers on this host."""
    return hashlib.sha256(f"{home}\0{run}\0{key}".encode()).hexdigest()[:12]


def labels(home_id: str, run: str, key: AttemptKey | None, role: str) -> dict[str, str]:
    """The labels of a container that Corral starts.

    Args:
        home_id: Which state directory the run belongs to (`home_id` of it).
        run: The run's name.
        key: The attempt, or None for a container that serves the whole run.
        role: `agent`, `gather`, `check`, `steward`, `mounter` or `probe`.
    """
    made = {LABEL_HOME: home_id, LABEL_RUN: run, LABEL_ROLE: role}
    if key is not None:
        made[LABEL_ATTEMPT] = str(key)
    return made


def home_id(home: str) -> str:
    """A short, stable name for one state directory, so that two of them never mix their containers."""
    return hashlib.sha256(home.encode()).hexdigest()[:12]


def label_filters(
    home: str | None = None, run: str | None = None, key: AttemptKey | None = None
) -> list[str]:
    """Filters, in the engine's own syntax, that match what `labels` made."""
    wanted: Mapping[str, str | None] = {
        LABEL_HOME: home,
        LABEL_RUN: run,
        LABEL_ATTEMPT: None if key is None else str(key),
    }
    filters = [f"{name}={value}" for name, value in wanted.items() if value is not None]
    return filters or [LABEL_HOME]


def is_ours(name: str, labels: Mapping[str, str]) -> bool:
    """Whether a container with these labels can be Corral's: an image can bring labels, but no name."""
    return name.startswith(f"corral-{labels.get(LABEL_ROLE)}-")
