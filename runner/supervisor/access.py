"""Who answers an attempt's model calls: from its profile and the accounts on this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr, ValidationError

from runner.accounts import (
    PROVIDERS,
    VARIABLES,
    FromEnvironment,
    FromLogin,
    Provider,
    ProviderAccount,
)
from runner.agents import catalog
from runner.errors import UsageError
from runner.gateway.grants import Access, Script, Service
from runner.gateway.keys import logins, sources
from runner.gateway.keys.sources import CredentialError
from runner.gateway.places import recording_name
from runner.gateway.playing.recording import load as load_recording
from runner.gateway.playing.transcript import load as load_transcript
from runner.names import AttemptKey
from runner.settings import Settings
from runner.supervisor.graph.deciding import open_attempts
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, Profile


class NoCredentialError(UsageError):
    """An agent calls a model, and the host has no credential for it."""


def accesses_for(
    profile: Profile, key: AttemptKey, settings: Settings, *, every_account: bool = False
) -> tuple[Access, ...]:
    """Who answers an attempt: of each provider that the agent may ask, the first account; or a script.

    Nobody answers a command without any account on the host, or, where recordings are played, one that was
    never seen to ask.

    Args:
        profile: Who asks.
        key: For which attempt, where each has a transcript or a recording of its own.
        settings: The settings.
        every_account: Whether further accounts may follow where the first is used up. They come in the
            order in which they are to be used.

    Raises:
        NoCredentialError: The agent needs a model, and there is no credential for it.
        UsageError: An account has a value that can't be used.
    """
    if profile.upstream.kind == "script":
        return (Script(transcript=str(transcript(profile, key.task))),)
    if profile.upstream.kind == "replay":
        file = recording(Path(profile.upstream.script or ""), key, profile.upstream.tries)
        if catalog.layer(profile.settings) is None and not file.exists():
            return ()
        return (Script(transcript=str(file), strict=profile.upstream.strict),)
    spoken = catalog.dialect(profile.settings)
    found: list[Access] = []
    for provider in PROVIDERS if spoken is None else (spoken,):
        accounts = settings.accounts_of(provider)
        found += [_service(account) for account in (accounts if every_account else accounts[:1])]
    if not found and spoken is not None:
        raise NoCredentialError(
            f"the profile {profile.name!r} calls a model, and no credential is set for it",
            cure=no_credential(spoken, settings),
        )
    return tuple(found)


def no_credential(provider: Provider, settings: Settings) -> str:
    """What to do where a provider has no account."""
    *others, last = VARIABLES[provider]
    variables = f"{', '.join(others)} or {last}" if others else last
    return f"set {variables}, list an account in {settings.config}, or give `upstream: script:PATH`"


def check_access(plan: Plan, settings: Settings) -> None:
    """See that every attempt of a plan has who answers it.

    Raises:
        UsageError: As `accesses_for`; and where an agent's transcript or recording is missing or can't be
            played, or its credential can be seen not to be there. Programs are not run for that, and no
            keyring is opened.
    """
    for planned in plan.attempts:
        profile = plan.profile(planned.profile)
        for access in accesses_for(profile, planned.key, settings):
            if catalog.layer(profile.settings) is None:
                continue  # a command may well ask nobody
            if isinstance(access, Service):
                _check_credential(access, settings)
            elif profile.upstream.kind == "replay":
                load_recording(Path(access.transcript))
            else:
                load_transcript(Path(access.transcript))


def check_as_planned(state: RunState, settings: Settings) -> None:
    """See that the services which answered compared profiles so far are those that would answer them now.

    Which ones they are is a part of what is compared: the hash of a profile's settings holds it. What has
    ended was answered.

    Args:
        state: The run that is to go on.
        settings: The settings.

    Raises:
        UsageError: They are others, for a profile of which compared attempts are still to be done.
    """
    keys = open_attempts(state)
    for name in dict.fromkeys(key.profile for key in keys if state.plan.task(key.task).compared):
        profile = state.plan.profile(name)
        spoken, planned = catalog.dialect(profile.settings), profile.upstream.places
        now = () if spoken is None else settings.services_of(spoken)
        if planned and tuple(dict.fromkeys(now))[: len(planned)] != planned:
            raise UsageError(
                f"{name} is compared as answered by {', '.join(planned)}; now"
                f" {', '.join(now) or 'nobody'} would answer it",
                cure="set up the accounts as they were when the run began, or compare anew with `corral run`",
            )


def _check_credential(service: Service, settings: Settings) -> None:
    try:
        look(service, settings.home)
    except CredentialError as lacking:
        words = f"account {service.account} of {service.dialect}: {lacking}"
        raise NoCredentialError(words, cure=lacking.cure) from lacking


def look(service: Service, home: Path) -> None:
    """See whether the credential of a service is where it should be, running and asking nobody.

    Raises:
        CredentialError: It is not.
    """
    sources.look(service.credential)
    if isinstance(service.credential, FromLogin):
        logins.load(home, service.credential.account)


def needs_gateway(plan: Plan, settings: Settings) -> bool:
    """Whether any attempt of a plan asks a model, or is let through to hosts.

    Raises:
        UsageError: As `accesses_for`.
    """
    return any(
        plan.task(planned.task).network or accesses_for(plan.profile(planned.profile), planned.key, settings)
        for planned in plan.attempts
    )


def transcript(profile: Profile, task: str) -> Path:
    """The transcript that the scripted model plays: the file named, or `PROFILE/TASK.yaml` below it."""
    place = Path(profile.upstream.script or "")
    return place / profile.name / f"{task}.yaml" if place.is_dir() else place


def recording(place: Path, key: AttemptKey, tries: Mapping[str, int] = MappingProxyType({})) -> Path:
    """The recording of an attempt: the file named, or that of its last try in a directory of recordings.

    Args:
        place: The file or the directory.
        key: Any try of the attempt.
        tries: By the attempt's name, which try it is instead.
    """
    if not place.is_dir():
        return place
    if (chosen := tries.get(str(key.first))) is not None:
        return place / recording_name(replace(key, try_=chosen))
    found = file = place / recording_name(key.first)
    again = key.first.retried()
    while (place / recording_name(again)).exists():
        found, again = place / recording_name(again), again.retried()
    return found if found.exists() else file


def services(settings: Settings) -> Iterator[tuple[ProviderAccount, Service | UsageError]]:
    """Every account on this host, each with how it is asked, or why it can't be."""
    for provider in PROVIDERS:
        for account in settings.accounts_of(provider):
            try:
                yield account, _service(account)
            except UsageError as error:
                yield account, error


def _service(account: ProviderAccount) -> Service:
    source = account.source
    if isinstance(source, FromEnvironment) and account.secret is None:
        raise NoCredentialError(
            f"the account {account.name} of {account.provider} has its key from {source}, which is not set",
            cure=f"set {source}, where you run Corral",
        )
    try:
        return Service(
            dialect=account.provider,
            base_url=account.base_url,
            header=account.header,
            secret=account.secret or SecretStr(""),
            credential=None if isinstance(source, FromEnvironment) else source,
            oauth=account.subscription,
            account=account.name,
            prior=account.limits,
        )
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        cure = f"look at the {account.provider.upper()}_* variables"
        raise UsageError(f"the model service can't be used: {why}", cure=cure) from error
