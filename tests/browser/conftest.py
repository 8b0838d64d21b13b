"""Real headless Chromium, and the accessibility engine that looks at a page in it."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from runner.locks import locked

AXE = "axe-core@4.14.1"
AXE_INTEGRITY = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""The SHA-512 of its package, as npm publishes it."""

CACHE = Path(__file__).parents[2] / ".make" / "cache"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def _lacking(what: str) -> None:
    """Leave a test out where a host lacks something; where CI can install it, that is a failure."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        pytest.fail(f"{what}; .ci/run installs it")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a module: in the main thread, its loop would be in the way of others'."""
    program = next((found for name in NAMES if (found := shutil.which(name)) is not None), None)
    if program is None:
        _lacking("no Chromium on this host: `apt-get install chromium`")
    # As root, Chromium refuses to start with its own sandbox. What it opens here are files of ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once as the pinned package and kept beside the checkout."""
    place = CACHE / f"{AXE}.js"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "axe-core.lock"):
        if not place.exists():
            _fetch(place)
    return place.read_text(encoding="utf-8")


def _fetch(place: Path) -> None:
    if shutil.which("npm") is None:
        _lacking("axe-core is published for npm, and this host has none: `apt-get install npm`")
    folder = place.with_suffix(".new")
    folder.mkdir(exist_ok=True)
    try:
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), AXE]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=120)
        (archive,) = folder.glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert digest == AXE_INTEGRITY, "another package than the pinned one"
        with tarfile.open(archive) as packed:
            source = packed.extractfile("package/axe.min.js")
            assert source is not None
            place.write_bytes(source.read())
    finally:
        shutil.rmtree(folder)
