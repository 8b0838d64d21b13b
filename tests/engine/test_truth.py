"""Real bugs in real containers, by agents of which it is known what they do: the verdicts are the truth.

Nothing is played but the model: real releases, real fixes, the tests of the release that fixed them, run
where no agent sees them. How it is known what is right, `tests.truth` says, and tries it without containers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import FULL
from tests.contract.gateway_service import playing
from tests.engine.conftest import left_behind
from tests.support import Corral, Done, git, picture
from tests.truth import agents, making
from tests.truth.agents import SHARES, VERDICTS, Model
from tests.truth.bugs import BUGS
from tests.truth.night import night

SEED = 7
SMALL = ("parse-slice", "parse-last-newline", "xml-int-indent")
CHOSEN = tuple(bug for bug in BUGS if FULL or bug.id in SMALL)
MODELS = ("perfect", "coin-70", "coin-40", "idle", "breaker") if FULL else ("perfect", "coin-40", "breaker")
REPEATS = 3 if FULL else 1


@dataclass(frozen=True)
class Night:
    """What one run came to: its end, its rows, and what the models were asked."""

    corral: Corral
    done: Done
    model: Model

    @property
    def compared(self) -> dict[str, Any]:
        """What `corral compare` says of it, whatever else this machine had to do meanwhile."""
        return dict(self.corral("compare", "--include-unfair", "--json").json)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, prepared: None) -> Iterator[Night]:  # noqa: ARG001
    """All agents do all bugs."""
    folder = tmp_path_factory.mktemp("truth")
    steps = {bug.step for bug in CHOSEN}
    found = making.archives(steps)
    places = {s.name: (making.repository(s, folder, found), making.hidden(s, folder, found)) for s in steps}
    file = folder / "night.yaml"
    file.write_text(yaml.safe_dump(night(CHOSEN, places, MODELS, REPEATS), allow_unicode=True))
    corral, before = Corral(folder / "home"), picture(folder / "home")
    with playing(Model(bugs=CHOSEN, found=found, seed=SEED)) as model:
        assert isinstance(model, Model)
        corral.env |= {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-dummy"}
        done = corral("run", file, "--json", timeout=3000)
        yield Night(corral, done, model)
    assert left_behind(folder / "home", before) == []


def rows(run: Night) -> list[dict[str, Any]]:
    """The attempts."""
    assert run.done.code in {0, 1}, run.done.err
    found: list[dict[str, Any]] = run.done.summary["attempts"]
    return found


@pytest.mark.timeout(3600 if FULL else 600)
def test_verdicts_are_the_truth(run: Night) -> None:
    """Who does what is known beforehand; of each task's repeats, only which is which is not."""
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows(run):
        told[row["profile"], row["task"]][row["verdict"]] += 1
    true = {
        (model, bug.id): Counter(VERDICTS[work] for work in agents.works(model, bug.id, REPEATS, SEED))
        for model in MODELS
        for bug in CHOSEN
    }
    assert told == true
    assert set(run.model.asked.values()) == {REPEATS}


def test_what_is_told_of_the_base_and_of_each_check(run: Night) -> None:
    for row in rows(run):
        checks = {check["name"]: check for check in row["checks"]}
        if row["verdict"] == "no-change":
            assert checks == {}
            continue
        assert (checks["fixed"]["before"], checks["kept"]["before"]) == ("failed", "passed"), row
        if row["profile"] == "perfect":
            assert {check["check"] for check in checks.values()} == {"passed"}
        if row["profile"] == "breaker":
            assert checks["kept"]["check"] == "failed"
        assert not any(check["flaky"] for check in checks.values())


def test_a_branch_holds_the_fix_and_no_hidden_test(run: Night) -> None:
    for row in rows(run):
        if row["profile"] == "perfect":
            (bug,) = (bug for bug in CHOSEN if bug.id == row["task"])
            repo, branch = Path(row["repo"]), row["branch"]
            for path, content in making.fixed(bug, run.model.found).items():
                assert git(repo, "show", f"{branch}:{path}") == content.decode().strip()
            assert f"{making.HIDDEN_AT}/" not in git(repo, "ls-tree", "-r", "--name-only", branch)


def test_tokens_and_money_are_what_the_models_were_asked_for(run: Night) -> None:
    used = sum(agents.USAGE.values())
    usd = (agents.USAGE["input_tokens"] * agents.PRICE["input"] + agents.USAGE["output_tokens"] * 5) / 1e6
    assert {(row["requests"], row["tokens"], round(row["usd"], 9)) for row in rows(run)} == {(1, used, usd)}


def test_the_comparison_finds_the_truth(run: Night) -> None:
    """How good each is, is known; so is which of two is better. Where four tasks say nothing, it says so."""
    found = run.compared
    right = {
        model: [work == "fix" for bug in CHOSEN for work in agents.works(model, bug.id, REPEATS, SEED)]
        for model in MODELS
    }
    for side in found["profiles"]:
        known = right[side["profile"]]
        assert (side["scored"], side["accepted"]) == (len(known), sum(known))
        assert side["low"] <= SHARES[side["profile"]] / 100 <= side["high"]
        assert side["tokens"] == len(known) * sum(agents.USAGE.values())
    for pair in found["pairs"]:
        each = (sum(right[pair[side]]) / len(CHOSEN) / REPEATS for side in ("a", "b"))
        assert pair["difference"] == pytest.approx(next(each) - next(each))
        if pair["decided"]:
            assert (SHARES[pair["a"]] - SHARES[pair["b"]]) * pair["difference"] > 0, pair
        else:
            assert not FULL or abs(SHARES[pair["a"]] - SHARES[pair["b"]]) <= 30, pair
    if not FULL:
        assert found["better"] == []
        assert all("too little data" in pair["words"] for pair in found["pairs"])


def test_nobody_who_only_works_is_called_a_cheat(run: Night) -> None:
    counted = run.corral("compare", "--json").json
    assert counted["discounted"] == {}
