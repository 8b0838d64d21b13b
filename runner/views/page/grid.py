"""Every task by every setting, at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from runner.supervisor.tried import AttemptState
from runner.views import wording
from runner.views.inert import line
from runner.views.page.markup import Html, tag
from runner.views.page.material import Material
from runner.views.page.words import MARKS, MEANING, grade, link, listed, section, table, verdict

LARGEST = 400
"""Tasks that are shown at once."""


def grid(material: Material) -> Html | None:
    """Every task by every profile; repeats stand beside each other in a cell."""
    state = material.state
    profiles = [
        p.name for p in state.plan.profiles if any(one.key.profile == p.name for one in material.attempts)
    ]
    tasks = list(dict.fromkeys(one.key.task for one in material.attempts))
    if not tasks:
        return None
    cells: dict[tuple[str, str], list[AttemptState]] = {}
    for one in material.attempts:
        cells.setdefault((one.key.task, one.key.profile), []).append(one.state)
    rows = [
        (_task_name(material, task), *(_cell(material, cells.get((task, p), [])) for p in profiles))
        for task in tasks
    ]
    served = sum(state.task_served(task) for task in tasks)
    title = f"{served} of {wording.many(len(tasks), 'task')} served"
    failed = [task for task in tasks if not state.task_served(task)]
    if failed and len(failed) <= 4:
        title += f"; not {listed(failed)}"
    more = None
    if len(rows) > LARGEST:
        rest = table(("task", *profiles), rows[LARGEST:], name="More tasks")
        more = tag("details", tag("summary", f"{len(rows) - LARGEST} more tasks"), rest)
    drawn = table(("task", *profiles), rows[:LARGEST], name="Tasks by settings")
    return section(
        "tasks", "Tasks by setting", f"{title}.", tag("div", drawn, class_="grid"), more, _key(material)
    )


def _task_name(material: Material, task: str) -> Html:
    item = material.state.plan.task(task).item
    return tag("span", task, tag("small", f" {line(item, 60)}") if item else None)


def _cell(material: Material, tries: Sequence[AttemptState]) -> Html:
    return tag("span", [_mark(material, one) for one in tries], class_="marks")


def _mark(material: Material, one: AttemptState) -> Html:
    found, name = grade(material, one), str(one.key)
    words = f"{name}: {verdict(material, one) if one.verdict else MEANING[found]}"
    flaky = any(check.flaky for check in one.checks)
    again = " later" if one.key.try_ > 1 else ""
    return link(
        material,
        name,
        tag("span", MARKS[found], aria_hidden="true"),
        tag("span", words + (", flaky" if flaky else ""), class_="vh"),
        class_=f"mark {found}{again}{' flaky' if flaky else ''}",
        title=words,
    )


def _key(material: Material) -> Html:
    found = {grade(material, one.state) for one in material.attempts}
    parts = [
        tag("li", tag("span", MARKS[one], class_=f"mark {one}", aria_hidden="true"), " ", MEANING[one])
        for one in MARKS
        if one in found
    ]
    if any(one.key.try_ > 1 for one in material.attempts):
        parts.append(tag("li", "smaller: a later try"))
    if any(check.flaky for one in material.attempts for check in one.state.checks):
        parts.append(tag("li", "underlined twice: the check’s runs did not agree"))
    return tag("ul", parts, class_="legend")
