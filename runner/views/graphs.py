"""What becomes of a run's graph of tasks, in words."""

from __future__ import annotations

from rich.text import Text

from runner.supervisor import events as e
from runner.views import wording
from runner.views.inert import cell


def sentence(event: e.Event) -> Text | None:
    """An event of the graph in words; None for any other."""
    match event:
        case e.AttemptSkipped():
            return Text(f"{event.attempt}  ") + Text("skipped  ", "dim") + cell(event.reason, "dim")
        case e.TaskExpanded():
            return Text(f"{event.task}  done for {wording.many(len(event.items), 'item')}")
        case e.TaskNotExpanded():
            return Text(f"{event.task}  ") + cell(event.reason, "red")
        case _:
            return None
