"""The commands: parse, call, print."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

import runner
from runner import cli_host
from runner import settings as configuration
from runner.agents import catalog
from runner.cli_words import (
    AcceptOption,
    FileArgument,
    ForOption,
    JobsOption,
    JsonOption,
    LinesOption,
    RunArgument,
    UntilOption,
    err,
    out,
    print_json,
    print_row,
)
from runner.errors import CorralError, UsageError
from runner.git import worktree
from runner.interruptions import Interruptions
from runner.sandbox.output import READY
from runner.selfcheck import quick
from runner.selfcheck.promises import check_names
from runner.settings import Settings
from runner.supervisor import access, prepare, replaying
from runner.supervisor import reap as reaping
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.deadline import end_of_run
from runner.supervisor.host.forecast import Forecast, forecast
from runner.supervisor.means import OwnedError, means
from runner.supervisor.night import Night
from runner.supervisor.records import all_runs, find_run, run_names
from runner.supervisor.state import RunState, find_attempt
from runner.tasks.plan import Plan
from runner.tasks.plan import Settings as AgentSettings
from runner.tasks.schema import json_schema
from runner.tasks.starter import starter
from runner.views import holds, live, plan_view, report, summary
from runner.views.inert import block, cell

app = typer.Typer(
    help="Run coding agents unattended, each in its own limited container over its own git worktree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_host.image_app, name="image")
app.add_typer(cli_host.gateway_app, name="gateway")


# -- before a run


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("corral.yaml"),
) -> None:
    """Write a commented first task file."""
    if file.exists():
        raise UsageError(f"{file} exists", cure="name another file; nothing is overwritten")
    text = starter(devcontainer=_has_devcontainer(file.absolute().parent))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}", cure="name another file") from error
    out.print(f"wrote {file}; next: edit it, then `corral plan {file}`", soft_wrap=True)


app.command()(cli_host.doctor)
app.command()(cli_host.selfcheck)


@app.command()
def schema() -> None:
    """Print the JSON Schema of task files, for editors."""
    print_json(json_schema())


@app.command()
def plan(file: FileArgument, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Show exactly what `run` will do, touching nothing."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings))
    with suppress(access.NoCredentialError):  # the plan says it; a run refuses
        access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    if as_json:
        print_json(plan_view.as_json(made, expected))
    else:
        out.print(plan_view.terminal(made, expected))


# -- a run


@app.command()
def run(
    file: FileArgument,
    jobs: JobsOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the run; the time, by default.")] = None,
    until: UntilOption = None,
    lasts: ForOption = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record what agents and models say, for `corral replay`.")
    ] = False,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the tasks of a file; interrupt once to drain, twice to stop. Work comes home either way."""
    accepted = check_names(accept_weaker or ())
    end = end_of_run(until, lasts, time.time())
    settings = configuration.load()
    taken = run_names(settings)
    made = prepare.plan(file, taken, name, record=record)
    access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    if expected.left:
        words = f"note: {expected.left}; `corral resume RUN` goes on with a run, `corral reap` gives up"
        err.print(Text(words, "yellow"), soft_wrap=True)
    while True:
        try:
            code = _work(
                made, settings, expected, accepted, as_json, partial(Night.start, plan=made, until=end)
            )
        except OwnedError:
            if name is not None:
                raise
            taken.append(made.run)  # it began in the same second: the next name is as good
            made = prepare.plan(file, taken, record=record)
        else:
            raise typer.Exit(code)


