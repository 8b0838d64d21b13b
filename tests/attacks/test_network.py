"""Cases 58 to 66: the network, the gateway and its credential.

A service on the host's loopback plays the model's; the command is given a canary as the key for it. Every
command's box has the gateway's socket then, so that attackers can speak to it as they like.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest

from runner import names
from runner.gateway.listening import CONNECTION_TIMEOUT
from runner.names import AttemptKey
from tests.attacks import night as nights
from tests.attacks import oracle
from tests.attacks.network_attacks import (
    LET_THROUGH,
    REACHING,
    REFLECTIONS,
    SURFACE,
    TWINS,
    WELL_KNOWN,
    attacks,
)
from tests.attacks.night import Night, script
from tests.attacks.oracle import Stakes
from tests.contract.gateway_service import USAGE, Upstream, begin_stream, chunk, keys_of, plain, playing
from tests.contract.test_gateway_hostile import HOSTILE
from tests.engine.living import gateway_processes, living
from tests.support import write_tasks

ALLOWED = {("POST", "/prefix/v1/messages"), ("POST", "/prefix/v1/messages/count_tokens"),
           ("GET", "/prefix/v1/models")}  # fmt: skip


@dataclass
class Service:
    """The model's service, and what it saw of which attack, and when."""

    upstream: Upstream
    times: dict[str, list[float]] = field(default_factory=dict)
    closed: list[float] = field(default_factory=list)

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer as the attack asks to, by its header."""
        mode = asked.headers.get("x-attack", "")
        self.times.setdefault(mode, []).append(time.time())
        echo = str(asked.headers).encode()
        key = asked.headers.get("x-api-key", "")
        match mode:
            case "reflect":
                plain(asked, echo)
            case "header":
                plain(asked, USAGE, X_Echo=key)
            case "redirect":
                plain(asked, b"", status=302, Location=f"{self.upstream.url}/elsewhere?{key}")
            case "gzip":
                plain(asked, gzip.compress(echo), Content_Encoding="gzip")
            case "error":
                plain(asked, json.dumps({"error": {"message": f"bad key {key}"}}).encode(), status=400)
            case "reason":
                asked.send_response(400, f"bad {key}")
                asked.send_header("Content-Length", "0")
                asked.end_headers()
            case "split" | "trailer":
                self._in_pieces(asked, key.encode(), trailer=mode == "trailer")
            case "hold":
                self._hold(asked)
            case _:
                plain(asked, USAGE)

    def _in_pieces(self, asked: BaseHTTPRequestHandler, key: bytes, *, trailer: bool) -> None:
        begin_stream(asked)
        for n in range(len(key) if not trailer else 0):
            chunk(asked, key[n : n + 1])
            time.sleep(0.002)
        asked.wfile.write(b"0\r\n" + (b"x-echo: " + key + b"\r\n" if trailer else b"") + b"\r\n")

    def _hold(self, asked: BaseHTTPRequestHandler) -> None:
        """Stream until the other side goes away."""
        begin_stream(asked)
        with suppress(OSError):
            for _ in range(600):
                chunk(asked, b"data: x\n\n")
                time.sleep(0.1)
        self.closed.append(time.time())


@contextmanager
def listeners() -> Iterator[tuple[list[int], list[str]]]:
    """Services of the host on every address, TCP and UDP: their ports, and who came."""
    came: list[str] = []
    over = threading.Event()
    with ExitStack() as stack:
        made = []
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - that is the point
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                one = stack.enter_context(socket.socket(family, kind))
                one.bind((address, 0))
                one.settimeout(0.2)
                if kind == socket.SOCK_STREAM:
                    one.listen()
                made.append(one)

        def wait(one: socket.socket) -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    who = one.accept()[1] if one.type == socket.SOCK_STREAM else one.recvfrom(100)[1]
                    came.append(f"{who} at {one.getsockname()}")

        threads = [threading.Thread(target=wait, args=(one,)) for one in made]
        for thread in threads:
            thread.start()
        try:
            yield [one.getsockname()[1] for one in made], came
        finally:
            over.set()
            for thread in threads:
                thread.join()


@contextmanager
def neighbour(image: str) -> Iterator[str]:
    """Another container with a network, which listens: its address."""
    client = docker.from_env()
    try:
        command = ["python3", "-m", "http.server", "8000"]
        made = client.containers.run(image, command, detach=True, entrypoint="", user="65534")
        try:
            made.reload()
            yield str(made.attrs["NetworkSettings"]["IPAddress"])
        finally:
            made.remove(force=True, v=True)
    finally:
        client.close()


def host_addresses() -> list[str]:
    """Every address of this host but loopback's, which in a box is the box's own."""
    rows = [row for rows in psutil.net_if_addrs().values() for row in rows]
    own = {row.address.split("%")[0] for row in rows if row.family in {socket.AF_INET, socket.AF_INET6}}
    return sorted(own - {"127.0.0.1", "::1"})


@dataclass(frozen=True)
class Network:
    """The night, the service, and who came to the host's own services."""

    night: Night
    service: Service
    came: tuple[str, ...]


