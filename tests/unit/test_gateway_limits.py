"""What services say of their limits, in all the ways in which they say it; nonsense is unknown."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.grants import Window
from runner.gateway.pacing import limits
from runner.gateway.pacing.limits import FURTHEST, duration, read, retry_after

NOW = 1_795_000_000.0
UNIFIED = "anthropic-ratelimit-unified-"


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_api_tells_buckets_with_dates() -> None:
    told = read("anthropic", 200, {
        "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": iso(2),
        "anthropic-ratelimit-input-tokens-limit": "30000", "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": iso(60),
    }, b"", NOW)  # fmt: skip
    assert [(one.name, one.limit, one.remaining, one.resets_at) for one in told.windows] == [
        ("requests", 50, 49, NOW + 2),
        ("input-tokens", 30000, 0, NOW + 60),
    ]
    assert told.closed == "", "a minute is a matter of pace"


@pytest.mark.parametrize(
    ("headers", "closed", "whole"),
    [
        ({"5h-utilization": "0.42", "5h-reset": "+100"}, "", False),
        ({"5h-utilization": "1.0", "5h-reset": "+100"}, "5-hour", True),
        ({"5h-utilization": "0.9", "5h-status": "rejected", "5h-reset": "+100"}, "5-hour", True),
        ({"7d-utilization": "2", "7d-reset": "+90", "5h-utilization": "1", "5h-reset": "+9"}, "weekly", 1),
        ({"7d_opus-utilization": "1", "7d_opus-reset": "+900"}, "weekly opus", False),
        ({"status": "rejected", "representative-claim": "seven_day", "reset": "+900"}, "weekly", True),
        ({"status": "rejected", "representative-claim": "seven_day_x", "reset": "+9"}, "seven day x", False),
        ({"5h-utilization": "1.0", "5h-reset": "-100"}, "", False),
        ({"5h-utilization": "1", "5h-reset": "+9", "status": "allowed", "overage-status": "allowed"}, "", 0),
    ],
)  # fmt: skip
def test_subscriptions_are_told_windows(headers: dict[str, str], closed: str, whole: bool) -> None:
    told = {
        UNIFIED + name: str(NOW + float(value)) if value[0] in "+-" else value
        for name, value in headers.items()
    }
    said = read("anthropic", 200, told, b"", NOW)
    assert (said.closed, said.whole_account) == (closed, whole)


def test_openai_tells_durations_and_azure_nothing() -> None:
    told = read("openai", 200, {
        "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "0",
    }, b"", NOW)  # fmt: skip
    assert told.windows == (Window(name="requests", used=1, limit=100, remaining=0, resets_at=NOW + 360),)
    assert (told.closed, told.closed_until, told.whole_account) == ("requests", NOW + 360, False)


def test_codex_tells_shares_of_windows() -> None:
    told = read("openai", 200, {
        "x-codex-primary-used-percent": "100", "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(int(NOW + 500)),
        "x-codex-secondary-used-percent": "17.5", "x-codex-secondary-window-minutes": "10080",
    }, b"", NOW)  # fmt: skip
    assert [(one.name, one.used) for one in told.windows] == [("5-hour", 1.0), ("weekly", 0.175)]
    assert (told.closed, told.closed_until, told.whole_account) == ("5-hour", NOW + 500, True)


def test_errors_of_openai() -> None:
    used_up = {"error": {"type": "usage_limit_reached", "resets_at": NOW + 5000}}
    told = read("openai", 429, {}, json.dumps(used_up).encode(), NOW)
    assert (told.closed, told.closed_until, told.spent) == ("usage", NOW + 5000, False)
    broke = {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}
    assert read("openai", 429, {}, json.dumps(broke).encode(), NOW).spent


def test_errors_of_gemini() -> None:
    def said(*details: object) -> bytes:
        return json.dumps({"error": {"code": 429, "details": list(details)}}).encode()

    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22.5s"}
    minute, day = (
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": f"Requests{which}"}],
        }
        for which in ("PerMinute", "PerDay")
    )
    told = read("gemini", 429, {}, said(retry, minute), NOW)
    assert (told.retry_at, told.closed) == (NOW + 22.5, "")
    told = read("gemini", 429, {}, said(day, retry), NOW)
    assert told.closed == "daily"
    assert told.closed_until is not None
    assert NOW < told.closed_until <= NOW + 24 * 3600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12ms", 0.012), ("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("", None), ("s", None), ("1", None),
     ("-1s", None), ("1e9s", None), ("9999999999s", None), ("1s 2s", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "at"),
    [("7", NOW + 7), ("0.5", NOW + 0.5), ("-1", None), ("soon", None), ("inf", None), ("1" * 30, None),
     (datetime.fromtimestamp(NOW + 9, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), NOW + 9)],
)  # fmt: skip
def test_when_to_ask_again(text: str, at: float | None) -> None:
    assert retry_after(text, NOW) == at


NAMES = [
    *(f"anthropic-ratelimit-{k}-{p}" for k in ("requests", "tokens", "input-tokens", "output-tokens")
      for p in ("limit", "remaining", "reset")),
    *(f"{UNIFIED}{k}" for k in ("status", "reset", "representative-claim", "overage-status", "5h-status",
                                "5h-reset", "5h-utilization", "7d-utilization", "7d-reset", "7d_opus-reset")),
    *(f"x-ratelimit-{p}-{k}" for k in ("requests", "tokens") for p in ("limit", "remaining", "reset")),
    *(f"x-codex-{k}-{p}" for k in ("primary", "secondary")
      for p in ("used-percent", "window-minutes", "reset-at")),
    "retry-after",
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=70),
    st.sampled_from(
        ["-1", "0", "1", "1e400", "nan", "inf", "rejected", "allowed", "six", "9" * 60, "6m0s", "²"]
    ),
    st.floats(-1e18, 1e18).map(str),
    st.floats(-1e6, 1e8).map(lambda seconds: str(NOW + seconds)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "details",
                    "violations",
                    "@type",
                    "quotaId",
                    "type",
                    "code",
                    "resets_at",
                    "retryDelay",
                    "resets_in_seconds",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["anthropic", "openai", "gemini", "other"]),
    st.sampled_from([200, 400, 429, 529]),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12),
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50),
)
def test_whatever_is_said_is_read_or_unknown(
    dialect: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    told = read(dialect, status, headers, body, NOW)
    assert len(told.windows) <= limits.MAX_WINDOWS
    for window in told.windows:
        assert window.used is None or 0 <= window.used <= 1
        assert window.limit is None or window.limit > 0
        assert window.remaining is None or 0 <= window.remaining <= (window.limit or 0)
    times = [told.closed_until, told.retry_at, *(window.resets_at for window in told.windows)]
    assert all(at is None or abs(at - NOW) <= FURTHEST for at in times)
    assert bool(told.closed) == (told.closed_until is not None)
    assert told.closed_until is None or told.closed_until > NOW
