"""The page as a whole: one file, which holds its one style sheet, no script, and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from runner.views.inert import line
from runner.views.page import attempts, curves, fairness, grid, headline, night, profiles, sharing, together
from runner.views.page.markup import Html, escaped, joined, tag
from runner.views.page.material import Material
from runner.views.page.words import note

Part = Callable[[Material], Html | None]

PARTS: tuple[tuple[str, str, Part], ...] = (
    ("decide", "For you", headline.decisions),
    ("night", "The night", night.night),
    ("profiles", "Acceptance", profiles.acceptance),
    ("tasks", "Tasks", grid.grid),
    ("pairs", "Pairs", profiles.pairs),
    ("fairness", "Fairness", fairness.fairness),
    ("conflicts", "Conflicts", together.matrices),
    ("integration", "Put together", together.integrations),
    ("spending", "Spend", curves.spending),
)
"""The page's parts in order: where each is found, its name, and what draws it where there is data.

The attempts come last, and get the bytes that these leave.
"""


def page(material: Material) -> str:
    """The report of a run as one HTML file."""
    look = style()
    shown = [(name, words, drawn) for name, words, draw in PARTS if (drawn := draw(material)) is not None]
    room = sharing.LARGEST - sum(len(drawn.text.encode()) for _, _, drawn in shown) - sharing.ALWAYS
    if (told := attempts.attempts(material, room)) is not None:
        shown.append(("attempts", "Attempts", told))
    ways = attempts.jumps(material, [(name, words) for name, words, _ in shown])
    body = tag(
        "body",
        tag("a", "To the report", href="#report", class_="skip"),
        headline.headline(material),
        ways,
        tag("main", [drawn for _, _, drawn in shown], _notes(material), id="report"),
        tag("footer", note(_made(material))),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(look)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        '<meta name="robots" content="noindex">'
        f"<title>{escaped(material.state.name)} – Corral</title><style>{look}</style></head>"
        f"{body.text}</html>\n"
    )


def policy(look: str) -> str:
    """What the page may do: be styled by this one style sheet, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(look.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def style() -> str:
    """The style sheet, without what only its authors read."""
    text = files("runner.views.page").joinpath("look.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def _notes(material: Material) -> Html | None:
    state = material.state
    untold = (f"{name} could not be told: {why}" for name, why in state.untold.items())
    words = [line(text, 500) for text in (*state.weaker, *untold, *state.plan.notes)]
    if not words:
        return None
    return tag("section", tag("h2", "To know"), tag("ul", [tag("li", one) for one in words]), id="notes")


def _made(material: Material) -> Html:
    state = material.state
    bases = ", ".join(f"{source.base_name} ({source.base[:10]})" for source in state.plan.sources)
    return joined(
        f"Made by Corral from the run {state.name} of {line(state.plan.file, 200)}, ",
        f"from {line(bases, 200)}. ",
        "This file asks nobody for anything and runs no script. ",
        tag("code", f"corral report {state.name}"),
        " says the same in a terminal.",
    )
