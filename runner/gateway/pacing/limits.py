"""What a service says of its limits: read from an answer's status, headers and, of errors, body.

Pure, and by dialect. Services, and whoever stands between, may say anything: what makes no sense is unknown.

The facts: Anthropic's API reference ("Rate limits": `anthropic-ratelimit-*`, resets as RFC 3339) and what
subscriptions are seen to be told (`anthropic-ratelimit-unified-*`, resets in seconds since the epoch, shares
from 0 to 1); OpenAI's guide ("Rate limits": `x-ratelimit-*`, resets as durations; Azure says -1 and 0 for
"unknown") and what Codex reads (`x-codex-*`, `usage_limit_reached`); Gemini's errors (`google.rpc.RetryInfo`,
`google.rpc.QuotaFailure`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from runner.gateway.dialects.asked import objects
from runner.gateway.dialects.reading import json_object, mapping
from runner.gateway.grants import MAX_COUNT, Window

LONG = 120.0
"""Seconds: a limit that is used up for longer is a window to wait for, a shorter one a matter of pace."""

FURTHEST = 35 * 24 * 3600.0
"""Seconds: no window is longer than a month; a reset beyond that is not believed."""

LONGEST_RETRY = 6 * 3600.0
"""Seconds: who says no more than when to ask again is asked again after so long at the latest."""

MAX_WINDOWS = 16
"""Windows read from one answer; services tell of four at most."""


@dataclass(frozen=True)
class Told:
    """What an answer says of the limits of the account, and of the family of models, that it was asked of.

    Times are in seconds since the epoch. `closed` is the window that is used up until `closed_until`, and
    `whole_account` whether for every model. `retry_at` is when to ask again, where the service says so.
    `spent`: the service wants money, not time.
    """

    windows: tuple[Window, ...] = ()
    closed: str = ""
    closed_until: float | None = None
    whole_account: bool = False
    retry_at: float | None = None
    spent: bool = False


def read(dialect: str, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Told:
    """What an answer says of limits; nothing, of a dialect that isn't known.

    Args:
        dialect: In which it was given.
        status: Of the answer.
        headers: With names in lower case.
        body: Of an error, as far as it was read; empty otherwise.
        now: Seconds since the epoch.
    """
    said = json_object(body) if status >= 400 else {}
    retry = retry_after(headers.get("retry-after", ""), now) if status >= 400 else None
    if dialect == "anthropic":
        return _anthropic(headers, retry, now)
    if dialect == "openai":
        return _openai(status, headers, mapping(said.get("error")), retry, now)
    if dialect == "gemini":
        return _gemini(status, mapping(said.get("error")), retry, now)
    return Told(retry_at=retry)


# -- Anthropic

_NAMES = {"5h": "5-hour", "7d": "weekly", "five_hour": "5-hour", "seven_day": "weekly"}
_UNIFIED = "anthropic-ratelimit-unified-"
_CLAIM = re.compile(rf"{_UNIFIED}((\d{{1,3}}[hd])(?:[-_]([a-z]{{1,16}}))?)-(?:utilization|status|reset)")
_ALLOWED = ("allowed", "allowed_warning")


def _anthropic(headers: Mapping[str, str], retry: float | None, now: float) -> Told:
    buckets = [
        window
        for name in ("requests", "tokens", "input-tokens", "output-tokens")
        if (window := _bucket(headers, f"anthropic-ratelimit-{name}-{{}}", name, _date, now))
    ]
    used_up = [(bucket, False) for bucket in buckets if _is_empty_for_long(bucket, now)]
    claims = []
    for key, length, family in _claims(headers):
        window = _claim(headers, key, f"{_NAMES.get(length, length)} {family}".strip(), now)
        claims.append(window)
        rejected = headers.get(f"{_UNIFIED}{key}-status") == "rejected"
        if (rejected or window.used == 1) and _is_ahead(window, now) and not _is_on_credit(headers):
            used_up.append((window, not family))
    if headers.get(f"{_UNIFIED}status") == "rejected":
        named = headers.get(f"{_UNIFIED}representative-claim", "")
        window = Window(
            name=_NAMES.get(named) or _words(named), resets_at=_epoch(headers.get(f"{_UNIFIED}reset"), now)
        )
        if _is_ahead(window, now):
            used_up.append((window, named in _NAMES))
    return _closing((*claims, *buckets)[:MAX_WINDOWS], used_up, retry, now)


def _claims(headers: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The windows that a subscription is told of: each one's key, length, and family of models, if any."""
    found = (_CLAIM.fullmatch(name) for name in headers)
    return sorted({(one[1], one[2], one[3] or "") for one in found if one})[:MAX_WINDOWS]


