"""What a person would say of the night, and what it wants of them."""

from __future__ import annotations

from collections.abc import Iterator

from runner.compare.scored import Comparison, Pair
from runner.supervisor.graph import deciding
from runner.supervisor.state import RunState
from runner.views import summary, wording
from runner.views.inert import line
from runner.views.page.markup import Html, joined, tag
from runner.views.page.material import Material
from runner.views.page.words import link, listed, long, section, share, span_of


def headline(material: Material) -> Html:
    """The head of the page."""
    state = material.state
    played = _played(state)
    return tag(
        "header",
        tag(
            "p",
            tag("b", "Corral"),
            f" · run {state.name} · {span_of(material.start, material.end, material.zone)}",
            class_="kicker",
        ),
        tag("h1", " ".join(_first(material))),
        tag("p", " ".join(_second(material)), class_="deck"),
        tag("p", played, class_="played") if played else None,
        _figures(material),
        class_="top",
    )


def _played(state: RunState) -> str:
    """Who played the model, and what that makes of figures; empty if nobody did."""
    who, words = summary.who_played(state), summary.played_words(state)
    if not who:
        return ""
    is_one = words.count(" played the model here: ") == 1
    return f"In this run {who}" + (f": {words.partition(': ')[2]}" if is_one else f". {words}")


def takeable(material: Material) -> list[str]:
    """The attempts whose branches can be taken, cheats among them."""
    return [one.name for one in material.attempts if one.state.branch and material.state.counts(one.state)]


def _first(material: Material) -> Iterator[str]:
    state = material.state
    served, whole = sum(state.task_served(task.id) for task in state.plan.tasks), len(state.plan.tasks)
    if whole and served == whole:
        yield "The task was served." if whole == 1 else f"All {whole} tasks were served."
    else:
        were = "was" if served == 1 else "were"
        yield f"{served or 'None'} of {wording.many(whole, 'task')} {were} served."
    branches = takeable(material)
    cheats = material.cheats & set(branches)
    if honest := len(branches) - len(cheats):
        yield f"{wording.many(honest, 'branch', 'branches')} can be taken."
    if cheats:
        yield f"{wording.many(len(cheats), 'accepted attempt')} cheated."
    if state.ended is None:
        yield "The run has not ended."


def _second(material: Material) -> Iterator[str]:
    if material.comparison is not None and len(material.comparison.profiles) > 1:
        yield better(material.comparison)
    yield from _together(material)
    took = long(material.end - material.start if material.took is None else material.took)
    usd = [one.state.usd for one in material.attempts if one.state.tokens is not None]
    known = [amount for amount in usd if amount is not None]
    if not usd:
        yield f"It took {took}."
    elif len(known) < len(usd):
        yield f"It took {took}; what all of it cost is not known."
    else:
        yield f"It took {took} and cost {wording.usd(sum(known))}."


def _together(material: Material) -> Iterator[str]:
    """What is one branch already, in each repository."""
    made = [event for event in material.state.integrated.values() if event.branch]
    went_in = sum(one.went_in for event in made for one in event.joined)
    if len(made) == 1 and went_in > 1:
        yield f"{went_in} branches go together, and are one branch already."
    elif len(made) > 1:
        yield f"{went_in} branches are put together: one branch in each of {len(made)} repositories."


def better(compared: Comparison) -> str:
    """Which setting is better, as far as that can be told."""
    decided = [_ahead(pair) for pair in compared.pairs if pair.decided and pair.difference is not None]
    if not decided:
        return "Which setting is better can’t be told from these figures."
    first = decided[0][0] if not compared.better else compared.better[0]
    beaten = [loser for winner, loser in decided if winner == first]
    if not beaten:
        first, beaten = decided[0][0], [decided[0][1]]
    rates = {side.profile: side.rate for side in compared.profiles}
    open_pairs = len(compared.pairs) - len(decided)
    rest = f" Of {open_pairs} other pairs it can’t be told." if open_pairs > 1 else ""
    rest = " Of one other pair it can’t be told." if open_pairs == 1 else rest
    than = listed(f"{name} ({share(rates.get(name))})" for name in beaten)
    return f"{first} ({share(rates.get(first))} accepted) is better than {than}.{rest}"


def _ahead(pair: Pair) -> tuple[str, str]:
    return (pair.a, pair.b) if (pair.difference or 0.0) > 0 else (pair.b, pair.a)


def _figures(material: Material) -> Html:
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", value, tag("small", small) if small else None))
            for name, value, small in _listed_figures(material)
        ],
        class_="figures",
    )


def _listed_figures(material: Material) -> Iterator[tuple[str, str, str]]:
    state = material.state
    ended = [one.state for one in material.attempts if one.state.verdict is not None]
    accepted = sum(state.counts(one) for one in ended)
    usd = [one.usd for one in ended if one.tokens is not None]
    tokens = [one.tokens for one in ended if one.tokens is not None]
    worked = [one.seconds for one in ended if one.seconds is not None]
    held = sum(one.held_s or 0.0 for one in ended)
    ours = sum(one.verdict == "infrastructure" for one in ended)
    yield "attempts that served", str(accepted), f"of {len(ended)}"
    if usd:
        total = sum(one for one in usd if one is not None) if None not in usd else None
        yield (
            "cost",
            wording.usd(total),
            f"{wording.usd(total / accepted)} per accepted" if total and accepted else "",
        )
    if tokens:
        yield "tokens", _short(sum(tokens)), ""
    if worked:
        yield (
            "working time",
            long(sum(worked)),
            f"{wording.many(len(worked), 'agent')}, at most {material.at_once} at once",
        )
    if held >= 1:
        yield "held", long(held), "by limits"
    if ours:
        yield "faults of ours", str(ours), "not counted"


def _short(count: int) -> str:
    for size, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}\u202f{sign}"
    return str(count)


# -- what it wants of a person


def decisions(material: Material) -> Html | None:
    """What waits for a person; None for nothing."""
    state = material.state
    undecided, questions = deciding.undecided(state), state.open_questions
    if not undecided and not questions:
        return None
    count = len(undecided) + len(questions)
    return section(
        "decide",
        "For you",
        f"{wording.many(count, 'thing')} {'waits' if count == 1 else 'wait'} for you.",
        tag(
            "ul",
            [_undecided(material, one) for one in undecided],
            [
                tag(
                    "li",
                    tag("p", link(material, str(one.sender)), " asks: ", line(str(one.payload), 400)),
                    tag("pre", f"corral inbox answer {one.id} TEXT --run {state.name}", tabindex="0"),
                )
                for one in questions
            ],
            class_="decide",
        ),
    )


def _undecided(material: Material, one: deciding.Undecided) -> Html:
    how = ", ".join(dict.fromkeys(attempt.verdict or attempt.phase for attempt in one.attempts))
    waits = f" {wording.many(len(one.waiting), 'attempt')} held for it." if one.waiting else ""
    commands = deciding.commands(material.state, one)
    wide = max(len(command) for command, _ in commands)
    typed = "\n".join(f"{command:{wide}}  # {what}" for command, what in commands)
    head = joined(
        tag("b", one.task),
        f": {how}.{waits} ",
        [joined(link(material, str(attempt.key)), " ") for attempt in one.attempts[:6]],
    )
    return tag("li", tag("p", head), tag("pre", typed, tabindex="0"))
