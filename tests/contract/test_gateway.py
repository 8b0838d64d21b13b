"""A real gateway process: its life, its grants, and the scripted model as the official SDK sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import psutil
import pytest
from typer.testing import CliRunner

from runner import cli
from runner.errors import HostError
from runner.gateway import sockets
from runner.gateway.booking import prices
from runner.gateway.client import PASSED_ON, Gateway
from runner.gateway.grants import Account, Script, Tokens, Usage
from runner.gateway.places import LEFT, own_folder
from runner.gateway.playing.script import AFTER_THE_END
from runner.tasks.plan import AllowedHost, Budget, Caps
from tests.contract.gateway_service import raw

BOX, OTHER = "0123456789ab", "ba9876543210"
TOOLS: Any = [{"name": "Bash", "input_schema": {"type": "object"}}]
TRANSCRIPT = """
turns:
  - text: Looking at it, with an ä, at some length so that the text comes in several pieces.
    tools: [{name: Bash, input: {command: "ls -la"}}]
    usage: {input: 100, output: 20, cache_read: 7, cache_write: 50}
  - error: {status: 402, message: the budget is spent}
"""
SLOW = "turns: [{text: '" + "slow " * 400 + "', pause: 0.1, usage: {input: 9, output: 5}}]"


def processes(home: Path) -> list[psutil.Process]:
    """The gateway processes of that state directory."""
    every = psutil.process_iter(["cmdline"])
    return [process for process in every if str(home) in (process.info["cmdline"] or [])]


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state directory; whatever runs for it at the end is a leak."""
    place = tmp_path / "home"
    yield place
    left = processes(place)
    for process in left:
        process.kill()
    assert not left


@pytest.fixture
def gateway(home: Path) -> Iterator[Gateway]:
    """A running gateway, left in peace at the end with nothing of its sockets remaining."""
    made = Gateway.ensure(home, idle=30)
    yield made
    for box in (BOX, OTHER):
        made.revoke(box)
    assert made.leave()
    assert eventually(lambda: not processes(home))
    assert not list(home.rglob("*.sock"))
    assert not list((home / "s").glob("*"))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Access to the scripted model with `TRANSCRIPT`."""
    file = tmp_path / "a transcript.yaml"
    file.write_text(TRANSCRIPT)
    return Script(transcript=str(file))


def client(socket: Path) -> anthropic.Anthropic:
    """The official SDK over a unix socket; to be used as a context manager."""
    transport = httpx2.HTTPTransport(uds=str(socket))
    return anthropic.Anthropic(
        api_key="placeholder",
        base_url="http://gateway",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
    )


def ask(sdk: anthropic.Anthropic, text: str = "go", **more: Any) -> anthropic.types.Message:
    """One non-streaming request."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "tools": TOOLS, **more}
    answer: anthropic.types.Message = sdk.messages.create(model="claude-test", max_tokens=100, **asked)
    return answer


def test_the_sdk_gets_the_same_message_streamed_and_whole(gateway: Gateway, script: Script) -> None:
    socket = gateway.grant(BOX, script) / "gw.sock"
    with client(socket) as sdk:
        whole = ask(sdk)
        asked: Any = [{"role": "user", "content": "go"}]
        with sdk.messages.stream(model="claude-test", max_tokens=100, tools=TOOLS, messages=asked) as stream:
            streamed = stream.get_final_message()
    assert streamed.id == whole.id
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    for message in (whole, streamed):
        assert message.content[0].type == "text"
        assert message.content[0].text.startswith("Looking at it, with an ä")
        assert message.content[1].type == "tool_use"
        assert message.content[1].input == {"command": "ls -la"}
        assert (message.usage.input_tokens, message.usage.output_tokens) == (100, 20)
    usage = gateway.usage(BOX)
    assert (usage.requests, usage.input, usage.output, usage.cache_read) == (2, 200, 40, 14)
    assert (usage.cache_write, usage.in_flight, usage.scripted) == (100, 0, True)
    assert usage.last_activity == pytest.approx(time.time(), abs=20)


