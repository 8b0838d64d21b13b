"""The mapping of all tries: as a dict would be, frozen, and comparable by what changed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor.tries import CHUNK, Attempts


@dataclass(frozen=True)
class Try:
    """A try of which nothing is known but how far it is."""

    key: AttemptKey
    phase: str = "queued"


KEYS = st.builds(
    AttemptKey, st.sampled_from(["a", "b"]), st.just("p"), st.integers(1, 300), st.integers(1, 3)
)
TRIES = st.builds(Try, KEYS, st.sampled_from(["queued", "running", "final"]))


@given(st.lists(st.lists(TRIES, max_size=200), max_size=5))
def test_it_is_what_a_dict_would_be_in_plan_order(steps: list[list[Try]]) -> None:
    attempts: Attempts[Try] = Attempts()
    model: dict[AttemptKey, Try] = {}
    for step in steps:
        before, known = attempts, dict(before_items(attempts))
        attempts = attempts.updated(*step)
        model.update({one.key: one for one in step})
        assert dict(before_items(before)) == known, "what was before is as it was"
        changed = {key.first for key, one in model.items() if known.get(key) is not one}
        assert set(attempts.changed_since(before)) == changed
    firsts = list(dict.fromkeys(key.first for key in model))
    assert list(attempts) == sorted(model, key=lambda key: (firsts.index(key.first), key.try_))
    assert dict(attempts) == model
    assert attempts == model
    assert len(attempts) == len(model)
    assert list(attempts.values()) == [model[key] for key in attempts]
    assert attempts.living == {key for key, one in model.items() if one.phase == "running"}
    for task in "abc":
        assert set(attempts.of_task(task)) == {one for key, one in model.items() if key.task == task}
        assert attempts.firsts_of(task) == tuple(first for first in firsts if first.task == task)
    for key in model:
        assert [one.key for one in attempts.tries(key)] == sorted(k for k in model if k.first == key.first)
    assert AttemptKey("c", "p") not in attempts
    assert attempts.tries(AttemptKey("c", "p")) == ()


def before_items(attempts: Attempts[Try]) -> list[tuple[AttemptKey, Try]]:
    """What a mapping holds now."""
    return list(attempts.items())


def test_a_change_shares_what_it_does_not_touch() -> None:
    keys = [AttemptKey(f"t{n}", "p") for n in range(5 * CHUNK)]
    before = Attempts(Try(key) for key in keys)
    after = before.updated(Try(keys[7], "running"))
    assert sum(a is b for a, b in zip(before._chunks, after._chunks, strict=True)) == 4
    assert list(after.changed_since(before)) == [keys[7]]
    assert list(after.changed_since(after)) == []
