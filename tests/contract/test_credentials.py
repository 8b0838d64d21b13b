"""Credentials as the real gateway process reads them: changed in a run, refused, missing, and never shown."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.accounts import FromCommand, FromFile, FromKeyring, Source
from runner.gateway import sockets
from runner.gateway.client import Gateway
from runner.gateway.grants import Service
from runner.gateway.keys.sources import ENVIRONMENT
from tests.contract.gateway_service import BOX, CANARY, USAGE, Upstream, keys_of, plain

REFUSAL = b'{"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}'
NEW = f"{CANARY}-new"


def content(place: Path) -> bytes:
    """What is in a file; nothing in what is none, or has just gone with the gateway that leaves."""
    try:
        return place.read_bytes() if place.is_file() else b""
    except FileNotFoundError:
        return b""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the gateway is started with: a home directory of the test's, and secrets that are not its own."""
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "ANTHROPIC_API_KEY": f"{CANARY}-environment",
        "MY_SECRET": f"{CANARY}-environment",
    }


@pytest.fixture
def gateway(home: Path, environment: dict[str, str]) -> Iterator[Gateway]:
    """A gateway process that leaves neither a key in its log, nor a failure of its own, nor a child."""
    made = Gateway.ensure(home, idle=60, environment=environment)
    process = process_of(home)
    try:
        yield made
        until(lambda: not (process.is_running() and process.children(recursive=True)))
    finally:
        made.revoke(BOX)
        assert made.leave()
    log = (home / "g" / "gateway.log").read_text()
    assert CANARY not in log
    assert "Traceback" not in log
    assert CANARY.encode() not in b"".join(map(content, home.rglob("*")))


def process_of(home: Path) -> psutil.Process:
    found = Gateway.look(home)
    assert found is not None
    return psutil.Process(found[0])