def _claim(headers: Mapping[str, str], key: str, name: str, now: float) -> Window:
    return Window(
        name=name,
        used=_share(headers.get(f"{_UNIFIED}{key}-utilization")),
        resets_at=_epoch(headers.get(f"{_UNIFIED}{key}-reset"), now),
    )


def _is_on_credit(headers: Mapping[str, str]) -> bool:
    """Whether the account goes on beyond its windows, for money."""
    return all(headers.get(f"{_UNIFIED}{key}") in _ALLOWED for key in ("status", "overage-status"))


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text[:32].lower()).strip() or "usage"


# -- OpenAI

_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


def _openai(
    status: int, headers: Mapping[str, str], error: Mapping[str, object], retry: float | None, now: float
) -> Told:
    buckets = [
        window
        for name in ("requests", "tokens")
        if (window := _bucket(headers, f"x-ratelimit-{{}}-{name}", name, _duration_from, now))
    ]
    plans = [window for name in ("primary", "secondary") if (window := _codex(headers, name, now))]
    used_up = [(one, True) for one in plans if one.used is not None and one.used >= 1 and _is_ahead(one, now)]
    used_up += [(bucket, False) for bucket in buckets if _is_empty_for_long(bucket, now)]
    kinds = {error.get("type"), error.get("code")} if status >= 400 else set()
    if "usage_limit_reached" in kinds:
        resets = _instant(error.get("resets_at"), now)
        wait = _seconds(error.get("resets_in_seconds"))
        resets = now + wait if resets is None and wait is not None else resets
        if resets is not None and resets > now:
            used_up.append((Window(name="usage", used=1.0, resets_at=resets), True))
    told = _closing((*plans, *buckets), used_up, retry, now)
    return Told(**(vars(told) | {"spent": bool(kinds & set(_MONEY))}))


def _codex(headers: Mapping[str, str], name: str, now: float) -> Window | None:
    percent = _number(headers.get(f"x-codex-{name}-used-percent", ""))
    minutes = _number(headers.get(f"x-codex-{name}-window-minutes", ""))
    resets = _epoch(headers.get(f"x-codex-{name}-reset-at", ""), now)
    if percent is None or not 0 <= percent <= 1000:
        return None
    return Window(name=_named_by_length(minutes, name), used=min(percent / 100, 1.0), resets_at=resets)


def _named_by_length(minutes: float | None, otherwise: str) -> str:
    if minutes is None or not 1 <= minutes <= FURTHEST / 60:
        return otherwise
    if round(minutes) == 7 * 24 * 60:
        return "weekly"
    if round(minutes) == 24 * 60:
        return "daily"
    return f"{round(minutes / 60)}-hour" if minutes >= 60 else f"{round(minutes)}-minute"


# -- Gemini


def _gemini(status: int, error: Mapping[str, object], retry: float | None, now: float) -> Told:
    if status < 400:
        return Told()
    quotas: list[object] = []
    for part in objects(error.get("details"))[:32]:
        kind = part.get("@type")
        if not isinstance(kind, str):
            continue
        if kind.endswith("google.rpc.RetryInfo"):
            wait = _google_duration(part.get("retryDelay"))
            retry = now + wait if wait is not None else retry
        elif kind.endswith("google.rpc.QuotaFailure"):
            quotas += [one.get("quotaId") for one in objects(part.get("violations"))[:32]]
    if status == 429 and any(isinstance(quota, str) and "PerDay" in quota for quota in quotas):
        return Told(closed="daily", closed_until=_next_day(now), retry_at=retry)
    return _closing((), [], retry, now)


