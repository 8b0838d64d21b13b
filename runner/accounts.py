"""Accounts of model providers, and where the credential of each comes from: plain values.

A credential that stands in an environment variable is taken from there by `runner.settings` and kept as a
secret value. All others are named here by their source only: the gateway's process reads them itself, so that
a key that was changed is picked up, and nobody else ever holds it.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator

from runner.tasks.plan import Value

Provider = Literal["anthropic", "openai", "gemini"]
"""Whose way of speaking a service has; a service of one's own has one of them too."""

Header = Literal["x-api-key", "authorization", "x-goog-api-key"]
"""In which header a credential goes; in `authorization` it goes as a bearer token."""

PROVIDERS: tuple[Provider, ...] = ("anthropic", "openai", "gemini")

VARIABLES: dict[Provider, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    "openai": ("OPENAI_API_KEY",),
    "gemini": ("GEMINI_API_KEY",),
}
"""The environment variables that hold a provider's credential, the first that is set counts."""

ADDRESSES: dict[Provider, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "gemini": "https://generativelanguage.googleapis.com",
}
"""The providers' own services, as their own clients have them."""

HEADERS: dict[Provider, Header] = {
    "anthropic": "x-api-key",
    "openai": "authorization",
    "gemini": "x-goog-api-key",
}
"""In which header each provider is shown an API key."""


class FromEnvironment(Value):
    """A variable of the environment that `corral` was called with."""

    kind: Literal["environment"] = "environment"
    name: str

    def __str__(self) -> str:
        return self.name


class FromFile(Value):
    """A file that holds the key and nothing else; `path` is absolute."""

    kind: Literal["file"] = "file"
    path: str

    def __str__(self) -> str:
        return f"the file {self.path}"


class FromCommand(Value):
    """A program that prints the key; run without a shell, for at most some seconds."""

    kind: Literal["command"] = "command"
    run: tuple[str, ...] = Field(min_length=1)

    def __str__(self) -> str:
        return f"the command {self.run[0]}"  # the arguments may say more than is meant for a log


class FromKeyring(Value):
    """An entry of the operating system's keyring, under a service and a user name."""

    kind: Literal["keyring"] = "keyring"
    service: str
    user: str

    def __str__(self) -> str:
        return f"the keyring's entry {self.service}/{self.user}"


class FromLogin(Value):
    """A login made for Corral (`corral gateway login`), which the gateway keeps fresh."""

    kind: Literal["login"] = "login"
    account: str
    token_url: str
    client_id: str
    body: Literal["form", "json"] = "form"
    """How the token service is asked: by the standard as a form, by some providers' own as JSON."""

    def __str__(self) -> str:
        return "the login made for it"


Source = Annotated[FromFile | FromCommand | FromKeyring | FromLogin, Field(discriminator="kind")]
"""Where the gateway's process gets a credential from."""


class Prior(Value):
    """What an account is taken to bear, besides what the service says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    at_once: int | None = Field(default=None, ge=1, le=100_000)
    """Requests on their way at a time; it holds whatever the service says."""
    requests: int | None = Field(default=None, ge=1, le=2**53)
    """Requests a minute, until the service tells its own limit."""
    tokens: int | None = Field(default=None, ge=1, le=2**53)
    """Tokens a minute, in and out, until the service tells its own limit."""


class ProviderAccount(Value):
    """One account of a provider, as it is set up on this host."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = "default"
    provider: Provider
    base_url: str
    header: Header
    subscription: bool = False
    """Whether the credential belongs to a Claude subscription, and needs a beta flag of its own."""
    source: FromEnvironment | Source | None = None
    """None for a service that asks for no credential."""
    secret: SecretStr | None = None
    """The credential, where it came from the environment."""
    limits: Prior = Prior()


def one_word(text: str) -> str:
    """A credential as it is sent: without the line end that a file or a program puts after it.

    Raises:
        ValueError: It holds a sign that no key has. The message does not show it.
    """
    word = text.strip()
    if not all("!" <= letter <= "~" for letter in word):
        raise ValueError("the credential holds a space, a line end or another sign that no key has")
    return word


def service_address(text: str) -> str:
    """The address of a service, without a last slash.

    Raises:
        ValueError: It is none, or one with more in it than an address. The message does not show it.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the service's address must start with http:// or https:// and name a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the service's address may not hold a user name, a query or a fragment")
    return text.rstrip("/")


def place_of(address: str) -> str:
    """Where a service is, without the scheme and whatever could be a secret: its host, port and path.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(service_address(address))
    return f"{parts.netloc.lower()}{parts.path.rstrip('/')}"


class Shown(Value):
    """How the credential of one account stands in the gateway: nothing of the credential itself."""

    provider: str
    account: str
    source: str
    problem: str = ""
    """Why it can't be read or refreshed just now; empty if nothing is wrong."""
    expires_at: float | None = None
    """Seconds since the epoch; None where it is not told."""

    @field_validator("problem")
    @classmethod
    def _short(cls, text: str) -> str:
        return " ".join(text.split())[:300]
