"""The commands: parse, call, print."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.text import Text

import runner
from runner import settings as configuration
from runner.agents import catalog
from runner.errors import CorralError, UsageError
from runner.git import worktree
from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_DESCRIPTION
from runner.sandbox.output import READY
from runner.sandbox.standing import Post
from runner.settings import Settings
from runner.supervisor import access, prepare
from runner.supervisor import doctor as doctoring
from runner.supervisor import reap as reaping
from runner.supervisor.forecast import Forecast, forecast
from runner.supervisor.means import images as image_maker
from runner.supervisor.means import means, standing
from runner.supervisor.night import Night
from runner.supervisor.records import all_runs, find_run, run_names, wanted_images
from runner.supervisor.schedule import images_of
from runner.supervisor.spec import log_file
from runner.supervisor.state import RunState, find_attempt
from runner.tasks.plan import Plan
from runner.tasks.plan import Settings as AgentSettings
from runner.tasks.schema import json_schema
from runner.tasks.starter import starter
from runner.views import live, plan_view, report, summary, wording
from runner.views.inert import block, cell

app = typer.Typer(
    help="Run coding agents unattended, each in its own limited container over its own git worktree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
image_app = typer.Typer(help="The images that boxes are made from.", no_args_is_help=True)
app.add_typer(image_app, name="image")

WIDE = 240
"""Columns where nobody looks: in a file or a pipe nothing is cut or wrapped to fit a screen."""

out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, markup=False)

FileArgument = Annotated[Path, typer.Argument(help="The task file.")]
RunArgument = Annotated[str, typer.Argument(help="A run: its name, a unique prefix of it, or `latest`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="How many attempts live at once.")
]


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


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what is weaker or missing, and the cure."""
    findings = doctoring.examine(configuration.load(), configuration.environment())
    if as_json:
        _print_json([{"name": f.name, "level": f.level, "found": f.found, "cure": f.cure} for f in findings])
    else:
        for finding in findings:
            out.print(report.finding(finding), soft_wrap=True)
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(3)


@app.command()
def schema() -> None:
    """Print the JSON Schema of task files, for editors."""
    _print_json(json_schema())


@app.command()
def plan(file: FileArgument, jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Show exactly what `run` will do, touching nothing."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings))
    with suppress(access.NoCredentialError):  # the plan says it; a run refuses
        access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    if as_json:
        _print_json(plan_view.as_json(made, expected))
    else:
        out.print(plan_view.terminal(made, expected))


# -- a run


@app.command()
def run(
    file: FileArgument,
    jobs: JobsOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the run; the time, by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the tasks of a file; interrupt once to drain, twice to stop. Work comes home either way."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings), name)
    access.check_access(made, settings)
    expected = forecast(made, settings, configuration.environment(), jobs)
    raise typer.Exit(_work(made, settings, expected, as_json, lambda night: night.start(made)))


@app.command()
def resume(name: RunArgument = "latest", jobs: JobsOption = None, as_json: JsonOption = False) -> None:
    """Take up a run that ended early: adopt what still runs, finish what was begun, start the rest."""
    settings = configuration.load()
    state = find_run(settings, name)
    if state.ended is not None and not any(a.phase != "final" for a in state.attempts.values()):
        cure = "what was cancelled stays so, its work on its branch; `corral run` starts anew"
        raise UsageError(f"every attempt of the run {state.name} has ended", cure=cure)
    access.check_access(state.plan, settings)
    expected = forecast(state.plan, settings, configuration.environment(), jobs)
    raise typer.Exit(_work(state.plan, settings, expected, as_json, lambda night: night.resume(state.name)))


def _work(
    made: Plan, settings: Settings, expected: Forecast, as_json: bool, do: Callable[[Night], RunState]
) -> int:
    """Do a run while showing it; returns the exit code."""
    expected.require_sound()
    watcher = _watcher(as_json)
    environment = configuration.environment()
    with (
        watcher,
        means(
            made, settings, environment, jobs=expected.jobs, weaker=expected.weaker, on_line=watcher.building
        ) as has,
    ):
        night = Night(has, watcher)
        with _interruptions(night):
            state = do(night)
    if not as_json:
        with suppress(OSError):  # whoever looked may have left
            out.print(Group(Text(), report.terminal(state), report.next_steps(state)))
    return state.exit_code or 0


@contextmanager
def _interruptions(night: Night) -> Iterator[None]:
    """Let Ctrl-C drain and then stop the run, and a termination stop it at once."""

    def interrupted(number: int, _: object) -> None:
        night.interrupt(128 + number, times=1 if number == signal.SIGINT else 2)

    before = {
        number: signal.signal(number, interrupted)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watcher(as_json: bool) -> live.Watcher:
    if as_json:
        return live.JsonLines(lambda text: sys.stdout.write(text + "\n") and sys.stdout.flush())
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
            _print_json([summary.summary(state) for state in states])
        for state in states if not as_json else ():
            out.print(report.headline(state), cell(state.plan.file, "dim"), soft_wrap=True)
        return
    state = find_run(settings, name)
    if as_json:
        _print_json(summary.summary(state))
    else:
        out.print(live.draw(state, {}, "", time.time()))
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
) -> None:
    """Print what an attempt's agent, or its check, printed."""
    settings = configuration.load()
    state = find_run(settings, name)
    found = find_attempt(state, attempt)
    file = log_file(settings.home, state.name, found.key, "check.log" if check else "log")
    if not file.exists():
        raise UsageError(f"{found.key} has no {'check output' if check else 'output'}", cure="corral status")
    if raw:
        sys.stdout.buffer.write(file.read_bytes())
    else:
        settings_of = None if check else state.plan.profile(found.key.profile).settings
        with file.open("rb") as lines:
            for line in lines:
                text = readable(settings_of, line.rstrip(b"\n"))
                if text is not None:
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
        _print_json(summary.attempt_row(state, found))
    else:
        out.print(report.attempt(state, found, log_file(settings.home, state.name, found.key, "log")))


@app.command()
def diff(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]]")],
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much.")] = False,
) -> None:
    """Show what an attempt changed."""
    state = find_run(configuration.load(), name)
    found = find_attempt(state, attempt)
    if found.commit is None or found.base is None:
        raise UsageError(f"{found.key} has no branch", cure="corral status")
    source = state.plan.sources[state.plan.task(found.key.task).source]
    text = worktree.diff(Path(source.git_dir), found.base, found.commit, stat=stat)
    if not out.is_terminal:
        sys.stdout.buffer.write(text)  # a patch for programs, to the byte
        return
    out.print(report.diff(block(text.decode(errors="replace"), 20_000_000)), soft_wrap=True)


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
        raise UsageError(f"{found.key} has no branch to take", cure="corral status")
    source = state.plan.sources[state.plan.task(found.key.task).source]
    worktree.take(Path(source.git_dir), branch, found.commit)
    out.print(f"{branch} is now at {found.commit[:12]} ({found.key}, {found.verdict})", soft_wrap=True)


