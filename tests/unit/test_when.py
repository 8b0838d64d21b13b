"""The language of `when`: what it means, what it refuses, and that it can do nothing else."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.supervisor import verdict
from runner.tasks.when import (
    COUNTS,
    FIGURES,
    WORDS,
    Comparison,
    Expression,
    Fact,
    Joined,
    Not,
    WhenError,
    comparisons,
    holds,
    parse,
)

KNOWN: dict[str, Fact] = {
    "fix.verdict": "rejected",
    "fix.work": "gathered",
    "fix.check": "failed",
    "fix.files": 3,
    "fix.usd": None,
    "a.b-1.verdict": "accepted",
    "parts.failed": 2,
    "parts.items": 5,
}


def fact(task: str, name: str) -> Fact:
    return KNOWN.get(f"{task}.{name}")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("fix.verdict == 'rejected'", True),
        ('fix.verdict == "accepted"', False),
        ("fix.verdict != 'accepted'", True),
        ("fix.verdict in ('rejected', 'refused')", True),
        ("fix.verdict not in ('rejected',)", False),
        ("not fix.verdict == 'rejected'", False),
        ("not not fix.files > 2", True),
        ("fix.files >= 3 and fix.files <= 3", True),
        ("fix.files<3 or fix.files>3", False),
        ("a.b-1.verdict == 'accepted'", True),
        ("parts.failed > 0 and parts.failed < 2.5", True),
        # `and` binds more closely than `or`
        ("fix.files == 3 or fix.files == 4 and fix.files == 5", True),
        ("(fix.files == 3 or fix.files == 4) and fix.files == 5", False),
        # what is not known is neither true nor false, and what it can't change is decided all the same
        ("fix.usd > 1", None),
        ("not fix.usd > 1", None),
        ("fix.usd != 1", None),
        ("fix.usd > 1 and fix.files == 3", None),
        ("fix.usd > 1 and fix.files == 4", False),
        ("fix.usd > 1 or fix.files == 3", True),
        ("fix.usd > 1 or fix.files == 4", None),
        ("gone.verdict == 'done'", None),
    ],
)
def test_what_it_means(text: str, result: bool | None) -> None:
    assert holds(parse(text), fact) is result


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("", "ends too early", "fix.verdict"),
        ("fix.verdict", "ends too early", ""),
        ("fix.verdict ==", "ends too early", ""),
        ("fix.verdict = 'done'", "'=' compares nothing", "=="),
        ("fix.verdict == done", "'done' is no value", "quotes"),
        ("fix.verdict == 'regected'", "fix.verdict is never 'regected'", "did you mean 'rejected'?"),
        ("fix.verdict == 3", "never 3", ""),
        ("fix.verdict > 'done'", "has no order", ""),
        ("fix.files == 'three'", "is a number", ""),
        ("fix.verdikt == 'done'", "no fact 'verdikt'", "'verdict'"),
        ("verdict == 'done'", "'verdict' is no fact of a task", ""),
        ("'done' == fix.verdict", "is no fact of a task", "first"),
        ("fix.verdict == 'done' and", "ends too early", ""),
        ("fix.verdict == 'done' fix.files > 1", "'fix.files' is not expected", "`and` or `or`"),
        ("(fix.files > 1", "ends too early", ""),
        ("fix.files in 3", "'3' stands where '(' belongs", ""),
        ("__import__('os').system('id')", "is not understood", ""),
        ("__import__ == 'os'", "'__import__' is no fact of a task", ""),
        ("fix.__class__ == 'x'", "no fact '__class__'", ""),
        ("fix.files > 1; print", "'; print' is not understood", ""),
        ("(" * 60 + "fix.files > 1" + ")" * 60, "levels deep", "split"),
        ("not " * 60 + "fix.files > 1", "levels deep", "split"),
        ("fix.files > 1 or " * 100 + "fix.files > 1", "characters", ""),
    ],
)
def test_what_it_refuses(text: str, message: str, cure: str) -> None:
    with pytest.raises(WhenError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert cure in caught.value.cure


@given(st.text(max_size=60) | st.text("fix.verdict ()'\",=<>!andornoti0123", max_size=60))
def test_any_text_is_an_expression_or_an_error_with_a_cure(text: str) -> None:
    try:
        expression = parse(text)
    except WhenError as error:
        cure = error.cure
    else:
        cure = str(holds(expression, fact))
        assert cure in {"True", "False", "None"}
    assert cure


names = st.sampled_from(["fix", "a.b-1", "x_y", "7up"])
words = st.sampled_from(list(WORDS)).flatmap(
    lambda kind: (
        st.builds(
            Comparison,
            names,
            st.just(kind),
            st.sampled_from(["==", "!="]),
            st.sampled_from(WORDS[kind]).map(lambda word: (word,)),
        )
        | st.builds(
            Comparison,
            names,
            st.just(kind),
            st.sampled_from(["in", "not in"]),
            st.lists(st.sampled_from(WORDS[kind]), min_size=1, max_size=3).map(tuple),
        )
    )
)
figures = st.builds(
    Comparison,
    names,
    st.sampled_from([*FIGURES, *COUNTS]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.integers(0, 10**6).map(lambda number: (float(number),)),
)
expressions = st.recursive(
    words | figures,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(
            Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)
        )
    ),
    max_leaves=8,
)


def written(expression: Expression) -> str:
    """An expression as a person could write it, with every bracket."""
    match expression:
        case Comparison():
            values = [repr(v) if isinstance(v, str) else f"{v:.0f}" for v in expression.values]
            value = f"({', '.join(values)},)" if expression.sign.endswith("in") else values[0]
            return f"{expression.task}.{expression.fact} {expression.sign} {value}"
        case Not():
            return f"not ({written(expression.part)})"
        case Joined():
            return f" {expression.how} ".join(f"({written(part)})" for part in expression.parts)


@given(expressions)
def test_what_is_written_is_what_is_read(expression: Expression) -> None:
    text = written(expression)
    if len(text) <= 1000:
        assert parse(text) == expression
        assert list(comparisons(parse(text))) == list(comparisons(expression))


@given(expressions, st.dictionaries(st.tuples(names, st.sampled_from([*WORDS, *FIGURES])), st.none()))
def test_more_knowledge_never_turns_an_answer_round(
    expression: Expression, unknown: dict[tuple[str, str], None]
) -> None:
    """What holds with facts missing holds whatever they turn out to be."""

    def known(_task: str, name: str) -> Fact:
        return WORDS[name][0] if name in WORDS else 1.0

    def partly(task: str, name: str) -> Fact:
        return None if (task, name) in unknown else known(task, name)

    assert holds(expression, partly) in {None, holds(expression, known)}


def test_the_words_are_those_of_the_verdicts() -> None:
    assert set(WORDS["verdict"]) == set(get_args(verdict.Verdict))
    assert set(WORDS["ended"]) == set(get_args(verdict.Ended))
    assert set(WORDS["work"]) == set(get_args(verdict.Work))
    assert set(WORDS["check"]) == set(get_args(verdict.Check))
