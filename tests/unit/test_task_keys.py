"""What looks like a key."""

from __future__ import annotations

import pytest

from runner.tasks.keys import key_file_rule, key_text_rule


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("server.pem", "*.pem"),
        ("certs/SERVER.PEM", "*.pem"),
        ("deploy/id_rsa", "id_rsa"),
        (".npmrc", ".npmrc"),
        ("sub/.ssh/config", ".ssh/"),
        (".aws/config", ".aws/"),
        ("credentials.json", "credentials.*"),
        (".env.production", ".env.production"),
    ],
)
def test_key_files_are_known_by_a_rule(path: str, rule: str) -> None:
    assert key_file_rule(path) == rule


@pytest.mark.parametrize(
    "path", [".env.test", ".env", "keys.py", "id_rsa.pub", "docs/credentials-howto.md", ""]
)
def test_other_files_are_not(path: str) -> None:
    assert key_file_rule(path) is None


@pytest.mark.parametrize(
    "text",
    [
        "sk-ant-" + "a1" * 10,
        "token=ghp_" + "a1" * 18,
        "github_pat_" + "a1" * 20,
        "AKIA" + "A1" * 8,
        "sk-proj-" + "a1" * 20,
        "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
        "https://me:secret@example.org/simple",
    ],
)
def test_key_texts_are_known_without_being_repeated(text: str) -> None:
    rule = key_text_rule(text)
    assert rule is not None
    assert text not in rule


@pytest.mark.parametrize(
    "text", ["", "sk-learn", "task-ant-hill", "https://example.org:8080/x", "ghp_", "risk-" + "a" * 9]
)
def test_other_texts_are_not(text: str) -> None:
    assert key_text_rule(text) is None
