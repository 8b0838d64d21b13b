"""Profiles compared: what each did, what lies between each two, and whether chance explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean, median

from runner.compare import blocks, chance, early, rates, spread
from runner.compare.blocks import Paired
from runner.compare.early import Watched
from runner.compare.saying import verdict_words
from runner.compare.scored import Comparison, Excluded, Pair, Scored, Side, Unbegun

ALPHA = 0.05
"""The error rate of tests and intervals."""
UNEVEN = 0.1
"""By which share of all its attempts a profile may miss more than another before that is said."""


def compare(
    profiles: Sequence[tuple[str, str]],
    scored: Iterable[Scored],
    excluded: Mapping[str, str] | None = None,
    alpha: float = ALPHA,
    seed: int = 0,
    watched: Watched | None = None,
    unbegun: Sequence[Unbegun] = (),
) -> Comparison:
    """Set profiles side by side, and say of each two whether they differ.

    Args:
        profiles: Their names in order, each with the hash of its settings.
        scored: What became of their attempts.
        excluded: Attempts that do not count, for another reason than their own verdict, and why.
        alpha: How often at most any two may be said to differ where none do; and how often each interval may
            miss what it is of.
        seed: Of whatever is drawn.
        watched: How far it has come, where it may end early as decided: then the test is the one that may be
            made at any time (`early`), and the intervals allow for that.
        unbegun: What was planned and never began.
    """
    rows = list(scored)
    names = [name for name, _ in profiles]
    out = blocks.left_out(rows, excluded or {})
    counted = blocks.counted(rows, out)
    pairs = list(combinations(names, 2))
    if watched is None:
        found = [_at_the_end(counted, a, b, alpha, seed) for a, b in pairs]
        corrected = chance.holm([1.0 if pair.p is None else pair.p for pair in found])
        found = [
            pair if pair.p is None else replace(pair, p=p, decided=p <= alpha)
            for pair, p in zip(found, corrected, strict=True)
        ]
    else:
        found = [_early(watched, counted, a, b, alpha, seed, len(pairs)) for a, b in pairs]
    told = tuple(replace(pair, words=verdict_words(pair, alpha, len(pairs))) for pair in found)
    missing = Counter(one.profile for one in unbegun)
    sides = (side_of(name, settings, rows, counted, alpha) for name, settings in profiles)
    whole = tuple(replace(side, never_began=missing[side.profile]) for side in sides)
    never = (Excluded(one.attempt, one.why, began=False) for one in unbegun)
    return Comparison(
        profiles=whole,
        pairs=told,
        excluded=(*(Excluded(attempt, why) for attempt, why in out.items()), *never),
        better=_order(names, told),
        notes=(*_unranked(names, told), *_alone(rows, counted, names, unbegun), *_uneven(whole)),
    )


# -- each profile


def side_of(
    profile: str, settings: str, rows: list[Scored], counted: list[Scored], alpha: float = ALPHA
) -> Side:
    """One profile's column: of its attempts among `rows`, those that are `counted`, too, are its figures."""
    own = [row for row in rows if row.profile == profile]
    good = [row for row in counted if row.profile == profile]
    accepted = sum(row.accepted for row in good)
    tasks = blocks.by_task(good).values()
    low, high = rates.rate_interval(tasks, alpha) or (None, None)
    usd, tokens, seconds = (_all(list(of)) for of in _columns(good))
    times = [row.seconds for row in good if row.seconds is not None]
    return Side(
        profile=profile,
        settings=settings,
        attempts=len(own),
        scored=len(good),
        accepted=accepted,
        infrastructure=sum(row.verdict == "infrastructure" for row in own),
        rate=accepted / len(good) if good else None,
        low=low,
        high=high,
        usd=usd,
        usd_per_accepted=_each(usd, accepted),
        minutes_median=median(times) / 60 if times else None,
        minutes_per_accepted=_each(None if seconds is None else seconds / 60, accepted),
        tokens=None if tokens is None else int(tokens),
        tokens_per_accepted=_each(tokens, accepted),
        pass_at=rates.pass_at(tasks),
    )


def _columns(rows: list[Scored]) -> tuple[Iterable[float | None], ...]:
    return [row.usd for row in rows], [row.tokens for row in rows], [row.seconds for row in rows]


