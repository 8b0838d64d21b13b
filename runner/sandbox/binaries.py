"""The agent CLIs' own programs: which ones, pinned by checksum, and how the host gets them.

An agent CLI is one native program or a few, which the vendor publishes in an npm package for each platform,
and some also in a Python wheel, with the same bytes. Whichever client this host has is used, with the host's
own configuration. None is run on the host.
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

from runner.agents import claude, codex
from runner.errors import ImageError
from runner.locks import locked

OnLine = Callable[[str], None]

_SECONDS = 1800
"""Longest download: 174 MB at 100 kB/s."""


@dataclass(frozen=True)
class Program:
    """One file of an agent CLI.

    Attributes:
        path: Where it lies in the CLI's directory, and in the context of its image.
        sha256: Its checksum.
        npm: The member of the npm package's archive that it is.
        wheel: The member of the wheel, where it is in one.
    """

    path: str
    sha256: str
    npm: str
    wheel: str | None = None


@dataclass(frozen=True)
class Pin:
    """The programs of one agent CLI for one platform.

    Attributes:
        cli: The agent CLI.
        version: The vendor's version.
        programs: Its files.
        npm: npm package with version.
        wheel: Python requirement and platform tag; None where there is no wheel of that version.
    """

    cli: str
    version: str
    programs: tuple[Program, ...]
    npm: str
    wheel: tuple[str, str] | None = None

    @property
    def checksum(self) -> str:
        """What stands for all of its bytes."""
        said = "".join(f"{program.sha256}  {program.path}\n" for program in self.programs)
        return hashlib.sha256(said.encode()).hexdigest()


def _claude(platform: str, tag: str, sha256: str) -> Pin:
    return Pin(
        cli="claude",
        version=claude.VERSION,
        programs=(Program("claude", sha256, "package/claude", "claude_agent_sdk/_bundled/claude"),),
        npm=f"@anthropic-ai/claude-code-{platform}@{claude.VERSION}",
        wheel=("claude-agent-sdk==0.2.186", tag),
    )


def _codex(platform: str, target: str, checksums: dict[str, str]) -> Pin:
    """Codex with the file by which it finds its parts: the host of its code mode, and `rg`, which it calls.

    What else the package holds is not needed here: its own sandbox, which can't work in a box, and voice.
    """
    return Pin(
        cli="codex",
        version=codex.VERSION,
        programs=tuple(
            Program(path, sha256, f"package/vendor/{target}/{path}") for path, sha256 in checksums.items()
        ),
        npm=f"@openai/codex@{codex.VERSION}-{platform}",
    )


PINS = {
    ("claude", "linux-x64"): _claude(
        "linux-x64",
        "manylinux_2_17_x86_64",
        "30e2724e2aecb1bf5dc9f3130901afb71c5fa229051c190a6d7ad9aff6378d6d",
    ),
    ("claude", "linux-arm64"): _claude(
        "linux-arm64",
        "manylinux_2_17_aarch64",
        "8489e2c7ba7846b4681b84e559fed4ed5bb265e129e21dc9de9e322157fb2bea",
    ),
    ("codex", "linux-x64"): _codex(
        "linux-x64",
        "x86_64-unknown-linux-musl",
        {
            "bin/codex": "b452ca20f838a8855a88a41050ee4a694033fff4ea3ecdad5633e6e0e8d13f2b",
            "bin/codex-code-mode-host": "e9f2ef68671b2b6ac68902d19e8dafda3f5928e678ecf3f30c74b203a2c403ed",
            "codex-path/rg": "e62198eb19b136b88c330af83647b5a962cb99b6b1f066758568f12de1974849",
            "codex-package.json": "28811e0083d220befc827d711fb8c9f4b7f85825b11164ff154e15cfe2540715",
        },
    ),
    ("codex", "linux-arm64"): _codex(
        "linux-arm64",
        "aarch64-unknown-linux-musl",
        {
            "bin/codex": "3bb41c9a80187773e2a59278d4fc355b1a163c31bb5a79581e37d4fe428af047",
            "bin/codex-code-mode-host": "66874c7881c4004f1c155584e1325cad17795bdd91b886995ad8a043809c1019",
            "codex-path/rg": "e36d0eb52e70696bdf1781392722e05a21bb91d3b7b762ef5ec20e5df2ec687b",
            "codex-package.json": "0418574f72dd719683fb7415c3013e248c675ef2400ff9eb4e11e583b5d6a25c",
        },
    ),
}
"""Those for arm64 were fetched and hashed, and have not been run."""


def pin(cli: str, platform: str) -> Pin:
    """The programs of an agent CLI for a platform such as `linux-x64`.

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
    """The directory of an agent CLI on this host, downloaded and checked where it isn't there yet.

    Args:
        wanted: Which.
        cache: Where agent CLIs are kept, one directory per version.
        on_line: Called with progress.

    Raises:
        ImageError: It can't be downloaded, or is not the pinned one.
    """
    place = cache / f"{wanted.cli}-{wanted.version}"
    with locked(cache / f"{place.name}.lock"):
        if not _is_whole(wanted, place, on_line):
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as folder:
                _download(wanted, Path(folder), on_line)
                for program in wanted.programs:
                    (place / program.path).parent.mkdir(parents=True, exist_ok=True)
                    (Path(folder) / "new" / program.path).rename(place / program.path)
    return place