@app.command()
def resume(
    name: RunArgument = "latest",
    jobs: JobsOption = None,
    until: UntilOption = None,
    lasts: ForOption = None,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take up a run that ended early: adopt what still runs, finish what was begun, start the rest."""
    accepted = check_names(accept_weaker or ())
    end = end_of_run(until, lasts, time.time())
    settings = configuration.load()
    state = find_run(settings, name)
    if state.ended is not None and not any(a.phase != "final" for a in state.attempts.values()):
        cure = "what was cancelled stays so, its work on its branch; `corral run` starts anew"
        raise UsageError(f"every attempt of the run {state.name} has ended", cure=cure)
    access.check_access(state.plan, settings)
    expected = forecast(state.plan, settings, configuration.environment(), jobs)
    raise typer.Exit(
        _work(state.plan, settings, expected, accepted, as_json, lambda night: night.resume(state.name, end))
    )


@app.command()
def replay(
    name: RunArgument = "latest",
    attempt: Annotated[str | None, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]; all by default.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End an attempt where it departs from its recording.")
    ] = False,
    jobs: JobsOption = None,
    accept_weaker: AcceptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a recorded run's agents again, against what was recorded: free, offline. Says where they depart."""
    accepted = check_names(accept_weaker or ())
    settings = configuration.load()
    state = find_run(settings, name)
    only = find_attempt(state, attempt).key if attempt else None
    made = replaying.replay_of(state, settings.home, only, strict=strict)
    made = prepare.again(made, f"{state.name}-replay", run_names(settings))
    access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    code = _work(made, settings, expected, accepted, as_json, partial(Night.start, plan=made))
    raise typer.Exit(replaying.exit_code(find_run(settings, made.run), code))


def _work(
    made: Plan,
    settings: Settings,
    expected: Forecast,
    accepted: frozenset[str],
    as_json: bool,
    do: Callable[[Night], RunState],
) -> int:
    """Do a run while showing it; returns the exit code."""
    expected.require_sound()
    watcher = _watcher(as_json)
    environment = configuration.environment()
    with (
        Interruptions(_heeded(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)) as interruptions,
        watcher,
        means(
            made,
            settings,
            environment,
            jobs=expected.jobs,
            weaker=expected.weaker,
            on_line=interruptions.before(watcher.building),
        ) as has,
    ):
        night = Night(quick.require(has, made.run, accepted), watcher)
        interruptions.hand_to(night)
        state = do(night)
    if not as_json:
        with suppress(OSError):  # whoever looked may have left
            out.print(Group(Text(), report.terminal(state), report.next_steps(state)))
    return state.exit_code or 0


def _heeded(*numbers: int) -> list[int]:
    """Those signals that whoever started us did not tell us to ignore, as `nohup` does with SIGHUP."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _watcher(as_json: bool) -> live.Watcher:
    if as_json:
        return live.JsonLines(print_row)
    return live.LiveTable(out) if out.is_terminal else live.PlainLines(out)


# -- looking


@app.command()
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
    grants = cli_host.grants_of(settings.home, state)
    if as_json:
        held = {one.account.attempt: one.usage.held for one in grants if one.usage.held is not None}
        print_json(summary.summary(state, held))
    else:
        now = time.time()
        out.print(live.draw(state, holds.now_held(grants, state.name, now), "", now))
        if state.ended is None and reaping.is_over(settings.home, state.name):
            words = f"nobody works on this run: `corral resume {state.name}` goes on, `corral reap` gives up"
            out.print(Text(words, "yellow"), soft_wrap=True)


@app.command("logs")
def show_logs(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    check: Annotated[
        bool, typer.Option("--check", help="The check's output instead of the agent's.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="As it was printed, for programs: it may steer a terminal.")
    ] = False,
    as_json: LinesOption = False,
) -> None:
    """Print what an attempt's agent, or its check, printed."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    file = log_file(settings.home, state.name, found.key, "check.log" if check else "log")
    if not file.exists():
        what = "check output" if check else "output"
        raise UsageError(f"{found.key} has no {what}", cure=f"`corral show {found.key}` says why")
    if raw and as_json:
        raise UsageError("--raw and --json exclude each other", cure="give one of them")
    settings_of = None if check else state.plan.profile(found.key.profile).settings
    with file.open("rb") as lines:
        if raw:
            shutil.copyfileobj(lines, sys.stdout.buffer)
            return
        for line in lines:
            text = readable(settings_of, line.rstrip(b"\n"))
            if as_json and line.rstrip(b"\n") != READY:
                row = {"attempt": str(found.key), "line": line.decode(errors="replace").rstrip("\n")}
                print_row({"kind": "log.line", "schema": 1, **row, "said": text})
            elif text is not None and not as_json:
                out.print(Text(block(text)), soft_wrap=True)


@app.command()
def show(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of an attempt."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    if as_json:
        print_json(summary.attempt_row(state, found))
    else:
        out.print(report.attempt(state, found, log_file(settings.home, state.name, found.key, "log")))


@app.command()
def diff(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an attempt changed."""
    state = find_run(configuration.load(), name)
    found = find_attempt(state, attempt)
    if found.commit is None or found.base is None:
        raise UsageError(f"{found.key} has no branch", cure=f"`corral show {found.key}` says why")
    source = state.plan.sources[state.plan.task(found.key.task).source]
    text = worktree.diff(Path(source.git_dir), found.base, found.commit, stat=stat)
    if as_json:
        row = summary.attempt_row(state, found)
        known = {name: row[name] for name in ("branch", "commit", "base", "files", "insertions", "deletions")}
        print_json({"attempt": str(found.key), **known, "diff": text.decode(errors="replace")})
        return
    if not out.is_terminal:
        sys.stdout.buffer.write(text)  # a patch for programs, to the byte
        return
    out.print(report.diff(text), soft_wrap=True)


@app.command()
def take(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    branch: Annotated[str, typer.Argument(help="The new branch's name.")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
) -> None:
    """Make a branch of your own naming from an attempt's work."""
    state = find_run(configuration.load(), name)
    found = find_attempt(state, attempt)
    if found.commit is None:
        raise UsageError(f"{found.key} has no branch to take", cure=f"`corral show {found.key}` says why")
    source = state.plan.sources[state.plan.task(found.key.task).source]
    branch = branch.removeprefix("refs/heads/")
    worktree.take(Path(source.git_dir), branch, found.commit)
    words = f"{branch} is now at {found.commit[:12]} in {source.repo} ({found.key}, {found.verdict})"
    out.print(words, soft_wrap=True)


@app.command("report")
def show_report(
    name: RunArgument = "latest",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Report on a run: every attempt, and profiles side by side."""
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other", cure="give one of them")
    state = find_run(configuration.load(), name)
    if as_json:
        print_json(summary.summary(state))
    elif as_markdown:
        sys.stdout.write(report.text_markdown(state))
    else:
        out.print(report.terminal(state))


app.command()(cli_host.reap)


# -- parts


def readable(settings: AgentSettings | None, line: bytes) -> str | None:
    """A line of a log for a person; None if there is nothing to read in it."""
    if line == READY:
        return None
    return line.decode(errors="replace") if settings is None else catalog.told(settings, line)


def _has_devcontainer(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".devcontainer/devcontainer.json", ".devcontainer.json"))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(f"corral {runner.__version__}")
        raise typer.Exit


def main() -> None:
    """Run one command; every error of ours is printed with its cure and its own exit code."""
    configuration.forget_git_environment()
    for number in _heeded(signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except CorralError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        _complain(f"a bug in Corral: {error!r}\n  → please report it, with {_report_of(error)}")
        sys.exit(CorralError.exit_code)


def _leave(number: int, _: object) -> None:
    """End as after Ctrl-C, so that whatever was begun is taken down; a run that is under way knows better."""
    sys.exit(128 + number)


def _complain(text: str) -> None:
    err.print(Text("error: ", "bold red") + Text(block(text)), soft_wrap=True)


def _report_of(error: Exception) -> str:
    """Write down where an unexpected error comes from; returns the file's path."""
    with tempfile.NamedTemporaryFile("w", prefix="corral-bug-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    return file.name
