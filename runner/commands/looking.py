"""Commands that look at runs: nothing is changed by them, but for the branch that `take` makes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from runner import settings as configuration
from runner.agents import catalog
from runner.commands import comparing, paging
from runner.commands.host import grants_of
from runner.commands.words import (
    INTEGRATION,
    JsonOption,
    LinesOption,
    RunArgument,
    out,
    print_json,
    print_row,
)
from runner.errors import UsageError
from runner.git import worktree
from runner.names import AttemptKey
from runner.sandbox.output import READY
from runner.settings import Settings
from runner.supervisor import discarding, signboard
from runner.supervisor.attempt import metering
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.finding import command, find_attempt
from runner.supervisor.graph import deciding
from runner.supervisor.morning.chosen import integrations
from runner.supervisor.morning.judged import judged
from runner.supervisor.morning.together import foresee
from runner.supervisor.ownership.presence import RETURNS, is_left, presence
from runner.supervisor.records import all_runs, find_run
from runner.supervisor.state import RunState
from runner.tasks.plan import Settings as AgentSettings
from runner.tasks.plan import Source
from runner.views import fairness, holds, junit, live, measured, report, summary, tabular
from runner.views.inert import block, cell

LOOK = 0.5
"""Seconds between two looks at a file that grows."""


def status(
    name: RunArgument = "latest",
    everything: Annotated[bool, typer.Option("--all", help="List all runs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where a run stands."""
    settings = configuration.load()
    if everything:
        states = all_runs(settings)
        if as_json:
            print_json([summary.summary(state) for state in states])
        for state in states if not as_json else ():
            out.print(report.headline(state), cell(state.plan.file, "dim"), soft_wrap=True)
        return
    state = find_run(settings, name)
    grants = grants_of(settings.home, state)
    there = presence(settings.home, state.name)
    board = signboard.read(settings.home, state.name) if state.ended is not None or there == "works" else []
    signs = {one.attempt: one for one in board}
    if as_json:
        held = {one.account.attempt: one.usage.held for one in grants if one.usage.held is not None}
        print_json(summary.summary(state, held, signs))
    else:
        now = time.time()
        out.print(live.draw(state, holds.now_held(grants, state.name, now) | signs, "", now))
        for row in report.to_decide(state):
            out.print(row, soft_wrap=True)
        if there != "works" and (state.ended is None or deciding.left_to_do(state)):
            resume = f"`corral resume {state.name}` goes on"
            resume += ", `corral reap` gives up" if state.ended is None else ""
            words = f"nobody works on this run: {resume}" if there == "nobody" else f"just now {RETURNS}"
            out.print(Text(words, "yellow"), soft_wrap=True)


def show_logs(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    check: Annotated[
        bool, typer.Option("--check", help="The check's output instead of the agent's.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="As it was printed, for programs: it may steer a terminal.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as it prints more, until the attempt has ended.")
    ] = False,
    as_json: LinesOption = False,
) -> None:
    """Print what an attempt's agent, or its check, printed."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    file = log_file(settings.home, state.name, found.key, "check.log" if check else "log")
    if raw and as_json:
        raise UsageError("--raw and --json exclude each other", cure="give one of them")
    goes_on = partial(_goes_on, settings, state.name, found.key) if follow else None
    while goes_on is not None and not file.exists() and goes_on():
        time.sleep(LOOK)
    if not file.exists():
        what = "check output" if check else "output"
        raise UsageError(f"{found.key} has no {what}", cure=f"`{command(state, 'show', found.key)}` says why")
    settings_of = None if check else state.plan.profile(found.key.profile).settings
    with suppress(KeyboardInterrupt):
        for line in lines(file, goes_on):
            _print_line(found.key, settings_of, line, raw=raw, as_json=as_json)


def _print_line(
    key: AttemptKey, settings: AgentSettings | None, line: bytes, *, raw: bool, as_json: bool
) -> None:
    if raw:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    text = readable(settings, line.rstrip(b"\n"))
    if as_json and line.rstrip(b"\n") != READY:
        row = {"attempt": str(key), "line": line.decode(errors="replace").rstrip("\n")}
        print_row({"kind": "log.line", "schema": 1, **row, "said": text})
    elif text is not None and not as_json:
        out.print(Text(block(text)), soft_wrap=True)


def _goes_on(settings: Settings, run: str, key: AttemptKey) -> bool:
    """Whether an attempt may print more."""
    attempt = find_run(settings, run).attempts.get(key)
    return attempt is not None and attempt.phase != "final" and not is_left(settings.home, run)


def lines(file: Path, goes_on: Callable[[], bool] | None = None) -> Iterator[bytes]:
    """The lines of a file, each with its end.

    Args:
        file: The file.
        goes_on: Whether more may come: it is waited for, and half a line is kept until the rest is there.
    """
    with file.open("rb") as opened:
        half = b""
        while True:
            more = goes_on is not None and goes_on()  # asked before the file: what came last is in it
            for line in opened:
                half += line
                if half.endswith(b"\n"):
                    yield half
                    half = b""
            if not more:
                break
            time.sleep(LOOK)
        if half:
            yield half


def show(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of an attempt."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    record = metering.look(metering.usage_file(settings.home, state.name, found.key))
    if as_json:
        said = [fairness.finding_row(one) for one in fairness.audit(state).of(str(found.key))]
        row = {**summary.attempt_row(state, found), "findings": [*said]}
        print_json({**row, "course": measured.course_row(record)})
    else:
        log = log_file(settings.home, state.name, found.key, "log")
        out.print(report.attempt(state, found, log, record))


def diff(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an attempt changed."""
    state = find_run(configuration.load(), name)
    found = find_attempt(state, attempt)
    commit = discarding.commit_of(state, found)
    source = state.plan.sources[state.plan.task(found.key.task).source]
    text = worktree.diff(Path(source.git_dir), found.base or source.base, commit, stat=stat)
    if as_json:
        row = summary.attempt_row(state, found)
        known = {name: row[name] for name in ("branch", "commit", "base", "files", "insertions", "deletions")}
        print_json({"attempt": str(found.key), **known, "diff": text.decode(errors="replace")})
        return
    if not out.is_terminal:
        sys.stdout.buffer.write(text)  # a patch for programs, to the byte
        return
    out.print(report.diff(text), soft_wrap=True)


def take(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]], or `+integration`.")],
    branch: Annotated[str, typer.Argument(help="The new branch's name.")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
) -> None:
    """Make a branch of your own naming from an attempt's work, or from what was put together."""
    state = find_run(configuration.load(), name)
    for source, commit, what in _taken(state, attempt):
        named = branch.removeprefix("refs/heads/")
        worktree.take(Path(source.git_dir), named, commit)
        out.print(f"{named} is now at {commit[:12]} in {source.repo} ({what})", soft_wrap=True)