def _next_day(now: float) -> float:
    """When the quotas of a day have begun anew for certain.

    They do at midnight in California ("Rate limits" of Gemini's guide): at 7 or at 8 o'clock UTC.
    """
    eight = datetime.fromtimestamp(now, UTC).replace(hour=8, minute=0, second=0, microsecond=0)
    return (eight if eight.timestamp() > now else eight + timedelta(days=1)).timestamp()


def _google_duration(value: object) -> float | None:
    if not isinstance(value, str) or not value.endswith("s"):
        return None
    return _seconds(_number(value[:-1]))


# -- common to all


def _closing(
    windows: tuple[Window, ...], used_up: list[tuple[Window, bool]], retry: float | None, now: float
) -> Told:
    """What is closed for the longest time decides."""
    if not used_up:
        if retry is not None and retry - now > LONG:
            retry = min(retry, now + LONGEST_RETRY)
            return Told(windows, "limit", retry, retry_at=retry)
        return Told(windows, retry_at=retry)
    last, whole = max(used_up, key=lambda one: one[0].resets_at or 0)
    whole_account = any(whole for window, whole in used_up if window.resets_at == last.resets_at) or whole
    return Told(windows, last.name, last.resets_at, whole_account, retry)


def _bucket(headers: Mapping[str, str], form: str, name: str, reset: object, now: float) -> Window | None:
    limit = _count(headers.get(form.format("limit"), ""))
    remaining = _count(headers.get(form.format("remaining"), ""))
    resets = reset(headers.get(form.format("reset"), ""), now) if callable(reset) else None
    if not limit or remaining is None:  # Azure's -1 and 0 are no limits
        return None
    remaining = min(remaining, limit)
    return Window(name=name, used=1 - remaining / limit, limit=limit, remaining=remaining, resets_at=resets)


def _is_empty_for_long(window: Window, now: float) -> bool:
    return window.remaining == 0 and window.resets_at is not None and window.resets_at - now > LONG


def _is_ahead(window: Window, now: float) -> bool:
    return window.resets_at is not None and window.resets_at > now


def retry_after(text: str, now: float) -> float | None:
    """When to ask again, in seconds since the epoch, by a `retry-after` in seconds or as an HTTP date."""
    seconds = _number(text)
    if seconds is not None:
        return None if _seconds(seconds) is None else now + seconds
    try:
        return _believed(parsedate_to_datetime(text[:64]).timestamp(), now)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "d": 86400.0}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,8}}", re.ASCII)


def duration(text: str) -> float | None:
    """Seconds, by a duration as Go writes it: `6m0s`, `1.5s`, `12ms`."""
    if len(text) > 64 or _DURATION.fullmatch(text) is None:
        return None
    return _seconds(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def _duration_from(text: str, now: float) -> float | None:
    seconds = duration(text)
    seconds = _seconds(_number(text)) if seconds is None else seconds
    return None if seconds is None else now + seconds


def _date(text: str, now: float) -> float | None:
    if len(text) > 64:
        return None
    try:
        read = datetime.fromisoformat(text)
        return _believed((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp(), now)
    except (ValueError, OverflowError):
        return None


def _epoch(text: str | None, now: float) -> float | None:
    return _instant(_number(text), now)


def _instant(value: object, now: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e15 < value < 1e15:
        return None
    return _believed(float(value), now)


def _believed(instant: float, now: float) -> float | None:
    return instant if math.isfinite(instant) and now - FURTHEST <= instant <= now + FURTHEST else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= FURTHEST:
        return None
    return float(value)


_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)


def _number(text: str | None) -> float | None:
    return float(text) if text and _NUMBER.fullmatch(text := text.strip()[:40]) else None


def _count(text: str) -> int | None:
    number = _number(text)
    return int(number) if number is not None and number <= MAX_COUNT else None


def _share(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None or number > 10 else min(number, 1.0)
