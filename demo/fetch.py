"""Source releases from the package index, through pip, without running a line of theirs on this machine.

pip finds the index, the proxy, the certificates and the credentials as it is configured to, and checks
the hashes before it opens an archive; `metadata_only.py` stands in for the packages' build backends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from demo.packages import Release
from runner.errors import HostError

LARGEST_ARCHIVE = 16 * 1024 * 1024
"""Bytes that an archive may unpack to; the largest of those used here has two million."""

_BACKENDS = ("setuptools/build_meta.py", "flit_core/buildapi.py")
"""The modules, as their `pyproject.toml` names them, by which the demo's packages are built."""

_LEFTOVERS = ("__pycache__", ".egg-info")
"""Endings of folders that the maker's machine left in an archive and that no repository should hold."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source release; `path` is relative to the release's own top folder."""

    path: str
    content: bytes
    executable: bool


def fetch(releases: Sequence[Release], folder: Path) -> dict[Release, Path]:
    """Download source archives, no two of the same package, into `folder`.

    Raises:
        HostError: pip is missing, reaches no index, or was offered bytes other than the pinned ones.
    """
    with tempfile.TemporaryDirectory(prefix="corral-demo-") as scratch:
        _lay_out_backends(Path(scratch, "backends"))
        wanted = Path(scratch, "requirements.txt")
        wanted.write_text("".join(f"{release.requirement}\n" for release in releases), encoding="utf-8")
        _pip_download(wanted, folder, Path(scratch, "backends"))
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.iterdir()}
    return {release: found[release.sha256] for release in releases}


def read(archive: Path) -> list[SourceFile]:
    """The regular files of a source archive, without what its maker's machine left in it.

    Nothing is written. Links and devices are passed over; a path that leaves the top folder is refused.

    Raises:
        HostError: The archive would unpack to too much, or holds a path that leaves its top folder.
    """
    with tarfile.open(archive, "r:gz") as tar:
        members = [member for member in tar if member.isfile()]
        if sum(member.size for member in members) > LARGEST_ARCHIVE:
            raise HostError(f"{archive.name} unpacks to more than {LARGEST_ARCHIVE} bytes")
        return [file for member in members if (file := _file(tar, member, archive.name)) is not None]


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: str) -> SourceFile | None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or ".git" in path.parts or len(path.parts) < 2:
        raise HostError(f"{archive} holds a path that it should not: {member.name!r}")
    if _is_leftover(path.parts[1:-1]):
        return None
    content = tar.extractfile(member)
    if content is None:
        return None
    return SourceFile(str(PurePosixPath(*path.parts[1:])), content.read(), bool(member.mode & 0o100))


def _is_leftover(folders: Iterable[str]) -> bool:
    return any(folder.endswith(_LEFTOVERS) for folder in folders)


def _lay_out_backends(folder: Path) -> None:
    for backend in _BACKENDS:
        module = folder / backend
        module.parent.mkdir(parents=True)
        (module.parent / "__init__.py").touch()
        shutil.copyfile(Path(__file__).with_name("metadata_only.py"), module)


def _pip_download(wanted: Path, folder: Path, backends: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
        *("--require-hashes", "--requirement", str(wanted), "--dest", str(folder)),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(backends),
        # Before version 25.3, pip runs the setup.py of packages that have no pyproject.toml, unless told so.
        "PIP_USE_PEP517": "1",
        # An older pip asks distutils for its paths, and must not look for it in the stand-in for setuptools.
        "SETUPTOOLS_USE_DISTUTILS": "stdlib",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(
            f"the packages could not be downloaded:\n{done.stderr.strip()[-2000:]}",
            cure="check that `python -m pip download xmltodict` works here (network, proxy, index)",
        )
