"""The agent CLIs' own programs: which ones, pinned by checksum, and how the host gets them.

Every program is one native binary that the vendor publishes twice with the same bytes: in an npm package
and in a Python wheel. Whichever client this host has is used, with the host's own configuration.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runner.agents import claude
from runner.errors import ImageError
from runner.locks import locked

OnLine = Callable[[str], None]

_SECONDS = 1800
"""Longest download: 174 MB at 100 kB/s."""


@dataclass(frozen=True)
class Pin:
    """One program for one platform.

    Attributes:
        cli: The agent CLI, also the program's name.
        version: The vendor's version.
        sha256: Checksum of the program itself.
        npm: npm package with version, and the member of its archive.
        wheel: Python requirement, platform tag, and the member of the wheel.
    """

    cli: str
    version: str
    sha256: str
    npm: tuple[str, str]
    wheel: tuple[str, str, str]


PINS = {
    ("claude", "linux-x64"): Pin(
        cli="claude",
        version=claude.VERSION,
        sha256="30e2724e2aecb1bf5dc9f3130901afb71c5fa229051c190a6d7ad9aff6378d6d",
        npm=(f"@anthropic-ai/claude-code-linux-x64@{claude.VERSION}", "package/claude"),
        wheel=("claude-agent-sdk==0.2.186", "manylinux_2_17_x86_64", "claude_agent_sdk/_bundled/claude"),
    ),
}


def pin(cli: str, platform: str) -> Pin:
    """The program of an agent CLI for a platform such as `linux-x64`.

    Raises:
        ImageError: None is pinned.
    """
    found = PINS.get((cli, platform))
    if found is None:
        known = ", ".join(f"{name} on {where}" for name, where in sorted(PINS))
        raise ImageError(
            f"no program of the agent CLI {cli!r} is pinned for {platform}",
            cure=f"pinned are: {known}; on this machine, `cli: command` can run an agent from your own image",
        )
    return found


def fetch(wanted: Pin, cache: Path, on_line: OnLine = lambda _: None) -> Path:
    """The program on this host, downloaded and checked where it isn't there yet.

    Args:
        wanted: Which.
        cache: Where programs are kept, one directory per version.
        on_line: Called with progress.

    Raises:
        ImageError: It can't be downloaded, or is not the pinned one.
    """
    place = cache / f"{wanted.cli}-{wanted.version}"
    program = place / wanted.cli
    with locked(cache / f"{place.name}.lock"):
        if program.exists() and _checksum(program) != wanted.sha256:
            on_line(f"{program} is not the pinned one any more: it is fetched anew")
            program.unlink()
        if not program.exists():
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as folder:
                _download(wanted, Path(folder), on_line).rename(program)
    return program


def _download(wanted: Pin, folder: Path, on_line: OnLine) -> Path:
    target = folder / wanted.cli
    reasons: list[str] = []
    for way in (_by_npm, _by_pip):
        on_line(f"downloading {wanted.cli} {wanted.version}{_WORDS[way]}")
        try:
            checksum = way(wanted, folder, target)
        except (
            OSError,
            LookupError,
            subprocess.SubprocessError,
            tarfile.TarError,
            zipfile.BadZipFile,
        ) as error:
            reasons.append(f"{_WORDS[way].strip()}: {_reason(error)}")
            on_line(reasons[-1])
            continue
        if checksum != wanted.sha256:
            raise ImageError(
                f"the downloaded {wanted.cli} {wanted.version} has the checksum {checksum}, "
                f"not {wanted.sha256}",
                cure="nothing was kept; find out what stands between this host and the package registry",
            )
        target.chmod(0o755)
        return target
    raise ImageError(
        f"{wanted.cli} {wanted.version} could not be downloaded",
        cure="give this host a working npm or pip (`corral doctor`)",
        log=tuple(reasons),
    )


def _by_npm(wanted: Pin, folder: Path, target: Path) -> str:
    package, member = wanted.npm
    _run(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), package], folder)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive, "r|gz") as packed:
        for entry in packed:
            if entry.name == member and entry.isreg() and (content := packed.extractfile(entry)):
                return _copy(content, target)
    raise LookupError(f"{package} holds no {member}")


def _by_pip(wanted: Pin, folder: Path, target: Path) -> str:
    requirement, platform, member = wanted.wheel
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    _run([*pip, "--platform", platform, "--dest", str(folder), requirement], folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed, packed.open(member) as content:
        return _copy(content, target)


_WORDS: dict[Callable[[Pin, Path, Path], str], str] = {_by_npm: " with npm", _by_pip: " with pip"}


def _copy(content: IO[bytes], target: Path) -> str:
    """Write a stream to a file and return its SHA-256."""
    total = hashlib.sha256()
    with target.open("wb") as out:
        while chunk := content.read(1024 * 1024):
            total.update(chunk)
            out.write(chunk)
    return total.hexdigest()


def _checksum(program: Path) -> str:
    with program.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise LookupError(f"{command[0]} is not installed")
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise LookupError(f"exit code {done.returncode}: {' / '.join(last) or 'no message'}")


def _reason(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