def _all(figures: list[float | None]) -> float | None:
    """All of it; unknown if a part is, or there is none."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known and len(known) == len(figures) else None


def _each(figure: float | None, accepted: int) -> float | None:
    return figure / accepted if figure is not None and accepted else None


# -- each two of them


def _at_the_end(counted: list[Scored], a: str, b: str, alpha: float, seed: int) -> Pair:
    """Two profiles, with the exact test; its probability is not corrected yet."""
    tasks = blocks.paired(counted, a, b)
    p = chance.exact_p(tasks, seed) if tasks else None
    return _measured(tasks, Pair(a, b, len(tasks), p=p), alpha, seed)


def _early(
    watched: Watched, counted: list[Scored], a: str, b: str, alpha: float, seed: int, pairs: int
) -> Pair:
    """Two profiles, with the test that may be made at any time; its error is shared with other pairs."""
    tasks = blocks.paired(counted, a, b)
    if not tasks:
        return Pair(a, b, 0)
    steps = early.differences(watched, counted, a, b)
    shared = early.course(watched, steps, alpha / pairs)
    alone = shared if pairs == 1 else early.course(watched, steps, alpha)
    made = Pair(a, b, len(tasks), p=min(1.0, pairs * shared.p), decided=shared.crossed is not None)
    return _measured(tasks, made, max(alone.level, 1 / early.COURSES), seed)


def _measured(tasks: list[Paired], pair: Pair, alpha: float, seed: int) -> Pair:
    """With the difference, its interval and its size."""
    if not tasks:
        return pair
    a, b = fmean(fmean(one.a) for one in tasks), fmean(fmean(one.b) for one in tasks)
    repeats = fmean(len(one.a) for one in tasks)
    found = spread.difference_interval([one.difference for one in tasks], repeats, alpha, seed)
    low, high = found or (None, None)
    return replace(pair, difference=a - b, low=low, high=high, effect=chance.effect(a, b))


# -- all together


def _order(names: Sequence[str], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The profiles, the best first, if each is decided against each other; else nothing."""
    if not pairs or not all(pair.decided for pair in pairs):
        return ()
    wins = dict.fromkeys(names, 0)
    for pair in pairs:
        wins[_winner(pair)] += 1
    return tuple(sorted(names, key=lambda name: -wins[name])) if len({*wins.values()}) == len(names) else ()


def _winner(pair: Pair) -> str:
    return pair.a if (pair.difference or 0) > 0 else pair.b


def _unranked(names: Sequence[str], pairs: Sequence[Pair]) -> Iterator[str]:
    """What can be said of who is better where not all can be ranked."""
    if len(names) > 2 and not _order(names, pairs):
        for name in names:
            won = [pair for pair in pairs if pair.decided and _winner(pair) == name]
            if len(won) == len(names) - 1:
                yield f"{name} is accepted more often than each of the others; these are not ranked"


def _alone(
    rows: list[Scored], counted: list[Scored], names: Sequence[str], unbegun: Sequence[Unbegun]
) -> Iterator[str]:
    """How many attempts count that have a counterpart which does not."""
    out = {row.attempt for row in rows} - {row.attempt for row in counted}
    lost = {(row.profile, row.task, row.n) for row in rows if row.attempt in out}
    lost |= {(one.profile, one.task, one.n) for one in unbegun}
    alone = [row for row in counted if any((name, row.task, row.n) in lost for name in names)]
    if alone:
        those = "1 attempt that counts has" if len(alone) == 1 else f"{len(alone)} attempts that count have"
        yield f"{those} a counterpart that does not: of these two, neither is in the paired test"


def _uneven(sides: Sequence[Side]) -> Iterator[str]:
    """That much more of one profile never began than of another."""
    missing = [side.never_began for side in sides]
    planned = max((side.attempts + side.never_began for side in sides), default=0)
    if missing and max(missing) - min(missing) > UNEVEN * planned:
        each = ", ".join(f"{side.never_began} of {side.profile}" for side in sides)
        yield (
            f"not as many never began of each ({each}): their rates are not of the same tasks; only the"
            " paired test is of what both did"
        )