def _is_whole(wanted: Pin, place: Path, on_line: OnLine) -> bool:
    """Whether all of its files are there; what is there and is another file is removed."""
    whole = True
    for file, sha256 in ((place / program.path, program.sha256) for program in wanted.programs):
        if file.exists() and _checksum(file) != sha256:
            on_line(f"{file} is not the pinned one any more: it is fetched anew")
            file.unlink()
        whole &= file.exists()
    return whole


def _download(wanted: Pin, folder: Path, on_line: OnLine) -> None:
    """Bring the pinned files into the folder `new` of a temporary one."""
    reasons: list[str] = []
    for way in (_by_npm, _by_pip) if wanted.wheel else (_by_npm,):
        on_line(f"downloading {wanted.cli} {wanted.version}{_WORDS[way]}")
        try:
            found = way(wanted, folder)
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
        for program in wanted.programs:
            if found[program.path] != program.sha256:
                raise ImageError(
                    f"the downloaded {program.path} of {wanted.cli} {wanted.version} has the checksum "
                    f"{found[program.path]}, not {program.sha256}",
                    cure="nothing was kept; find out what stands between this host and the package registry",
                )
            (folder / "new" / program.path).chmod(0o755)
        return
    raise ImageError(
        f"{wanted.cli} {wanted.version} could not be downloaded",
        cure=f"give this host a working npm{' or pip' if wanted.wheel else ''} (`corral doctor`)",
        log=tuple(reasons),
    )


def _by_npm(wanted: Pin, folder: Path) -> dict[str, str]:
    """The checksums of the files that npm brought, by their paths."""
    _run(
        ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), wanted.npm], folder
    )
    (archive,) = folder.glob("*.tgz")
    members = {program.npm: program.path for program in wanted.programs}
    found: dict[str, str] = {}
    with tarfile.open(archive, "r|gz") as packed:
        for entry in packed:
            path = members.get(entry.name)
            if path and path not in found and entry.isreg() and (content := packed.extractfile(entry)):
                found[path] = _copy(content, folder / "new" / path)
    if missing := [program.npm for program in wanted.programs if program.path not in found]:
        raise LookupError(f"{wanted.npm} holds no {missing[0]}")
    return found


def _by_pip(wanted: Pin, folder: Path) -> dict[str, str]:
    """The same with pip."""
    requirement, platform = wanted.wheel or ("", "")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    _run([*pip, "--platform", platform, "--dest", str(folder), requirement], folder)
    (wheel,) = folder.glob("*.whl")
    found: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as packed:
        for program in wanted.programs:
            with packed.open(program.wheel or "") as content:
                found[program.path] = _copy(content, folder / "new" / program.path)
    return found


_WORDS: dict[Callable[[Pin, Path], dict[str, str]], str] = {_by_npm: " with npm", _by_pip: " with pip"}


def _copy(content: IO[bytes], target: Path) -> str:
    """Write a stream to a file and return its SHA-256."""
    total = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
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
