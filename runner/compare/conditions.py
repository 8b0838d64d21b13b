"""In what conditions attempts worked, and whether those of a pair were the same. Pure.

A condition by itself is a note. It makes a pair unfair where one attempt is beyond the threshold and its
counterpart below half of it: so two that were both squeezed, or nearly so, still count, and what stands on
the threshold does not decide by a hair.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from runner.compare.audit import Audit, Finding, PairVerdict, with_weights
from runner.compare.conduct import conduct, of_all
from runner.compare.facts import Allowed, Facts
from runner.compare.models import same_model, unlike
from runner.compare.scored import Scored

THROTTLED = 0.25
"""The share of periods in which its CPU limit stopped it: the bound of Kubernetes' own alert for that
(kubernetes-mixin, `CPUThrottlingHigh`)."""
WAITED = 0.1
"""The share of working time in which something waited for memory. The Linux kernel's own example of pressure
that a program should be told of is 150 ms in a second (Documentation/accounting/psi.rst)."""
SCARCE = 0.04
"""The share of the host's memory that was free at the worst moment: with less, a host is about to fail
(`supervisor.host.admission.FLOOR`)."""
BUSY = 1.5
"""Tasks that run or want to for each core: what needs a core all the time gets two thirds of one."""
QUEUED = 600.0
"""Seconds in which a service's load, or its limits, may well have changed."""
HELD = 1800.0
"""Seconds: half an hour in which the gateway let nothing pass."""
CACHED = 0.3
"""By how much the cached share of the input differs within a pair: cached input costs a fraction, and comes
sooner, so costs and minutes tell less then."""


@dataclass(frozen=True)
class _Condition:
    """A figure that makes an attempt harder the larger it is; `over` is from where it is told.

    Only what the host brought about makes a pair unfair: what an attempt did to itself within its own limits
    is its profile's doing.
    """

    what: str
    over: float
    figure: Callable[[Facts], float | None]
    words: Callable[[Facts], str]
    of_host: bool = False


def _waiting(facts: Facts) -> float | None:
    if facts.memory_waited is None or not facts.seconds:
        return None
    return facts.memory_waited / facts.seconds


def _scarcity(facts: Facts) -> float | None:
    return None if facts.least_free is None else SCARCE / max(facts.least_free, 0.001)


CONDITIONS = (
    _Condition(
        "cpu-throttled",
        THROTTLED,
        lambda facts: facts.throttled,
        lambda facts: f"its CPU limit stopped it in {facts.throttled or 0:.0%} of its periods at work",
    ),
    _Condition(
        "memory-pressure",
        WAITED,
        _waiting,
        lambda facts: f"it waited for memory in {_waiting(facts) or 0:.0%} of its time",
    ),
    _Condition(
        "memory-pressure",
        1.0,
        _scarcity,
        lambda facts: f"only {facts.least_free or 0:.1%} of the host's memory was free at the worst moment",
        of_host=True,
    ),
    _Condition(
        "memory-pressure",
        1.0,
        lambda facts: None if facts.oom_kills is None else float(facts.oom_kills),
        lambda facts: f"the kernel killed {facts.oom_kills or 0} of its processes for want of memory",
    ),
    _Condition(
        "memory-pressure",
        1.0,
        lambda facts: float(facts.froze),
        lambda facts: f"it was frozen {_times(facts.froze)} since the host had hardly any memory left",
        of_host=True,
    ),
    _Condition(
        "host-busy",
        BUSY,
        lambda facts: facts.load,
        lambda facts: f"{_halves(facts.load or 0)} tasks or more for each core of the host{_company(facts)}",
        of_host=True,
    ),
)


def _halves(number: float) -> str:
    """A number of which attempts side by side say the same: rounded down to halves."""
    return f"{math.floor(2 * number) / 2:g}"


def _company(facts: Facts) -> str:
    others = round(facts.beside or 0)
    return f", with {others} other {'attempt' if others == 1 else 'attempts'} beside it" if others else ""


def judge(facts: Sequence[Facts], scored: Iterable[Scored] = ()) -> Audit:
    """All that is to be said of a run.

    Args:
        facts: What is known of each of its attempts that has ended.
        scored: Those that are compared: each two of one task and repeat are a pair.
    """
    by_name = {one.attempt: one for one in facts}
    compared = [by_name[row.attempt] for row in scored if row.attempt in by_name]
    findings = [*of_all(facts, conduct), *of_all(facts, _circumstances), *_odd_ones(facts)]
    raised: set[tuple[str, str]] = set()
    pairs = list(_pairs(compared))
    for a, b in pairs:
        raised |= {(one.attempt, what) for one, what in (*_uneven(a, b), *_uneven(b, a))}
        findings += _caches(a, b)
    weighed = with_weights(_once(findings), raised)
    unfair: dict[str, list[str]] = {}
    for one in weighed:
        if one.weight == "unfair":
            unfair.setdefault(one.attempt, []).append(one.what)
    return Audit(weighed, tuple(_verdict(a.attempt, b.attempt, unfair) for a, b in pairs))


def _once(findings: list[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))


def _pairs(compared: list[Facts]) -> Iterator[tuple[Facts, Facts]]:
    groups: dict[tuple[str, int], list[Facts]] = {}
    for one in compared:
        groups.setdefault((one.task, one.n), []).append(one)
    for group in groups.values():
        yield from combinations(group, 2)


