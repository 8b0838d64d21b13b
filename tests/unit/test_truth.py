"""The table of real bugs and the agents of known quality, as far as no release is needed for it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from demo.packages import Release
from demo.prepare import download_all
from runner import names
from runner.tasks.taskfile import load
from tests.conftest import FULL
from tests.truth import agents, fixes, making, worlds
from tests.truth.bugs import BUGS, Bug
from tests.truth.night import night

STEPS = {bug.step for bug in BUGS}
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=12).map(b"".join)
FILES = st.dictionaries(st.sampled_from(["a.py", "b.py", "c.py"]), LINES, min_size=1)


def test_there_is_enough_to_compare_by() -> None:
    assert len(BUGS) >= 20
    assert len({step.earlier.name for step in STEPS}) >= 5
    assert len({bug.id for bug in BUGS}) == len(BUGS)
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_a_bug_is_told_of_and_named(bug: Bug) -> None:
    assert names.is_id(bug.id)
    assert sum(bug.report.strip() in other.report for other in BUGS) == 1, "the model goes by it"
    assert list(bug.fix) == sorted(set(bug.fix)) != []
    assert all(making.is_below(test.partition("::")[0], bug.step.later_tests) for test in bug.tests)
    assert not any(test.rpartition("::")[2] in bug.report for test in bug.tests)


def test_releases_are_pinned() -> None:
    for step in STEPS:
        assert step.earlier.name == step.later.name
        assert re.fullmatch(r"[0-9a-f]{40}", step.commit)
        for release in (step.earlier, step.later):
            assert re.fullmatch(r"[a-z]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", release.requirement)
        assert making.is_below(step.breakage.path, step.source)
        assert step.breakage.old != step.breakage.new


def test_the_night_is_a_task_file() -> None:
    places = {step.name: (Path("/r") / step.name, Path(f"/h/{step.name}-hidden")) for step in STEPS}
    text = yaml.safe_dump(night(BUGS, places, list(agents.SHARES), 3), allow_unicode=True)
    file = load(text, Path("night.yaml"))
    assert [task.id for task in file.tasks] == [bug.id for bug in BUGS]
    assert set(file.agents) == set(agents.SHARES)
    for bug in BUGS:
        assert not any(test.rpartition("::")[2] in str(file.agents) for test in bug.tests)


@given(FILES, FILES)
def test_all_pieces_make_the_later_files(earlier: dict[str, bytes], later: dict[str, bytes]) -> None:
    pieces = fixes.pieces(earlier, later)
    made = fixes.applied(earlier, pieces)
    assert {path: made.get(path, earlier.get(path, b"")) for path in later} == later
    assert fixes.applied(earlier, []) == {}


@given(FILES, FILES, st.data())
def test_pieces_are_independent_of_each_other(
    earlier: dict[str, bytes], later: dict[str, bytes], data: st.DataObject
) -> None:
    pieces = fixes.pieces(earlier, later)
    some = [piece for piece in pieces if data.draw(st.booleans())]
    rest = [piece for piece in pieces if piece not in some]
    half = {**earlier, **fixes.applied(earlier, some)}
    done = {**half, **fixes.applied(half, fixes.pieces(half, later))}
    assert {path: done.get(path, b"") for path in later} == later
    assert fixes.applied(earlier, [*rest, *some]) == fixes.applied(earlier, pieces)


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(40, 60))
def test_the_least_that_holds_is_what_is_needed(needed: set[int], of: int) -> None:
    assert set(fixes.least(range(1, of + 1), lambda numbers: needed <= set(numbers))) == needed


def test_what_never_holds_has_no_least() -> None:
    with pytest.raises(ValueError, match="does not hold"):
        fixes.least(range(3), lambda _numbers: False)


def test_a_release_of_a_package_is_downloaded_at_a_time(tmp_path: Path) -> None:
    releases = [
        Release("a", "1", "x"),
        Release("a", "2", "y"),
        Release("b", "1", "z"),
        Release("a", "1", "x"),
    ]
    asked: list[list[str]] = []

    def download(batch: object, into: Path) -> dict[Release, Path]:
        assert isinstance(batch, list)
        asked.append([release.name for release in batch])
        return {release: into / release.sha256 for release in batch}

    assert set(download_all(releases, tmp_path, download)) == set(releases)
    assert all(len(set(batch)) == len(batch) for batch in asked)
    assert sum(map(len, asked)) == 3


def test_each_model_is_as_good_as_is_said() -> None:
    for model, share in agents.SHARES.items():
        done = Counter(
            work for seed in range(100) for bug in BUGS for work in agents.works(model, bug.id, 1, seed)
        )
        assert done["fix"] / done.total() == pytest.approx(share / 100, abs=0.03)
        assert agents.works(model, BUGS[0].id, 3, 1)[:2] == agents.works(model, BUGS[0].id, 2, 1)
    assert set(agents.works("idle", "any", 50, 1)) == {"nothing"}
    assert set(agents.works("breaker", "any", 50, 1)) == {"broken"}
    assert set(agents.works("coin-40", "any", 50, 1)) == {"fix", "nothing", "unfixed"}


def test_comparing_the_agents_finds_the_truth_as_often_as_is_said() -> None:
    """Errors: 5 in 100 at most, and as much above that as chance makes 1 time in 1,000."""
    times = 1000 if FULL else 60
    spare = 3.1 * (0.05 * 0.95 / times) ** 0.5
    told = worlds.found(("perfect", "coin-70", "coin-40", worlds.AGAIN), 3, range(times))
    assert told["coin-40", worlds.AGAIN].seen <= 0.05 + spare
    assert told["perfect", "coin-40"].seen == told["perfect", worlds.AGAIN].seen == 1
    assert told["perfect", "coin-70"].seen >= 0.9
    assert told["coin-70", "coin-40"].seen >= 0.5
    for pair in told.values():
        assert pair.wrong <= 0.025 + spare
        assert pair.held >= 0.95 - spare
