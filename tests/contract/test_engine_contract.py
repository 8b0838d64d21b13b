"""What the supervisor relies on in an engine: the same suite over the real one and over the fake.

What only one of the two can show (a kernel that kills for memory, a fault by order) is not here.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from runner import names
from runner.errors import EngineAwayError, EngineError, ImageGoneError
from runner.names import AttemptKey
from runner.sandbox.box import MIB, BoxSpec, Role
from runner.sandbox.engine import Engine
from runner.settings import BOX_UID, Settings
from runner.supervisor.means import images
from tests.contract.fake_engine import FakeEngine
from tests.contract.fake_host import FakeHost

HOME = "contract"
"""Labels of a state directory that does not exist: nobody else's containers are found by it."""


@dataclass
class Host:
    """An engine, and a way to describe containers on it that are gone after the test."""

    engine: Engine
    image: str
    home: str = field(default_factory=lambda: f"{HOME}-{secrets.token_hex(4)}")

    def spec(
        self, script: str, *, key: AttemptKey | None = None, role: Role = "probe", lifeline: bool = False
    ) -> BoxSpec:
        """A box that runs these words of shell."""
        return BoxSpec(
            name=f"corral-{role}-{secrets.token_hex(6)}",
            image=self.image,
            argv=("sh", "-c", script) if script != "cat" else ("cat",),
            labels=names.labels(self.home, "r", key, role),
            user=BOX_UID,
            cpus=1.0,
            memory=64 * MIB,
            pids=32,
            workdir="/",
            tmp=MIB,
            stdin_lifeline=lifeline,
        )

    def begin(self, script: str, *, lifeline: bool = False) -> str:
        """A box that was started."""
        container = self.engine.create(self.spec(script, lifeline=lifeline))
        self.engine.start(container)
        return container

    def until_status(self, container: str, status: str) -> None:
        """Wait until the engine tells that of a container."""
        until = time.monotonic() + 30
        while (state := self.engine.inspect(container)) is None or state.status != status:
            assert time.monotonic() < until, state
            time.sleep(0.02)


