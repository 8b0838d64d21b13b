"""A login that the real gateway process keeps fresh, at a token service that rotates refresh tokens."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import stat
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.accounts import FromFile, FromLogin
from runner.gateway.client import Gateway
from runner.gateway.grants import Service
from runner.gateway.keys import logins
from runner.gateway.keys.credentials import Credentials
from runner.gateway.keys.logins import Login
from runner.gateway.keys.sources import CredentialError
from tests.contract.gateway_service import BOX, CANARY, USAGE, Upstream, keys_of, plain
from tests.contract.test_credentials import ask, process_of, until
from tests.contract.token_service import FIRST, TokenService, giving_tokens


@pytest.fixture
def tokens(upstream: Upstream) -> Iterator[TokenService]:
    """A token service whose tokens the model service takes, and no other."""
    with giving_tokens() as made:
        made.guard(upstream)
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def gateway(home: Path) -> Iterator[Gateway]:
    """A gateway process; no token is in any file of its but the login's own, nor in its environment."""
    made = Gateway.ensure(home, idle=60)
    yield made
    made.revoke(BOX)
    process = process_of(home)
    assert "canary" not in f"{process.cmdline()} {process.environ()}"
    assert made.leave()
    for file in home.rglob("*"):
        if file.is_file() and file.parent.name != "logins":
            assert b"canary" not in file.read_bytes(), file
    assert "Traceback" not in (home / "g" / "gateway.log").read_text()


def granted(gateway: Gateway, upstream: Upstream, source: FromLogin) -> Path:
    service = Service(
        base_url=upstream.url, header="authorization", oauth=True, credential=source, account="work"
    )
    return gateway.grant(BOX, service)


def waited(event: threading.Event) -> None:
    """Wait for it, less long than the gateway waits for a token service."""
    event.wait(8)


def taken_in(home: Path, **changes: Any) -> None:
    logins.save(home, "work", Login(refresh_token=FIRST, **changes))


def test_fifty_who_come_at_once_refresh_once(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path
) -> None:
    all_here = threading.Event()
    tokens.before = lambda: waited(all_here)
    taken_in(home)
    folder = granted(gateway, upstream, tokens.source())
    with ThreadPoolExecutor(50) as boxes:
        answers = [boxes.submit(ask, folder) for _ in range(50)]
        until(lambda: gateway.usage(BOX).in_flight == 50)
        all_here.set()
        assert [one.result() for one in answers] == [(200, USAGE)] * 50
    (asked,) = tokens.asked
    assert asked == {"grant_type": "refresh_token", "refresh_token": FIRST, "client_id": "corral-test"}
    (token,) = tokens.given
    assert {tuple(keys_of(seen)) for seen in upstream.seen} == {(f"authorization: Bearer {token}",)}
    assert ("anthropic-beta", "oauth-2025-04-20") in upstream.seen[0].headers
    kept = logins.load(home, "work")
    assert (kept.refresh_token, kept.access_token) == (SecretStr(tokens.refresh), SecretStr(token))
    assert kept.asked_at is None
    assert stat.S_IMODE(logins.file_of(home, "work").stat().st_mode) == 0o600
    (shown,) = Gateway.credentials(home)
    assert (shown.problem, shown.source) == ("", "the login made for it")
    assert shown.expires_at == kept.expires_at


def test_as_json_where_a_provider_wants_that(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path
) -> None:
    tokens.rotates = False
    taken_in(home)
    assert ask(granted(gateway, upstream, tokens.source(body="json"))) == (200, USAGE)
    assert logins.load(home, "work").refresh_token == SecretStr(FIRST)


def test_a_login_that_counts_no_more_is_told_and_another_is_taken_up(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path
) -> None:
    logins.save(home, "work", Login(refresh_token=f"{FIRST}-of-somebody-else"))
    folder = granted(gateway, upstream, tokens.source())
    assert ask(folder)[0] == 401
    (shown,) = Gateway.credentials(home)
    assert shown.problem == "the login counts no more: the token service answered 400, invalid_grant"
    assert "the login counts no more" in (home / "g" / "gateway.log").read_text()
    taken_in(home)
    until(lambda: ask(folder) == (200, USAGE))
    assert len(tokens.asked) == 2
    assert Gateway.credentials(home)[0].problem == ""


def test_nobody_has_logged_in(gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path) -> None:
    folder = granted(gateway, upstream, tokens.source())
    assert ask(folder)[0] == 401
    assert "nobody has logged in" in (home / "g" / "gateway.log").read_text()
    taken_in(home)
    until(lambda: ask(folder) == (200, USAGE))


