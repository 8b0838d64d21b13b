"""What the host sees after a night of attacks: each hole is named; an attack not made proves nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.accounts import VARIABLES, FromFile, ProviderAccount
from runner.git import closed
from runner.sandbox.output import KEPT_BYTES
from runner.selfcheck import bomb, quick
from runner.selfcheck.full import NOBODY, make_plan, with_canaries
from runner.selfcheck.witness import RUN, Stakes, judge_night
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.state import RunState, begin
from runner.supervisor.tries import Attempts
from tests.unit.test_selfcheck import CAPTURED

ATTACKS = ("host-execution", "tree-policy", "memory", "output", "credentials")


@pytest.fixture
def stakes(tmp_path: Path) -> Stakes:
    """A repository with the honest work of the attack on it, and logs as a sound host has them."""
    repo, base, secret = quick.make_repository(tmp_path / "repo.git")
    made = Stakes(tmp_path, repo, base, secret, "sk-canary-0123456789abcdef")
    note(made, "probe", CAPTURED.replace("disk.written 15728640", "disk.written 1048576"))
    for attack in ATTACKS:
        note(made, attack, f"corral: ready\nattacked {attack}\n")
    note(made, "tree-policy", f"attacked tree-policy {bomb.outermost()}\n")
    note(made, "credentials", "HTTP/1.1 502 Bad Gateway\n\nattacked credentials\n")
    note(made, "output", "attacked output\n" + "x" * (2 << 20))
    return made


def note(stakes: Stakes, task: str, text: str) -> None:
    """Write what a task's agent printed."""
    key = next(planned.key for planned in make_plan(stakes).attempts if planned.task == task)
    file = log_file(stakes.home, RUN, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def ended(stakes: Stakes) -> RunState:
    """The night's end on a sound host."""
    stream = (
        f"commit refs/heads/work\ncommitter a <a> 0 +0000\ndata 0\nfrom {stakes.base}\n"
        "M 100644 inline made\ndata 12\nhonest work\n\n"
    )
    closed.git(stakes.repo, "fast-import", "--quiet", stdin=stream.encode())
    commit = closed.git(stakes.repo, "rev-parse", "work").decode().strip()
    state = begin(RUN, e.RunStarted(at=1, plan=make_plan(stakes), jobs=1))
    attempts = (
        replace(attempt, base=stakes.base, commit=commit, ended="oom" if key.task == "memory" else "exited")
        for key, attempt in state.attempts.items()
    )
    return replace(state, attempts=Attempts(attempts))


def broken(stakes: Stakes, state: RunState | None = None) -> dict[str, tuple[str, ...]]:
    """What is said of each promise that doesn't hold."""
    judged = judge_night(stakes, state or ended(stakes), 59999)
    return {name: words for name, words in judged.items() if words}


def test_on_a_sound_host_every_promise_holds(stakes: Stakes) -> None:
    assert broken(stakes) == {}
    assert set(judge_night(stakes, ended(stakes), 59999)) >= set(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_that_was_not_made_is_not_taken_for_one_that_failed(stakes: Stakes, attack: str) -> None:
    note(stakes, attack, "sh: 1: git: not found\n")
    assert list(broken(stakes)) == [attack]
    assert broken(stakes)[attack][0].startswith("could not be tested: the attack could not be made")


def test_a_probe_that_said_nothing_tests_nothing(stakes: Stakes) -> None:
    note(stakes, "probe", "")
    assert all(words[0].startswith("could not be tested") for words in broken(stakes).values())
    assert {"git-mask", "base-store", "system-calls"} <= set(broken(stakes))


def test_a_marker_on_the_host_is_an_execution(stakes: Stakes) -> None:
    stakes.marker.touch()
    assert broken(stakes) == {"host-execution": ("a command that a box wrote was run on the host",)}


def test_work_that_a_filter_changed_is_seen(stakes: Stakes) -> None:
    state = ended(stakes)
    same = Attempts(replace(attempt, commit=stakes.base) for attempt in state.attempts.values())
    changed = broken(stakes, replace(state, attempts=same))
    assert changed == {"host-execution": ("a filter of the box changed what came home",)}


def test_a_bomb_in_the_repository_is_seen(stakes: Stakes) -> None:
    _, pack = bomb.pack(stakes.base)
    closed.git(stakes.repo, "index-pack", "--stdin", "--fix-thin", stdin=pack)
    assert list(broken(stakes)) == ["tree-policy"]
    assert "10,000,000,000 files" in broken(stakes)["tree-policy"][0]


def test_a_box_that_outlived_its_memory_is_seen(stakes: Stakes) -> None:
    state = ended(stakes)
    outlived = Attempts(replace(attempt, ended="exited") for attempt in state.attempts.values())
    assert list(broken(stakes, replace(state, attempts=outlived))) == ["memory"]


def test_output_without_end_is_seen(stakes: Stakes) -> None:
    note(stakes, "output", "attacked output\n" + "x" * (KEPT_BYTES + (2 << 20)))
    assert list(broken(stakes)) == ["output"]


@pytest.mark.parametrize("place", ["log", "file"])
def test_the_key_is_found_wherever_it_lies(stakes: Stakes, place: str) -> None:
    if place == "log":
        note(stakes, "credentials", f"KEY={stakes.key}\nHTTP/1.1 200 OK\nattacked credentials\n")
        assert broken(stakes)["credentials"][0] == "a box found the key"
    else:
        (stakes.home / "journal.db").write_bytes(b"\0" + stakes.key.encode())
        assert broken(stakes) == {"credentials": ("journal.db holds the key",)}


def test_none_of_the_user_s_credentials_is_used(stakes: Stakes, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for names in VARIABLES.values() for name in names]
    for name in (*names, "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.setenv(name, "https://of-the-user.example")
    theirs = FromFile(path="/of-the-user")
    own = ProviderAccount(provider="openai", base_url=NOBODY, header="authorization", source=theirs)
    blank = with_canaries(Settings(accounts=(own,)), stakes)
    shown = [one.get_secret_value() if isinstance(one, SecretStr) else str(one) for _, one in blank]
    assert "of-the-user" not in " ".join(shown)
    assert {stakes.key, NOBODY} <= set(shown)
