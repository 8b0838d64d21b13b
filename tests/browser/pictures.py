"""The pictures of the page that the documents show: `python -m tests.browser.pictures FOLDER [REPORT]`.

Without a report they are of a made-up night, rich in all that a page can show; with one, that the demo wrote,
there is one more, of that. They need Chromium and pngquant.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

from runner.views.page.page import page
from tests import pages

Colours = Literal["light", "dark"]
Shot = tuple[str, Colours, int, int, int]
"""Name, colours, width and height in pixels of a page, pixels of a picture for each."""
SHOTS: tuple[Shot, ...] = (
    ("report-light", "light", 1280, 2300, 1),
    ("report-dark", "dark", 1280, 2300, 1),
    ("report-phone", "light", 390, 2300, 2),
)
OF_THE_DEMO: tuple[Shot, ...] = (("demo-report", "light", 1280, 1510, 1),)


def main(folder: Path, report: Path | None = None) -> None:
    """Draw them."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "report.html"
        file.write_text(page(pages.night()), encoding="utf-8")
        draw(folder, file, SHOTS)
    if report is not None:
        draw(folder, report, OF_THE_DEMO)


def draw(folder: Path, file: Path, shots: tuple[Shot, ...]) -> None:
    """Draw these of one page."""
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, colours, width, height, scale in shots:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=colours, device_scale_factor=scale
            )
            shown = context.new_page()
            shown.goto(file.absolute().as_uri())
            shown.screenshot(path=folder / f"{name}.png")
            context.close()
        browser.close()
    for name, *_ in shots:
        picture = folder / f"{name}.png"
        subprocess.run(["pngquant", "--force", "--strip", "--output", picture, "64", picture], check=True)
        print(picture, picture.stat().st_size)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
