"""How many live at once where nobody says: it follows what the host bears, and stays within its bounds."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.grants import Outlook
from runner.sandbox.pressure import Pressure, Stall
from runner.supervisor.host.adapting import Jobs, Seen, adapt, begin, first_jobs, paced
from runner.supervisor.host.facts import Host
from runner.tasks.units import GIB

IDLE = Host(
    cores=4,
    memory_total=32 * GIB,
    memory_free=30 * GIB,
    disk_free=GIB,
    load=1.0,
    pressure=Pressure(cpu=Stall(5, 0, 0, 0), memory=Stall(0, 0, 0, 0)),
)
BUSY = dataclasses.replace(
    IDLE, load=20.0, pressure=Pressure(cpu=Stall(90, 0, 0, 0), memory=Stall(0, 0, 0, 0))
)
THRASHING = dataclasses.replace(IDLE, pressure=Pressure(cpu=Stall(0, 0, 0, 0), memory=Stall(30, 0, 0, 0)))
BLIND = dataclasses.replace(IDLE, load=None, pressure=Pressure())


def after(jobs: Jobs, host: Host, seconds: int, living: int | None = None, **more: bool | str) -> Jobs:
    """The number after so many seconds in which that many live (as many as may, by default)."""
    for _ in range(seconds):
        seen = Seen(living=jobs.at_once if living is None else living, waiting=True, host=host)
        jobs = adapt(jobs, dataclasses.replace(seen, **more), now=jobs_now(jobs))  # type: ignore[arg-type]
    return jobs


CLOCK = [0.0]


def jobs_now(_: Jobs) -> float:
    CLOCK[0] += 1
    return CLOCK[0]


def start(at_once: int = 8, cores: int = 4) -> Jobs:
    CLOCK[0] = 0
    return begin(at_once, cores, 0)


def test_it_begins_with_two_a_core_as_far_as_memory_bears() -> None:
    assert first_jobs(IDLE, [GIB]) == 8
    assert first_jobs(IDLE, [GIB, 10 * GIB]) == 3
    assert first_jobs(IDLE, [64 * GIB]) == 1
    assert first_jobs(dataclasses.replace(IDLE, memory_free=None), [10 * GIB]) == 8
    assert first_jobs(dataclasses.replace(IDLE, cores=100), [GIB // 8]) == 16


def test_an_idle_host_gets_more_until_its_most() -> None:
    assert after(start(), IDLE, 20).at_once == 10
    assert after(start(), IDLE, 600).at_once == 32


def test_a_busy_host_gets_fewer_until_one_a_core() -> None:
    assert after(start(), BUSY, 20).at_once == 7
    assert after(start(), BUSY, 600).at_once == 4
    assert after(start(), THRASHING, 20).at_once == 7
    assert "load is 20.0 on 4 cores" in after(start(), BUSY, 20).why


def test_it_is_left_as_it_is_where_nothing_says_more_or_fewer() -> None:
    assert after(start(), BLIND, 600).at_once == 8, "what is unknown is no reason"
    assert after(start(), IDLE, 600, living=5).at_once == 8, "the places there are are not used"
    assert after(start(), IDLE, 600, waiting=False).at_once == 8
    assert after(start(), IDLE, 600, paced="9 requests wait").at_once == 8
    between = dataclasses.replace(IDLE, load=6.0)
    assert after(start(), between, 600).at_once == 8


def test_memory_that_runs_out_takes_places_away_below_what_lives() -> None:
    assert after(start(), IDLE, 6, living=5, strained=True).at_once == 4
    assert after(start(), IDLE, 600, strained=True).at_once == 1
    assert after(after(start(), IDLE, 600, strained=True), BUSY, 600).at_once == 1, (
        "that is no reason for more"
    )


@given(
    st.integers(1, 16),
    st.integers(1, 32),
    st.lists(
        st.tuples(
            st.sampled_from([IDLE, BUSY, THRASHING, BLIND]),
            st.booleans(),
            st.integers(0, 64),
            st.sampled_from([1.0, 5.0, 15.0]),
        ),
        max_size=200,
    ),
)
def test_it_stays_within_its_bounds(
    first: int, cores: int, story: list[tuple[Host, bool, int, float]]
) -> None:
    """And no host that is busy gets more."""
    jobs, now = begin(first, cores, 0), 0.0
    for host, strained, living, wait in story:
        before, now = jobs, now + wait
        jobs = adapt(jobs, Seen(living, waiting=True, host=host, strained=strained), now)
        assert 1 <= jobs.at_once <= jobs.most
        assert jobs.at_once == before.at_once or jobs.changed == now
        if strained or host in {BUSY, THRASHING}:
            assert jobs.at_once <= before.at_once
        if not strained and jobs.at_once < before.at_once:
            assert jobs.at_once >= min(jobs.least, before.at_once - 1)


def test_an_account_at_which_more_wait_than_are_answered_takes_no_more() -> None:
    one = Outlook(dialect="anthropic", account="one", family="", in_flight=3, waiting=4)
    two = one.model_copy(update={"account": "two", "waiting": 0})
    silent = one.model_copy(update={"in_flight": 0, "waiting": 0})
    assert paced([one, silent]) == "4 requests wait for their turn at their accounts"
    assert paced([one, two]) == ""
    assert paced([silent]) == ""
    assert paced([]) == ""