def test_a_token_service_that_fails_leaves_the_old_token_in_force(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path
) -> None:
    tokens.failing = 503
    old = "at-canary-0123456789abcdef-old"
    tokens.given[old] = 4e9
    taken_in(home, access_token=old, issued_at=time.time() - 3600, expires_at=time.time() + 120)
    folder = granted(gateway, upstream, tokens.source())
    assert [ask(folder)[0] for _ in range(3)] == [200] * 3
    assert len(tokens.asked) == 1
    (shown,) = Gateway.credentials(home)
    assert shown.problem == "the login could not be refreshed: the token service answered 503, server_error"
    assert shown.problem in (home / "g" / "gateway.log").read_text()
    assert logins.load(home, "work").asked_at is None


@pytest.mark.parametrize("forgiving", [True, False])
def test_killed_between_the_answer_and_its_being_written_down(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path, forgiving: bool
) -> None:
    tokens.forgiving = forgiving
    taken_in(home)
    folder = granted(gateway, upstream, tokens.source())
    killed = threading.Event()

    def kill() -> None:
        tokens.before = lambda: None
        process_of(home).send_signal(signal.SIGKILL)
        killed.set()

    tokens.before = kill
    with ThreadPoolExecutor(1) as box, pytest.raises((ConnectionError, OSError)):
        box.submit(ask, folder).result()
    assert killed.wait(20)
    assert tokens.refresh != FIRST
    before = logins.load(home, "work")
    assert (before.refresh_token, before.asked_at is None) == (SecretStr(FIRST), False)
    gateway.usage(BOX)  # which starts another process
    if forgiving:
        assert ask(folder) == (200, USAGE)
        assert logins.load(home, "work").refresh_token == SecretStr(tokens.refresh)
    else:
        assert ask(folder)[0] == 401
        problem = Gateway.credentials(home)[0].problem
        assert problem.startswith("a refresh was cut off before its answer was written down")


def test_whenever_it_is_killed_the_login_is_whole(
    gateway: Gateway, upstream: Upstream, tokens: TokenService, home: Path
) -> None:
    tokens.forgiving = True
    for number in range(5):
        now = logins.load(home, "work") if number else Login(refresh_token=FIRST)
        logins.save(home, "work", Login(refresh_token=now.refresh_token))  # so that a refresh is due
        folder = granted(gateway, upstream, tokens.source())
        refreshed = len(tokens.asked)
        with ThreadPoolExecutor(1) as box:
            going = box.submit(ask, folder)
            until(lambda before=refreshed: len(tokens.asked) > before)  # type: ignore[misc]
            time.sleep(number * 0.002)
            process_of(home).send_signal(signal.SIGKILL)
            with suppress(OSError, http.client.HTTPException):
                going.result()
        kept = logins.load(home, "work").refresh_token.get_secret_value()
        assert kept in {tokens.refresh, tokens.last}
    folder = granted(gateway, upstream, tokens.source())
    assert ask(folder) == (200, USAGE)


# -- the parts in this process, on a clock of the test's


class World:
    """The credentials of a process that never was, and its clock."""

    def __init__(self, home: Path, tokens: TokenService) -> None:
        self.home, self.tokens = home, tokens
        self.now = 1_000_000.0
        self.credentials = Credentials(home, lambda _url: None, {}, lambda: self.now)
        self.service = Service(base_url="http://x", credential=tokens.source(), account="work")

    async def token(self) -> str:
        """What a service would be shown now."""
        for keeper in self.credentials._keepers.values():
            keeper._read_at = float("-inf")  # as if a second had passed
        return (await self.credentials.with_secret(self.service)).secret.get_secret_value()

    async def passes(self, seconds: float) -> str:
        """Let time pass; what a service would be shown then."""
        self.now += seconds
        return await self.token()


def at_a(home: Path, tokens: TokenService) -> World:
    taken_in(home)
    return World(home, tokens)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_it_is_refreshed_ahead_of_its_end(home: Path, tokens: TokenService) -> None:
    world = at_a(home, tokens)

    async def story() -> None:
        first = await world.token()
        assert await world.passes(3600 - 301) == first
        second = await world.passes(2)
        assert second != first
        assert await world.passes(3000) == second

    run(story())
    assert len(tokens.asked) == 2


def test_a_failed_refresh_is_tried_again_each_minute_until_the_end(
    home: Path, tokens: TokenService, caplog: pytest.LogCaptureFixture
) -> None:
    world = at_a(home, tokens)

    async def story() -> None:
        first = await world.token()
        tokens.failing = 503
        assert await world.passes(3600 - 299) == first
        assert await world.passes(30) == first
        assert len(tokens.asked) == 2
        assert await world.passes(31) == first
        assert len(tokens.asked) == 3
        assert "could not be refreshed" in world.credentials.shown()[0].problem
        with pytest.raises(CredentialError, match="could not be refreshed"):
            await world.passes(300)
        tokens.failing = 0
        assert await world.passes(61) not in ("", first)
        assert world.credentials.shown()[0].problem == ""

    with caplog.at_level(logging.INFO):
        run(story())
    assert "canary" not in caplog.text
    assert caplog.text.count("could not be refreshed") == 1


