"""The pictures of the page that the documents show: `scripts/pictures`."""

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
SHOTS: tuple[tuple[str, Colours, int, int, int], ...] = (
    ("report-light", "light", 1280, 2300, 1),
    ("report-dark", "dark", 1280, 2300, 1),
    ("report-phone", "light", 390, 2300, 2),
)
"""Name, colours, width and height in pixels of a page, pixels of a picture for each."""


def main(folder: Path) -> None:
    """Draw them."""
    text = page(pages.night())
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        file = Path(place) / "report.html"
        file.write_text(text, encoding="utf-8")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, colours, width, height, scale in SHOTS:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=colours, device_scale_factor=scale
            )
            shown = context.new_page()
            shown.goto(file.as_uri())
            shown.screenshot(path=folder / f"{name}.png")
            context.close()
        browser.close()
    for name, *_ in SHOTS:
        picture = folder / f"{name}.png"
        subprocess.run(["pngquant", "--force", "--strip", "--output", picture, "64", picture], check=True)
        print(picture, picture.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
