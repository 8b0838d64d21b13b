"""Makes the demo's repositories: `python -m demo.prepare [FOLDER]`.

Each package becomes a git repository with a branch `main` of two commits: the earlier release as it was
published, then the later release's tests; where these are hidden, they lie in `hidden/` beside it. Names and
dates are fixed, so the commits have the same ids on every machine, and a repository that is there already is
recognised by them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from demo import fetch
from demo.packages import PACKAGES, Package, Release
from runner.errors import CorralError, HostError, UsageError

Download = Callable[[Sequence[Release], Path], dict[Release, Path]]

WORK = Path(__file__).with_name(".work")
"""Where the demo's task file expects the repositories."""

HIDDEN = "hidden"
"""The folder beside the repositories with tests that no agent sees."""

_IGNORED = "__pycache__/\n*.egg-info/\n.pytest_cache/\n"
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Demo"), ("EMAIL", "demo@example.invalid"), ("DATE", "1700000000 +0000"))
}


def prepare(
    target: Path = WORK,
    packages: Sequence[Package] = PACKAGES,
    say: Callable[[str], None] = print,
    download: Download = fetch.fetch,
) -> dict[str, Path]:
    """Make the repositories that are not there yet, and return the folder of each by package name.

    Args:
        target: The folder that holds the repositories; made if it is missing.
        packages: What to make.
        say: Is told one line for each package.
        download: Lays source archives into a folder and says which is which.

    Raises:
        HostError: git or pip is missing, the index can't be reached, or its bytes are not the pinned ones.
        UsageError: A folder of that name is there, but its `main` is not the demo's.
    """
    missing = [package for package in packages if not _is_there(target / package.name, package)]
    if missing:
        try:
            target.mkdir(parents=True, exist_ok=True)
            _make_all(missing, target, download)
        except OSError as failure:
            raise HostError(
                f"the demo's repositories can't be made in {target}: {failure}",
                cure="see to it that you may write there and that there is room for a few megabytes",
            ) from failure
    for package in packages:
        made = "made" if package in missing else "is there"
        say(f"{package.name}: {_story(package)}, {made} in {target / package.name}")
    return {package.name: target / package.name for package in packages}


def _story(package: Package) -> str:
    hidden = "hidden " if package.hidden else ""
    return f"{package.earlier.version} with {hidden}tests of {package.later.version}"


def _is_there(folder: Path, package: Package) -> bool:
    if not folder.exists():
        return False
    found = _git(folder, "rev-parse", "--quiet", "--verify", "refs/heads/main", fails=True)
    if found != package.commit:
        missing = "missing (or it belongs to another user)"
        raise UsageError(
            f"{folder} is there, but its branch main is {found or missing}, not {package.commit}",
            cure="move the folder away, or delete it, and run the demo again",
        )
    return True


def _make_all(packages: Sequence[Package], target: Path, download: Download) -> None:
    """Make repositories beside their place and move them there whole, so that none is ever half made."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target) as name:
        scratch = Path(name)
        releases = [release for package in packages for release in (package.earlier, package.later)]
        archives = download_all(releases, scratch, download)
        for package in packages:
            _hide(package, archives[package.later], target / HIDDEN / package.name)
            made = scratch / "repositories" / package.name
            _make(package, archives[package.earlier], archives[package.later], made)
            made.rename(target / package.name)


def download_all(
    releases: Sequence[Release], folder: Path, download: Download = fetch.fetch
) -> dict[Release, Path]:
    """Download any releases into folders below `folder`: pip takes no two of one package at once."""
    archives: dict[Release, Path] = {}
    left = list(dict.fromkeys(releases))
    while left:
        batch = list({release.name: release for release in reversed(left)}.values())
        into = folder / f"batch-{len(left)}"
        into.mkdir()
        archives |= download(batch, into)
        left = [release for release in left if release not in archives]
    return archives


def _make(package: Package, earlier: Path, later: Path, folder: Path) -> None:
    commits = [(as_released(earlier), f"{package.name} {package.earlier.version}, as released")]
    if package.tests:
        tests = [file for file in fetch.read(later) if file.path in package.tests]
        commits.append((tests, f"Add the tests of {package.later.version}"))
    make_repository(folder, commits, package.commit)


def as_released(archive: Path) -> list[fetch.SourceFile]:
    """The files of a source archive, and a `.gitignore` for what running them leaves."""
    return [*fetch.read(archive), fetch.SourceFile(".gitignore", _IGNORED.encode(), executable=False)]


def make_repository(
    folder: Path, commits: Sequence[tuple[Sequence[fetch.SourceFile], str]], expected: str
) -> None:
    """Make one repository in `folder`, which must not be there yet, of these commits, each with its message.

    Raises:
        HostError: git is missing, or what came out is not the commit that was expected.
    """
    folder.mkdir(parents=True)
    _git(folder, "init", "--quiet", "--template=", "--object-format=sha1")
    _git(folder, "symbolic-ref", "HEAD", "refs/heads/main")
    for files, message in commits:
        _commit(folder, files, message)
    found = _git(folder, "rev-parse", "HEAD")
    if found != expected:
        raise HostError(
            f"the repository {folder.name} came out as commit {found}, not {expected}",
            cure="put it on a file system that keeps names and file modes as they are",
        )


def _hide(package: Package, later: Path, folder: Path) -> None:
    """Lay the hidden tests of a package down where only its checks get them from."""
    lay_down(folder, [file for file in fetch.read(later) if file.path in package.hidden])


def lay_down(folder: Path, files: Iterable[fetch.SourceFile]) -> None:
    """Write files into a folder."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)


def _commit(folder: Path, files: Sequence[fetch.SourceFile], message: str) -> None:
    lay_down(folder, files)
    _git(folder, "add", "--all", "--force")
    _git(folder, "commit", "--quiet", "--no-gpg-sign", "--message", message)


def _git(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What git printed, run without any configuration but the repository's own.

    With `fails`, a question to which git answers no, or a folder that is no repository, gives "".
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LC_ALL": "C",
        **_IDENTITY,
    }
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostError("git is not installed", cure="install it, for instance: apt install git") from error
    if done.returncode != 0 and not fails:
        raise HostError(f"git {arguments[0]} failed in {folder}: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()


def main(arguments: Sequence[str]) -> int:
    """Prepare the folder that the arguments name, or the demo's own; returns the exit code."""
    try:
        prepare(Path(arguments[0]) if arguments else WORK)
    except CorralError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
