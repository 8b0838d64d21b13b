"""Logins: what is taken for one, when it is refreshed, and how its file is kept."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

from runner import cli
from runner.errors import HostError, UsageError
from runner.gateway.keys import logins
from runner.gateway.keys.logins import AHEAD, Login
from runner.gateway.keys.sources import CredentialError
from tests.support import CORRAL, Corral

CANARY = "rt-canary-0123456789abcdef"
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "access", "expires_at"),
    [
        (f"{CANARY}\n", None, None),
        (json.dumps({"refresh_token": CANARY}), None, None),
        (json.dumps({"refresh_token": CANARY, "access_token": "at", "expires_in": 60}), "at", NOW + 60),
        (json.dumps({"refresh_token": CANARY, "access_token": "at", "expires_at": NOW + 9}), "at", NOW + 9),
        (
            json.dumps(
                {"claudeAiOauth": {"refreshToken": CANARY, "accessToken": "at", "expiresAt": NOW * 1000}}
            ),
            "at",
            NOW,
        ),
        (
            json.dumps({"tokens": {"refresh_token": CANARY, "access_token": "at", "id_token": "x"}}),
            "at",
            None,
        ),
        (json.dumps({"refresh_token": CANARY, "access_token": 3, "expires_in": True}), None, None),
    ],
)
def test_what_is_taken_for_a_login(text: str, access: str | None, expires_at: float | None) -> None:
    login = logins.parse(text, NOW)
    assert login.refresh_token == SecretStr(CANARY)
    assert login.access_token == (None if access is None else SecretStr(access))
    assert login.expires_at == expires_at
    assert CANARY not in repr(login) + str(login) + login.model_dump_json()


@pytest.mark.parametrize(
    "text",
    ["", " \n", "two words", "{}", "[]", '{"access_token": "x"}', '{"refresh_token": "a b"}', "{", "é"],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(CredentialError) as wrong:
        logins.parse(text, NOW)
    assert wrong.value.cure == logins.WANTED


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just(CANARY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["refresh_token", "access_token", "expires_in", "expires_at", "tokens", "x"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(said=JSON)
def test_whatever_is_given_no_error_shows_it(said: object) -> None:
    try:
        login = logins.parse(json.dumps(said), NOW)
    except CredentialError as wrong:
        assert CANARY not in f"{wrong} {wrong!r}"  # noqa: PT017
    else:
        assert login.is_over(NOW) or login.access_token is not None


@given(answer=st.dictionaries(st.sampled_from(["refresh_token", "access_token", "expires_in"]), JSON))
def test_whatever_a_token_service_answers_the_refresh_token_is_kept(answer: dict[str, Any]) -> None:
    before = Login(refresh_token=CANARY)
    try:
        after = logins.answered(before, answer, NOW)
    except CredentialError:
        return
    assert after.access_token is not None
    assert after.refresh_token.get_secret_value()
    assert after.asked_at is None


@given(lasts=st.floats(1, 1e7), share=st.floats(0, 1.2))
def test_it_is_refreshed_before_it_is_over_and_not_much_earlier(lasts: float, share: float) -> None:
    login = Login(refresh_token=CANARY, access_token="at", issued_at=NOW, expires_at=NOW + lasts)
    now = NOW + lasts * share
    if login.is_over(now):
        assert login.is_due(now)
    if share < 0.79 and now < NOW + lasts - AHEAD:
        assert not login.is_due(now)
    if now > NOW + lasts - min(AHEAD, lasts / 5) * 0.99:
        assert login.is_due(now)


def test_one_that_is_not_told_to_end_is_refreshed_on_refusal_alone() -> None:
    login = Login(refresh_token=CANARY, access_token="at")
    assert not login.is_due(NOW * 2)
    assert not login.is_over(NOW * 2)


# -- the file


def test_the_file_is_the_user_s_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert logins.save(tmp_path, "a", Login(refresh_token=CANARY))
    finally:
        os.umask(old)
    file = logins.file_of(tmp_path, "a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert logins.load(tmp_path, "a") == Login(refresh_token=CANARY)
    file.with_suffix(".new").write_text("left by one who was killed")
    file.with_suffix(".new").chmod(0o644)
    before = file.stat().st_ino
    fuller = Login(refresh_token=f"{CANARY}2", access_token="at", issued_at=1, expires_at=2, asked_at=3)
    assert logins.save(tmp_path, "a", fuller)
    assert logins.load(tmp_path, "a") == fuller
    assert file.stat().st_ino != before
    assert {one.name for one in file.parent.iterdir()} == {"a.json", "a.lock"}


def test_a_newer_login_is_not_overwritten(tmp_path: Path) -> None:
    first, second = Login(refresh_token=CANARY), Login(refresh_token=f"{CANARY}2")
    logins.save(tmp_path, "a", second)
    assert not logins.save(tmp_path, "a", Login(refresh_token="x"), instead_of=first)
    assert logins.load(tmp_path, "a") == second
    logins.file_of(tmp_path, "a").unlink()
    assert not logins.save(tmp_path, "a", first, instead_of=first)


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'{"refresh_token": "a", "more": 1}'])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    logins.save(tmp_path, "a", Login(refresh_token=CANARY))
    logins.file_of(tmp_path, "a").write_bytes(content)
    with pytest.raises(CredentialError, match="is damaged") as wrong:
        logins.load(tmp_path, "a")
    assert wrong.value.cure == "corral gateway login a"


# -- the command

CONFIG = """\
[[accounts]]
name = "max"
provider = "anthropic"
credential = { login = { token_url = "https://t.example/token", client_id = "c" } }