@pytest.fixture(scope="module")
def network(stakes: Stakes) -> Iterator[Network]:
    """One run of all of them, with services to be reached all around."""
    with playing() as upstream, listeners() as (ports, came):
        service = Service(upstream)
        upstream.answer = service.answer
        env = {"ANTHROPIC_BASE_URL": upstream.url}
        with neighbour(image_of(stakes, env)) as other:
            tasks = attacks([*host_addresses(), other, *WELL_KNOWN], [*ports, 53, 80, 2375, 8000])
            night = nights.night(stakes, tasks, env=env)
        yield Network(night, service, tuple(came))


def image_of(stakes: Stakes, env: dict[str, str]) -> str:
    """An image that has Python: the one that the boxes get, built where it is missing."""
    file = write_tasks(stakes.folder / "image.yaml", stakes.repo, {"t": "true"})
    done = replace(nights.corral(stakes, env), before=())("image", "build", file, timeout=600)
    assert done.code == 0, done.err
    return done.out.split()[-1]


@pytest.fixture
def night(network: Network) -> Night:
    """The run alone."""
    return network.night


def test_the_promises_hold(night: Night, promise: str) -> None:
    assert oracle.broken(promise, night.seen) == []


def replies(night: Night, task: str) -> dict[str, str]:
    """What came back, by the name of the request."""
    return dict(row.split(" => ", 1) for row in night.log(task).splitlines() if " => " in row)


def test_case_58_nothing_is_reached(network: Network) -> None:
    """Every address of the host, its services, other containers, DNS, raw sockets → nothing; nobody came."""
    said = network.night.log("58-reach")
    assert "TRIED" in said
    assert not re.search("^(OPEN|SLOW) ", said, re.MULTILINE), said
    assert network.came == ()


def test_case_59_no_hostile_request_reaches_the_service(network: Network) -> None:
    """Smuggling, traversal, tunnels, odd framing → refused, and the service saw allowed requests alone."""
    answers = replies(network.night, "59-hostile")
    assert set(answers) == set(HOSTILE)
    for name, answer in answers.items():
        assert re.match(r"HTTP/1\.[01] (400|403|413|426|501) ", answer), (name, answer)


def test_case_59_exactly_one_key_and_it_is_ours(network: Network) -> None:
    """Keys of its own in every spelling → each request at the service has one key, the real one."""
    assert set(replies(network.night, "59-twins")) == set(TWINS)
    key = f"x-api-key: {network.night.stakes.key}"
    assert network.service.upstream.seen
    for seen in network.service.upstream.seen:
        assert (seen.method, seen.path) in ALLOWED
        assert [key] == [row.lower() for row in keys_of(seen) if not row.startswith(("x_", "X_", "proxy_"))]


