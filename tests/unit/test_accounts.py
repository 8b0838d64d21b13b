"""Who answers a profile: its CLI's provider, the accounts in their order, and what is said where none is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.accounts import (
    ADDRESSES,
    HEADERS,
    VARIABLES,
    FromCommand,
    FromEnvironment,
    FromFile,
    FromKeyring,
    FromLogin,
    Provider,
    ProviderAccount,
)
from runner.errors import UsageError
from runner.gateway.grants import ACCESSES, Service
from runner.gateway.keys import logins, sources
from runner.gateway.keys.logins import Login
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor import keys
from runner.supervisor.access import NoCredentialError, accesses_for, check_access, check_as_planned
from runner.supervisor.host import doctor
from runner.supervisor.host.forecast import _outlet
from runner.tasks.plan import (
    ClaudeSettings,
    CodexSettings,
    CommandSettings,
    Plan,
    PlannedAttempt,
    Profile,
    Upstream,
)
from tests.unit.makers import after, life, make_plan, started

CANARY = "sk-ant-canary-0123456789"
CLAUDE = Profile(name="c", settings=ClaudeSettings(model="m"), hash="c")
CODEX = Profile(name="o", settings=CodexSettings(model="m"), hash="o")
COMMAND = Profile(name="x", settings=CommandSettings(run=("true",)), hash="x")
LOGIN = FromLogin(account="l", token_url="https://t.example/token", client_id="c")
KEY = AttemptKey("t", "p")
URL = "http://own.example"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [name for names in VARIABLES.values() for name in names]
    for name in (*keys, "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def account(name: str, provider: Provider = "anthropic", **changes: Any) -> ProviderAccount:
    given = {"base_url": ADDRESSES[provider], "header": HEADERS[provider], **changes}
    return ProviderAccount(name=name, provider=provider, **given)


def having(tmp_path: Path, *accounts: ProviderAccount) -> Settings:
    return Settings(home=tmp_path / "home", config=tmp_path / "config.toml", accounts=accounts)


def named(settings: Settings, profile: Profile, *, every: bool = False) -> list[tuple[str, str]]:
    found = accesses_for(profile, KEY, settings, every_account=every)
    return [(one.dialect, one.account) for one in found if isinstance(one, Service)]


def plan_of(profile: Profile) -> Plan:
    plan = make_plan(PlannedAttempt(task="t", profile=profile.name))
    return plan.model_copy(update={"profiles": (profile,)})


def test_a_profile_gets_the_first_account_of_its_cli_s_provider(tmp_path: Path) -> None:
    file = FromFile(path="/k")
    settings = having(
        tmp_path,
        account("o", "openai", base_url=URL),
        account("a1", source=file),
        account("a2", source=file),
    )
    assert named(settings, CLAUDE) == [("anthropic", "a1")]
    assert named(settings, CLAUDE, every=True) == [("anthropic", "a1"), ("anthropic", "a2")]
    assert named(settings, CODEX) == [("openai", "o")]
    assert named(settings, COMMAND) == [("anthropic", "a1"), ("openai", "o")]


def test_what_is_granted_names_the_source_and_holds_no_secret(tmp_path: Path) -> None:
    for source in (FromFile(path="/k"), FromCommand(run=("p",)), FromKeyring(service="s", user="u"), LOGIN):
        (one,) = accesses_for(CLAUDE, KEY, having(tmp_path, account("a", source=source)))
        assert isinstance(one, Service)
        assert (one.credential, one.secret) == (source, SecretStr(""))
        assert ACCESSES.validate_python([one.wire()]) == (one,)


def test_a_variable_s_value_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    subscription, key = accesses_for(COMMAND, KEY, having(tmp_path))
    assert subscription == Service(
        base_url="https://api.anthropic.com", header="authorization", secret=CANARY, oauth=True
    )
    assert key == Service(
        dialect="openai", base_url="https://api.openai.com/v1", header="authorization", secret=CANARY
    )


def test_a_service_of_one_s_own_is_asked_without_a_credential(tmp_path: Path) -> None:
    (one,) = accesses_for(COMMAND, KEY, having(tmp_path, account("gpu", "openai", base_url=f"{URL}/v1")))
    assert one == Service(dialect="openai", base_url=f"{URL}/v1", header="authorization", account="gpu")


def test_without_any_account_an_agent_is_refused_and_a_command_asks_nobody(tmp_path: Path) -> None:
    settings = having(tmp_path)
    assert accesses_for(COMMAND, KEY, settings) == ()
    with pytest.raises(NoCredentialError, match="'c' calls a model, and no credential is set") as refused:
        accesses_for(CLAUDE, KEY, settings)
    assert "ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN or CLAUDE_CODE_OAUTH_TOKEN" in str(refused.value.cure)
    assert str(tmp_path / "config.toml") in str(refused.value.cure)
    assert _outlet(plan_of(CLAUDE), "c", settings).startswith("nothing yet: the profile 'c' calls a model")


def test_an_account_of_another_provider_does_not_help(tmp_path: Path) -> None:
    with pytest.raises(NoCredentialError):
        accesses_for(CLAUDE, KEY, having(tmp_path, account("o", "openai", base_url=URL)))


def test_a_named_variable_that_is_not_set_is_told(tmp_path: Path) -> None:
    settings = having(tmp_path, account("a", source=FromEnvironment(name="MY_KEY")))
    with pytest.raises(NoCredentialError, match="has its key from MY_KEY, which is not set"):
        accesses_for(CLAUDE, KEY, settings)


def test_a_comparison_goes_on_only_where_the_same_services_answer(tmp_path: Path) -> None:
    here = having(tmp_path, account("a", base_url=URL), account("b"))
    (place, _) = here.services_of("anthropic")
    asked = CLAUDE.model_copy(update={"upstream": Upstream(places=(place,))})
    plan = plan_of(asked)
    tasks = tuple(task.model_copy(update={"compared": True}) for task in plan.tasks)
    compared = started(plan.model_copy(update={"compared": ("c",), "tasks": tasks}))
    done = after(compared, *(event for one in compared.attempts for event in life(str(one), "rejected")))
    check_as_planned(compared, here)
    for others in (having(tmp_path, account("a")), having(tmp_path, account("o", "openai", base_url=URL))):
        check_as_planned(started(plan), others)
        check_as_planned(done, others)
        with pytest.raises(UsageError, match=f"c is compared as answered by {place}; now .* would answer it"):
            check_as_planned(compared, others)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (FromFile(path="/nowhere/key"), "account a of anthropic: /nowhere/key: No such file"),
        (FromCommand(run=("no-such-program-here",)), "the command no-such-program-here is not installed"),
        (LOGIN, "nobody has logged in"),
    ],
)
def test_a_run_is_refused_and_the_plan_says_so_where_a_credential_is_not_there(
    tmp_path: Path, source: Any, words: str
) -> None:
    settings = having(tmp_path, account("a", source=source))
    with pytest.raises(NoCredentialError, match=words) as refused:
        check_access(plan_of(CLAUDE), settings)
    assert refused.value.cure
    check_access(plan_of(COMMAND), settings)
    outlet = _outlet(plan_of(CLAUDE), "c", settings)
    assert outlet.startswith(
        "model calls to https://api.anthropic.com (account a), through the gateway; but "
    )


def test_the_keyring_s_library_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "has_keyring", lambda: False)
    settings = having(tmp_path, account("a", source=FromKeyring(service="s", user="u")))
    with pytest.raises(NoCredentialError) as refused:
        check_access(plan_of(CLAUDE), settings)
    assert refused.value.cure == "pip install 'corral[keyring]'"


def test_the_plan_says_by_which_account(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(CANARY)
    settings = having(tmp_path, account("work", source=FromFile(path=str(key))))
    check_access(plan_of(CLAUDE), settings)
    said = _outlet(plan_of(CLAUDE), "c", settings)
    assert said == "model calls to https://api.anthropic.com (account work), through the gateway"


def test_the_doctor_names_accounts_and_what_is_wrong_with_each(tmp_path: Path) -> None:
    key, wide, two = tmp_path / "key", tmp_path / "wide", tmp_path / "two"
    for file, text in ((key, CANARY), (wide, CANARY), (two, f"{CANARY} {CANARY}")):
        file.write_text(text)
        file.chmod(0o644 if file == wide else 0o600)
    settings = having(
        tmp_path,
        account("fine", source=FromFile(path=str(key))),
        account("wide", source=FromFile(path=str(wide))),
        account("two", source=FromFile(path=str(two))),
        account("fails", source=FromCommand(run=("sh", "-c", f"echo {CANARY}; exit 3"))),
        account("prints", source=FromCommand(run=("echo", CANARY))),
        account("unset", source=FromEnvironment(name="MY_KEY")),
        account("set", source=FromEnvironment(name="OTHER"), secret=CANARY),
        account("out", source=LOGIN.model_copy(update={"account": "out"})),
        account("in", source=LOGIN.model_copy(update={"account": "in"})),
        account("gpu", "openai", base_url=URL),
    )
    logins.save(settings.home, "in", Login(refresh_token=CANARY))
    found = {
        one.name.removeprefix("account "): one for one in keys.examine(settings, {"PATH": "/usr/bin:/bin"})
    }
    assert {name: one.level for name, one in found.items()} == {
        "fine": "ok",
        "wide": "weaker",
        "two": "broken",
        "fails": "broken",
        "prints": "ok",
        "unset": "broken",
        "set": "ok",
        "out": "broken",
        "in": "ok",
        "gpu": "ok",
    }
    assert found["wide"].cure == f"chmod 600 {wide}"
    assert "the command sh ended with 3" in found["fails"].found
    assert found["out"].cure == "corral gateway login out"
    assert CANARY not in repr(found) + repr(doctor._credentials(settings))
    assert "anthropic: fine (the file " in doctor._credentials(settings).found


def test_an_address_that_can_t_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_BASE_URL", "gpu:8000")
    with pytest.raises(UsageError, match="must start with http") as wrong:
        accesses_for(COMMAND, KEY, having(tmp_path))
    assert wrong.value.cure == "look at the OPENAI_* variables"
