"""What one box may ask of a model and of other hosts, and what its asking has cost so far: plain values.

A grant belongs to a listening socket, and the socket to one box; nothing that a request says can
change which grant it is counted on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, SecretStr, TypeAdapter, field_validator

from runner.accounts import Header, Prior, Source, one_word, service_address
from runner.tasks.plan import AllowedHost, Budget, Caps, Hosted, OnLimit, Price, Priority, Spent, Value

DialectName = Literal["anthropic", "openai", "gemini"]
"""How a model service is spoken to."""

MAX_COUNT = 2**53
"""No honest token count is larger; a larger one is not believed."""


class Service(Value):
    """A model service of the outside world, and the credential that the gateway shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["service"] = "service"
    dialect: DialectName = "anthropic"
    base_url: str
    """`http://` or `https://`, with a path prefix if the service has one: OpenAI's has the version in it."""
    header: Header = "x-api-key"
    """In which header the credential goes; in `authorization` it goes as a bearer token."""
    secret: SecretStr = SecretStr("")
    """The credential; empty for a service that asks for none, and then no such header is sent."""
    credential: Source | None = None
    """Where the gateway gets the secret from before each request; None where `secret` is all there is."""
    oauth: bool = False
    """Whether the credential is a `CLAUDE_CODE_OAUTH_TOKEN`, which needs a beta flag of its own."""
    account: str = "default"
    """The name of the account that the credential belongs to: what is limited is limited by account."""
    prior: Prior = Prior()
    """What the account is taken to bear."""

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, text: str) -> str:
        return service_address(text)

    @field_validator("secret")
    @classmethod
    def _one_word(cls, secret: SecretStr) -> SecretStr:
        return SecretStr(one_word(secret.get_secret_value()))

    def wire(self) -> dict[str, JsonValue]:
        """The value with its secret readable, for the admin socket and nothing else."""
        plain: dict[str, JsonValue] = self.model_dump(mode="json", exclude={"secret"})
        return plain | {"secret": self.secret.get_secret_value()}


class Script(Value):
    """The scripted model, playing one file: a transcript, or a recording."""

    kind: Literal["script"] = "script"
    transcript: str
    strict: bool = False
    """Whether what departs from a recording is answered with an error, instead of what was recorded."""

    @field_validator("transcript")
    @classmethod
    def _absolute(cls, text: str) -> str:
        if not text.startswith("/"):
            raise ValueError("the transcript must be given by its absolute path")
        return text

    def wire(self) -> dict[str, JsonValue]:
        """The value for the admin socket."""
        plain: dict[str, JsonValue] = self.model_dump(mode="json")
        return plain


Access = Service | Script
"""Who answers the model calls of one grant."""

ACCESSES: TypeAdapter[tuple[Access, ...]] = TypeAdapter(
    tuple[Annotated[Service | Script, Field(discriminator="kind")], ...]
)
"""Reads what `wire` wrote."""

HOSTS: TypeAdapter[tuple[AllowedHost, ...]] = TypeAdapter(tuple[AllowedHost, ...])
"""Reads the hosts that a grant lets a box through to."""

HOSTED: TypeAdapter[tuple[Hosted, ...]] = TypeAdapter(tuple[Hosted, ...])
"""Reads what a grant lets a box have its services do."""


class Account(Value):
    """In whose name a box asks: whose books its requests are entered in, and what may be spent there."""

    run: str = ""
    task: str = ""
    profile: str = ""
    attempt: str = ""
    scripted: bool = False
    """Whether a transcript invents the figures, or a recording repeats those of another time."""
    budget: Budget = Budget()
    on_limit: OnLimit = "wait"
    """What becomes of its requests at a used-up window; only `next-account` uses more accounts than one."""
    priority: Priority = "normal"
    """How much it gets where others wait for the same account."""
    record: bool = False
    """Whether its traffic is recorded (`places.recording_file`)."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """The user's own prices, by model."""


