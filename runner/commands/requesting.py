"""The command that makes a pull request of work that came home: printed, or done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from runner import settings as configuration
from runner.commands.words import INTEGRATION, JsonOption, out, print_json
from runner.errors import UsageError
from runner.git import publishing, remotes, trusted, worktree
from runner.settings import Settings
from runner.supervisor import discarding
from runner.supervisor.finding import find_attempt
from runner.supervisor.morning.chosen import integrations
from runner.supervisor.records import find_run
from runner.supervisor.state import RunState
from runner.tasks.plan import Source
from runner.views import pull_request
from runner.views.inert import block


class Forge(StrEnum):
    """Where a pull request can be opened."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


@dataclass(frozen=True)
class Work:
    """What a pull request is made of; `stem` names the file of its text."""

    name: str
    stem: str
    source: Source
    branch: str
    commit: str
    title: str
    body: str


@dataclass(frozen=True)
class Wish:
    """What a person wants to be otherwise than by default."""

    branch: str | None = None
    into: str | None = None
    remote: str | None = None
    title: str | None = None
    forge: Forge | None = None


AsOption = Annotated[
    str | None, typer.Option("--as", metavar="BRANCH", help="What the branch is called there.")
]
IntoOption = Annotated[
    str | None, typer.Option("--into", metavar="BRANCH", help="The branch that it is for.")
]
RemoteOption = Annotated[str | None, typer.Option("--remote", help="The remote; `origin` by default.")]
TitleOption = Annotated[str | None, typer.Option("--title", help="The title; what was asked, by default.")]
ForgeOption = Annotated[
    Forge | None, typer.Option("--forge", help="What the remote is, where its name does not tell.")
]


def pr(
    attempt: Annotated[str, typer.Argument(help="TASK[/PROFILE[/N[.TRY]]], or `+integration`.")],
    *,
    name: Annotated[str, typer.Option("--run", help="The run.")] = "latest",
    push: Annotated[
        bool, typer.Option("--push", help="Do it: push the branch, and open the pull request.")
    ] = False,
    as_branch: AsOption = None,
    into: IntoOption = None,
    remote: RemoteOption = None,
    title: TitleOption = None,
    forge: ForgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the commands that make a pull request of an attempt's work, or run them with --push."""
    settings = configuration.load()
    state = find_run(settings, name)
    wish = Wish(as_branch, into, remote, title, forge)
    made = [_request(settings, state, work, wish) for work in _works(state, attempt)]
    if push:
        _require_programs(made)
    rows = []
    for one in made:
        said = one.push() if push else None
        rows.append({**one.as_json(), "pushed": push, "said": said})
        if not as_json:
            out.print(Text(block(one.shown() if said is None else said)), soft_wrap=True)
    if as_json:
        print_json(rows)


def _works(state: RunState, attempt: str) -> list[Work]:
    if attempt == INTEGRATION:
        return _put_together(state)
    found = find_attempt(state, attempt)
    commit = discarding.commit_of(state, found)
    source = state.plan.sources[state.plan.task(found.key.task).source]
    titled, body = pull_request.title(state, found), pull_request.body(state, found)
    name = str(found.key)
    branch = found.branch or state.plan.branch(found.key)
    return [Work(name, name.replace("/", "+"), source, branch, commit, titled, body)]


def _put_together(state: RunState) -> list[Work]:
    """What was put together, for each repository, and for each base where a run has several."""
    made: list[Work] = []
    for source, one in integrations(state):
        stem = INTEGRATION if not made else f"{INTEGRATION}-{len(made) + 1}"
        titled, body = pull_request.title_of_all(state, one), pull_request.body_of_all(state, one)
        made.append(Work(INTEGRATION, stem, source, one.branch or "", one.commit or "", titled, body))
    return made


@dataclass(frozen=True)
class Made:
    """A pull request that can be printed, or opened."""

    work: Work
    forge: remotes.Forge
    request: remotes.Request

    @property
    def _push(self) -> list[str]:
        there = f"{self.work.commit}:refs/heads/{self.request.branch}"
        return ["git", "push", self.request.remote, there]

    def lines(self) -> list[str]:
        """What a person would type."""
        opens = [
            _quoted(word, self.request.file) for word in remotes.command(self.forge, self.request, shown=True)
        ]
        return [f"cd {shlex.quote(self.work.source.repo)}", shlex.join(self._push), " ".join(opens)]

    def shown(self) -> str:
        """The same, with where the text is."""
        return "\n".join((f"# {self.work.name}: its text is in {self.request.file}", *self.lines()))

    def as_json(self) -> dict[str, str | list[str] | None]:
        """The same for programs."""
        return {
            "attempt": self.work.name,
            "repo": self.work.source.repo,
            "commit": self.work.commit,
            "forge": self.forge,
            "branch": self.request.branch,
            "into": self.request.into,
            "title": self.request.title,
            "body": self.request.file,
            "commands": list(self.lines()),
        }

    def push(self) -> str:
        """Do it; returns what the forge's program printed."""
        environment, folder = configuration.environment(), Path(self.work.source.repo)
        publishing.run(self._push, folder, environment)
        return publishing.run(remotes.command(self.forge, self.request), folder, environment)


def _quoted(word: str, file: str) -> str:
    """A word of a command for a shell, which reads the text from its file where it can't be named."""
    before, is_there, _ = word.partition(remotes.BODY)
    return f'{shlex.quote(before)}"$(cat {shlex.quote(file)})"' if is_there else shlex.quote(word)


def _require_programs(made: list[Made]) -> None:
    """See that nothing is pushed for which no pull request could be opened then."""
    for one in made:
        cure = "install it and log in; without --push the commands are printed"
        publishing.require(remotes.PROGRAMS[one.forge], configuration.environment(), cure)


def _request(settings: Settings, state: RunState, work: Work, wish: Wish) -> Made:
    git_dir = Path(work.source.git_dir)
    known, address = trusted.remote(git_dir, wish.remote)
    place = remotes.place_of(address)
    found = wish.forge.value if wish.forge is not None else remotes.forge_of(place)
    if found is None:
        where = "a path of this machine" if place is None else place.host
        raise UsageError(
            f"nobody knows what kind of forge the remote {known!r} is ({where})",
            cure="say it: --forge github, gitlab or gitea (Forgejo is one, too)",
        )
    branch, target = wish.branch or work.branch, wish.into or _into(git_dir, work.source, known)
    for one in filter(None, (branch, target)):
        worktree.require_name(git_dir, one)
    if branch == target:
        raise UsageError(f"{branch} can't be merged into itself", cure="give it another name by --as")
    titled = work.title if wish.title is None else wish.title
    if not titled.strip() or not titled.isprintable():
        raise UsageError("a title is one line of text", cure="--title TEXT")
    file = settings.home / "runs" / state.name / f"pr-{work.stem}.md"
    _write(file, work.body)
    return Made(work, found, remotes.Request(known, place, branch, target, titled, work.body, str(file)))


def _into(git_dir: Path, source: Source, remote: str) -> str | None:
    """The branch that work was based on, if it was one; None for the repository's own choice."""
    name = source.base_name.removeprefix(f"{remote}/")
    return name if name != "HEAD" and trusted.has_branch(git_dir, name) else None


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}", cure="make room there") from error
