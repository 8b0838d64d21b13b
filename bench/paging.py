"""`make bench ARGS=--page`: how long the report's page takes to make, by the number of branches."""

from __future__ import annotations

import time
from statistics import median

from runner.views.page.page import page
from tests import pages
from tests.pages import Size

SIZES = (20, 200, 1000)
LINES = (60, 3000)
"""Lines of each branch's difference: of a usual one, and of a large one."""
TIMES = 3


def show() -> None:
    """Make pages from material that is at hand, and print how long each took and how large it became."""
    page(pages.night(Size(tasks=1, repeats=1)))  # what is read once is read
    for branches in SIZES:
        for lines in LINES:
            print(_made(branches, lines), flush=True)


def _made(branches: int, lines: int) -> str:
    diff = "" if lines < 100 else pages.large_diff(lines)
    material = pages.night(Size(tasks=-(-branches // 6), repeats=2, jobs=12, diff=diff))
    seconds, size = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        size = len(page(material).encode())
        seconds.append(time.perf_counter() - began)
    what = f"{len(material.attempts)} attempts, {lines} lines each"
    return f"{what}: median {median(seconds):.2f} s, {size / 1e6:.1f} MB"
