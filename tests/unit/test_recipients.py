"""Who is told of the night, by the configuration file; and what is said of slips."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from runner import settings
from runner.accounts import FromCommand, FromEnvironment, FromFile, FromKeyring
from runner.config_file import ConfigFile, problems, recipients
from runner.errors import UsageError
from runner.recipients import KINDS, Quiet, Recipient
from runner.settings import Settings

CANARY = "canary-0123456789"
FOLDER, HOME = Path("/etc/somewhere"), Path("/home/me")
PHONE = '[[notify.to]]\nname = "phone"\n'


def told(text: str, **environment: str) -> tuple[Recipient, ...]:
    return recipients(ConfigFile.model_validate(tomllib.loads(text)), FOLDER, HOME, environment)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ('{ file = "~/url" }', FromFile(path="/home/me/url")),
        ('{ file = "url" }', FromFile(path="/etc/somewhere/url")),
        ('{ command = ["pass", "show", "x"] }', FromCommand(run=("pass", "show", "x"))),
        ('{ keyring = { service = "corral", user = "x" } }', FromKeyring(service="corral", user="x")),
        ('{ env = "CHAT_URL" }', FromEnvironment(name="CHAT_URL")),
    ],
)
def test_a_url_comes_from_where_credentials_come_from(url: str, source: object) -> None:
    (phone,) = told(f"{PHONE}url = {url}")
    assert (phone.name, phone.source, phone.on, phone.quiet) == ("phone", source, KINDS, None)


def test_a_url_of_the_environment_is_a_secret() -> None:
    (phone,) = told(f'{PHONE}url = {{ env = "CHAT_URL" }}', CHAT_URL=f" json://host/{CANARY}\n")
    assert phone.secret is not None
    assert phone.secret.get_secret_value() == f"json://host/{CANARY}"
    assert CANARY not in repr(phone) + phone.model_dump_json()


def test_quiet_hours_are_everybodys_unless_one_says_otherwise() -> None:
    text = '[notify]\nquiet = "22:00-7:00"\n'
    text += f"{PHONE}desktop = true\n"
    text += '[[notify.to]]\nname = "mail"\ndesktop = true\nquiet = false\n'
    text += '[[notify.to]]\nname = "desk"\ndesktop = true\nquiet = "12:00-13:00"\non = ["end"]\n'
    phone, mail, desk = told(text)
    assert phone.quiet == Quiet(begin=22 * 60, end=7 * 60)
    assert mail.quiet is None
    assert (str(desk.quiet), desk.on) == ("12:00-13:00", ("end",))


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (f'{PHONE}url = "json://{CANARY}"', "notify.to[0].url", "may not stand in this file"),
        (PHONE, "notify.to[0]", "one way is wanted"),
        (f'{PHONE}desktop = true\nurl = {{ env = "X" }}', "notify.to[0]", "one way is wanted"),
        (f"{PHONE}desktop = false", "notify.to[0].desktop", "it should be True"),
        (f'{PHONE}desktop = true\non = ["{CANARY}"]', "notify.to[0].on[0]", "it should be"),
        (f"{PHONE}desktop = true\non = []", "notify.to[0].on", "it is empty"),
        (f'{PHONE}desktop = true\nquiet = "{CANARY}"', "notify.to[0].quiet", "quiet hours are wanted"),
        ('[notify]\nquiet = "22:00-22:00"', "notify.quiet", "quiet hours are wanted"),
        ('[notify]\nquiet = "22-7"', "notify.quiet", "quiet hours are wanted"),
        (f'[notify]\nurl = "{CANARY}"', "notify.url", "there is no such key"),
        (f'[notify]\ntoken = "{CANARY}"', "notify.token", "may not stand in this file"),
        (
            f'{PHONE}url = {{ login = {{ token_url = "https://x/y", client_id = "c" }} }}',
            "notify.to[0]",
            "not from a login",
        ),
        (
            f'{PHONE}desktop = true\n[[notify.to]]\nname="phone"\ndesktop = true',
            "notify.to",
            "two recipients",
        ),
    ],
)
def test_slips_are_named_and_nothing_of_their_values_is_shown(text: str, where: str, what: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        told(text)
    said = list(problems(wrong.value))
    assert any(words.startswith(where) and what in words for words in said), said
    assert CANARY not in " ".join(said)


def test_a_login_file_of_an_agent_is_no_place_for_a_url() -> None:
    with pytest.raises(ValueError, match=r"notify\.to phone: that is Claude Code's own login"):
        told(f'{PHONE}url = {{ file = "~/.claude/.credentials.json" }}')


def test_the_settings_hold_who_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'{PHONE}url = {{ env = "CHAT_URL" }}\n')
    monkeypatch.setenv("CORRAL_CONFIG", str(file))
    monkeypatch.setenv("CHAT_URL", f"json://host/{CANARY}")
    monkeypatch.setenv("CORRAL_RECIPIENTS", "[1]")  # no way in
    (phone,) = settings.load().recipients
    assert phone.name == "phone"
    assert CANARY not in repr(settings.load())
    monkeypatch.setenv("CHAT_URL", f"{CANARY} two words")
    with pytest.raises(UsageError) as wrong:
        settings.load()
    assert "notify.to phone" in str(wrong.value)
    assert CANARY not in str(wrong.value)
    assert Settings(home=tmp_path).recipients == ()