def test_other_requests_of_the_sdk(gateway: Gateway, script: Script) -> None:
    with client(gateway.grant(BOX, script) / "gw.sock") as sdk:
        told = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ]
        with pytest.raises(anthropic.APIStatusError, match="the budget is spent") as spent:
            ask(sdk, messages=told)
        assert spent.value.status_code == 402
        ended = ask(
            sdk, messages=[*told, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}]
        )
        assert ended.content[0].type == "text"
        assert ended.content[0].text == AFTER_THE_END
        assert ask(sdk, tools=[]).stop_reason == "end_turn"
        asked: Any = [{"role": "user", "content": "x" * 4000}]
        assert sdk.messages.count_tokens(model="m", messages=asked).input_tokens > 900
        assert sdk.models.list().data == []
        with pytest.raises(anthropic.PermissionDeniedError, match="does not forward"):
            sdk.messages.batches.list()
    assert gateway.usage(BOX).input == 0


def test_a_broken_transcript_is_told_to_the_agent(gateway: Gateway, tmp_path: Path) -> None:
    with client(gateway.grant(BOX, Script(transcript=str(tmp_path / "none"))) / "gw.sock") as sdk:
        with pytest.raises(anthropic.BadRequestError, match="can't be read"):
            ask(sdk)
        (tmp_path / "none").write_text("turns:\n  - {say: x}\n")
        with pytest.raises(anthropic.BadRequestError, match="none:2:"):
            ask(sdk)
        (tmp_path / "none").write_text("turns:\n  - {text: mended}\n")
        assert ask(sdk).content[0].type == "text"


def test_modes_of_directories_and_sockets(gateway: Gateway, home: Path, script: Script) -> None:
    folder = gateway.grant(BOX, script)
    assert folder == home / "s" / BOX
    expected = {folder: 0o755, folder / "gw.sock": 0o666, home / "g": 0o700, home / "s": 0o700}
    expected |= {
        home / "g" / "admin.sock": 0o600,
        home / "g" / "script.sock": 0o600,
        home / "g" / "gateway.log": 0o600,
    }
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in expected} == expected


