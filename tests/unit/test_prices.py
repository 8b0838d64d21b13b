"""Prices: of names that the library knows, and of no name that only looks like one."""

from __future__ import annotations

import pytest

from runner.gateway import prices


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("anthropic", "claude-opus-5-5"),
        ("anthropic", "claude-opus-5-5-20260901"),
        ("anthropic", "claude-sonnet-4-20250514"),
        ("anthropic", "claude-3-haiku-20240307"),
        ("anthropic", "claude-3-7-sonnet-latest"),
        ("openai", "gpt-6-sol"),
        ("openai", "gpt-6-sol-2026-09-09"),
        ("openai", "gpt-5-codex"),
    ],
)
def test_a_name_and_its_versions_are_known(dialect: str, model: str) -> None:
    assert prices.is_known(dialect, model)


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("anthropic", ""),
        ("anthropic", "claude"),
        ("anthropic", "claude-3-haiku-but-really-opus"),
        ("anthropic", "claude-3-haiku-20240307\n"),
        ("anthropic", "claude-3-haiku-٢٠٢٤٠٣٠٧"),
        ("anthropic", "x-claude-v2-large"),
        ("anthropic", "claude-3-haiku/../opus"),
        ("anthropic", "gpt-6-sol"),
        ("openai", "my-moderation-model"),
        ("openai", "gpt-5-nano-and-more"),
        ("openai", "text-embedding-3-small"),
        ("openai", "gpt-4o-audio-preview"),
    ],
)
def test_a_name_that_only_looks_like_one_is_not(dialect: str, model: str) -> None:
    assert not prices.is_known(dialect, model)