def _taken(state: RunState, attempt: str) -> list[tuple[Source, str, str]]:
    """From which commits of which repositories a branch is made, and what they are."""
    if attempt != INTEGRATION:
        found = find_attempt(state, attempt)
        source = state.plan.sources[state.plan.task(found.key.task).source]
        return [(source, discarding.commit_of(state, found), f"{found.key}, {found.verdict}")]
    made = [(source, one.commit or "", one.branch or "") for source, one in integrations(state)]
    if len({source.git_dir for source, _, _ in made}) < len(made):
        several = ", ".join(f"{commit[:12]} ({what})" for _, commit, what in made)
        raise UsageError(f"there are several in one repository: {several}", cure="git branch NAME COMMIT")
    return made


def show_report(
    name: RunArgument = "latest",
    file: Annotated[
        Path | None,
        typer.Argument(help="With --html: the file to write.", show_default="beside the run's logs"),
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, an attempt's try a row.")] = False,
    as_junit: Annotated[bool, typer.Option("--junit", help="As JUnit XML, an attempt a test case.")] = False,
    as_html: Annotated[
        bool, typer.Option("--html", help="As one HTML file that needs nothing else; its path is printed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Report on a run: every attempt, and profiles side by side."""
    forms = {
        "--json": as_json,
        "--markdown": as_markdown,
        "--csv": as_csv,
        "--junit": as_junit,
        "--html": as_html,
    }
    wanted = [form for form, is_wanted in forms.items() if is_wanted]
    if len(wanted) > 1:
        raise UsageError(f"{' and '.join(wanted)} exclude each other", cure="give one of them")
    settings = configuration.load()
    if as_html or file is not None:
        _write_page(settings, name, file, *wanted)
        return
    state = find_run(settings, name)
    if as_json:
        print_json(_all_of_it(settings, state))
    elif as_markdown:
        sys.stdout.write(report.text_markdown(state, foresee(settings.home, state)))
    elif as_csv:
        sys.stdout.write(tabular.text_csv(state))
    elif as_junit:
        sys.stdout.write(junit.text_xml(state))
    else:
        out.print(report.terminal(state, foresee(settings.home, state)))


def _all_of_it(settings: Settings, state: RunState) -> dict[str, object]:
    """All that is known of a run, for programs."""
    found = judged(state)
    return {
        **summary.summary(state),
        "audit": fairness.as_json(found.audit),
        "comparison": comparing.for_programs(state, found) if state.plan.compared else None,
        "conflicts": [
            {"repo": repo, "matrix": asdict(matrix)} for repo, matrix in foresee(settings.home, state).items()
        ],
    }


def _write_page(settings: Settings, name: str, file: Path | None, form: str = "") -> None:
    """Write the page of a run, and print where it is; `form` is the option that was given, if any."""
    if form != "--html":
        if form:
            raise UsageError(f"{form} is printed, not written", cure=f"corral report {name} {form} > {file}")
        raise UsageError(f"{file} would be written with --html", cure=f"corral report {name} --html {file}")
    if "/" in name or name.endswith((".html", ".htm")):
        cure = f"the run comes first: corral report latest --html {name}"
        raise UsageError(f"{name!r} is a file's name, not a run's", cure=cure)
    out.print(str(paging.write(settings, name, file)), soft_wrap=True)


def readable(settings: AgentSettings | None, line: bytes) -> str | None:
    """A line of a log for a person; None if there is nothing to read in it."""
    if line == READY:
        return None
    return line.decode(errors="replace") if settings is None else catalog.told(settings, line)