def until(holds: Callable[[], bool], patience: float = 60) -> None:
    """Wait for what comes in its own time."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@contextmanager
def asking(folder: Path) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("gateway")
    made.sock = sockets.connect(folder, "gw.sock", 60)
    try:
        yield made
    finally:
        made.close()


def ask(folder: Path) -> tuple[int, bytes]:
    """What a box is answered."""
    with asking(folder) as box:
        box.request("POST", "/v1/messages", b"{}", {"x-api-key": "placeholder"})
        answer = box.getresponse()
        return answer.status, answer.read()


def granted(gateway: Gateway, upstream: Upstream, source: Source, **changes: Any) -> Path:
    return gateway.grant(BOX, Service(base_url=upstream.url, credential=source, account="work", **changes))


def only_taking(upstream: Upstream, *keys: str) -> None:
    """Let the service take these keys alone."""

    def answer(asked: BaseHTTPRequestHandler) -> None:
        if asked.headers.get("x-api-key") in keys:
            plain(asked, USAGE)
        else:
            plain(asked, REFUSAL, 401)

    upstream.answer = answer


def test_a_key_that_is_changed_in_its_file_is_picked_up_in_the_run(
    gateway: Gateway, upstream: Upstream, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{CANARY}\n")
    folder = granted(gateway, upstream, FromFile(path=str(key)))
    assert ask(folder) == (200, USAGE)
    assert keys_of(upstream.seen[-1]) == [f"x-api-key: {CANARY}"]
    fresh = tmp_path / "key.new"
    fresh.write_text(NEW)
    fresh.replace(key)
    until(lambda: ask(folder)[0] == 200 and keys_of(upstream.seen[-1]) == [f"x-api-key: {NEW}"])
    key.write_text(CANARY)  # in place
    until(lambda: ask(folder)[0] == 200 and keys_of(upstream.seen[-1]) == [f"x-api-key: {CANARY}"])
    key.unlink()


def test_a_key_that_is_missing_is_asked_for_nowhere_and_told_in_the_log_alone(
    gateway: Gateway, upstream: Upstream, home: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    folder = granted(gateway, upstream, FromFile(path=str(key)))
    status, said = ask(folder)
    assert (status, json.loads(said)["error"]["type"]) == (401, "authentication_error")
    assert str(key).encode() not in said
    assert b"work" not in said
    assert upstream.seen == []
    log = (home / "g" / "gateway.log").read_text()
    assert f"anthropic account work, the file {key}: {key}: No such file or directory" in log
    (shown,) = Gateway.credentials(home)
    assert (shown.account, shown.provider) == ("work", "anthropic")
    assert "No such file" in shown.problem
    key.write_text(CANARY)
    until(lambda: ask(folder)[0] == 200)
    (shown,) = Gateway.credentials(home)
    assert shown.problem == ""
    assert gateway.usage(BOX).untold == 0
    key.unlink()


def test_a_removed_key_is_used_no_more(gateway: Gateway, upstream: Upstream, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(CANARY)
    folder = granted(gateway, upstream, FromFile(path=str(key)))
    assert ask(folder)[0] == 200
    key.unlink()
    until(lambda: ask(folder)[0] == 401)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "gives nothing"),
        (b"a b", "gives more than one word"),
        (b"\xff\xfe\xff", "gives more than one word"),
        (b"x" * 70_000, "gives more than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_key(
    gateway: Gateway, upstream: Upstream, home: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    assert ask(granted(gateway, upstream, FromFile(path=str(key))))[0] == 401
    assert words in (home / "g" / "gateway.log").read_text()


@pytest.mark.parametrize("what", ["fifo", "directory"])
def test_what_is_no_file_hangs_nothing(
    gateway: Gateway, upstream: Upstream, home: Path, tmp_path: Path, what: str
) -> None:
    key = tmp_path / "key"
    key.mkdir() if what == "directory" else os.mkfifo(key)
    assert ask(granted(gateway, upstream, FromFile(path=str(key))))[0] == 401
    assert "key is not a plain file" in (home / "g" / "gateway.log").read_text()


# -- programs

PROGRAM = """\
import json, os, pathlib, sys
me = pathlib.Path(__file__).parent
seen = {"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(), "stdin": sys.stdin.read()}
with (me / "calls").open("a") as out:
    out.write(json.dumps(seen) + "\\n")
print("what must not be logged: ", (me / "printed").read_text(), file=sys.stderr)
print((me / "printed").read_text())
sys.exit(int((me / "code").read_text()))
"""


@pytest.fixture
def program(tmp_path: Path) -> FromCommand:
    """A program that prints what stands in `printed`, ends with `code`, and notes what it was given."""
    for name, text in (("program.py", PROGRAM), ("printed", CANARY), ("code", "0")):
        (tmp_path / name).write_text(text)
    return FromCommand(run=(sys.executable, str(tmp_path / "program.py"), "an argument; $(not a shell)"))


def calls(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_a_program_is_run_once_and_gets_next_to_nothing(
    gateway: Gateway, upstream: Upstream, program: FromCommand, tmp_path: Path
) -> None:
    folder = granted(gateway, upstream, program)
    with ThreadPoolExecutor(20) as boxes:
        assert {status for status, _ in boxes.map(ask, [folder] * 40)} == {200}
    assert {tuple(keys_of(seen)) for seen in upstream.seen} == {(f"x-api-key: {CANARY}",)}
    (call,) = calls(tmp_path)
    assert call["argv"][1:] == ["an argument; $(not a shell)"]
    assert (call["cwd"], call["stdin"]) == ("/", "")
    assert set(call["env"]) <= {*ENVIRONMENT, "LC_CTYPE"}  # Python itself sets the last one
    (tmp_path / "printed").unlink()


def test_a_program_is_run_again_once_its_key_is_refused(
    gateway: Gateway, upstream: Upstream, program: FromCommand, tmp_path: Path
) -> None:
    only_taking(upstream, CANARY)
    folder = granted(gateway, upstream, program)
    assert ask(folder) == (200, USAGE)
    only_taking(upstream, NEW)
    (tmp_path / "printed").write_text(NEW)
    assert ask(folder) == (200, USAGE), "the box hears nothing of it"
    assert [keys_of(seen) for seen in upstream.seen[1:]] == [[f"x-api-key: {CANARY}"], [f"x-api-key: {NEW}"]]
    assert len(calls(tmp_path)) == 2
    (tmp_path / "printed").unlink()


def test_a_program_that_fails_is_not_run_for_every_request(
    gateway: Gateway, upstream: Upstream, home: Path, program: FromCommand, tmp_path: Path
) -> None:
    (tmp_path / "code").write_text("3")
    folder = granted(gateway, upstream, program)
    began = time.monotonic()
    with ThreadPoolExecutor(20) as boxes:
        assert {status for status, _ in boxes.map(ask, [folder] * 40)} == {401}
    assert len(calls(tmp_path)) <= 1 + (time.monotonic() - began) / 5
    assert f"the command {sys.executable} ended with 3" in (home / "g" / "gateway.log").read_text()
    (tmp_path / "code").write_text("0")
    until(lambda: ask(folder)[0] == 200)
    (tmp_path / "printed").unlink()


def test_a_program_without_an_end_is_cut_off_with_its_children(
    gateway: Gateway, upstream: Upstream, home: Path
) -> None:
    endless = FromCommand(run=("sh", "-c", "sh -c 'exec sleep 100000' & exec yes"))
    assert ask(granted(gateway, upstream, endless))[0] == 401
    assert "gives more than 65536 bytes" in (home / "g" / "gateway.log").read_text()
    until(lambda: not process_of(home).children(recursive=True))


def test_a_program_that_waits_for_somebody_keeps_the_gateway_from_nothing(
    gateway: Gateway, upstream: Upstream, home: Path
) -> None:
    folder = granted(gateway, upstream, FromCommand(run=("sh", "-c", "sleep 100000; true")))
    process = process_of(home)
    with ThreadPoolExecutor(1) as boxes:
        waits = boxes.submit(ask, folder)
        until(lambda: len(process.children(recursive=True)) == 2)
        asleep = process.children(recursive=True)
        gateway.revoke(BOX)
        with pytest.raises((OSError, http.client.HTTPException)):
            waits.result()
        assert gateway.leave()
    until(lambda: not any(one.is_running() for one in asleep))


def test_a_program_that_is_not_there(gateway: Gateway, upstream: Upstream, home: Path) -> None:
    assert ask(granted(gateway, upstream, FromCommand(run=("/no/such",))))[0] == 401
    assert "the command /no/such can't be run: No such file" in (home / "g" / "gateway.log").read_text()


# -- the keyring

BACKEND = '''\
import json, os, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

FILE = pathlib.Path(__file__).with_name("entries.json")


class Plain(KeyringBackend):
    """Entries in a file; the password LOCKED stands for a keyring that is locked."""

    priority = 1

    def get_password(self, service, username):
        found = json.loads(FILE.read_text()).get(f"{service}/{username}")
        if found == "LOCKED":
            raise KeyringLocked("locked")
        return found

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError
'''


@pytest.fixture
def keyring(environment: dict[str, str], tmp_path: Path) -> Callable[[str | None], None]:
    """A keyring, set up as the library's users do: a backend of one's own, named in its configuration file.

    Returns what puts an entry into it.
    """
    config, backend = Path(environment["XDG_CONFIG_HOME"]) / "python_keyring", tmp_path / "backend"
    config.mkdir(parents=True)
    backend.mkdir()
    (backend / "of_the_test.py").write_text(BACKEND)
    words = f"[backend]\ndefault-keyring=of_the_test.Plain\nkeyring-path={backend}\n"
    (config / "keyringrc.cfg").write_text(words)

    def put(password: str | None) -> None:
        fresh = backend / "entries.new"
        fresh.write_text(json.dumps({"corral/me": password} if password else {}))
        fresh.replace(backend / "entries.json")

    put(CANARY)
    return put


def test_a_key_from_the_keyring(
    keyring: Callable[[str | None], None], gateway: Gateway, upstream: Upstream
) -> None:
    only_taking(upstream, CANARY)
    folder = granted(gateway, upstream, FromKeyring(service="corral", user="me"))
    assert ask(folder) == (200, USAGE)
    only_taking(upstream, NEW)
    keyring(NEW)
    until(lambda: ask(folder) == (200, USAGE))


@pytest.mark.parametrize(
    ("password", "words"),
    [(None, "there is no such entry"), ("LOCKED", "it is locked"), ("a b", "gives more than one word")],
)
def test_a_keyring_that_gives_no_key(
    keyring: Callable[[str | None], None],
    gateway: Gateway,
    upstream: Upstream,
    home: Path,
    password: str | None,
    words: str,
) -> None:
    keyring(password)
    assert ask(granted(gateway, upstream, FromKeyring(service="corral", user="me")))[0] == 401
    assert words in (home / "g" / "gateway.log").read_text()


def test_without_a_keyring_it_is_said(gateway: Gateway, upstream: Upstream, home: Path) -> None:
    assert ask(granted(gateway, upstream, FromKeyring(service="corral", user="me")))[0] == 401
    assert "no keyring is to be had here" in (home / "g" / "gateway.log").read_text()


# -- what is shown


def test_a_key_is_shown_to_the_service_alone(
    gateway: Gateway, upstream: Upstream, home: Path, program: FromCommand, tmp_path: Path
) -> None:
    def echoing(asked: BaseHTTPRequestHandler) -> None:
        key = asked.headers["x-api-key"]
        plain(asked, json.dumps({"echo": key, "usage": {}}).encode(), 200, X_Echo=key)

    upstream.answer = echoing
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        process = process_of(home)
        while not over.is_set():
            for one in (process, *process.children(recursive=True)):
                try:
                    seen.append(f"{one.cmdline()} {one.environ()}")
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        folder = granted(gateway, upstream, program)
        with asking(folder) as box:
            box.request("POST", "/v1/messages", b"{}")
            answer = box.getresponse()
            said = answer.read().decode() + str(answer.getheaders())
    finally:
        over.set()
        watcher.join()
    assert keys_of(upstream.seen[-1]) == [f"x-api-key: {CANARY}"]
    assert "*" * len(CANARY) in said
    assert CANARY not in said
    assert seen
    assert CANARY not in " ".join(seen)
    assert CANARY not in " ".join(one.model_dump_json() for one in Gateway.credentials(home))
    (tmp_path / "printed").unlink()
