"""What became of each branch, in words."""

from __future__ import annotations

from runner.gather.conflicts import Matrix, Meeting
from runner.gather.integration import Candidate, Left, Outcome, Tip
from runner.supervisor.morning.joining import joined


def one(name: str, *holds: str) -> Candidate:
    return Candidate(f"{name}/p/1", name, name, holds=frozenset(f"{held}/p/1" for held in holds))


def outcome(*left: Left) -> Outcome:
    first, second = one("a"), one("b")
    return Outcome((Tip("0", "0"), Tip("1", "1", (first,)), Tip("2", "2", (first, second))), left)


def why(*left: Left, matrix: Matrix | None = None) -> list[tuple[str, str, tuple[str, ...]]]:
    rows = joined(outcome(*left), matrix or Matrix())
    return [(row.cause, row.why, row.with_) for row in rows if not row.went_in]


def test_who_conflicts_is_told_from_all_that_was_found_out() -> None:
    names = ("a/p/1", "b/p/1", "c/p/1", "d/p/1")
    meetings = tuple(Meeting(other, "c/p/1", "conflict") for other in ("a/p/1", "b/p/1", "d/p/1"))
    left = Left(one("c"), "conflict", ("b/p/1",), ("file",))
    both = ("a/p/1", "b/p/1")
    told = ("conflict", "it does not merge with a/p/1, b/p/1", both)
    assert why(left, matrix=Matrix(names, meetings)) == [told], "d is not in: it is in nobody's way"
    assert why(left) == [("conflict", "it does not merge with b/p/1", ("b/p/1",))]


def test_every_cause_has_its_words() -> None:
    assert why(Left(one("c"), "check", alone=True)) == [("check", "the checks fail on it alone", ())]
    together = Left(one("c"), "check", tuple(f"{name}/p/1" for name in "abde"))
    assert why(together)[0][1] == "the checks fail on it and a/p/1, b/p/1, d/p/1 and 1 more together"
    assert "was not found out" in why(Left(one("c"), "check"))[0][1]
    assert why(Left(one("c"), "error", error="git failed")) == [("error", "git failed", ())]


def test_what_another_holds_that_is_in_is_in() -> None:
    """Its work failed with the others; what builds on it put that right."""
    fixed = Outcome((Tip("0", "0"), Tip("1", "1", (one("d", "c"),))), (Left(one("c"), "check"),))
    rows = {row.attempt: row for row in joined(fixed, Matrix())}
    assert rows["c/p/1"].went_in
    assert rows["c/p/1"].why.startswith("d/p/1 holds its commits")


def test_what_brings_nothing_new_is_the_same() -> None:
    same = Outcome((Tip("0", "0"), Tip("1", "1", (one("a"),)), Tip("1", "1", (one("a"), one("b")))), ())
    rows = list(joined(same, Matrix(("a/p/1", "b/p/1"), (), (("a/p/1", "b/p/1"),))))
    assert [(row.went_in, row.cause, row.with_) for row in rows] == [
        (True, "", ()),
        (False, "same", ("a/p/1",)),
    ]


def test_what_a_check_says_that_ended_well_is_told_where_it_is_the_cause() -> None:
    said = {"c/p/1": "a: it passes only with the work's own Makefile"}
    lefts = Left(one("c"), "check", ("a/p/1",)), Left(one("c"), "conflict", ("a/p/1",))
    rows = [row for left in lefts for row in joined(outcome(left), Matrix(), (), said) if not row.went_in]
    assert [row.why for row in rows] == [
        "the checks fail on it and a/p/1 together (a: it passes only with the work's own Makefile)",
        "it does not merge with a/p/1",
    ]