@pytest.mark.parametrize("host", ["*", "*.org", "127.0.0.1", "localhost", "[::1]", "a.example@127.0.0.1"])
def test_case_60_what_means_everything_or_this_host_can_not_be_allowed(stakes: Stakes, host: str) -> None:
    """A task file that lets boxes through to everything, or to an address → refused by the plan."""
    file = write_tasks(stakes.folder / "allow.yaml", stakes.repo, {"t": "true"}, network={"allow": [host]})
    done = replace(nights.corral(stakes), before=())("plan", file)
    assert (done.code, "network.allow" in done.err) == (2, True), done


def egress(network: Network, task: str) -> list[dict[str, Any]]:
    """What the audit says of a task's box."""
    stakes, run = network.night.stakes, network.night.done.summary["run"]
    box = names.box_id(str(stakes.home), run, AttemptKey(task, f"do-{task}"))
    lines = (stakes.home / "g" / "egress.log").read_text("ascii").splitlines()
    return [row for row in map(json.loads, lines) if row["box"] == box]


def test_case_60_a_way_out_leads_nowhere_else(network: Network) -> None:
    """Addresses in every notation, names alike, other ports, a smuggled host → refused; nobody came."""
    answers = replies(network.night, "60-ways-out")
    assert len(answers) > 50
    for name, answer in answers.items():
        assert re.match(r"HTTP/1\.[01] (400|403) ", answer), (name, answer)
    assert network.came == ()


def test_case_60_the_audit_equals_the_traffic(network: Network) -> None:
    """Each attempt has a line; none was allowed, none got a byte through; what was no request has none."""
    answers = replies(network.night, "60-ways-out")
    rows = egress(network, "60-ways-out")
    unread = [name for name, answer in answers.items() if "corral:" not in answer]
    assert len(rows) == len(answers) - len(unread)
    assert not any(row["allowed"] or row["up"] or row["down"] or row["address"] for row in rows)
    assert len(unread) < len(answers) / 4, "most are understood, and refused for what they are"


def test_case_60_what_is_let_through_is_looked_up_on_the_host(network: Network) -> None:
    """The host that is allowed → looked up by the gateway (there is no such name), each time noted."""
    answers = replies(network.night, "60-let-through")
    assert set(answers) == set("abc")
    assert all(answer.startswith("HTTP/1.1 502 ") for answer in answers.values())
    rows = [row for row in egress(network, "60-let-through") if row["host"] == LET_THROUGH]
    assert len(rows) >= len(answers)
    assert all((row["port"], row["address"], row["down"]) == (443, None, 0) for row in rows)
    assert all("could not be looked up" in row["why"] for row in rows)


def test_case_60_a_relay_in_the_box_is_asked_as_the_box_is(network: Network) -> None:
    """A proxy of its own in the box that passes on to the gateway's → nothing more is reached by it."""
    said = network.night.log("60-let-through")
    tried = re.findall("^RELAYED (.*)$", said, re.MULTILINE)
    assert len(tried) > 5
    assert not [row for row in tried if " 200 " in row], said
    assert network.came == ()


def test_case_60_a_box_without_hosts_has_no_way_out(network: Network) -> None:
    """A tunnel from a box that is let through to nobody → refused as ever, and noted."""
    assert replies(network.night, "60-none")["tunnel"].startswith("HTTP/1.1 501 ")
    assert [row["why"] for row in egress(network, "60-none")] == ["the task allows no host"]


@pytest.mark.parametrize("mode", REFLECTIONS)
def test_case_61_a_service_that_gives_the_key_away(network: Network, mode: str) -> None:
    """The service sends the key back in body, header, pieces, gzip, trailer, error → the box gets none."""
    answers = replies(network.night, "61-reflections")
    assert mode in network.service.times, "the service was asked"
    assert answers[mode].startswith("HTTP/1.1 "), answers[mode]
    assert network.night.stakes.key not in answers[mode]
    assert "elsewhere" not in {seen.path for seen in network.service.upstream.seen}


def test_case_62_a_box_has_its_own_socket_and_no_token(night: Night) -> None:
    """Looks for sockets, mounts and tokens → one socket, its own, and a key that means nothing."""
    said = night.log("62-look")
    assert [row for row in said.splitlines() if re.match("/.*gw.*[.]sock", row)] == ["/run/gw/gw.sock"]
    assert len([row for row in said.splitlines() if " /run/gw " in row]) == 1
    assert "corral-placeholder" in said
    assert "admin" not in said