def test_revoking_cuts_a_running_stream_and_tells_what_was_used(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(SLOW)
    folder = gateway.grant(BOX, Script(transcript=str(file)))
    asked: Any = [{"role": "user", "content": "go"}]
    with client(folder / "gw.sock") as sdk:
        began = threading.Event()
        outcome: list[BaseException] = []

        def read() -> None:
            try:
                with sdk.messages.stream(model="m", max_tokens=9, tools=TOOLS, messages=asked) as stream:
                    for _ in stream:
                        began.set()
            except (anthropic.APIError, httpx2.HTTPError) as cut:
                outcome.append(cut)

        reader = threading.Thread(target=read)
        reader.start()
        assert began.wait(10)
        live = gateway.usage(BOX)
        assert (live.in_flight, live.requests, live.input) == (1, 1, 9)
        last = gateway.revoke(BOX)
        reader.join(20)
        assert not reader.is_alive()
        assert outcome
        assert (last.in_flight, last.input) == (0, 9)
        assert not folder.exists()
    assert gateway.revoke(BOX) == Usage()
    with pytest.raises(HostError, match="no grant for box"):
        gateway.usage(BOX)


def test_grants_are_apart(gateway: Gateway, script: Script) -> None:
    first, second = (gateway.grant(box, script) / "gw.sock" for box in (BOX, OTHER))
    with client(first) as one, client(second) as two:
        ask(one)
        ask(two)
        ask(two)
        gateway.revoke(BOX)
        ask(two)
    assert gateway.usage(OTHER).requests == 3
    assert not gateway.leave()


def refuses(folder: Path) -> bool:
    """Whether nobody listens any more; a process that was killed holds its sockets a moment longer."""
    try:
        sockets.connect(folder, "gw.sock", 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_killed_gateway_comes_back_with_grants_and_counters(
    gateway: Gateway, home: Path, script: Script
) -> None:
    folder = gateway.grant(BOX, script)
    inode = folder.stat().st_ino
    with client(folder / "gw.sock") as sdk:
        ask(sdk)
        assert gateway.usage(BOX).requests == 1
        (process,) = processes(home)
        process.kill()
        assert eventually(lambda: not processes(home))
        assert eventually(lambda: refuses(folder))
        again = gateway.usage(BOX)
        assert (again.requests, again.input) == (1, 100)
        ask(sdk)
    assert folder.stat().st_ino == inode, "a box that has the directory mounted must find the new socket"
    assert gateway.usage(BOX).requests == 2


def test_a_gateway_killed_with_its_supervisor_leaves_what_was_used(
    gateway: Gateway, home: Path, script: Script
) -> None:
    folder = gateway.grant(BOX, script)
    with client(folder / "gw.sock") as sdk:
        ask(sdk)
    used = gateway.usage(BOX)

    def left() -> Usage | None:
        file = own_folder(home) / LEFT
        return Usage.model_validate(json.loads(file.read_text())[BOX]) if file.exists() else None

    assert eventually(lambda: left() == used)
    for times in (1, 2):  # once more before anybody asked for this box
        (process,) = processes(home)
        process.kill()
        assert eventually(lambda: not processes(home))
        heir = Gateway.ensure(home, idle=30)
        if times == 1:
            heir.grant(OTHER, script)
    heir.grant(BOX, script)
    again = heir.usage(BOX)
    assert (again.requests, again.tokens) == (used.requests, used.tokens)
    heir.revoke(OTHER)


def test_a_killed_gateway_comes_back_with_the_hosts_of_grants(gateway: Gateway, home: Path) -> None:
    folder = gateway.grant(BOX, hosts=(AllowedHost(name="docs.example.org"),))
    (process,) = processes(home)
    process.kill()
    assert eventually(lambda: not processes(home))
    assert eventually(lambda: refuses(folder))
    gateway.usage(BOX)
    for name, status in (("docs.example.org", b"400"), ("evil.example", b"403")):
        # An allowed host is told by what is looked at next, so that no name is looked up.
        got = raw(folder, f"GET http://{name}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert got.startswith(b"HTTP/1.1 " + status), got


def test_a_grant_survives_that_another_supervisor_started_the_gateway_anew(
    gateway: Gateway, home: Path, script: Script
) -> None:
    gateway.grant(BOX, script)
    (process,) = processes(home)
    process.kill()
    other = Gateway.ensure(home, idle=30)
    other.grant(OTHER, script)
    assert gateway.usage(BOX) == Usage(scripted=True)
    assert other.usage(BOX) == Usage(scripted=True)


def test_asked_to_end_it_ends_and_the_next_call_starts_it(
    gateway: Gateway, home: Path, script: Script
) -> None:
    folder = gateway.grant(BOX, script)
    with client(folder / "gw.sock") as sdk:
        ask(sdk)
    (process,) = processes(home)
    process.send_signal(signal.SIGTERM)
    assert eventually(lambda: not processes(home))
    assert folder.is_dir()
    with client(folder / "gw.sock") as sdk:
        used = gateway.usage(BOX)
        assert (used.requests, used.input) == (1, 100), "nobody had asked the process that ended"
        ask(sdk)
    assert gateway.usage(BOX).requests == 2
    assert "Traceback" not in (home / "g" / "gateway.log").read_text()


def test_many_starts_at_once_make_one_process(home: Path, script: Script) -> None:
    made: list[Gateway] = []
    threads = [threading.Thread(target=lambda: made.append(Gateway.ensure(home, idle=30))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len(processes(home)) == 1
    made[0].grant(BOX, script)
    assert made[5].usage(BOX).requests == 0
    assert not made[1].leave()
    made[5].revoke(BOX)
    assert made[1].leave()
    assert eventually(lambda: not processes(home))


def test_an_idle_gateway_leaves_by_itself_but_not_while_it_has_a_grant(home: Path, script: Script) -> None:
    gateway = Gateway.ensure(home, idle=0.5)
    gateway.grant(BOX, script)
    time.sleep(1.5)
    assert processes(home)
    assert gateway.revoke(BOX).requests == 0
    assert eventually(lambda: not processes(home))
    assert gateway.leave()


def test_figures_handed_over_that_make_no_sense_are_not_taken(home: Path, script: Script) -> None:
    (home / "g").mkdir(parents=True)
    (home / "g" / "left.json").write_text('{"0123456789ab": {"requests": "many"}}')
    gateway = Gateway.ensure(home, idle=30)
    gateway.grant(BOX, script)
    assert gateway.revoke(BOX).requests == 0
    assert gateway.leave()
    assert eventually(lambda: not processes(home))
    assert "figures of the process before are not known" in (home / "g" / "gateway.log").read_text()


def test_a_long_state_directory_works(tmp_path: Path, script: Script) -> None:
    home = tmp_path / ("long " * 20) / ("longer" * 20)
    gateway = Gateway.ensure(home, idle=30)
    folder = gateway.grant(BOX, script)
    fd = os.open(folder, os.O_RDONLY)
    try:
        with client(Path(f"/proc/self/fd/{fd}/gw.sock")) as sdk:
            ask(sdk)
    finally:
        os.close(fd)
    assert gateway.revoke(BOX).requests == 1
    assert gateway.leave()
    assert eventually(lambda: not processes(home))


def test_a_gateway_that_cannot_start_says_why(home: Path) -> None:
    (home / "g" / "script.sock").mkdir(parents=True)
    with pytest.raises(HostError, match=r"did not start[\s\S]*script\.sock") as failed:
        Gateway.ensure(home)
    assert "gateway.log" in str(failed.value.cure)
    blocked = home / "file"
    blocked.write_text("")
    with pytest.raises(HostError, match="can't be started"):
        Gateway.ensure(blocked)


def test_it_inherits_nothing_it_does_not_need(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
    gateway = Gateway.ensure(home, environment={**os.environ, "HTTPS_PROXY": "http://proxy.example:1"})
    (process,) = processes(home)
    environment = process.environ()
    assert set(environment) <= {"PYTHONPATH", "LC_CTYPE", *PASSED_ON}  # Python itself sets LC_CTYPE
    assert environment["HTTPS_PROXY"] == "http://proxy.example:1"
    assert "canary" not in " ".join(process.cmdline())
    assert os.getsid(process.pid) != os.getsid(0)
    assert {str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)} == {os.devnull}
    assert gateway.leave()
    assert eventually(lambda: not processes(home))


def capped(**caps: Caps) -> Account:
    """The account of an attempt with these caps."""
    return Account(run="r", task="t", profile="p", attempt="t/p/1", budget=Budget(**caps))


def asked(gateway: Gateway, home: Path, account: Account, times: int) -> list[int]:
    """The statuses with which so many requests in turn are answered."""
    transcript = home.parent / "t.yaml"
    transcript.write_text(
        "turns: [{text: a, usage: {input: 100, output: 20, cache_read: 7, cache_write: 50}}]"
    )
    gateway.grant(BOX, Script(transcript=str(transcript)), account=account)
    statuses = []
    with client(home / "s" / BOX / "gw.sock") as sdk:
        for _ in range(times):
            try:
                said: Any = [{"role": "user", "content": "go"}]
                sdk.messages.create(model="claude-opus-5-5", max_tokens=50, messages=said, tools=TOOLS)
                statuses.append(200)
            except anthropic.APIStatusError as error:
                statuses.append(error.status_code)
    return statuses


@pytest.mark.parametrize("kind", ["attempt", "task", "profile", "run"])
def test_a_spent_budget_ends_requests_as_the_official_sdk_understands(
    gateway: Gateway, home: Path, kind: str
) -> None:
    assert asked(gateway, home, capped(**{kind: Caps(requests=2)}), 4) == [200, 200, 402, 402]
    usage = gateway.usage(BOX)
    assert (usage.over_budget, usage.requests, usage.overshot) == (kind, 2, Caps())


def test_by_how_much_a_cap_was_overshot_is_said(
    gateway: Gateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(gateway, home, capped(run=Caps(tokens=200), attempt=Caps(usd=9)), 3) == [200, 200, 402]
    found = Gateway.look(home)
    assert found is not None
    assert found[1][0].overshot == {"run": Caps(tokens=2 * 177 - 200)}
    monkeypatch.setenv("CORRAL_HOME", str(home))
    said = CliRunner().invoke(cli.app, ["gateway", "status"]).stdout
    assert "budget of run r: 354 of 200 tokens; overshot by 154 tokens" in said
    (one,) = json.loads(CliRunner().invoke(cli.app, ["gateway", "status", "--json"]).stdout)["grants"]
    assert one["overshot"] == {"run": {"usd": None, "tokens": 154, "requests": None}}
    assert gateway.revoke(BOX).overshot == Caps(tokens=154)


def test_money_is_counted_by_the_models_price(gateway: Gateway, home: Path) -> None:
    tokens = Tokens(input=100, output=20, cache_read=7, cache_write=50)
    price = prices.usd("anthropic", "claude-opus-5-5", tokens)
    assert price is not None
    assert asked(gateway, home, capped(attempt=Caps(usd=1.5 * price)), 3) == [200, 200, 402]
    used = gateway.usage(BOX)
    assert used.usd == pytest.approx(2 * price)
    assert [(one.asked, one.requests) for one in used.answered] == [("claude-opus-5-5", 2)]


def test_what_was_spent_outlives_the_process(gateway: Gateway, home: Path) -> None:
    account = capped(attempt=Caps(requests=2))
    assert asked(gateway, home, account, 1) == [200]
    (process,) = processes(home)
    process.send_signal(signal.SIGKILL)
    assert eventually(lambda: not processes(home))
    assert asked(gateway, home, account, 2) == [200, 402]


def test_who_asks_and_what_is_left_can_be_looked_at(
    gateway: Gateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = capped(attempt=Caps(requests=5), run=Caps(usd=1, tokens=40_000_000))
    assert asked(gateway, home, account, 2) == [200, 200]
    found = Gateway.look(home)
    assert found is not None
    (one,) = found[1]
    assert (one.account.attempt, one.usage.requests, one.spent["run"].requests) == ("t/p/1", 2, 2)
    monkeypatch.setenv("CORRAL_HOME", str(home))
    said = CliRunner().invoke(cli.app, ["gateway", "status"]).stdout
    assert "t/p/1" in said
    assert "budget of attempt t/p/1: 2 of 5 requests" in said
    assert re.search(r"budget of run r: [$]0[.]00\d of [$]1[.]00, 354 of 40\D000\D000 tokens", said), said
    assert json.loads(CliRunner().invoke(cli.app, ["gateway", "status", "--json"]).stdout)["grants"]
    refused = CliRunner().invoke(cli.app, ["gateway", "stop"]).exception
    assert isinstance(refused, HostError)
    assert "in use by t/p/1" in refused.message


def test_names_without_end_do_not_keep_a_gateway_from_coming_back(gateway: Gateway, home: Path) -> None:
    """A box that asks for another model each time → counted under few names; its neighbour goes on."""
    transcript = home.parent / "t.yaml"
    transcript.write_text("turns: [{text: a, usage: {input: 1, output: 1}}]")
    script = Script(transcript=str(transcript))
    for box in (BOX, OTHER):
        gateway.grant(box, script)
    said: Any = [{"role": "user", "content": "go"}]
    with client(home / "s" / BOX / "gw.sock") as sdk:
        for number in range(60):
            sdk.messages.create(model=f"{'m' * 100}-{number}", max_tokens=5, messages=said, tools=TOOLS)
    usage = gateway.usage(BOX)
    assert (usage.tokens, len(usage.models), len(usage.answered)) == (120, 33, 33)
    (process,) = processes(home)
    process.send_signal(signal.SIGKILL)
    assert eventually(lambda: not processes(home))
    assert gateway.usage(OTHER).requests == 0
    assert gateway.usage(BOX).tokens == 120