@pytest.fixture(scope="module")
def steward_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of the real engine with a shell in it; whoever has no engine skips."""
    try:
        with Engine(dict(os.environ)) as engine:
            return images(engine, Settings(home=tmp_path_factory.mktemp("home"))).steward()
    except EngineError as error:
        pytest.skip(f"no real engine: {error.message}")


@pytest.fixture(params=["fake", "real"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """The engine in question; whatever a test leaves there is removed, and what is then left fails it."""
    if request.param == "fake":
        daemon = FakeHost(images={"image"})
        made = Host(FakeEngine(daemon), "image")
    else:
        image = request.getfixturevalue("steward_image")
        made = Host(Engine(dict(os.environ)), image)
    with made.engine:
        yield made
        for box in made.engine.find(names.label_filters(made.home)):
            made.engine.remove(box.id)
            made.engine.wait_gone(box.id)
        assert made.engine.find(names.label_filters(made.home)) == []


def out(pieces: Iterator[tuple[bytes | None, bytes | None]]) -> tuple[bytes, bytes]:
    """Both streams, to their end."""
    both = list(pieces)
    return b"".join(o or b"" for o, _ in both), b"".join(e or b"" for _, e in both)


def test_a_box_of_an_image_that_is_not_there_is_refused_and_says_which(host: Host) -> None:
    with pytest.raises(ImageGoneError) as told:
        host.engine.create(replace(host.spec("true"), image="sha256:" + 64 * "0"))
    assert told.value.image == "sha256:" + 64 * "0"


def test_a_box_is_created_runs_and_ends(host: Host) -> None:
    before = time.time()
    container = host.engine.create(host.spec("sleep 0.3; exit 3"))
    state = host.engine.inspect(container)
    assert state is not None
    assert (state.status, state.alive, state.exit_code, state.started) == ("created", False, None, None)
    host.engine.start(container)
    state = host.engine.inspect(container)
    assert state is not None
    assert (state.status, state.alive, state.exit_code, state.finished) == ("running", True, None, None)
    ended = host.engine.wait_ended(container, 30)
    assert ended is not None
    assert (ended.status, ended.exit_code, ended.oom_killed, ended.error) == ("exited", 3, False, "")
    assert ended.started is not None
    assert ended.finished is not None
    assert before - 1 < ended.started <= ended.finished - 0.3 < time.time()


def test_waiting_for_an_end_that_does_not_come_gives_up(host: Host) -> None:
    state = host.engine.wait_ended(host.begin("sleep infinity"), timeout=0.1)
    assert state is not None
    assert state.alive


def test_output_is_kept_from_its_start_by_stream_and_followed_to_its_end(host: Host) -> None:
    container = host.begin("echo one; echo two >&2; sleep 0.5; echo three")
    assert out(host.engine.follow(container)) == (b"one\nthree\n", b"two\n")
    assert out(host.engine.follow(container)) == (b"one\nthree\n", b"two\n"), "it is kept"


def test_several_may_follow_a_box_at_once(host: Host) -> None:
    container = host.begin("echo one; sleep 0.5; echo two")
    heard: list[tuple[bytes, bytes]] = []
    threads = [
        threading.Thread(target=lambda: heard.append(out(host.engine.follow(container)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert heard == [(b"one\ntwo\n", b"")] * 3


def test_who_attaches_before_the_start_hears_everything(host: Host) -> None:
    container = host.engine.create(host.spec("echo one; echo two >&2"))
    pieces = host.engine.attach(container)
    host.engine.start(container)
    assert out(pieces) == (b"one\n", b"two\n")


@pytest.mark.parametrize(("signal", "code"), [("SIGKILL", 137), ("SIGTERM", 143)])
def test_a_killed_box_ends_with_the_signal_and_so_does_its_output(host: Host, signal: str, code: int) -> None:
    container = host.begin("echo one; sleep infinity")
    pieces = host.engine.follow(container)
    assert next(pieces) == (b"one\n", None)
    host.engine.kill(container, signal)
    assert list(pieces) == []
    state = host.engine.wait_ended(container, 30)
    assert state is not None
    assert (state.status, state.exit_code, state.oom_killed) == ("exited", code, False)


def test_what_ended_or_is_gone_can_be_killed_and_removed_again(host: Host) -> None:
    container = host.begin("true")
    host.engine.wait_ended(container, 30)
    host.engine.kill(container)
    ended = host.engine.inspect(container)
    assert ended is not None
    assert ended.exit_code == 0
    for _ in range(2):
        host.engine.remove(container)
        host.engine.wait_gone(container)
        host.engine.kill(container)
        host.engine.pause(container)
        host.engine.unpause(container)
    assert host.engine.inspect(container) is None
    assert host.engine.wait_ended(container) is None
    assert host.engine.usage(container) is None


def test_what_is_gone_can_be_neither_started_nor_heard(host: Host) -> None:
    container = host.engine.create(host.spec("true"))
    host.engine.remove(container)
    with pytest.raises(EngineError):
        host.engine.start(container)
    with pytest.raises(EngineError):
        list(host.engine.follow(container))
    with pytest.raises(EngineError):
        list(host.engine.attach(container))
    with pytest.raises(EngineError):
        host.engine.hold_stdin(container)
    with pytest.raises(EngineError):
        host.engine.execute(container, ["true"])


def test_removing_a_box_that_runs_ends_its_output(host: Host) -> None:
    container = host.begin("echo one; sleep infinity")
    pieces = host.engine.follow(container)
    assert next(pieces) == (b"one\n", None)
    host.engine.remove(container)
    assert list(pieces) == []
    host.engine.wait_gone(container)


def test_waiting_for_one_to_be_gone_that_stays_is_an_error(host: Host) -> None:
    with pytest.raises(EngineError, match="is still there"):
        host.engine.wait_gone(host.begin("sleep infinity"), timeout=0.1)


def test_starting_twice_changes_nothing(host: Host) -> None:
    container = host.begin("sleep infinity")
    before = host.engine.inspect(container)
    host.engine.start(container)
    after = host.engine.inspect(container)
    assert before is not None
    assert after is not None
    assert (after.status, after.started) == ("running", before.started)


def test_boxes_are_found_by_all_of_their_labels(host: Host) -> None:
    one, two = AttemptKey("a", "p"), AttemptKey("a", "p", 1, 2)
    made = [host.engine.create(host.spec("true", key=key, role="agent")) for key in (one, two, None)]
    host.engine.start(made[1])
    assert {box.id for box in host.engine.find(names.label_filters(host.home))} == set(made)
    (found,) = host.engine.find(names.label_filters(host.home, "r", two))
    assert found.id == made[1]
    assert found.labels.items() >= names.labels(host.home, "r", two, "agent").items()
    assert names.is_ours(found.name, found.labels)
    assert host.engine.find(names.label_filters(host.home, "other")) == []
    assert [box.id for box in host.engine.find(names.label_filters(host.home, "r", one))] == made[:1]


def test_what_runs_is_told_with_its_state_and_nothing_else_is(host: Host) -> None:
    filters = names.label_filters(host.home)
    runs, frozen, ended = host.begin("sleep infinity"), host.begin("sleep infinity"), host.begin("true")
    host.engine.create(host.spec("true"))
    host.engine.pause(frozen)
    host.engine.wait_ended(ended, 30)
    assert host.engine.running(filters) == {runs: "running", frozen: "paused"}
    assert host.engine.running(names.label_filters(host.home, "other")) == {}


def test_a_name_is_given_once_and_an_image_must_be_there(host: Host) -> None:
    spec = host.spec("true")
    host.engine.create(spec)
    with pytest.raises(EngineError):
        host.engine.create(spec)
    with pytest.raises(EngineError):
        host.engine.create(BoxSpec(**{**host.spec("true").__dict__, "image": "corral-of-no-such-name"}))
    assert host.engine.image("corral-of-no-such-name") is None
    assert host.engine.image(host.image) is not None


def test_a_box_lives_until_nobody_holds_its_input_and_is_gone_then(host: Host) -> None:
    container = host.engine.create(host.spec("cat", lifeline=True))
    close = host.engine.hold_stdin(container)
    host.engine.start(container)
    assert host.engine.execute(container, ["sh", "-c", "echo one; exit 3"]) == (3, "one\n")
    host.until_status(container, "running")
    close()
    host.engine.wait_gone(container)


def test_a_living_box_has_statistics(host: Host) -> None:
    container = host.begin("sleep infinity")
    read = host.engine.usage(container)
    assert read is not None
    assert read["cpu_stats"]["cpu_usage"]["total_usage"] >= 0
    assert read["memory_stats"]["usage"] > 0


def test_a_frozen_box_does_nothing_until_it_is_thawed(host: Host) -> None:
    container = host.begin("sleep 0.6; echo one; sleep infinity")
    host.engine.pause(container)
    host.engine.pause(container)
    state = host.engine.inspect(container)
    assert state is not None
    assert (state.status, state.alive) == ("paused", True)
    pieces = host.engine.follow(container)
    heard: list[bytes | None] = []
    listener = threading.Thread(target=lambda: heard.extend(o for o, _ in pieces))
    listener.start()
    time.sleep(1.0)
    assert heard == []
    host.engine.unpause(container)
    host.engine.unpause(container)
    host.until_status(container, "running")
    until = time.monotonic() + 30
    while not heard and time.monotonic() < until:
        time.sleep(0.02)
    host.engine.remove(container)
    listener.join(timeout=30)
    assert heard == [b"one\n"]


def test_a_frozen_box_can_be_killed_and_removed(host: Host) -> None:
    container = host.begin("sleep infinity")
    host.engine.pause(container)
    host.engine.remove(container)
    host.engine.wait_gone(container)


def test_volumes_are_made_found_and_removed(host: Host) -> None:
    name, labels = f"corral-contract-{secrets.token_hex(4)}", {names.LABEL_HOME: host.home}
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    at = host.engine.make_volume(name, options, labels)
    assert Path(at).is_absolute()
    assert host.engine.make_volume(name, options, labels) == at
    found = host.engine.find_volumes(names.label_filters(host.home))
    assert list(found) == [name]
    assert found[name][names.LABEL_HOME] == host.home
    host.engine.remove_volume(name)
    host.engine.remove_volume(name)
    assert host.engine.find_volumes(names.label_filters(host.home)) == {}


def test_the_engine_says_what_it_is(host: Host) -> None:
    facts = host.engine.facts()
    assert facts.cpus > 0
    assert facts.memory > 0


# -- faults, which only the fake has by order


@pytest.fixture
def faulty() -> Iterator[tuple[Host, FakeHost]]:
    """The fake engine with its daemon."""
    daemon = FakeHost()
    made = Host(FakeEngine(daemon), "image")
    yield made, daemon
    assert isinstance(made.engine, FakeEngine)
    made.engine.cut()


def test_fault_a_box_that_is_killed_for_its_memory_says_so(faulty: tuple[Host, FakeHost]) -> None:
    host, daemon = faulty
    container = host.begin("sleep infinity")
    daemon.die(container, oom=True)
    state = host.engine.inspect(container)
    assert state is not None
    assert (state.exit_code, state.oom_killed) == (137, True)


def test_fault_a_box_that_vanishes_ends_what_follows_it(faulty: tuple[Host, FakeHost]) -> None:
    host, daemon = faulty
    container = host.begin("echo one; sleep infinity")
    pieces = host.engine.follow(container)
    next(pieces)
    daemon.vanish(container)
    assert list(pieces) == []
    assert host.engine.inspect(container) is None


def test_fault_an_engine_that_is_away_breaks_streams_and_comes_back(faulty: tuple[Host, FakeHost]) -> None:
    host, daemon = faulty
    container = host.begin("echo one; sleep infinity")
    pieces = host.engine.follow(container)
    next(pieces)
    with daemon.outage():
        with pytest.raises(EngineAwayError):
            next(pieces)
        with pytest.raises(EngineAwayError):
            host.engine.inspect(container)
        assert not host.engine.answers()
    assert host.engine.answers()
    host.until_status(container, "running")
    daemon.restart()
    host.until_status(container, "exited")


def test_fault_a_call_fails_as_often_as_ordered(faulty: tuple[Host, FakeHost]) -> None:
    host, daemon = faulty
    daemon.refusing["create"] = 1
    with pytest.raises(EngineError):
        host.begin("true")
    host.begin("true")
    assert daemon.calls["create"] == 2


def test_fault_a_cut_connection_ends_who_uses_it_and_its_boxes_live_on(
    faulty: tuple[Host, FakeHost],
) -> None:
    host, daemon = faulty
    lives, stands = host.begin("sleep infinity"), host.engine.create(host.spec("cat", lifeline=True))
    host.engine.hold_stdin(stands)
    host.engine.start(stands)
    assert isinstance(host.engine, FakeEngine)
    host.engine.cut()
    with pytest.raises(SystemExit):
        host.engine.inspect(lives)
    after = FakeEngine(daemon)
    state = after.inspect(lives)
    assert state is not None
    assert state.alive
    assert after.inspect(stands) is None, "nobody holds its input any more"


def test_the_fake_offers_what_the_engine_does() -> None:
    offered = {name for name, thing in vars(Engine).items() if callable(thing) and not name.startswith("_")}
    waits = {"wait_gone", "wait_ended"}  # made of `inspect`, and the real code of both
    assert offered - set(vars(FakeEngine)) == waits
