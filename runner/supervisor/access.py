"""Who answers an attempt's model calls: from its profile and the credentials on the host."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from runner.agents import catalog
from runner.errors import UsageError
from runner.gateway.grants import Access, DialectName, Script, Service
from runner.gateway.transcript import load as load_transcript
from runner.settings import Settings
from runner.tasks.plan import Plan, Profile

NO_CREDENTIAL = {
    "anthropic": "set ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN or CLAUDE_CODE_OAUTH_TOKEN, "
    "or give `upstream: script:PATH`",
    "openai": "set OPENAI_API_KEY, or give `upstream: script:PATH`",
}
"""What is to be done where a model is asked in a dialect, and the host has no credential for it."""


class NoCredentialError(UsageError):
    """An agent calls a model, and the host has no credential for it."""


def accesses_for(profile: Profile, task: str, settings: Settings) -> tuple[Access, ...]:
    """Who answers, one for each dialect; nobody for a command without any credential on the host.

    Raises:
        NoCredentialError: The agent needs a model, and there is no credential for it.
        UsageError: A variable for the service has a value that can't be used.
    """
    if profile.upstream.kind == "script":
        return (Script(transcript=str(transcript(profile, task))),)
    dialect = catalog.dialect(profile.settings)
    service = _service(settings, dialect or "anthropic")
    if service is None and dialect is not None:
        raise NoCredentialError(
            f"the profile {profile.name!r} calls a model, and no credential is set for it",
            cure=NO_CREDENTIAL[dialect],
        )
    return () if service is None else (service,)


def check_access(plan: Plan, settings: Settings) -> None:
    """See that every attempt of a plan has who answers it.

    Raises:
        UsageError: As `accesses_for`, and where a transcript is missing or can't be played.
    """
    for planned in plan.attempts:
        profile = plan.profile(planned.profile)
        for access in accesses_for(profile, planned.task, settings):
            if isinstance(access, Script) and catalog.layer(profile.settings) is not None:
                load_transcript(Path(access.transcript))


def needs_gateway(plan: Plan, settings: Settings) -> bool:
    """Whether any attempt of a plan asks a model, or is let through to hosts.

    Raises:
        UsageError: As `accesses_for`.
    """
    return any(
        plan.task(planned.task).network or accesses_for(plan.profile(planned.profile), planned.task, settings)
        for planned in plan.attempts
    )


def transcript(profile: Profile, task: str) -> Path:
    """The transcript that the scripted model plays: the file named, or `PROFILE/TASK.yaml` below it."""
    place = Path(profile.upstream.script or "")
    return place / profile.name / f"{task}.yaml" if place.is_dir() else place


def _service(settings: Settings, dialect: DialectName) -> Service | None:
    try:
        return _openai(settings) if dialect == "openai" else _anthropic(settings)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        cure = f"look at the {dialect.upper()}_* variables"
        raise UsageError(f"the model service can't be used: {why}", cure=cure) from error


def _openai(settings: Settings) -> Service | None:
    if settings.openai_api_key is None:
        return None
    return Service(
        dialect="openai",
        base_url=settings.openai_base_url,
        header="authorization",
        secret=settings.openai_api_key,
    )


def _anthropic(settings: Settings) -> Service | None:
    url = settings.anthropic_base_url
    if settings.anthropic_api_key is not None:
        return Service(base_url=url, secret=settings.anthropic_api_key)
    if settings.anthropic_auth_token is not None:
        return Service(base_url=url, header="authorization", secret=settings.anthropic_auth_token)
    if settings.claude_code_oauth_token is not None:
        token = settings.claude_code_oauth_token
        return Service(base_url=url, header="authorization", secret=token, oauth=True)
    return None