@pytest.mark.parametrize("name", ["daemon", "timeout"])
def test_case_62_nothing_is_asked_after_the_end(network: Network, name: str) -> None:
    """A daemon that goes on, a task over its time → what it was granted is revoked before it is dead."""
    at = {event["kind"]: event["at"] for event in network.night.events(f"62-{name}")}
    times = network.service.times[name]
    assert len(times) > 1
    assert max(times) <= at["attempt.ended"]


def test_case_63_65_a_crowd_harms_itself_alone(network: Network) -> None:
    """272 held connections, 400,000 passed descriptors → the neighbour is answered, streams closed."""
    said = network.night.log("63-crowd")
    assert int(said.split("HOLDING ")[1].split()[0]) > 60
    assert int(said.split("PASSED ")[1].split()[0]) > 0
    assert re.findall("^OPEN", said, re.MULTILINE) == []
    assert said.count("HELD") == 4
    rows = [row.split() for row in network.night.log("63-neighbour").splitlines() if row[:1].isdigit()]
    waited = sorted(float(seconds) for _, seconds in rows)
    assert len(waited) > 20
    assert {status for status, _ in rows} == {"200"}
    assert waited[int(len(waited) * 0.99) - 1] < CONNECTION_TIMEOUT / 2, (
        "it waited for the crowd's connections"
    )
    ended = next(e["at"] for e in network.night.events("63-crowd") if e["kind"] == "attempt.ended")
    assert network.service.closed
    assert max(network.service.closed) < ended + 30


def test_case_64_a_request_of_any_size(night: Night) -> None:
    """Announces 200 MB → refused at once."""
    assert replies(night, "64-huge")["huge"].startswith("HTTP/1.1 413 ")


@pytest.mark.parametrize("name", SURFACE)
def test_case_66_only_the_model_is_there(night: Night, name: str) -> None:
    """Files, batches, the organisation, our own administration → 403."""
    assert re.match(r"HTTP/1\.[01] (403|501) ", replies(night, "66-surface")[name])


@pytest.mark.parametrize("name", REACHING)
def test_case_66_the_service_reaches_out_for_nobody(night: Night, network: Network, name: str) -> None:
    """Tools that the service runs, servers that it connects to, addresses that it fetches → refused."""
    assert re.match(r"HTTP/1\.[01] (403|400) ", replies(night, "66-reaching")[name])
    assert not any(REACHING[name].encode() == seen.body for seen in network.service.upstream.seen)


def test_case_65_the_gateway_dies_during_the_run(stakes: Stakes) -> None:
    """The gateway is killed while a box asks → another answers at the same socket, the run goes on."""
    with playing() as upstream:
        corral = replace(nights.corral(stakes, {"ANTHROPIC_BASE_URL": upstream.url}), before=())
        file = write_tasks(
            stakes.folder / "killed.yaml",
            stakes.repo,
            {"t": f"touch made; {script('flood.py', NAME='killed', SECONDS=8)}"},
        )
        before = oracle.look(stakes)
        with living(corral, "run", file) as run:
            run.until("attempt.running")
            until = time.monotonic() + 20
            while not upstream.seen and time.monotonic() < until:
                time.sleep(0.05)
            (gateway,) = gateway_processes(stakes.home)
            os.kill(gateway, signal.SIGKILL)
            assert run.end() == 0
        assert run.rows()["t"]["verdict"] == "done"
    seen = oracle.Seen(stakes, "", before, oracle.look(stakes), {}, None, {})
    assert oracle.broken("nothing is left behind", seen) == []
    logs = sorted((stakes.home / "runs").glob("*/logs/t+*.log"))
    statuses = [row.split()[0] for row in Path(logs[-1]).read_text().splitlines() if row[:1].isdigit()]
    assert statuses[0] == "200"
    assert statuses[-3:] == ["200"] * 3
