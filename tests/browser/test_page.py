"""The report's page in real headless Chromium, opened from the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from runner.views.page.page import page
from tests import pages
from tests.pages import Size

WIDTHS = (360, 800, 1400)
SMALL = Size(tasks=3, repeats=1, jobs=3)

DRAWN = """() => [...document.querySelectorAll('svg')].filter(one =>
  one.checkVisibility({contentVisibilityAuto: true}) && !one.querySelector(':scope > text.inside')
).map(one => {
  const box = one.getBoundingClientRect();
  const parts = [...one.querySelectorAll('path, rect, line, circle, text')];
  const size = part => part.getBoundingClientRect().width + part.getBoundingClientRect().height;
  const seen = parts.filter(part => size(part) > 0);
  return {width: box.width, height: box.height, parts: seen.length, name: one.getAttribute('aria-label')};
})"""
OUTSIDE = """() => {
  const wide = document.documentElement.clientWidth;
  const found = [...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && (box.right > wide + 1 || box.left < -1)
      && !one.closest('.scroll, pre, nav, .skip, .vh');
  });
  const names = found.slice(0, 5).map(one => one.outerHTML.slice(0, 120));
  return [document.documentElement.scrollWidth - wide, names];
}"""
FOCUSABLE = """() => [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
  .filter(one => one.checkVisibility()).length"""
FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const look = getComputedStyle(one);
  one.dataset.seen = '1';
  return [one.tagName, look.outlineStyle, parseFloat(look.outlineWidth)];
}"""


@dataclass
class Opened:
    """A page in the browser, and what it did besides showing itself."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What its policy kept it from."""
        found: list[str] = self.page.evaluate("window.violations")
        return found


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a night of usual size."""
    return written(tmp_path_factory.mktemp("night"), page(pages.night()))


def written(folder: Path, text: str) -> Path:
    file = folder / "report.html"
    file.write_text(text, encoding="utf-8")
    return file


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    anchor: str = "",
    *,
    width: int = 1400,
    colours: Literal["light", "dark"] = "light",
) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
    context.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation',"
        " e => window.violations.push(e.violatedDirective));"
    )
    seen = Opened(context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda said: seen.complaints.append(said.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
    try:
        seen.page.goto(f"{file.as_uri()}{anchor}")
        yield seen
    finally:
        context.close()


def test_it_opens_from_the_disk_and_asks_nobody(browser: Browser, night: Path) -> None:
    with opened(browser, night) as seen:
        assert "branches can be taken." in seen.page.locator("h1").inner_text()
        assert seen.requests == [night.as_uri()]
        assert seen.complaints == []
        assert seen.violations() == []
        # The style sheet is in force: without it, the policy's hash would be another one's.
        assert seen.page.evaluate("getComputedStyle(document.querySelector('.figures')).display") == "grid"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_is_drawn_and_nothing_runs_over_the_edge(
    browser: Browser, night: Path, width: int
) -> None:
    with opened(browser, night, width=width) as seen:
        drawn = seen.page.evaluate(DRAWN)
        assert len(drawn) >= 20
        assert [one for one in drawn if one["width"] <= 0 or one["height"] <= 0 or not one["parts"]] == []
        assert seen.page.evaluate(OUTSIDE) == [0, []]


def test_a_chart_says_in_words_what_it_shows(browser: Browser, night: Path) -> None:
    with opened(browser, night) as seen:
        names = [one["name"] for one in seen.page.evaluate(DRAWN)]
        assert any(name and name.startswith("opus-high: ") for name in names)
        assert seen.page.locator("details.alt summary", has_text="as a table").count() >= 2


def test_a_link_opens_the_attempt_that_it_leads_to(browser: Browser, night: Path) -> None:
    with opened(browser, night) as seen:
        link = seen.page.locator(".grid a.mark").nth(3)
        name = (link.get_attribute("href") or "")[1:]
        body = seen.page.locator(f'[id="{name}"]')
        assert not body.is_visible()
        link.click()
        shown = "name => document.getElementById(name).checkVisibility({contentVisibilityAuto: true})"
        seen.page.wait_for_function(shown, arg=name)
        assert "What its agent did" in body.inner_text()


def test_the_keyboard_reaches_everything_and_is_seen(browser: Browser, tmp_path: Path) -> None:
    file = written(tmp_path, page(pages.night(SMALL)))
    with opened(browser, file) as seen:
        expected = seen.page.evaluate(FOCUSABLE)
        assert expected > 40
        for _ in range(expected):
            seen.page.keyboard.press("Tab")
            tag, style, outline = seen.page.evaluate(FOCUSED)
            assert style != "none" and outline >= 1, tag  # noqa: PT018
        assert seen.page.locator("[data-seen]").count() == expected
        attempt = seen.page.locator("details.attempt > summary").first
        attempt.focus()
        seen.page.keyboard.press("Enter")
        assert seen.page.locator("details.attempt").first.get_attribute("open") is not None


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_accessibility_engine_finds_nothing(
    browser: Browser, tmp_path: Path, axe: str, colours: Literal["light", "dark"]
) -> None:
    material = pages.night(SMALL)
    file = written(tmp_path, page(material))
    with opened(browser, file, f"#{material.attempts[1].name}", colours=colours) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        seen.page.evaluate(axe)
        found: dict[str, Any] = seen.page.evaluate("axe.run({resultTypes: ['violations', 'incomplete']})")
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
        assert len(found["passes"]) > 20
        unclear = {one["id"]: one["nodes"][0]["html"][:200] for one in found["incomplete"]}
        unclear.pop("color-contrast", None)  # of text over a drawing; the next test looks at that
        assert unclear == {}


def test_text_in_drawings_is_legible(browser: Browser, tmp_path: Path) -> None:
    """The accessibility engine does not look at the contrast of text in SVG."""
    file = written(tmp_path, page(pages.night()))
    for colours in ("light", "dark"):
        with opened(browser, file, colours=colours) as seen:
            colour = "one => getComputedStyle(one).fill"
            paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
            bar = seen.page.locator("rect.working").first.evaluate(colour)
            inside = seen.page.locator("text.inside").first.evaluate(colour)
            assert contrast(inside, bar) >= 4.5, (colours, inside, bar)
            for kind in ("tick", "label"):
                assert contrast(seen.page.locator(f"text.{kind}").first.evaluate(colour), paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, `rgb(r, g, b)`, as WCAG 2 reckons it."""
    dark, light = sorted(luminance(text) for text in (one, other))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAYLOADS = (
    "<script>window.pwned = 1</script>",
    "\"><img src=x onerror='window.pwned = 1'>",
    "'><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "</style><style>body { display: none }</style>",
    "</pre></details><iframe src='javascript:parent.pwned=1'></iframe>",
    "<a href='https://evil.example/'>x</a><link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "--><base href='https://evil.example/'><form action=//evil.example><button autofocus onfocus=pwned=1>",
    '" style="background:url(https://evil.example/)" onmouseover="window.pwned=1" x="',
    "\u202ereversed\u2066 \u200bhidden\x1b]8;;https://evil.example\x07\x00 ${7*7} {{7*7}} &#60;script&#62;",
    "<![CDATA[<script>window.pwned=1</script>]]><foreignObject><body onload=pwned=1>",
)


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_hostile_text_is_shown_and_does_nothing(browser: Browser, tmp_path: Path, number: int) -> None:
    text = page(pages.with_text(pages.night(SMALL), PAYLOADS[number]))
    assert not {"\u202e", "\u2066", "\u200b", "\x1b", "\x00"} & set(text)
    with opened(browser, written(tmp_path, text)) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        seen.page.locator("h1").hover()
        assert seen.page.evaluate("window.pwned") is None
        assert seen.violations() == []
        assert seen.complaints == []
        assert len(seen.requests) == 1
        strange = (
            "script, iframe, img, link, base, form, button, foreignObject, object, embed, [style], [src]"
        )
        assert seen.page.locator(strange).count() == 0
        assert seen.page.locator("style").count() == 1
        assert seen.page.locator("body").is_visible()
        assert all(
            name.startswith("#")
            for name in seen.page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        )


def test_print_opens_what_is_folded(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path, page(pages.night(SMALL)))) as seen:
        body = seen.page.locator(".attempt .body").first
        height = "one => one.getBoundingClientRect().height"
        assert not body.is_visible()
        seen.page.emulate_media(media="print")
        assert body.evaluate(height) > 100
        assert not seen.page.locator("nav").is_visible()


def test_two_hundred_attempts_with_large_diffs_open(
    browser: Browser, tmp_path: Path, record_property: Any
) -> None:
    material = pages.night(Size(tasks=34, repeats=2, jobs=12, diff=pages.large_diff()))
    text = page(material)
    assert len(material.attempts) >= 200
    assert len(text.encode()) < 10_000_000
    assert text.count("shows it whole") >= 200
    with opened(browser, written(tmp_path, text), width=1400) as seen:
        timing = json.loads(
            seen.page.evaluate("JSON.stringify(performance.getEntriesByType('navigation')[0].toJSON())")
        )
        figures = {"bytes": len(text.encode()), "loaded_ms": round(timing["loadEventEnd"])}
        record_property("page", figures)
        print(figures)
        assert seen.complaints == []
        assert seen.page.locator("details.attempt").count() == len(material.attempts)
