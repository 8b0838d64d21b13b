"""Who answers an attempt: the service of its CLI, with the credential of that service and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.errors import UsageError
from runner.gateway.grants import Service
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor.access import NoCredentialError, accesses_for
from runner.tasks.plan import ClaudeSettings, CodexSettings, Profile

KEY = AttemptKey("t", "p")
CLAUDE = Profile(name="opus", settings=ClaudeSettings(model="m"), hash="h")
CODEX = Profile(name="codex", settings=CodexSettings(model="m"), hash="h")


def settings(**given: object) -> Settings:
    none = ("anthropic_api_key", "anthropic_auth_token", "claude_code_oauth_token", "openai_api_key")
    return Settings(home=Path("/x")).model_copy(update={**dict.fromkeys(none), **given})


def test_each_cli_is_granted_its_own_service_and_its_own_key() -> None:
    both = settings(anthropic_api_key=SecretStr("one"), openai_api_key=SecretStr("other"))
    (claude,), (codex,) = accesses_for(CLAUDE, KEY, both), accesses_for(CODEX, KEY, both)
    assert isinstance(claude, Service)
    assert isinstance(codex, Service)
    assert (claude.dialect, claude.header, claude.secret.get_secret_value()) == (
        "anthropic",
        "x-api-key",
        "one",
    )
    assert (codex.dialect, codex.header, codex.secret.get_secret_value()) == (
        "openai",
        "authorization",
        "other",
    )
    assert codex.base_url == both.openai_base_url


@pytest.mark.parametrize(
    ("profile", "given", "named"),
    [(CODEX, "anthropic_api_key", "OPENAI_API_KEY"), (CLAUDE, "openai_api_key", "ANTHROPIC_API_KEY")],
)
def test_the_other_service_s_key_does_not_do(profile: Profile, given: str, named: str) -> None:
    with pytest.raises(NoCredentialError, match="no credential is set for it") as caught:
        accesses_for(profile, KEY, settings(**{given: SecretStr("key")}))
    assert named in str(caught.value.cure)


def test_an_address_that_can_t_be_used_is_said_with_its_variable() -> None:
    with pytest.raises(UsageError, match="http:// or https://") as caught:
        accesses_for(CODEX, KEY, settings(openai_api_key=SecretStr("key"), openai_base_url="ftp://x"))
    assert "OPENAI_*" in str(caught.value.cure)
