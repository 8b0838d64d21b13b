"""One process works on a run: the next takes over from the dead and the silent; late words are refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.supervisor import events as e
from runner.supervisor.deadline import awake, steady
from runner.supervisor.journal import Journal, LeaseLostError
from runner.supervisor.ownership import lease as leases
from runner.supervisor.ownership.lease import DEAD_AFTER, OwnedError, is_over, owned
from runner.supervisor.ownership.orders import Drain, Stop
from runner.supervisor.slept import boot

HOLDER = """
import sys, time
from pathlib import Path
from runner.supervisor.journal import Journal
from runner.supervisor.ownership.lease import owned
home = Path(sys.argv[1])
with Journal(home / "journal.db") as journal, owned(journal, home, "r") as lease:
    print(lease.token, flush=True)
    time.sleep(600)
"""


def test_nobody_else_works_on_a_run_until_it_is_given_back(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        assert is_over(tmp_path, "r")
        with owned(journal, tmp_path, "r") as first:
            assert not is_over(tmp_path, "r")
            with pytest.raises(OwnedError, match="run r"), owned(journal, tmp_path, "r"):
                pass
            with owned(journal, tmp_path, "other"):
                pass
            assert first.holds()
        assert is_over(tmp_path, "r")
        assert not list((tmp_path / "runs" / "r").iterdir())
        with owned(journal, tmp_path, "r") as second:
            assert second.token > first.token


def test_who_died_is_known_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        token = int(holder.stdout.readline())
        assert not is_over(tmp_path, "r")
        holder.kill()
    assert is_over(tmp_path, "r")
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r") as lease:
        assert lease.token == token + 1
        assert [file.name for file in (tmp_path / "runs" / "r").iterdir()] == [f"lock-{token + 1}"]


def test_who_is_silent_is_taken_over_and_refused_when_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r") as late:
        journal.append("r", e.Draining(at=1), late.token)
        hung = awake() + DEAD_AFTER + 1
        monkeypatch.setattr(leases, "awake", lambda: hung)
        assert is_over(tmp_path, "r")
        with owned(journal, tmp_path, "r") as lease:
            journal.append("r", e.Stopping(at=2), lease.token)
            with pytest.raises(LeaseLostError, match="took the run r over"):
                journal.append("r", e.RunEnded(at=3, exit_code=0), late.token)
            assert lease.holds()
            assert not late.holds()
        assert [row.event.kind for row in journal.events("r")] == ["run.draining", "run.stopping"]


def test_who_wakes_before_anybody_took_over_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r") as lease:
        hung = awake() + DEAD_AFTER + 1
        monkeypatch.setattr(leases, "awake", lambda: hung)
        assert lease.holds()
        assert not is_over(tmp_path, "r")


def slept(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the machine have slept: what stands still meanwhile shows no more than it did."""
    monkeypatch.setattr(leases, "steady", lambda: steady() + seconds)


def test_who_slept_with_the_machine_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long, and from its first moment awake: it could say nothing yet."""
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r") as lease:
        slept(monkeypatch, 8 * 3600)
        before = journal.lease("r")
        assert not is_over(tmp_path, "r")
        with pytest.raises(OwnedError), owned(journal, tmp_path, "r"):
            pass
        assert lease.holds()
        assert journal.lease("r") == before, "it had no need to say that it lives"
        hung = awake() + DEAD_AFTER + 1
        monkeypatch.setattr(leases, "awake", lambda: hung)
        assert is_over(tmp_path, "r")


@pytest.mark.parametrize(("silent", "over"), [(0, False), (DEAD_AFTER - 1, False), (DEAD_AFTER + 1, True)])
def test_beats_of_an_earlier_version_go_on_with_sleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: float, over: bool
) -> None:
    """It lives as long as it beats, and is no more alive than it was for that its clock is ahead of ours."""
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r") as lease:
        slept(monkeypatch, 3600)
        assert journal.beat("r", lease.token, boot(), steady() + 3600 - silent)
        assert is_over(tmp_path, "r") is over
    assert is_over(tmp_path, "r"), "the lock decides first"


def test_after_a_restart_of_the_machine_nobody_works_on_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r"):
        monkeypatch.setattr(leases, "boot", lambda: "another")
        assert is_over(tmp_path, "r")


def test_it_says_that_it_lives(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal, owned(journal, tmp_path, "r", beat=0.01):
        first = journal.lease("r")
        assert first is not None
        while (row := journal.lease("r")) == first:
            threading.Event().wait(0.01)
        assert row is not None
        assert row.beat > first.beat


def test_only_one_of_many_gets_a_run(tmp_path: Path) -> None:
    got: list[int] = []
    barrier, done = threading.Barrier(8), threading.Event()

    def contend() -> None:
        with Journal(tmp_path / "journal.db") as journal:
            barrier.wait()
            try:
                with owned(journal, tmp_path, "r") as lease:
                    got.append(lease.token)
                    done.wait()
            except OwnedError:
                pass

    Journal(tmp_path / "journal.db").close()
    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    while sum(thread.is_alive() for thread in threads) > 1:
        threading.Event().wait(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert got == [1]


def test_orders_are_kept_until_they_are_heeded(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        first = journal.order("r", Drain(), 1.0)
        journal.order("other", Stop(), 1.0)
        second = journal.order("r", Stop(), 2.0)
    with Journal(tmp_path / "journal.db") as journal:
        assert list(journal.orders("r", 0)) == [(first, Drain()), (second, Stop())]
        assert list(journal.orders("r", first)) == [(second, Stop())]
        assert list(journal.orders("r", second)) == []
