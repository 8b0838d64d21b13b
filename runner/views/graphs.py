"""What becomes of a run's tasks and of the way through them, in words."""

from __future__ import annotations

from rich.text import Text

from runner.supervisor import events as e
from runner.views import wording
from runner.views.inert import cell


def sentence(event: e.Event) -> Text | None:
    """Such an event in words; None for any other."""
    match event:
        case e.AttemptRetried() | e.TaskDecided():
            return cell(wording.retried(event), "yellow")
        case e.AttemptSkipped():
            return Text(f"{event.attempt}  ") + Text("skipped  ", "dim") + cell(event.reason, "dim")
        case e.TaskExpanded():
            return Text(f"{event.task}  done for {wording.many(len(event.items), 'item')}")
        case e.TaskNotExpanded():
            return Text(f"{event.task}  ") + cell(event.reason, "red")
        case e.RunDecided():
            order = ", then ".join(event.order)
            after = f"decided after {event.blocks} of {event.planned} blocks"
            return cell(f"{after}: {order}; no more of the comparison is started", "green")
        case _:
            return None
