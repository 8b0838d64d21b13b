"""The reference in the docs is the one that the models make."""

from __future__ import annotations

from pathlib import Path

from runner.tasks.reference import markdown

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_up_to_date() -> None:
    cure = "python -m runner.tasks.reference > docs/task-file.md"
    assert (DOCS / "task-file.md").read_text() == markdown(), cure
