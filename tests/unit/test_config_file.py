"""The configuration file and the environment: which accounts they come to, and what is said of slips."""

from __future__ import annotations

import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from runner import settings
from runner.accounts import (
    FromCommand,
    FromEnvironment,
    FromFile,
    FromKeyring,
    FromLogin,
    Prior,
    Provider,
    ProviderAccount,
    one_word,
)
from runner.config_file import ConfigFile, problems, resolve, whose_login
from runner.errors import UsageError
from runner.gateway.grants import Service
from runner.settings import Settings
from runner.supervisor.access import services

CANARY = "sk-ant-canary-0123456789"
FOLDER, HOME = Path("/etc/somewhere"), Path("/home/me")
NAMED = '[[accounts]]\nname = "work"\nprovider = "anthropic"\n'


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_BASE_URL"),
        *("OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "CORRAL_CONFIG"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path / "home"))


def accounts(text: str, **environment: str) -> tuple[ProviderAccount, ...]:
    return resolve(ConfigFile.model_validate(tomllib.loads(text)), FOLDER, HOME, environment)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "xdg" / "corral" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


# -- what it comes to


@pytest.mark.parametrize(
    ("credential", "source"),
    [
        ('{ file = "~/.keys/a" }', FromFile(path="/home/me/.keys/a")),
        ('{ file = "a" }', FromFile(path="/etc/somewhere/a")),
        ('{ file = "/a" }', FromFile(path="/a")),
        ('{ command = ["pass", "show", "~/x"] }', FromCommand(run=("pass", "show", "~/x"))),
        ('{ command = ["~/bin/key"] }', FromCommand(run=("/home/me/bin/key",))),
        ('{ keyring = { service = "s", user = "u" } }', FromKeyring(service="s", user="u")),
        ('{ env = "MY_KEY" }', FromEnvironment(name="MY_KEY")),
        (
            '{ login = { token_url = "https://t.example/token", client_id = "c", body = "json" } }',
            FromLogin(account="work", token_url="https://t.example/token", client_id="c", body="json"),
        ),
    ],
)
def test_where_a_credential_is_to_be_had(credential: str, source: object) -> None:
    (one,) = accounts(f"{NAMED}credential = {credential}\n", MY_KEY=CANARY)
    assert one.source == source
    assert one.secret == (SecretStr(CANARY) if isinstance(source, FromEnvironment) else None)
    assert CANARY not in repr(one) + str(one) + one.model_dump_json()


@pytest.mark.parametrize(
    ("lines", "header", "subscription", "base_url"),
    [
        ('provider = "anthropic"', "x-api-key", False, "https://api.anthropic.com"),
        ('provider = "anthropic"\nsubscription = true', "authorization", True, "https://api.anthropic.com"),
        (
            'provider = "anthropic"\nheader = "authorization"',
            "authorization",
            False,
            "https://api.anthropic.com",
        ),
        ('provider = "openai"', "authorization", False, "https://api.openai.com/v1"),
        ('provider = "gemini"', "x-goog-api-key", False, "https://generativelanguage.googleapis.com"),
        (
            'provider = "openai"\nbase_url = "http://gpu:8000/v1/"',
            "authorization",
            False,
            "http://gpu:8000/v1",
        ),
    ],
)
def test_what_a_provider_is_shown_by_default(
    lines: str, header: str, subscription: bool, base_url: str
) -> None:
    (one,) = accounts(f'[[accounts]]\nname = "a"\n{lines}\ncredential = {{ file = "/k" }}\n')
    assert (one.header, one.subscription, one.base_url) == (header, subscription, base_url)


def test_a_login_of_claude_s_is_a_subscription() -> None:
    login = 'credential = { login = { token_url = "http://127.0.0.1:1/t", client_id = "c" } }\n'
    (one,) = accounts(NAMED + login)
    assert (one.header, one.subscription) == ("authorization", True)
    (one,) = accounts(NAMED + login + "subscription = false\n")
    assert (one.header, one.subscription) == ("authorization", False)


def test_a_service_of_one_s_own_needs_no_credential() -> None:
    (one,) = accounts('[[accounts]]\nname = "gpu"\nprovider = "openai"\nbase_url = "http://gpu:8000/v1"\n')
    assert (one.source, one.secret) == (None, None)


def test_what_an_account_bears_is_taken_as_it_stands() -> None:
    (one,) = accounts(
        f'{NAMED}credential = {{ file = "/k" }}\nlimits = {{ at_once = 8, tokens = 400_000 }}\n'
    )
    assert one.limits == Prior(at_once=8, tokens=400_000)
    (service,) = (made for _, made in services(Settings(accounts=(one,))) if isinstance(made, Service))
    assert service.prior == one.limits


def test_the_order_is_the_file_s() -> None:
    text = "".join(
        f'[[accounts]]\nname = "{name}"\nprovider = "{provider}"\ncredential = {{ file = "/k" }}\n'
        for name, provider in [("b", "anthropic"), ("o", "openai"), ("a", "anthropic")]
    )
    made = Settings(accounts=accounts(text))
    assert [one.name for one in made.accounts_of("anthropic")] == ["b", "a"]
    assert [one.name for one in made.accounts_of("openai")] == ["o"]
    assert made.accounts_of("gemini") == ()


# -- the environment


@pytest.mark.parametrize(
    ("variables", "provider", "header", "subscription", "source"),
    [
        (["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"], "anthropic", "x-api-key", False, "ANTHROPIC_API_KEY"),
        (["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"], "anthropic", "authorization", False,
         "ANTHROPIC_AUTH_TOKEN"),
        (["CLAUDE_CODE_OAUTH_TOKEN"], "anthropic", "authorization", True, "CLAUDE_CODE_OAUTH_TOKEN"),
        (["OPENAI_API_KEY"], "openai", "authorization", False, "OPENAI_API_KEY"),
        (["GEMINI_API_KEY"], "gemini", "x-goog-api-key", False, "GEMINI_API_KEY"),
    ],
)  # fmt: skip
def test_variables_mean_what_they_mean_to_the_providers_own_clients(
    monkeypatch: pytest.MonkeyPatch,
    variables: list[str],
    provider: Provider,
    header: str,
    subscription: bool,
    source: str,
) -> None:
    for name in variables:
        monkeypatch.setenv(name, f"{CANARY}-{name}")
    (one,) = settings.load().accounts_of(provider)
    assert (one.name, one.header, one.subscription) == ("default", header, subscription)
    assert one.source == FromEnvironment(name=source)
    assert one.secret == SecretStr(f"{CANARY}-{source}")


def test_a_provider_s_variables_give_way_to_its_accounts_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written(tmp_path, f'{NAMED}credential = {{ file = "k" }}\n')
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    made = settings.load()
    (work,) = made.accounts_of("anthropic")
    assert (work.name, work.source) == ("work", FromFile(path=str(file.parent / "k")))
    assert [one.name for one in made.accounts_of("openai")] == ["default"]
    assert made.unused_variables == ("ANTHROPIC_API_KEY",)


def test_only_the_file_lists_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNTS", "CORRAL_ACCOUNTS", "accounts"):
        monkeypatch.setenv(name, "[]x")
    assert settings.load().accounts == ()


# -- slips


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NAMED + f'credential = "{CANARY}"', "accounts[0].credential: a credential itself may not stand in"),
        (NAMED + f'api_key = "{CANARY}"\ncredential = {{ file = "k" }}', "accounts[0].api_key: a credential"),
        (NAMED + f'credential = {{ secret = "{CANARY}" }}', "[0].credential.secret: a credential"),
        (NAMED + f'credential = {{ env = "{CANARY}" }}', "accounts[0].credential.env: env names a variable"),
        (NAMED + f'credential = {{ command = "echo {CANARY}" }}', "[0].credential.command: a list is"),
        (NAMED + 'credential = { file = "k", env = "K" }', "accounts[0].credential: one source is wanted"),
        (NAMED + "credential = {}", "accounts[0].credential: one source is wanted"),
        (NAMED + 'credential = { file = "" }', "accounts[0].credential.file: it is empty"),
        (NAMED + "credential = { command = [] }", "accounts[0].credential.command: it is empty"),
        (NAMED + 'credential = { keyring = { service = "s" } }', "credential.keyring.user: it is missing"),
        (NAMED + "credential = { login = true }", "accounts[0].credential.login: a table is wanted"),
        (NAMED + 'credential = { login = { token_url = "http://t.example", client_id = "c" } }', "by https"),
        (NAMED, "accounts[0]: the provider's own service wants a credential"),
        (NAMED + f'base_url = "https://u:{CANARY}@x"', "accounts[0].base_url: the service's address may"),
        (NAMED + 'base_url = "ftp://x"', "accounts[0].base_url: the service's address must start with http"),
        (NAMED.replace("work", "My Work") + 'credential = { file = "k" }', "[0].name: a name is up to"),
        (NAMED.replace("work", "../x") + 'credential = { file = "k" }', "accounts[0].name: a name is up to"),
        (NAMED.replace("anthropic", "acme") + 'credential = { file = "k" }', "[0].provider: it should be"),
        (NAMED + 'header = "cookie"\ncredential = { file = "k" }', "accounts[0].header: it should be"),
        (f'{NAMED}credential = {{ file = "k" }}\n' * 2, "accounts: two accounts are called work"),
        (NAMED.replace("anthropic", "openai") + 'subscription = true\nbase_url = "http://x"', "for Claude"),
        (NAMED + 'credential = { file = "k" }\nlimits = { at_once = 0 }', "limits.at_once: it should be"),
        (NAMED + 'credential = { file = "k" }\nlimits = { tokens = "9" }', "limits.tokens: it should be a"),
        (NAMED + 'credential = { file = "k" }\nlimits = { day = 9 }', "[0].limits.day: there is no such key"),
        ("account = 1", "account: there is no such key"),
        (NAMED + 'colour = "red"\ncredential = { file = "k" }', "accounts[0].colour: there is no such key"),
        (f'{CANARY}x{CANARY} = "x"', "…: "),
        ("accounts = 3", "accounts: a list is wanted"),
        ("[[accounts]\n", "is not TOML"),
        (NAMED + 'credential = { file = "~/.claude/.credentials.json" }', "work: that is Claude Code's own"),
        (NAMED + 'credential = { file = "/x/.codex/auth.json" }', "account work: that is Codex's own login"),
        (NAMED + 'credential = { env = "MY_KEY" }', "account work: the credential holds a space"),
    ],
)  # fmt: skip
def test_a_slip_is_told_by_file_and_key_and_never_with_its_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str
) -> None:
    monkeypatch.setenv("MY_KEY", f"{CANARY} {CANARY}")
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as wrong:
        settings.load()
    assert str(file) in wrong.value.message
    assert words in wrong.value.message
    assert wrong.value.cure
    error: BaseException | None = wrong.value
    while error is not None:
        assert CANARY not in f"{error} {error!r}"
        error = error.__cause__


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match=r"there is no file .*none\.toml"):
        settings.load()