def _circumstances(facts: Facts) -> Iterator[Finding]:
    """What is to be said of the conditions that one attempt worked in."""
    for condition in CONDITIONS:
        figure = condition.figure(facts)
        if figure is not None and figure >= condition.over:
            yield Finding(facts.attempt, condition.what, condition.words(facts))
    yield from _delays(facts)
    yield from _models(facts)
    if facts.history != "none":
        seen = "its base commit alone" if facts.history == "shallow" else "all of the history up to its base"
        words = f"it saw {seen}: what was mended later is not in it, what was mended and undone before is"
        yield Finding(
            facts.attempt, "history-visible", words if facts.history == "full" else f"it saw {seen}"
        )
    if not facts.measured:
        yield Finding(facts.attempt, "not-measured", "what its boxes used is not known")


def _delays(facts: Facts) -> Iterator[Finding]:
    if facts.queued_s is not None and facts.queued_s >= QUEUED:
        yield Finding(facts.attempt, "queued-long", f"it waited {_minutes(facts.queued_s)} for its place")
    if facts.held_s is not None and facts.held_s >= HELD:
        yield Finding(facts.attempt, "held-long", f"it was held for {_minutes(facts.held_s)}")
    parts = (
        f"it is a later try ({facts.again})" if facts.again else "",
        f"its agent lived in {facts.boxes} boxes" if facts.boxes > 1 else "",
    )
    if any(parts):
        yield Finding(facts.attempt, "retried", ", ".join(part for part in parts if part))


def _models(facts: Facts) -> Iterator[Finding]:
    """Whether another model answered than was asked, or another was asked than the profile names."""
    swapped = [(a, b, count) for a, b, count in facts.answered if not same_model(a, b)]
    if swapped:
        asked, named, _ = max(swapped, key=lambda one: one[2])
        words = f"{_times(sum(one[2] for one in swapped))} another model answered than was asked: "
        yield Finding(facts.attempt, "model-fallback", f"{words}{asked}, but {named} answered", "unfair")
    elif other := unlike(facts.asks, facts.models or {}):
        words = f"most of its output is {other}'s, and its profile names {facts.asks}"
        yield Finding(facts.attempt, "model-fallback", words, "unfair")


def _served_by(facts: Facts) -> str | None:
    """The very name under which the profile's model answered: with its date, where the service tells one."""
    named = [name for asked, name, _ in facts.answered if asked == facts.asks and same_model(asked, name)]
    return named[0] if named else None


ODD: tuple[tuple[str, Callable[[Facts], Hashable], Callable[[Facts], Hashable | None], str], ...] = (
    ("model-drift", lambda one: one.profile, _served_by, "the model that answered it is {}"),
    ("cli-version-differs", lambda one: one.profile, lambda one: one.version, "its agent CLI is {}"),
    (
        "image-differs",
        lambda one: (one.task, one.profile),
        lambda one: one.image and one.image[:19],
        "its image is {}",
    ),
    ("limits-differ", lambda one: one.task, lambda one: one.allowed, "it had {}"),
)
"""What is the same for all of a profile's attempts, or of a task's, if nothing changed through the night: its
name, of whom it is the same, what it is, and how it is told."""


def _odd_ones(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Those that differ from the most of their kind, or where there is no such most, from the first."""
    for what, group_of, value_of, words in ODD:
        groups: dict[Hashable, list[tuple[Facts, Hashable]]] = {}
        for one in facts:
            if (value := value_of(one)) is not None:
                groups.setdefault(group_of(one), []).append((one, value))
        for group in groups.values():
            usual, _ = Counter(value for _, value in group).most_common(1)[0]  # of equals, the first
            for one, value in group:
                if value != usual:
                    told = f"{words.format(_shown(value))}, that of the others is {_shown(usual)}"
                    yield Finding(one.attempt, what, told, "unfair")


def _shown(value: Hashable) -> str:
    if isinstance(value, Allowed):
        short = "" if value.full_disk else " less than that"
        sizes = f"{value.memory // 2**20} MiB of memory, {value.disk // 2**20} MiB of disk{short}"
        return (
            f"{value.cpus:g} CPU{'' if value.cpus == 1 else 's'}, {sizes}, {value.pids} processes, "
            f"{value.time:g} s, {value.idle:g} s idle"
        )
    return str(value)


def _uneven(one: Facts, other: Facts) -> Iterator[tuple[Facts, str]]:
    """What one of a pair had to bear, and the other had not, by name; unknown decides nothing."""
    for condition in CONDITIONS:
        if not condition.of_host:
            continue
        mine, theirs = condition.figure(one), condition.figure(other)
        if mine is not None and theirs is not None and mine >= condition.over and theirs < condition.over / 2:
            yield one, condition.what


def _caches(a: Facts, b: Facts) -> Iterator[Finding]:
    if a.cached is None or b.cached is None or abs(a.cached - b.cached) < CACHED:
        return
    for one, other in ((a, b), (b, a)):
        words = f"{one.cached:.0%} of its input came from a cache, of {other.profile}'s {other.cached:.0%}"
        yield Finding(one.attempt, "cache-hits", words)


def _verdict(a: str, b: str, unfair: Mapping[str, Sequence[str]]) -> PairVerdict:
    """A pair is fair where neither is left out."""
    why = [f"{name}: {what}" for name in (a, b) for what in unfair.get(name, ())]
    return PairVerdict(a, b, fair=not why, why=tuple(dict.fromkeys(why)))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes"
