"""The only reader of environment and configuration: Corral's settings, and the accounts people set up."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from runner import config_file
from runner.accounts import HEADERS, PROVIDERS, FromEnvironment, Provider, ProviderAccount, place_of
from runner.config_file import ConfigFile
from runner.errors import UsageError
from runner.recipients import Recipient
from runner.tasks.units import parse_duration, parse_size

BOX_UID = 59_999
"""Default uid inside boxes: the last of the range for people (login.defs), so hardly ever anyone's."""


def _default_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "corral"


def _default_config() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "corral" / "config.toml"


Seconds = Annotated[float, Field(ge=0), BeforeValidator(parse_duration)]
"""Seconds, written as in a task file."""

Size = Annotated[int, Field(ge=0), BeforeValidator(parse_size)]
"""Bytes, written as in a task file."""


class _Variables(EnvSettingsSource):
    """The environment, for all settings but those that stand in the configuration file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        if field_name in {"accounts", "recipients"}:
            return None, field_name, False
        return super().get_field_value(field, field_name)


class Settings(BaseSettings):
    """Corral's settings: each a variable of the environment, `CORRAL_*` where it is Corral's own."""

    model_config = SettingsConfigDict(
        env_prefix="CORRAL_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path = Field(default_factory=_default_home)
    """Where state lies: journal, workspaces, logs, caches."""
    jobs: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """How many attempts live at once; by default as many as the host bears."""
    overcommit_memory: float = Field(default=1.5, ge=0.1, le=100)
    """How many times the memory that the host can give away is promised to attempts by their limits."""
    overcommit_cpus: float = Field(default=10.0, ge=0.1, le=1000)
    """The same for CPUs: agents wait for their model most of the time."""
    overcommit_disk: float = Field(default=8.0, ge=0.1, le=1000)
    """The same for the disk of the state directory: few fill theirs."""
    keep_memory: Size | None = None
    """Memory that stays free for others, like `2GiB`; a tenth of all by default, from 512 MiB to 4 GiB."""
    room_patience: Seconds = Field(default=1800.0, validate_default=False)
    """How long something waits for room on the host while nothing lives that could give any, like `30min`."""
    critical_memory: Size | None = None
    """With less free memory agents are frozen, and then ended; two fifths of what stays free by default."""
    keep_disk: Size | None = None
    """Room that stays free on a disk, like `5GiB`; a twentieth by default, and 1 GiB at most."""
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

    config: Path = Field(default_factory=_default_config)
    """The configuration file, which need not be there unless it was named."""
    accounts: tuple[ProviderAccount, ...] = ()
    """The accounts that stand in it, in its order."""
    recipients: tuple[Recipient, ...] = ()
    """Who is told of what happens in the night, by the same file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - these come by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, then the environment; see `load` for the configuration file."""
        return init_settings, _Variables(settings_cls)

    @field_validator("config")
    @classmethod
    def _config_absolute(cls, config: Path) -> Path:
        return config.expanduser().absolute()

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        place = home.expanduser().resolve()
        try:
            place.as_posix().encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place!a} is not UTF-8, and the engine takes no other paths") from error
        return place

    def accounts_of(self, provider: Provider) -> tuple[ProviderAccount, ...]:
        """A provider's accounts, in the order in which they are to be used.

        Where the configuration file has any, the environment's variables for that provider count for
        nothing, unless the file names them.
        """
        listed = tuple(account for account in self.accounts if account.provider == provider)
        if listed:
            return listed
        usual = self._usual(provider)
        return () if usual is None else (usual,)

    def services_of(self, provider: Provider) -> tuple[str, ...]:
        """Where a provider's accounts are answered, as `place_of` says it.

        An address that can't be used is left out: whoever goes there says so.
        """
        found = []
        for account in self.accounts_of(provider):
            with suppress(ValueError):
                found.append(place_of(account.base_url))
        return tuple(found)

    @property
    def unused_variables(self) -> tuple[str, ...]:
        """The variables that hold a credential and count for nothing."""
        return tuple(
            name
            for provider in PROVIDERS
            for name, secret in self._variables(provider).items()
            if secret is not None
            and all(one.source != FromEnvironment(name=name) for one in self.accounts_of(provider))
        )

    def _usual(self, provider: Provider) -> ProviderAccount | None:
        """The account that a provider's variables stand for."""
        for name, secret in self._variables(provider).items():
            if secret is not None and secret.get_secret_value():
                bearer = name in ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
                return ProviderAccount(
                    provider=provider,
                    base_url=self._address(provider),
                    header="authorization" if bearer else HEADERS[provider],
                    subscription=name == "CLAUDE_CODE_OAUTH_TOKEN",
                    source=FromEnvironment(name=name),
                    secret=secret,
                )
        return None

    def _variables(self, provider: Provider) -> dict[str, SecretStr | None]:
        """In the order in which they count."""
        if provider == "anthropic":
            return {
                "ANTHROPIC_API_KEY": self.anthropic_api_key,
                "ANTHROPIC_AUTH_TOKEN": self.anthropic_auth_token,
                "CLAUDE_CODE_OAUTH_TOKEN": self.claude_code_oauth_token,
            }
        if provider == "openai":
            return {"OPENAI_API_KEY": self.openai_api_key}
        return {"GEMINI_API_KEY": self.gemini_api_key}

    def _address(self, provider: Provider) -> str:
        return {
            "anthropic": self.anthropic_base_url,
            "openai": self.openai_base_url,
            "gemini": self.gemini_base_url,
        }[provider]


def load() -> Settings:
    """Read the settings from the environment, and the accounts from the configuration file.

    Raises:
        UsageError: A variable, or a key of the file, has a value that can't be used.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise UsageError(
            "; ".join(_wrong(one) for one in error.errors()), cure="correct or unset it"
        ) from None
    return settings.model_copy(update={**_configured(settings.config)})


MAX_CONFIG = 1024 * 1024
"""Bytes of the configuration file."""


def _configured(file: Path) -> dict[str, object]:
    """The settings that stand in the configuration file."""
    text = _config_text(file)
    cure = f"correct {file}; docs/gateway.md and docs/nights.md show what may stand in it"
    try:
        config = ConfigFile.model_validate(tomllib.loads(text))
        places = (file.parent, Path.home(), os.environ)
        return {
            "accounts": config_file.resolve(config, *places),
            "recipients": config_file.recipients(config, *places),
        }
    except ValidationError as error:
        words = "".join(f"\n  {problem}" for problem in config_file.problems(error))
        raise UsageError(f"{file} can't be used:{words}", cure=cure) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}", cure=cure) from None
    except ValueError as error:
        raise UsageError(f"{file} can't be used: {error}", cure=cure) from None


def _config_text(file: Path) -> str:
    """The file's text; none if it is not there, and was not asked for by name."""
    try:
        with file.open("rb") as opened:
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & stat.S_IWOTH and file.is_file():
                raise UsageError(f"anybody may write {file}, and it names commands", cure=f"chmod o-w {file}")
            return opened.read(MAX_CONFIG).decode()
    except FileNotFoundError as error:
        if os.environ.get("CORRAL_CONFIG"):
            raise UsageError(f"there is no file {file}", cure="correct or unset CORRAL_CONFIG") from error
        return ""
    except OSError as error:
        cure = "make it readable, or let CORRAL_CONFIG name another"
        raise UsageError(f"{file} can't be read: {error.strerror}", cure=cure) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8", cure="save it as UTF-8") from error


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
