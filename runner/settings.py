"""The only reader of the environment: Corral's own settings, and the credentials people already set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runner.errors import UsageError

BOX_UID = 59_999
"""Default uid inside boxes: the last of the range for people (login.defs), so hardly ever anyone's."""


def _default_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "corral"


class Settings(BaseSettings):
    """Corral's settings; each is a `CORRAL_*` variable."""

    model_config = SettingsConfigDict(
        env_prefix="CORRAL_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path = Field(default_factory=_default_home)
    """Where state lies: journal, workspaces, logs, caches."""
    jobs: int | None = Field(default=None, ge=1)
    """How many attempts live at once; by default as many as cores and memory bear."""
    box_uid: int = Field(default=BOX_UID, ge=1, le=2**31)
    """The uid of everything inside boxes; not one of a person on this host."""
    ca_bundle: Annotated[Path | None, NoDecode] = Field(
        default=None,
        validation_alias=AliasChoices(
            "CORRAL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "PIP_CERT",
            "NODE_EXTRA_CA_CERTS",
            "CURL_CA_BUNDLE",
        ),
    )
    """Certificates that image builds need besides the usual ones (corporate proxies, mirrors)."""

    anthropic_base_url: str = Field(
        default="https://api.anthropic.com", validation_alias="ANTHROPIC_BASE_URL"
    )
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_auth_token: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_AUTH_TOKEN")
    claude_code_oauth_token: SecretStr | None = Field(
        default=None, validation_alias="CLAUDE_CODE_OAUTH_TOKEN"
    )
    openai_base_url: str = Field(default="https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")

    gemini_base_url: str = Field(
        default="https://generativelanguage.googleapis.com", validation_alias="GOOGLE_GEMINI_BASE_URL"
    )
    gemini_api_key: SecretStr | None = Field(default=None, validation_alias="GEMINI_API_KEY")
    """As `openai_api_key`."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        place = home.expanduser().resolve()
        try:
            place.as_posix().encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place!a} is not UTF-8, and the engine takes no other paths") from error
        return place

    @property
    def credentials_found(self) -> tuple[str, ...]:
        """The names, never the values, of the credentials that are set."""
        found = {
            "ANTHROPIC_API_KEY": self.anthropic_api_key,
            "ANTHROPIC_AUTH_TOKEN": self.anthropic_auth_token,
            "CLAUDE_CODE_OAUTH_TOKEN": self.claude_code_oauth_token,
            "OPENAI_API_KEY": self.openai_api_key,
        }
        return tuple(name for name, value in found.items() if value is not None and value.get_secret_value())


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        UsageError: A variable has a value that can't be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError(
            "; ".join(_wrong(one) for one in error.errors()), cure="correct or unset it"
        ) from error


_PLAIN = {"int_parsing": "it is not a whole number", "path_type": "it is not a path"}
"""Pydantic's words for programmers, in other words."""


def _wrong(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    variable = name if name.isupper() else f"CORRAL_{name.upper()}"
    message = _PLAIN.get(error["type"], error["msg"])
    return f"{variable} can't be used: {message[:1].lower()}{message[1:]}"


def environment() -> Mapping[str, str]:
    """The process's environment, for what must be handed on (the engine's address, proxies)."""
    return dict(os.environ)


def forget_git_environment() -> None:
    """Drop every GIT_* variable, so that what called us (a hook, a rebase) can't redirect our git."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
