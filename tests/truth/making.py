"""Lays out what the bugs need: archives from the index, a repository for each base, the hidden tests."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from demo import fetch
from demo.packages import Release
from demo.prepare import as_released, download_all, lay_down, make_repository
from tests.truth import fixes
from tests.truth.bugs import Bug, Step

HIDDEN_AT = "later"
"""Where a check finds the hidden tests: in no folder of the base, whose own tests stay what they are."""

KEPT = Path(__file__).parents[2] / ".make" / "cache" / "releases"
"""Archives, by their hash; downloaded once and kept beside the checkout."""


def archives(steps: Iterable[Step], kept: Path = KEPT) -> dict[Release, Path]:
    """The source archives of these steps' releases, downloaded unless they are kept.

    Raises:
        HostError: The index can't be reached, or its bytes are not the pinned ones.
    """
    wanted = {release for step in steps for release in (step.earlier, step.later)}
    places = {release: kept / f"{release.sha256}.tar.gz" for release in wanted}
    missing = [release for release, place in places.items() if not _is_whole(release, place)]
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".getting-", dir=kept) as scratch:
        for release, archive in download_all(missing, Path(scratch)).items():
            archive.replace(places[release])
    return places


def _is_whole(release: Release, place: Path) -> bool:
    return place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == release.sha256


def repository(step: Step, at: Path, found: Mapping[Release, Path]) -> Path:
    """The repository of a base, made in the folder `at`."""
    folder = at / step.name
    message = f"{step.earlier.name} {step.earlier.version}, as released"
    make_repository(folder, [(as_released(found[step.earlier]), message)], step.commit)
    return folder


def hidden(step: Step, at: Path, found: Mapping[Release, Path]) -> Path:
    """The hidden tests of a step: a folder in `at` that a task file may name."""
    folder = at / f"{step.name}-hidden"
    lay_down(folder, hidden_files(step, found))
    return folder


def hidden_files(step: Step, found: Mapping[Release, Path]) -> list[fetch.SourceFile]:
    """The tests of the later release, where the checks look for them."""
    files = [file for file in fetch.read(found[step.later]) if is_below(file.path, step.later_tests)]
    return [replace(file, path=f"{HIDDEN_AT}/{file.path}") for file in files]


def is_below(path: str, place: str) -> bool:
    """Whether a path is a place, or in it."""
    return path == place or path.startswith(f"{place.removesuffix('/')}/")


@cache
def _sources(archive: Path, source: str) -> dict[str, bytes]:
    return {
        file.path: file.content
        for file in fetch.read(archive)
        if is_below(file.path, source) and file.path.endswith(".py")
    }


def sources(step: Step, found: Mapping[Release, Path]) -> tuple[fixes.Files, fixes.Files]:
    """What is imported of the earlier release, and of the later one."""
    return _sources(found[step.earlier], step.source), _sources(found[step.later], step.source)


def fixed(bug: Bug, found: Mapping[Release, Path]) -> dict[str, bytes]:
    """The files that the real fix of a bug changes, as they are then."""
    earlier, later = sources(bug.step, found)
    changed = fixes.pieces(earlier, later)
    return fixes.applied(earlier, [changed[number - 1] for number in bug.fix])


def unfixed(bug: Bug, found: Mapping[Release, Path]) -> dict[str, bytes]:
    """Everything else that the later release changed: real code of the same people that leaves the bug."""
    earlier, later = sources(bug.step, found)
    changed = fixes.pieces(earlier, later)
    return fixes.applied(earlier, [piece for number, piece in enumerate(changed, 1) if number not in bug.fix])


def broken(bug: Bug, found: Mapping[Release, Path]) -> dict[str, bytes]:
    """The real fix, with something broken beside it.

    Raises:
        ValueError: The place to break is not there, or there twice.
    """
    earlier, _ = sources(bug.step, found)
    made = fixed(bug, found)
    edit = bug.step.breakage
    text = made.get(edit.path, earlier[edit.path]).decode()
    if text.count(edit.old) != 1:
        raise ValueError(f"{edit.old!r} is {text.count(edit.old)} times in {edit.path} of {bug.step.name}")
    return {**made, edit.path: text.replace(edit.old, edit.new).encode()}
