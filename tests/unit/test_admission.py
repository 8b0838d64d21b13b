"""What the host can bear: never more than can be given away, and in words the scarcest thing."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from runner.supervisor.host.admission import (
    FEWEST_FILES,
    LEAST_MEMORY,
    OWN_TASKS,
    SETTLING,
    Claim,
    Needs,
    Policy,
    Room,
    Short,
    Waiting,
)
from runner.supervisor.host.facts import Disk, Host, Processes
from runner.tasks.units import GIB, MIB

HOST = Host(
    cores=4,
    memory_total=32 * GIB,
    memory_free=30 * GIB,
    disk_free=100 * GIB,
    disks=(Disk("/home", total=200 * GIB, free=100 * GIB, files_free=10**6),),
    processes=Processes(most=32768, used=300, own_left=1000),
)
SMALL = Needs(cpus=1, memory=GIB, pids=100, disk=GIB)

NEEDS = st.builds(
    Needs,
    cpus=st.floats(0.1, 64),
    memory=st.integers(MIB, 64 * GIB),
    pids=st.integers(2, 40000),
    disk=st.integers(MIB, 900 * GIB),
)
HOSTS = st.builds(
    lambda cores, total, share, disk, left: Host(
        cores=cores,
        memory_total=total,
        memory_free=int(total * share),
        disk_free=disk,
        disks=(Disk("/home", total=2 * disk, free=disk, files_free=10**6),),
        processes=Processes(most=32768, used=300, own_left=left),
    ),
    st.integers(1, 64),
    st.integers(GIB, 512 * GIB),
    st.floats(0, 1),
    st.integers(0, 1024 * GIB),
    st.integers(0, 10000),
)
POLICIES = st.builds(Policy, memory=st.floats(0.5, 3), cpus=st.floats(1, 20), disk=st.floats(1, 10))


def living(number: int, needs: Needs, since: float = 0.0, used: int | None = None) -> Claim:
    return Claim(attempt=f"t{number}/p/1", since=since, needs=needs, used=used, peak=used)


@given(HOSTS, POLICIES, st.lists(NEEDS, max_size=30))
def test_the_sum_of_limits_stays_below_what_can_be_given_away(
    host: Host, policy: Policy, asked: list[Needs]
) -> None:
    """Whatever asks, in whatever order: what was let in never adds up to more than the stated overcommit."""
    room = Room(host, policy)
    for number, needs in enumerate(asked):
        if room.short(needs) is None:
            room = room.taken(living(number, needs))
    assert sum(one.needs.memory for one in room.claims) <= room.memory
    assert sum(one.needs.cpus for one in room.claims) <= room.cpus * (1 + 1e-9)
    assert sum(one.needs.pids for one in room.claims) <= (room.processes or 0)
    if len(room.claims) > 1 and room.disk is not None:
        assert sum(one.needs.disk for one in room.claims) <= room.disk + max(
            one.needs.disk for one in room.claims
        ), "one that began alone may have asked for more than there was: it got a smaller disk"


@given(HOSTS, POLICIES, NEEDS)
def test_what_fits_alone_starts_on_a_host_where_nothing_lives(
    host: Host, policy: Policy, needs: Needs
) -> None:
    """Unless the host is about to fail: then it waits, and it is said for what."""
    room, (disk,) = Room(host, policy), host.disks
    if room.never(needs) is not None:
        assert room.short(needs) is not None
        return
    short = room.short(needs)
    free = (host.memory_free or 0) - policy.floor(host.memory_total)
    kept_processes = 300 + needs.pids > 32768 * 0.9
    expected = {
        "memory": free < min(needs.memory, LEAST_MEMORY),
        "disk": disk.free < policy.kept_disk(disk.total),
        "processes": (host.processes.own_left or 0) < OWN_TASKS or kept_processes,
    }
    assert (short is None) == (not any(expected.values())), (short, expected)


@given(HOSTS, POLICIES, NEEDS, st.lists(NEEDS, max_size=5))
def test_the_words_name_the_scarcest_thing(
    host: Host, policy: Policy, needs: Needs, lives: list[Needs]
) -> None:
    room = Room(host, policy, tuple(living(n, one) for n, one in enumerate(lives)))
    lacks = list(room._lacks(needs))
    short = room.short(needs)
    assert (short is None) == (not lacks)
    if short is not None:
        assert short.share == min(one.share for one in lacks)
        assert 0 <= short.share < 1
        assert short.why.startswith(f"{short.thing}: ")


@given(HOSTS, POLICIES, NEEDS, st.lists(NEEDS, max_size=5))
def test_less_on_the_host_never_makes_more_room(
    host: Host, policy: Policy, needs: Needs, lives: list[Needs]
) -> None:
    claims = tuple(living(n, one) for n, one in enumerate(lives))
    room = Room(host, policy, claims)
    poorer = dataclasses.replace(host, memory_free=(host.memory_free or 0) // 2)
    if claims and room.short(needs) is not None:
        assert Room(poorer, policy, claims).short(needs) is not None
        assert room.taken(living(99, needs)).short(needs) is not None


def test_words_as_a_person_reads_them() -> None:
    claims = tuple(living(n, Needs(memory=9 * GIB)) for n in range(3))
    short = Room(HOST, Policy(), claims).short(Needs(memory=4 * GIB))
    assert short is not None
    assert short.why == "memory: needs 4GiB, 0B free; 27GiB are kept for what runs"
    settled = tuple(living(n, Needs(memory=9 * GIB), used=8 * GIB) for n in range(3))
    there = dataclasses.replace(HOST, memory_free=6 * GIB)
    short = Room(there, Policy(), settled, now=SETTLING).short(Needs(memory=4 * GIB))
    assert short is not None
    assert short.why == "memory: needs 4GiB, 0B free; 3GiB are kept for what runs", "they may grow yet"
    done = tuple(living(n, Needs(memory=8 * GIB), used=8 * GIB) for n in range(3))
    short = Room(there, Policy(), done, now=SETTLING).short(Needs(memory=4 * GIB))
    assert short is not None
    assert short.why == "memory: needs 4GiB, 2.8GiB free", "of 6 GiB, a tenth of all stays free"
    short = Room(there, Policy(), ()).short(Needs(memory=64 * GIB))
    assert short is not None
    assert short.why == "memory: needs 64GiB, 43.2GiB not promised yet"
    assert Room(HOST).short(Needs(cpus=50)) == Short("cpus", "cpus: needs 50, 40 not promised yet", 0.8)


def test_what_settled_is_counted_by_what_it_uses() -> None:
    """In its first minute it may take its limit; later it is taken to grow by a quarter of its most."""
    young = Claim(attempt="t/p/1", since=100, needs=Needs(memory=8 * GIB), used=GIB, peak=2 * GIB)
    assert young.growth(now=100 + SETTLING - 1) == 7 * GIB
    assert young.growth(now=100 + SETTLING) == int(1.25 * 2 * GIB) - GIB
    assert young.model_copy(update={"used": None}).growth(now=10**6) == 8 * GIB
    full = young.model_copy(update={"used": 8 * GIB, "peak": 8 * GIB})
    assert full.growth(now=10**6) == 0


def test_a_disk_that_is_nearly_full_takes_nothing_and_a_small_one_takes_what_fits() -> None:
    full = dataclasses.replace(HOST, disks=(Disk("/state", total=200 * GIB, free=900 * MIB),))
    short = Room(full).short(SMALL)
    assert short is not None
    assert short.why == "disk: 900MiB free in /state, and 1GiB are to stay free"
    tiny = dataclasses.replace(HOST, disks=(Disk("/state", total=64 * MIB, free=60 * MIB),))
    assert Room(tiny).short(SMALL) is None, "alone, it gets a smaller disk"
    short = Room(tiny, Policy(), (living(0, SMALL),)).short(SMALL)
    assert short is not None
    assert short.thing == "disk"
    without = dataclasses.replace(HOST, disks=(Disk("/state", 200 * GIB, 100 * GIB, FEWEST_FILES - 1),))
    short = Room(without).short(SMALL)
    assert short is not None
    assert short.why == "files: needs 2000, 1999 can be made in /state"


def test_the_engines_disk_counts_too() -> None:
    engines = Disk("/var/lib/docker", total=20 * GIB, free=100 * MIB, is_engines=True)
    short = Room(dataclasses.replace(HOST, disks=(*HOST.disks, engines))).short(SMALL)
    assert short is not None
    assert short.why == "disk: 100MiB free in /var/lib/docker, and 1GiB are to stay free"


def test_what_is_unknown_keeps_nothing_waiting() -> None:
    elsewhere = Host(cores=4, memory_total=32 * GIB, memory_free=None, disk_free=GIB)
    assert Room(elsewhere, Policy(), (living(0, SMALL),)).short(SMALL) is None


def test_a_run_that_has_less_and_waits_goes_first() -> None:
    room = Room(HOST)
    rich = Waiting("rich", since=5, claims=(living(0, SMALL), living(1, SMALL)))
    poor = Waiting("poor", since=9, claims=(living(2, SMALL),))
    assert room.yields(rich, [poor]) == poor
    assert room.yields(poor, [rich]) is None
    assert room.yields(poor, []) is None
    even = Waiting("even", since=4, claims=(living(3, SMALL),))
    assert room.yields(poor, [rich, even]) == even, "as much, and it waits longer"


@given(
    st.lists(
        st.builds(
            Waiting,
            run=st.sampled_from(["a", "b", "c", "d"]),
            since=st.floats(0, 9),
            claims=st.lists(st.builds(living, st.integers(0, 99), NEEDS), max_size=3).map(tuple),
        ),
        min_size=1,
        unique_by=lambda one: one.run,
    )
)
def test_of_runs_that_wait_exactly_one_has_its_turn(runs: list[Waiting]) -> None:
    room = Room(HOST)
    free = [run for run in runs if room.yields(run, [one for one in runs if one is not run]) is None]
    assert len(free) == 1