@app.command("report")
def show_report(
    name: RunArgument = "latest",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Report on a run: every attempt, and profiles side by side."""
    state = find_run(configuration.load(), name)
    if as_json:
        _print_json(summary.summary(state))
    elif as_markdown:
        sys.stdout.write(report.text_markdown(state))
    else:
        out.print(report.terminal(state))


# -- clearing up


@app.command()
def reap(
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove what ended runs left: containers and workspaces of ours. Unsaved work is saved first."""
    settings = configuration.load()
    with Engine(configuration.environment()) as engine:
        left = reaping.look(engine, settings.home)
        for words in left.words():
            out.print(words, soft_wrap=True)
        if not left:
            out.print("nothing is left over")
        elif not dry:
            post = Post(engine, image_maker(engine, settings).steward(), settings.home, "reap")
            with standing(post) as stewards:
                for saved in reaping.clear(engine, stewards, settings.home, left):
                    out.print(f"its files were saved in {saved}", soft_wrap=True)


@image_app.command("build")
def image_build(file: FileArgument) -> None:
    """Build the images that a task file needs."""
    settings = configuration.load()
    made = prepare.plan(file, run_names(settings))
    with Engine(configuration.environment()) as engine:
        maker = image_maker(engine, settings)
        maker.steward(_build_line)
        for source, cli in images_of(made):
            image = maker.prepare(made.sources[source], cli, _build_line)
            out.print(f"{made.sources[source].repo}: {image}", soft_wrap=True)


@image_app.command("list")
def image_list(as_json: JsonOption = False) -> None:
    """List the images that Corral made."""
    with Engine(configuration.environment()) as engine:
        held = image_maker(engine, configuration.load()).held()
    if as_json:
        _print_json([{"tags": list(i.tags), "id": i.id, "size": i.size, "created": i.created} for i in held])
        return
    for image in held:
        out.print(
            f"{', '.join(image.tags)}  {wording.size(image.size)}  {image.labels.get(LABEL_DESCRIPTION, '')}",
            soft_wrap=True,
        )


@image_app.command("prune")
def image_prune() -> None:
    """Remove images of ours that nothing uses any more."""
    settings = configuration.load()
    with Engine(configuration.environment()) as engine:
        for tag in image_maker(engine, settings).prune(keep=wanted_images(settings)):
            out.print(f"removed {tag}", soft_wrap=True)


# -- parts


def readable(settings: AgentSettings | None, line: bytes) -> str | None:
    """A line of a log for a person; None if there is nothing to read in it."""
    if line == READY:
        return None
    return line.decode(errors="replace") if settings is None else catalog.told(settings, line)


def _has_devcontainer(folder: Path) -> bool:
    return any((folder / name).exists() for name in (".devcontainer/devcontainer.json", ".devcontainer.json"))


def _build_line(text: str) -> None:
    out.print(cell(text, "dim"), soft_wrap=True)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(f"corral {runner.__version__}")
        raise typer.Exit


def main() -> None:
    """Run one command; every error of ours is printed with its cure and its own exit code."""
    configuration.forget_git_environment()
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


def _complain(text: str) -> None:
    err.print(Text("error: ", "bold red") + Text(block(text)), soft_wrap=True)


def _report_of(error: Exception) -> str:
    """Write down where an unexpected error comes from; returns the file's path."""
    with tempfile.NamedTemporaryFile("w", prefix="corral-bug-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    return file.name