[[accounts]]
name = "key"
provider = "anthropic"
credential = { file = "/k" }
"""


@pytest.fixture
def corral(tmp_path: Path) -> Corral:
    (tmp_path / "config.toml").write_text(CONFIG)
    env = {"CORRAL_CONFIG": str(tmp_path / "config.toml"), "HOME": str(tmp_path)}
    return Corral(tmp_path / "home", env)


def call(corral: Corral, *arguments: str | Path, said: str = "") -> BaseException | None:
    done = CliRunner().invoke(
        cli.app, ["gateway", "login", *map(str, arguments)], input=said, env=corral.environment
    )
    assert CANARY not in done.output
    return done.exception


def test_a_login_is_taken_in_from_standard_input_and_from_a_file(corral: Corral, tmp_path: Path) -> None:
    assert call(corral, "max", said=f"{CANARY}\n") is None
    assert logins.load(corral.home, "max").refresh_token == SecretStr(CANARY)
    assert stat.S_IMODE(logins.file_of(corral.home, "max").stat().st_mode) == 0o600
    file = tmp_path / "given.json"
    file.write_text(json.dumps({"refresh_token": f"{CANARY}2"}))
    assert call(corral, "max", "--from", file) is None
    assert logins.load(corral.home, "max").refresh_token == SecretStr(f"{CANARY}2")


@pytest.mark.parametrize("by", ["name", "link", "hard link"])
@pytest.mark.parametrize(
    "place", [".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json"]
)
def test_an_agent_cli_s_own_login_is_refused(corral: Corral, tmp_path: Path, place: str, by: str) -> None:
    own, given = tmp_path / place, tmp_path / "given"
    own.parent.mkdir()
    own.write_text(json.dumps({"refresh_token": CANARY}))
    if by == "name":
        given = own
    elif by == "link":
        given.symlink_to(own)
    else:
        given.hardlink_to(own)
    refused = call(corral, "max", "--from", given)
    assert isinstance(refused, UsageError)
    assert "own login, and two who refresh one login log each other out" in refused.message
    assert not corral.home.exists()


def test_it_is_refused_from_standard_input_too(corral: Corral, tmp_path: Path) -> None:
    own = tmp_path / ".claude" / ".credentials.json"
    own.parent.mkdir()
    own.write_text(json.dumps({"refresh_token": CANARY}))
    with own.open() as opened:
        done = subprocess.run(
            [*CORRAL, "gateway", "login", "max"],
            check=False, stdin=opened, capture_output=True, text=True, env=corral.environment, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "that is Claude Code's own login" in done.stderr
    assert not corral.home.exists()


@pytest.mark.parametrize(
    ("arguments", "said", "words"),
    [
        (["none"], CANARY, "there is no account 'none'; there are: max, key"),
        (["key"], CANARY, "the account key does not use a login"),
        (["max"], "two words", "that is no login"),
        (["max"], "", "that is no login"),
        (["max"], "x" * 70_000, "that is no login"),
        (["max", "--from", "/nowhere/at/all"], "", "/nowhere/at/all can't be read"),
    ],
)
def test_a_slip_is_told(corral: Corral, arguments: list[str], said: str, words: str) -> None:
    refused = call(corral, *arguments, said=said)
    assert isinstance(refused, UsageError)
    assert words in refused.message


def test_a_place_that_can_t_be_written_is_told(corral: Corral) -> None:
    corral.home.mkdir()
    (corral.home / "g").write_text("a file where a directory should be")
    assert isinstance(call(corral, "max", said=CANARY), HostError)