def test_a_token_that_is_refused_early_is_refreshed_but_not_without_end(
    home: Path, tokens: TokenService
) -> None:
    world = at_a(home, tokens)

    async def story() -> None:
        first = await world.token()
        world.now += 61
        await world.token()
        keeper = next(iter(world.credentials._keepers.values()))
        keeper._read_at = float("-inf")
        new = await world.credentials.renewed(world.service, first)
        assert new is not None
        second = new.secret.get_secret_value()
        assert second != first
        keeper._read_at = float("-inf")
        assert await world.credentials.renewed(world.service, second) is None
        assert await world.credentials.renewed(world.service, first) == new

    run(story())
    assert len(tokens.asked) == 2


def test_a_refresh_that_can_t_be_written_down_is_kept_and_written_later(
    home: Path, tokens: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = at_a(home, tokens)
    whole = logins._replace

    def full(file: Path, content: bytes) -> None:
        if b"access_token" in content:
            raise OSError(28, "No space left on device")
        whole(file, content)

    monkeypatch.setattr(logins, "_replace", full)

    async def story() -> None:
        first = await world.token()
        assert world.credentials.shown()[0].problem.endswith("can't be written down: No space left on device")
        assert await world.passes(5) == first
        monkeypatch.setattr(logins, "_replace", whole)
        assert await world.passes(5) == first
        assert world.credentials.shown()[0].problem == ""

    run(story())
    assert logins.load(home, "work").refresh_token == SecretStr(tokens.refresh)
    assert len(tokens.asked) == 1


def test_no_room_for_a_note_no_refresh(
    home: Path, tokens: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = at_a(home, tokens)

    def full(_file: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logins, "_replace", full)

    async def story() -> None:
        with pytest.raises(CredentialError, match="is not refreshed: No space left"):
            await world.token()

    run(story())
    assert tokens.asked == []


def test_a_request_that_ends_early_ends_no_refresh(home: Path, tokens: TokenService) -> None:
    world = at_a(home, tokens)
    go_on = threading.Event()
    tokens.before = lambda: waited(go_on)

    async def story() -> None:
        first = asyncio.create_task(world.token())
        while not tokens.asked:
            await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        finishing = asyncio.create_task(world.credentials.finish())
        await asyncio.sleep(0)
        go_on.set()
        await finishing

    run(story())
    assert logins.load(home, "work").refresh_token == SecretStr(tokens.refresh)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an access token"),
        (b"[]", "without an access token"),
        (b'{"access_token": "a b"}', "without an access token"),
        (b"{" * 100_000, "more than a token"),
        (json.dumps({"access_token": 3}).encode(), "without an access token"),
    ],
)
def test_an_answer_that_is_none_is_told_and_the_note_stays(
    home: Path, upstream: Upstream, answer: bytes, words: str
) -> None:
    upstream.answer = lambda asked: plain(asked, answer)
    service = TokenService(url=upstream.url)
    world = at_a(home, service)

    async def story() -> None:
        with pytest.raises(CredentialError, match=words):
            await world.token()

    run(story())
    kept = logins.load(home, "work")
    assert kept.refresh_token == SecretStr(FIRST)
    assert kept.asked_at == world.now


def test_a_redirect_is_not_followed(home: Path, upstream: Upstream, tokens: TokenService) -> None:
    upstream.answer = lambda asked: plain(asked, b"", 307, Location=tokens.url)
    world = at_a(home, TokenService(url=upstream.url))

    async def story() -> None:
        with pytest.raises(CredentialError, match="answered 307"):
            await world.token()

    run(story())
    assert tokens.asked == []


def test_whoever_waits_for_a_key_is_told_of_another_one_alone(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(CANARY)
    credentials = Credentials(tmp_path, lambda _url: None, {})
    service = Service(base_url="http://x", credential=FromFile(path=str(key)))

    async def story() -> None:
        held = await credentials.with_secret(service)
        assert held.secret == SecretStr(CANARY)
        assert await credentials.renewed(service, CANARY) is None
        key.write_text(f"{CANARY}-2")
        while (new := await credentials.renewed(service, CANARY)) is None:
            await asyncio.sleep(0.05)
        assert new.secret == SecretStr(f"{CANARY}-2")
        key.unlink()
        while await credentials.renewed(service, f"{CANARY}-3") is not None:
            await asyncio.sleep(0.05)
        given = Service(base_url="http://x", secret=CANARY)
        assert await credentials.with_secret(given) is given
        assert await credentials.renewed(given, CANARY) is None

    run(story())