def test_what_anybody_may_write_is_not_read(tmp_path: Path) -> None:
    written(tmp_path, "").chmod(0o666)
    with pytest.raises(UsageError, match="anybody may write"):
        settings.load()


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_what_can_t_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = written(tmp_path, "")
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"config\.toml (is not UTF-8|can't be read)"):
        settings.load()


TOML = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.just(CANARY) | st.sampled_from(["anthropic", "k", "", "K"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "provider", "credential", "file", "env", "command", "keyring", "login", "token"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=TOML)
def test_whatever_stands_there_no_value_is_told(value: object) -> None:
    told: list[str] = []
    try:
        ConfigFile.model_validate({"accounts": value})
    except ValidationError as error:
        told += [str(error), *problems(error)]
    assert len(told) != 1
    assert CANARY not in " ".join(told)


@given(text=st.text(max_size=30))
def test_a_credential_is_one_word_of_plain_signs(text: str) -> None:
    plain = all("!" <= letter <= "~" for letter in text.strip())
    with nullcontext() if plain else pytest.raises(ValueError, match="the credential holds a space, a line"):
        assert one_word(text) == text.strip()


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/home/me/.claude/.credentials.json", "Claude Code"),
        ("/elsewhere/.credentials.json", "Claude Code"),
        ("/home/me/.codex/auth.json", "Codex"),
        ("/home/me/.gemini/oauth_creds.json", "Gemini CLI"),
        ("/home/me/.keys/auth.json", None),
    ],
)
def test_an_agent_cli_s_own_login_is_known(path: str, whose: str | None) -> None:
    assert whose_login(Path(path), HOME) == whose