class Tokens(Value):
    """Tokens as the service counts them; `input` leaves out what was read from or written to its cache.

    `reasoning` is a part of `output`, and `hour_write`, what is to stay in the cache for an hour, of
    `cache_write`; both are 0 where the service does not tell them.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    hour_write: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            reasoning=self.reasoning + other.reasoning,
            hour_write=self.hour_write + other.hour_write,
        )


class Contact(Value):
    """How often a box tried to reach a host, and was let through or refused."""

    host: str
    """As it was asked for; empty for all that are not told by name."""
    allowed: int = 0
    refused: int = 0


class Traffic(Value):
    """What a box did at egress: attempts that were allowed, and refused; bytes from the box, and to it."""

    allowed: int = 0
    refused: int = 0
    up: int = 0
    down: int = 0
    hosts: tuple[Contact, ...] = ()
    """The same attempts by host, in the order of the first."""


class Answered(Value):
    """How many requests for one model were answered in the name of which: it need not be the same."""

    asked: str
    named: str
    requests: int = 0


class Sum(Value):
    """What was spent in one book; `unpriced` requests are of unknown cost, which `usd` leaves out."""

    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    unpriced: int = 0


class Held(Value):
    """What a box's requests wait for inside the gateway.

    `pace`: their turn, below the service's limit. `window`: the reset of a limit that is used up.
    `overload`: a service that has too much to do, or fails. `unreachable`: a service that does not answer.
    `credential`: a key that the service takes.
    """

    kind: Literal["pace", "window", "overload", "unreachable", "credential"]
    why: str
    """In words, as a person reads them: whose limit it is, and which."""
    since: float
    """Seconds since the epoch."""
    until: float | None = None
    """When it is known to end, in seconds since the epoch; None where nobody has said."""


class Window(Value):
    """One limit of a service, as it was last told: so many requests or tokens in so much time."""

    name: str
    """As people call it: `5-hour`, `weekly`, `requests`, `tokens`, `input-tokens` and the like."""
    used: float | None = None
    """The share that is used up, from 0 to 1; None where it is not told."""
    limit: int | None = None
    remaining: int | None = None
    resets_at: float | None = None
    """Seconds since the epoch."""


class Outlook(Value):
    """How one account of a service stands for a family of models: what is known of its limits.

    `closed_until` is when a window that is used up opens again; while it is set, nothing is sent.
    """

    dialect: DialectName
    account: str
    family: str
    windows: tuple[Window, ...] = ()
    closed: str = ""
    """Which window is used up, by its name; empty for none."""
    closed_until: float | None = None
    in_flight: int = 0
    waiting: int = 0
    tokens_per_minute: int = 0
    """What was used in the last minute."""


class Departure(Value):
    """Where what an agent asks is not what a recording holds any more."""

    turn: int
    """Which answer of the model was asked for, from 1; 0 for what is asked beside the conversation."""
    what: str
    """What was recorded, and what came instead."""


class Replayed(Value):
    """How far a box has followed the recording that answers it.

    `turns` are those of the recording's main conversation, `reached` those of them that were asked for.
    """

    turns: int
    reached: int = 0
    departed: Departure | None = None
    """The first departure."""

    def after(self, before: Replayed | None) -> Replayed:
        """What is known of all, when this is what the latest answer told."""
        if before is None:
            return self
        reached = max(before.reached, self.reached)
        return Replayed(turns=self.turns, reached=reached, departed=before.departed or self.departed)

    def first_departure(self) -> Departure | None:
        """Where it departs, once its box has ended: also by asking for less than was recorded."""
        if self.departed is not None or self.reached >= self.turns:
            return self.departed
        return Departure(turn=self.reached + 1, what="it was recorded, and not asked for any more")


class Usage(Value):
    """What one grant has used so far, streams that are still running included.

    `requests` counts what was sent to the service, whatever came of it. `last_activity` is in
    seconds since the epoch and None before the first request; `last_status` is the last HTTP status
    that the box was answered with. `scripted` says that a transcript invented the figures.
    `untold` counts answers that ended without saying what they used: the tokens leave them out.
    """

    requests: int = 0
    untold: int = 0
    in_flight: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    last_activity: float | None = None
    last_status: int | None = None
    scripted: bool = False
    usd: float = 0.0
    """What the requests of the attempt cost, as far as prices are known, those before a restart included."""
    unpriced: int = 0
    """How many of its requests are of unknown cost."""
    over_budget: Spent = ""
    """Whose cap is spent, if a request was refused for it: `attempt`, `task`, `profile`, `run` or `day`."""
    limited: str = ""
    """Which window was used up when a request was refused for it, in words; empty for none."""
    overshot: Caps = Caps()
    """By how much more than that cap was spent in the end: requests under way come to their end."""
    held_s: float = 0.0
    """Seconds in which the box had asked and nothing was on its way: it waited for the gateway."""
    held: Held | None = None
    """What its requests wait for just now, if all of them wait."""
    models: dict[str, Tokens] = Field(default_factory=dict)
    """The same tokens by the model that the replies name."""
    answered: tuple[Answered, ...] = ()
    """Who answered for whom, as far as requests and replies say."""
    unrecorded: int = 0
    """How many of its exchanges are missing from its recording, as a whole or the answer."""
    replayed: Replayed | None = None
    """How it follows the recording that answers it, if one does."""
    egress: Traffic = Traffic()
    """What went to and came from other hosts than the model's."""

    @property
    def tokens(self) -> int | None:
        """All tokens, or None where answers came and not one said what it used."""
        total = self.input + self.output + self.cache_read + self.cache_write
        return None if self.untold and not total else total


class Standing(Value):
    """How one grant stands: who asks, what it used, and what was spent in each book that it is entered in."""

    box: str
    account: Account
    usage: Usage
    spent: dict[Spent, Sum]
    overshot: dict[Spent, Caps] = Field(default_factory=dict)
    """By how much more was spent than a cap, where it was."""
