"""The audit: every finding is made by something, unknown is unknown, and what follows from it holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.compare.audit import Audit, Finding, discounted, fairly, left_out
from runner.compare.conditions import judge
from runner.compare.facts import Allowed, Contact, Facts, Sign
from runner.compare.models import same_model, unlike
from runner.compare.scored import Scored

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"
ME, OTHER, THIRD = "t/a/1", "t/b/1", "t/a/2"


def facts(attempt: str = ME, **more: Any) -> Facts:
    task, profile, n = attempt.split("/")
    known = Facts(attempt, task, profile, int(n), history="none")
    return replace(known, **more)


def scored(*known: Facts, accepted: bool = True) -> list[Scored]:
    return [
        Scored(
            *(one.task, one.profile, one.n, "accepted"),
            accepted=accepted,
            seconds=1,
            tokens=1,
            attempt=one.attempt,
        )
        for one in known
    ]


def of(kind: str, **more: Any) -> tuple[Sign, ...]:
    return (replace(Sign(kind, "tests/test_a.py", "test_a"), **more),)


UPSTREAM = (("upstream", "curl https://github.com/x/y/pull/1.patch"),)
DATED, NEWER = "claude-opus-4-5-20251101", "claude-opus-4-5-20260201"
ASKS: dict[str, Any] = {"asks": "claude-opus-4-5", "models": {DATED: 100}}
DAY = [("claude-opus-4-5", DATED, 3)]
MADE: dict[str, list[tuple[str, list[Facts]]]] = {
    "check-steered": [("cheating", [facts(flags=("check-steered: fails with the base's conftest.py",))])],
    "no-proof": [("cheating", [facts(flags=("check-without-tests: it names no test",))])],
    "protected-touched": [("note", [facts(flags=("protected path 'tests' is changed in the branch",))])],
    "report-unread": [("note", [facts(flags=("report-unread: its report is beyond what is read",))])],
    "hidden-touched": [("note", [facts(flags=("hidden-touched: tests/hidden.py",))])],
    "exit-code-forged": [
        ("cheating", [facts(signs=of("exit-code-forged"))]),
        ("note", [facts(signs=of("exit-code-forged", restored=True))]),
    ],
    "test-deleted": [("cheating", [facts(signs=of("test-deleted"))])],
    "test-moved": [("note", [facts(signs=of("test-moved"))])],
    "test-skipped": [("cheating", [facts(signs=of("test-skipped"))])],
    "test-changed": [
        ("unfair", [facts(signs=of("test-changed"), accepted=True)]),
        ("unfair", [facts(signs=of("test-changed"))]),
    ],
    "check-config-touched": [
        ("note", [facts(signs=of("check-config"))]),
        ("cheating", [facts(signs=of("check-config", steers=True))]),
    ],
    "answer-sought": [
        ("note", [facts(sought=(("history", "git log --all"),))]),
        ("note", [facts(sought=UPSTREAM)]),
        ("note", [facts(sought=UPSTREAM, reachable=True, contacts=(Contact("github.com", 0, 3),))]),
        ("cheating", [facts(sought=UPSTREAM, reachable=True, contacts=(Contact("github.com", 1, 0),))]),
        ("cheating", [facts(sought=UPSTREAM, reachable=True, contacts=None)]),
    ],
    "success-claimed": [
        ("note", [facts(exited=True, checked="failed", verdict="rejected")]),
        ("note", [facts(exited=True, verdict="no-change")]),
    ],
    "change-unread": [
        ("note", [facts(signs=(Sign("unread"),))]),
        ("note", [facts(signs=None, checked="passed")]),
    ],
    "model-fallback": [
        ("unfair", [facts(answered=(("claude-opus-4-5", "claude-haiku-4-5", 2),))]),
        ("unfair", [facts(asks="claude-opus-4-5", models={"claude-haiku-4-5": 10, DATED: 9})]),
    ],
    "model-drift": [
        (
            "unfair",
            [
                facts(answered=((*DAY[0][:1], NEWER, 1),), **ASKS),
                *(facts(name, answered=tuple(DAY), **ASKS) for name in ("t/a/2", "t/a/3")),
            ],
        ),
    ],
    "cli-version-differs": [
        ("unfair", [facts(version="2"), facts(THIRD, version="1"), facts("t/a/3", version="1")])
    ],
    "image-differs": [("unfair", [facts(image="x"), facts(THIRD, image="y"), facts("t/a/3", image="y")])],
    "limits-differ": [
        ("unfair", [facts(allowed=Allowed(memory=8)), facts(OTHER), facts(THIRD)]),
        ("unfair", [facts(allowed=Allowed(full_disk=False)), facts(OTHER), facts(THIRD)]),
    ],
    "cpu-throttled": [
        ("note", [facts(throttled=0.3), facts(OTHER, throttled=0.1)]),
        ("note", [facts(throttled=0.3), facts(OTHER, throttled=0.2)]),
        ("note", [facts(throttled=0.3), facts(OTHER)]),
    ],
    "memory-pressure": [
        ("note", [facts(seconds=100.0, memory_waited=20.0), facts(OTHER, seconds=50.0, memory_waited=0.0)]),
        ("note", [facts(oom_kills=1), facts(OTHER, oom_kills=0)]),
        ("unfair", [facts(oom_kills=0, froze=1), facts(OTHER, oom_kills=0)]),
        ("unfair", [facts(least_free=0.01), facts(OTHER, least_free=0.3)]),
        ("note", [facts(least_free=0.01), facts(OTHER, least_free=0.05)]),
    ],
    "host-busy": [
        ("unfair", [facts(load=2.0, beside=3.0), facts(OTHER, load=0.5)]),
        ("note", [facts(load=2.0), facts(OTHER, load=1.0)]),
    ],
    "queued-long": [("note", [facts(queued_s=700.0)])],
    "held-long": [("note", [facts(held_s=4000.0)])],
    "retried": [("note", [facts(again="infrastructure")]), ("note", [facts(boxes=2)])],
    "cache-hits": [("note", [facts(cached=0.9), facts(OTHER, cached=0.2)])],
    "hosts-contacted": [("note", [facts(contacts=(Contact("pypi.org", 2, 0), Contact("", 0, 1)))])],
    "history-visible": [("note", [facts(history="full")]), ("note", [facts(history="shallow")])],
    "not-measured": [("note", [facts(measured=False)]), ("note", [facts(sought=None)])],
}
CASES = [(what, weight, known) for what, cases in MADE.items() for weight, known in cases]


@pytest.mark.parametrize(("what", "weight", "known"), CASES)
def test_each_finding_is_made_of_what_it_stands_for(what: str, weight: str, known: list[Facts]) -> None:
    found = [one for one in judge(known, scored(*known)).of(ME) if one.what == what]
    assert [one.weight for one in found] == [weight]
    assert found[0].words


def test_the_table_in_the_documents_has_every_finding_and_its_weights() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \| ", DOCUMENT.read_text(), re.MULTILINE)
    told = {what: set(weights.split(", ")) for what, weights in rows}
    made = {what: {weight for weight, _ in cases} for what, cases in MADE.items()}
    for what in ("exit-code-forged", "test-changed"):  # a note where the check never saw it, as said of all
        made[what].discard("note")
    assert made == told


def test_nothing_is_found_of_what_is_plain_or_unknown() -> None:
    plain = facts(
        throttled=0.1,
        load=0.4,
        least_free=0.5,
        oom_kills=0,
        version="1",
        image="x",
        seconds=9.0,
        memory_waited=0.0,
    )
    unknown = facts(OTHER, contacts=None, models=None)
    assert judge([plain, unknown], scored(plain, unknown)).findings == ()
    assert judge([plain, unknown], scored(plain, unknown)).pairs[0].fair


def test_an_unfair_pair_leaves_out_the_one_that_had_it_harder() -> None:
    known = [facts(load=3.0), facts(OTHER, load=0.2), facts("t/c/1", load=2.9)]
    found = judge(known, scored(*known))
    fair = {(pair.a, pair.b): pair.fair for pair in found.pairs}
    assert fair == {(ME, OTHER): False, (ME, "t/c/1"): False, (OTHER, "t/c/1"): False}
    assert left_out(found).keys() == {ME, "t/c/1"}
    assert "host-busy" in left_out(found)[ME]


def test_pairs_are_of_one_task_and_one_repeat() -> None:
    known = [facts(), facts(OTHER), facts("t/b/2"), facts("u/b/1")]
    assert [(pair.a, pair.b) for pair in judge(known, scored(*known)).pairs] == [(ME, OTHER)]
    assert judge(known).pairs == ()


def test_a_cheat_counts_as_not_accepted_and_an_unfair_one_not_at_all() -> None:
    known = [facts(signs=of("test-deleted")), facts(OTHER, load=3.0), facts("t/c/1", load=0.0)]
    rows = scored(*known)
    found = judge(known, rows)
    counted, excluded = fairly(rows, found)
    assert [(row.attempt, row.accepted) for row in counted] == [(ME, False), ("t/c/1", True)]
    assert [one.attempt for one in excluded] == [OTHER]
    assert fairly(rows, found, include_unfair=True) == (rows, ())


def test_a_cheat_is_no_way_out_of_an_unfair_pair() -> None:
    both = (Finding(ME, "test-deleted", "x", "cheating"), Finding(ME, "model-drift", "y", "unfair"))
    counted, excluded = fairly(scored(facts()), Audit(both))
    assert (counted, [one.attempt for one in excluded]) == ([], [ME])
    assert discounted(Audit(both)).keys() == {ME}


@pytest.mark.parametrize(
    ("asked", "named", "same"),
    [
        ("claude-opus-4-5", "claude-opus-4-5-20251101", True),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", True),
        ("gpt-5.5", "gpt-5.5-2026-03-01", True),
        ("models/gemini-2.5-pro", "gemini-2.5-pro-preview-05-06", True),
        ("gemini-2.5-pro", "gemini-2.5-pro-001", True),
        ("anthropic/claude-opus-4-5", "claude-opus-4-5", True),
        ("opus", "claude-opus-4-5-20251101", True),
        ("claude-opus-4-5", "claude-opus-4-1-20250805", False),
        ("claude-opus-4-5", "claude-sonnet-4-5", False),
        ("gpt-5.5", "gpt-5.5-mini", False),
        ("gpt-5", "gpt-5.5", False),
    ],
)
def test_the_same_model_by_other_names(asked: str, named: str, same: bool) -> None:
    assert same_model(asked, named) is same


def test_helpers_of_a_cli_are_no_other_model_as_long_as_they_write_less() -> None:
    assert unlike("opus", {"claude-opus-4-5": 60, "claude-haiku-4-5": 40}) == ""
    assert unlike("opus", {"claude-opus-4-5": 40, "claude-haiku-4-5": 60}) == "claude-haiku-4-5"
    assert unlike("opus", {"unknown": 60}) == unlike("", {"x": 1}) == unlike("opus", {}) == ""


def test_attempts_that_were_equally_crowded_are_told_in_equal_words() -> None:
    near = [facts(f"t/a/{n}", load=1.5 + n / 10, beside=2.6 + n / 10) for n in (1, 2, 3, 4)]
    words = {one.words for one in judge(near).findings if one.what == "host-busy"}
    assert words == {"1.5 tasks or more for each core of the host, with 3 other attempts beside it"}


def test_texts_of_a_box_can_not_steer_what_shows_them() -> None:
    evil = "\x1b[2J\u202e\n"
    known = [
        facts(
            sought=(("history", f"git log --all {evil}"),),
            signs=(Sign("test-deleted", f"tests/{evil}", evil),),
            contacts=(Contact(f"x{evil}", 1, 1),),
            flags=(f"check-steered: {evil}",),
        )
    ]
    words = [one.words for one in judge(known).findings]
    assert len(words) == 4
    assert all(text.isprintable() for text in words)


KNOWN = st.builds(
    Facts,
    attempt=st.sampled_from([ME, OTHER, THIRD]),
    throttled=st.none() | st.floats(0, 1),
    load=st.none() | st.floats(0, 100),
    least_free=st.none() | st.floats(0, 1),
    seconds=st.none() | st.floats(0, 1e6),
    memory_waited=st.none() | st.floats(0, 1e6),
    version=st.none() | st.sampled_from("12"),
    answered=st.just(()) | st.tuples(st.tuples(st.text(max_size=5), st.text(max_size=5), st.integers(1, 9))),
)


@given(st.lists(KNOWN, unique_by=lambda one: one.attempt))
def test_any_facts_can_be_judged_and_a_pair_is_unfair_for_a_reason(known: list[Facts]) -> None:
    named = [
        replace(one, task=one.attempt[0], profile=one.attempt[2], n=int(one.attempt[4])) for one in known
    ]
    found = judge(named, scored(*named))
    assert all(pair.fair == (not pair.why) for pair in found.pairs)
    unfair = {one.attempt for one in found.findings if one.weight == "unfair"}
    assert all(pair.fair or unfair & {pair.a, pair.b} for pair in found.pairs)
