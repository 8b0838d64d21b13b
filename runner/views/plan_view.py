"""What a run will do, shown before it does anything."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import asdict

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from runner.compare.power import ALPHA, Foreseen, foresee
from runner.compare.saying import power_words
from runner.supervisor.host.forecast import Forecast
from runner.tasks.plan import (
    AllowedHost,
    CommandSettings,
    Hosted,
    ImageSpec,
    Limits,
    MailTerms,
    Plan,
    PlannedAttempt,
    Profile,
    Task,
)
from runner.views import checks, wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell, line


def terminal(plan: Plan, forecast: Forecast) -> RenderableType:
    """The plan as tables."""
    return Group(*_parts(plan, forecast))


def _parts(plan: Plan, forecast: Forecast) -> Iterator[RenderableType]:
    yield Text(f"run {plan.run}", "bold").append(
        f"  {wording.many(len(plan.attempts), 'attempt')} of {wording.many(len(plan.tasks), 'task')}",
        "not bold",
    )
    for index, source in enumerate(plan.sources):
        yield Text(f"\n{source.repo}", "bold").append(
            f"  at {source.base_name} = {source.base[:12]}", "not bold"
        )
        yield cell(
            f"  image: {image_words(source.image)}"
            + (f"; setup: {' && '.join(source.setup)}" if source.setup else "")
            + (f"; history: {source.history}" if source.history != "full" else "")
        )
        yield from _layers(forecast.images.get(index))
    yield Text()
    yield _attempt_table(plan)
    yield from _mode(plan)
    yield from _drawn(plan)
    yield from _power(plan)
    yield Text(f"branches: {plan.branch_prefix}/{plan.run}/<attempt>")
    yield Text()
    yield from _limits(plan)
    for runtime in sorted({task.runtime for task in plan.tasks if task.runtime is not None}):
        yield Text("runtime of boxes: ", "dim") + Text(runtime)
    yield from _checks(plan)
    yield from _profiles(plan, forecast)
    yield from _ways_out(plan)
    yield from _mail(plan)
    yield from _at_once(plan, forecast)
    left = (forecast.left,) if forecast.left else ()
    for note in (*plan.notes, *forecast.weaker, *left):
        yield Text(f"note: {line(note, 400)}", "yellow")
    for words in forecast.unfit:
        yield Text("a run would be refused: ", "bold red") + cell(words)
    for finding in forecast.broken:
        cure = f"\n  → {finding.cure}" if finding.cure else ""
        words = f"{finding.name}: {line(finding.found, 400)}{cure}"
        yield Text("a run would be refused: ", "bold red") + Text(words)


def _layers(layers: list[tuple[str, bool]] | None) -> Iterator[Text]:
    if layers is None:
        yield Text("  layers: unknown, no engine answers", "yellow")
        return
    missing = [name for name, exists in layers if not exists]
    yield Text(f"  to build: {', '.join(missing)}" if missing else "  all layers are there", "dim")


def _attempt_table(plan: Plan) -> Fitting:
    rows = [(wording.named(one.key, plan.task(one.task)), Text(_begins(plan, one))) for one in plan.attempts]
    return Fitting((Column("attempt"), Column("starts from", prose=True)), rows)


def _begins(plan: Plan, planned: PlannedAttempt) -> str:
    """Where an attempt starts, after what, and whether it does."""
    task = plan.task(planned.task)
    start = "base" if not planned.start else " or ".join(planned.start)
    if planned.checkpoint and planned.previous:
        start = "the last work that served"
    after = [" or ".join(group) for group in planned.after if group != planned.start]
    after += [name for name in planned.settled if name not in {*planned.start, *sum(planned.after, ())}]
    words = start + (f" after {', '.join(after)}" if after else "")
    if task.for_each is not None:
        words += f"; for each line of `{task.for_each.command}`"
    return words + (f"; when {task.when}" if task.when else "")


def _mode(plan: Plan) -> Iterator[Text]:
    if plan.mode == "sequential":
        yield Text("mode: sequential, one task after another")
    if plan.mode == "adaptive":
        yield Text("mode: adaptive, one at first, more while attempts serve")
    for name, tasks in _together(plan).items():
        if tasks[0].paths:
            one_each = "" if len({task.paths for task in tasks}) == 1 else " and so on, by item"
            refused = "; what lies outside is refused" if tasks[0].refuse_outside else ""
            yield Text(f"paths of {name}: ", "dim") + cell(f"{', '.join(tasks[0].paths)}{one_each}{refused}")


def _drawn(plan: Plan) -> Iterator[Text]:
    """Where the order of compared attempts comes from, and how to have it again."""
    if plan.seed is not None:
        words = f"drawn from the seed {plan.seed}; another plan draws another, unless the file says so: "
        yield Text("order of compared attempts: ", "dim") + Text(f"{words}compare: {{…, seed: {plan.seed}}}")


def _power(plan: Plan) -> Iterator[Text]:
    """Which difference the comparison will see."""
    foreseen = foreseen_of(plan)
    if foreseen is not None:
        early = "; it ends once all are decided" if foreseen.early else ""
        words = f"{', '.join(plan.compared)}; {power_words(foreseen, ALPHA)}{early}"
        yield Text("compared: ", "dim") + Text(words)


def foreseen_of(plan: Plan) -> Foreseen | None:
    """The same as a value; None where nothing is compared, or where it is not known with how many tasks."""
    tasks = [task for task in plan.tasks if task.compared]
    if len(plan.compared) < 2 or not tasks or any(task.for_each is not None for task in tasks):
        return None
    repeats = max(one.n for one in plan.attempts if plan.task(one.task).compared)
    return foresee(len(tasks), repeats, len(plan.compared), early=plan.stops_when_decided)


def _together(plan: Plan) -> dict[str, list[Task]]:
    """Tasks by what the task file calls them: those of items together."""
    found: dict[str, list[Task]] = {}
    for task in plan.tasks:
        found.setdefault(task.of or task.id, []).append(task)
    return found


def _limits(plan: Plan) -> Iterator[Text]:
    """Limits, once where they are the same for all."""
    by_limits: dict[Limits, list[str]] = {}
    for name, (task, *_) in _together(plan).items():
        by_limits.setdefault(task.limits, []).append(name)
    for limits, tasks in by_limits.items():
        whose = "each attempt" if len(by_limits) == 1 else ", ".join(tasks)
        yield Text(f"limits of {whose}: ", "dim") + Text(limits_words(limits))


def _checks(plan: Plan) -> Iterator[Text]:
    for name, (task, *_) in _together(plan).items():
        protected = f" (with {', '.join(task.protect)} as in the base)" if task.protect else ""
        if not task.checks:
            yield Text(f"check of {name}: ", "dim") + cell("none: it ends as `done`")
        for check in task.checks:
            yield Text(f"check of {name}: ", "dim") + cell(checks.command(check) + protected)
        if task.hidden is not None:
            yield Text(f"hidden from the agents of {name}: ", "dim") + cell(task.hidden.path)


def _profiles(plan: Plan, forecast: Forecast) -> Iterator[Text]:
    for profile in plan.profiles:
        outlet = f"; allowed out: {forecast.outlets[profile.name]}"
        yield cell(f"{profile.name}: {settings_words(profile)}").append_text(cell(outlet))


def _ways_out(plan: Plan) -> Iterator[Text]:
    """What else may leave, once where it is the same for all."""
    by_hosts: dict[tuple[AllowedHost, ...], list[str]] = {}
    by_hosted: dict[tuple[Hosted, ...], list[str]] = {}
    for name, (task, *_) in _together(plan).items():
        by_hosts.setdefault(task.network, []).append(name)
        by_hosted.setdefault(task.hosted, []).append(name)
    for hosts, tasks in by_hosts.items():
        if hosts:
            words = ", ".join(f"{host} ({' and '.join(map(str, host.ports))})" for host in hosts)
            yield Text(f"hosts that {_whose(by_hosts, tasks)} may reach: ", "dim") + cell(words)
    for hosted, tasks in by_hosted.items():
        if hosted:
            words = f"{', '.join(hosted)}; fees for their use are counted in no budget"
            whose = f"what {_whose(by_hosted, tasks)} may have the model's service do: "
            yield Text(whose, "dim") + cell(words)


def _mail(plan: Plan) -> Iterator[Text]:
    """Who has mail, once where it is the same for all."""
    by_terms: dict[MailTerms | None, list[str]] = {}
    for task in plan.tasks:
        by_terms.setdefault(task.mail, []).append(task.id)
    for terms, tasks in by_terms.items():
        if terms is not None:
            wait = f"waits {wording.duration(terms.wait)}" if terms.wait else "ends at once"
            words = f"each other and you; who asks you {wait}"
            yield Text(f"mail of {_whose(by_terms, tasks)}: ", "dim") + Text(words)


def _whose(groups: Sized, tasks: list[str]) -> str:
    return "each attempt" if len(groups) == 1 else ", ".join(tasks)


def _at_once(plan: Plan, forecast: Forecast) -> Iterator[Text]:
    most = min(forecast.jobs, len(plan.attempts))
    largest = sorted((plan.task(a.task).limits.memory for a in plan.attempts), reverse=True)[:most]
    cpus = sorted((plan.task(a.task).limits.cpus for a in plan.attempts), reverse=True)[:most]
    boxes, memory = wording.many(most, "box", "boxes"), wording.size(sum(largest))
    first = "as many as the host bears, at first " if forecast.auto else ""
    yield Text(f"at once: {first}up to {boxes}, {sum(cpus):g} CPUs and {memory} of memory at their limits")
    for profile in plan.profiles:
        if profile.at_once is not None:
            yield Text(f"  of {profile.name}: {profile.at_once}")
    for repo, bound in plan.repositories.items():
        yield cell(f"  in {repo}: {bound}")


def limits_words(limits: Limits) -> str:
    """Limits on one line."""
    return (
        f"{limits.cpus:g} cpu, {wording.size(limits.memory)}, {limits.pids} pids, "
        f"disk {wording.size(limits.disk)}, "
        f"{wording.duration(limits.time)}, idle {wording.duration(limits.idle)}"
    )


def settings_words(profile: Profile) -> str:
    """A profile's settings on one line."""
    settings = profile.settings
    who = {"script": "a script plays", "replay": "a recording plays"}.get(profile.upstream.kind, "")
    upstream = f"; {who} the model ({profile.upstream.script})" if who else ""
    if isinstance(settings, CommandSettings):
        return f"command {' '.join(settings.run)}"
    told = {"effort": settings.effort, "verbosity": getattr(settings, "verbosity", None)}
    more = "".join(f", {name} {value}" for name, value in told.items() if value)
    return f"{' '.join((f'{settings.cli},', settings.model, *settings.args))}{more}{upstream}"


def image_words(image: ImageSpec) -> str:
    """An image specification in words."""
    return {
        "default": "Corral's own",
        "name": f"{image.name}",
        "build": f"the Dockerfile in {image.path}",
        "devcontainer": "the repository's dev container",
    }[image.kind]


def as_json(plan: Plan, forecast: Forecast) -> dict[str, JsonValue]:
    """The plan and the forecast for programs."""
    foreseen = foreseen_of(plan)
    layers: JsonValue = {
        plan.sources[index].repo: None
        if rows is None
        else [{"image": name, "exists": there} for name, there in rows]
        for index, rows in forecast.images.items()
    }
    return {
        "plan": plan.model_dump(mode="json"),
        "jobs": forecast.jobs,
        "jobs_auto": forecast.auto,
        "unfit": list(forecast.unfit),
        "allowed_out": dict(forecast.outlets),
        "images": layers,
        "weaker": list(forecast.weaker),
        "broken": [{"name": f.name, "found": f.found, "cure": f.cure} for f in forecast.broken],
        "left": forecast.left or None,
        "power": None if foreseen is None else asdict(foreseen),
    }
