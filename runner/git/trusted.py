"""Read-only questions to the user's own repository, through GitPython.

Nothing here writes: optional locks are off, so that even the index keeps its bytes. What the repository
can't be used for is said with a cure, before anything starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import git
from git.exc import GitCommandError, InvalidGitRepositoryError, NoSuchPathError

from runner.errors import UsageError
from runner.git import closed

SHOWN = 5
MOST_FILES = 500_000
"""As many as gathered work may hold (`runner.gather.policy`)."""
OTHER_BASE = "name that as `base:`"


class BaseError(UsageError):
    """The repository is usable, but not from that base."""


@dataclass(frozen=True)
class Pinned:
    """A repository as the person named it, and the commit that its base means now."""

    repo: str
    git_dir: str
    base: str
    notes: tuple[str, ...]


def pin(path: Path, base: str) -> Pinned:
    """Resolve a base to a commit, and see that a run can start from it.

    Args:
        path: A directory in a work tree, or a bare repository.
        base: A branch, tag, commit or `HEAD`.

    Raises:
        UsageError: It is no repository, has no such commit, or needs what Corral can't do (yet).
    """
    with _open(path) as repo:
        _usable_format(repo, path)
        commit = _commit(repo, path, base)
        _whole(repo, path, commit)
        _plain_content(repo, path, commit)
        top = str(repo.working_tree_dir or repo.git_dir)
        return Pinned(top, str(Path(repo.common_dir).resolve()), commit, tuple(_notes(repo, base)))


def taken_branches(git_dir: Path, prefix: str, run: str) -> list[str]:
    """Refs that stand in the way of branches below `prefix/run/`: one of its parents, or below it."""
    parts = [*prefix.split("/"), run]
    parents = {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}
    with _open(git_dir) as repo:
        below = f"refs/heads/{parts[0]}"
        names = repo.git.for_each_ref("--format=%(refname:lstrip=2)", below).splitlines()
    return [name for name in names if name in parents or name.startswith(f"{prefix}/{run}/")]


def remote(git_dir: Path, name: str | None = None) -> tuple[str, str]:
    """A remote's name and its address, which may hold a password: it is not to be shown.

    Args:
        git_dir: The repository.
        name: The remote; by default `origin`, or the only one.

    Raises:
        UsageError: There is none, none of that name, or it is not clear which is meant.
    """
    with _open(git_dir) as repo:
        names = repo.git.remote().splitlines()
        wanted = name or ("origin" if "origin" in names or len(names) != 1 else names[0])
        if wanted not in names:
            there = f"there are {', '.join(names)}: name one by `--remote`" if names else "git remote add"
            raise UsageError(f"{git_dir} has no remote called {wanted!r}", cure=there)
        return wanted, str(repo.git.remote("get-url", wanted))


def has_branch(git_dir: Path, name: str) -> bool:
    """Whether the repository has a branch of that name."""
    with _open(git_dir) as repo:
        return bool(repo.git.for_each_ref("--format=x", f"refs/heads/{name}"))


@contextmanager
def _open(path: Path) -> Iterator[git.Repo]:
    try:
        repo = git.Repo(path, search_parent_directories=True)
    except (InvalidGitRepositoryError, NoSuchPathError) as error:
        raise UsageError(
            f"{path} is not in a git repository", cure="git init, or name another `repo:`"
        ) from error
    with repo:
        repo.git.update_environment(
            GIT_OPTIONAL_LOCKS="0", GIT_NO_LAZY_FETCH="1", GIT_TERMINAL_PROMPT="0", LC_ALL="C"
        )
        repo.git.update_environment(**_running_nothing(repo))
        yield repo


def _running_nothing(repo: git.Repo) -> dict[str, str]:
    """Variables under which git runs none of the programs that the user's configuration names."""
    try:
        keys = repo.git.config("--null", "--name-only", "--get-regexp", r"^filter\.").split("\0")
    except GitCommandError:  # there is none; or the repository can't be read, which is said elsewhere
        keys = []
    filters = {key.removeprefix("filter.").rpartition(".")[0] for key in keys if key}
    off = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null"}
    for name in sorted(filters):
        off |= {f"filter.{name}.{key}": "" for key in ("clean", "smudge", "process")}
        off[f"filter.{name}.required"] = "false"
    variables = {"GIT_CONFIG_COUNT": str(len(off))}
    for number, (key, value) in enumerate(off.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _usable_format(repo: git.Repo, path: Path) -> None:
    try:
        kind = repo.git.rev_parse("--show-object-format")
    except GitCommandError as error:
        if "dubious ownership" in str(error.stderr):
            cure = f"git config --global --add safe.directory {path}"
            raise UsageError(f"{path} belongs to another user", cure=cure) from error
        raise UsageError(f"{path} can't be read as a repository: {_words(error)}") from error
    if kind != "sha1":
        raise UsageError(
            f"{path} uses {kind} objects, which Corral can't handle yet", cure="use a SHA-1 repository"
        )


def _commit(repo: git.Repo, path: Path, base: str) -> str:
    if base.startswith("-") or not base.strip():
        raise BaseError(f"{base!r} is not the name of a commit", cure="name a branch, a tag or a commit")
    try:
        return str(repo.git.rev_parse("--verify", "--quiet", f"{base}^{{commit}}"))
    except GitCommandError as error:
        if base == "HEAD" and _is_unborn(repo):
            raise UsageError(
                f"{path} has no commit yet", cure="make a first commit: attempts start from one"
            ) from error
        if base == "HEAD":
            cure = "see what `git fsck` says there, or name a commit as `base:`"
            raise BaseError(f"the commit that HEAD of {path} names is not there", cure=cure) from error
        raise BaseError(
            f"{path} has no commit called {base!r}", cure="name a branch, a tag or a commit as `base:`"
        ) from error


def _is_unborn(repo: git.Repo) -> bool:
    """Whether HEAD is on a branch that no commit was made on."""
    try:
        branch = repo.git.symbolic_ref("--quiet", "HEAD")
        repo.git.rev_parse("--verify", "--quiet", branch)
    except GitCommandError:
        return not repo.head.is_detached
    return False


def _whole(repo: git.Repo, path: Path, commit: str) -> None:
    """See that no object of the commit's history is missing, where the clone may be a partial one."""
    with repo.config_reader() as config:
        partial = config.has_option("extensions", "partialclone") or any(
            section.startswith("remote ") and config.has_option(section, "promisor")
            for section in config.sections()
        )
    if not partial:
        return
    listing = repo.git.rev_list("--objects", "--missing=print", "--no-object-names", commit).splitlines()
    missing = sum(1 for line in listing if line.startswith("?"))
    if missing:
        cure = "git fetch --refetch --no-filter, or clone without --filter"
        raise UsageError(f"{path} is a partial clone that lacks {missing} objects of its history", cure=cure)


def _plain_content(repo: git.Repo, path: Path, commit: str) -> None:
    """See that the commit can be laid out, and has no submodules and no LFS, which are not supported yet."""
    modules, attributes = _special(repo, path, commit)
    if modules:
        raise UsageError(
            f"{path} has submodules at its base ({_some(modules)}), which are not supported yet",
            cure=f"take out the submodules on a branch of their own, and {OTHER_BASE}",
        )
    for oid, name in attributes:
        text = repo.git.cat_file("blob", oid, stdout_as_string=False)
        if b"filter=lfs" in text:
            raise UsageError(
                f"{path} uses Git LFS at its base ({_some([name])}), which is not supported yet",
                cure=f"take out the `filter=lfs` lines on a branch of their own, and {OTHER_BASE}",
            )


def _special(repo: git.Repo, path: Path, commit: str) -> tuple[list[bytes], list[tuple[str, bytes]]]:
    """The submodules of a commit, and the ids and names of its `.gitattributes`.

    Read as it comes: a commit of another's making can take a kilobyte and say that it has billions of files.
    """
    modules, attributes = [], []
    listing = ("ls-tree", "-r", "-z", "--full-tree", commit)
    try:
        with closed.records(Path(repo.common_dir).resolve(), *listing, end=b"\0") as rows:
            for number, row in enumerate(rows, start=1):
                if number > MOST_FILES:
                    said = f"{path} has more than {MOST_FILES} files at its base, which no work may have"
                    raise BaseError(said, cure="name another commit as `base:`")
                head, _, name = row.partition(b"\t")
                if head.startswith(b"160000 "):
                    modules.append(name)
                elif name.rpartition(b"/")[2] == b".gitattributes":
                    attributes.append((head.split()[2].decode(), name))
    except closed.GitError as error:
        said = f"the files of {path} at its base can't be listed: {error}"
        raise BaseError(said, cure="name another commit as `base:`") from error
    return modules, attributes


def _notes(repo: git.Repo, base: str) -> Iterator[str]:
    """What a person should know: what the base leaves out."""
    if repo.bare:
        return
    rows = repo.git.status("--porcelain=v1", "-z", "--ignore-submodules=all", stdout_as_string=False).split(
        b"\0"
    )
    changed = [row[3:] for row in rows if len(row) > 3 and row[2:3] == b" "]
    if changed:
        yield f"{len(changed)} uncommitted change(s) stay here and are not in the base: {_some(changed)}"
    if (Path(repo.common_dir) / "shallow").exists():
        yield "the clone is shallow: boxes see only the history that is here"
    if base == "HEAD" and repo.head.is_detached:
        yield "HEAD is detached"


def _some(names: list[bytes]) -> str:
    shown = [ascii(name.decode(errors="replace")).strip("'\"") for name in names[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _words(error: GitCommandError) -> str:
    return " ".join(str(error.stderr).split())[:300]
