"""The safe subset of dev container files: what is taken, what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.sandbox.devcontainer import Build, DevContainer, find, parse, plain_json

PLACE = ".devcontainer/devcontainer.json"


def read(value: dict[str, Any], *ignore: str) -> DevContainer:
    return parse(json.dumps(value).encode(), PLACE, ignore)


def test_an_image_with_everything_that_is_taken() -> None:
    text = b"""\xef\xbb\xbf// a dev container
    {
        "$schema": "https://example.org/x", "name": "it's /* mine */",
        "image": "python:3.12", /* pinned // elsewhere */
        "containerEnv": {"TZ": "UTC", "EMPTY": ""},
        "remoteUser": "vscode",
        "postCreateCommand": {"one": "pip install -e .", "two": ["npm", "ci", "a b"]},
        "customizations": {"vscode": {"extensions": ["x",],},},
    }"""
    assert parse(text, PLACE) == DevContainer(
        image="python:3.12",
        env={"TZ": "UTC", "EMPTY": ""},
        user="vscode",
        commands=("pip install -e .", "npm ci 'a b'"),
        unused=("customizations",),
    )


def test_a_build_is_relative_to_the_file() -> None:
    value = {"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "1"}, "target": "dev"}}
    assert read(value).build == Build(".devcontainer/Dockerfile", ".", {"V": "1"}, "dev")
    assert parse(
        json.dumps(value | {"build": {"dockerfile": "D"}}).encode(), ".devcontainer.json"
    ).build == Build("D", ".")


@pytest.mark.parametrize("command", [None, "", [], {}])
def test_no_command_is_no_step(command: object) -> None:
    assert read({"image": "x", "postCreateCommand": command}).commands == ()


def test_root_needs_no_user() -> None:
    assert read({"image": "x", "remoteUser": "root"}).user is None


@pytest.mark.parametrize(
    "key",
    ["initializeCommand", "mounts", "runArgs", "features", "privileged", "capAdd", "securityOpt", "remoteEnv",
     "containerUser", "dockerComposeFile", "workspaceMount", "onCreateCommand", "postStartCommand"],
)  # fmt: skip
def test_every_other_key_is_refused_by_name_or_left_out_on_purpose(key: str) -> None:
    with pytest.raises(UsageError, match=key) as caught:
        read({"image": "x", key: "y"})
    assert caught.value.exit_code == 2
    assert f"ignore: [{key}]" in str(caught.value)
    assert read({"image": "x", key: "y"}, key).image == "x"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "exactly one of image and build"),
        ({"image": "x", "build": {"dockerfile": "D"}}, "exactly one of image and build"),
        ({"image": 3}, "image must be a string"),
        ({"image": "${localEnv:IMAGE}"}, "uses the variable"),
        ({"image": "a\nRUN x"}, "one line"),
        ({"build": "D"}, "build must be an object"),
        ({"build": {"context": "."}}, "build needs a dockerfile"),
        ({"build": {"dockerfile": "D", "options": ["--privileged"]}}, "build.options is not supported"),
        ({"build": {"dockerfile": "../../D"}}, "outside the repository"),
        ({"build": {"dockerfile": "D", "context": "/etc"}}, "outside the repository"),
        ({"image": "x", "containerEnv": {"LD_PRELOAD": "/x.so"}}, "LD_PRELOAD"),
        ({"image": "x", "containerEnv": {"GIT_DIR": "/x"}}, "GIT_DIR"),
        ({"image": "x", "containerEnv": {"PATH": "/x"}}, "PATH"),
        ({"image": "x", "containerEnv": {"MY_API_KEY": "x"}}, "MY_API_KEY"),
        ({"image": "x", "containerEnv": {"A B": "x"}}, "A B"),
        ({"image": "x", "containerEnv": {"A": "${localEnv:HOME}"}}, "uses the variable"),
        ({"image": "x", "containerEnv": {"A": 1}}, "containerEnv.A must be a string"),
        ({"image": "x", "remoteUser": "a; rm -rf /"}, "remoteUser must be"),
        ({"image": "x", "postCreateCommand": 3}, "postCreateCommand must be"),
        ({"image": "x", "postCreateCommand": [1]}, "postCreateCommand must be"),
    ],
)
def test_what_is_wrong_is_said(value: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(value)
    assert words in caught.value.message
    assert caught.value.message.startswith(PLACE)
    assert caught.value.cure


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"image": "x" // }', b"\xff", b"{/* }", b"[" * 100_000])
def test_a_broken_file_is_a_usage_error(text: bytes) -> None:
    with pytest.raises(UsageError):
        parse(text, PLACE)


def test_the_file_is_found_in_both_places_and_its_absence_is_said() -> None:
    def only(place: str, path: str) -> bytes | None:
        return b'{"image": "x"}' if path == place else None

    for place in (PLACE, ".devcontainer.json"):
        assert find(lambda path, place=place: only(place, path)).image == "x"  # type: ignore[misc]  # bound now
    with pytest.raises(UsageError, match=r"has no \.devcontainer"):
        find(lambda _: None)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(values, st.sampled_from(["", '// no " }\n', "/* a, ] // */", " \n\t"]), st.booleans())
def test_comments_and_trailing_commas_change_no_value(value: object, remark: str, trailing: bool) -> None:
    text = dressed(value, remark, "," if trailing else "")
    assert json.loads(plain_json(text)) == value
    assert len(plain_json(text)) == len(text)


def dressed(value: object, remark: str, comma: str) -> str:
    """The value as JSON with a remark after every token and a comma before every closing bracket."""
    if isinstance(value, list):
        inside = f",{remark}".join(dressed(item, remark, comma) for item in value)
        return f"[{remark}{inside}{comma if value else ''}{remark}]{remark}"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)}{remark}:{remark}{dressed(v, remark, comma)}" for k, v in value.items())
        inside = f",{remark}".join(pairs)
        return f"{{{remark}{inside}{comma if value else ''}{remark}}}{remark}"
    return json.dumps(value) + remark
