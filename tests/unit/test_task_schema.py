"""The JSON Schema for editors, and the starter file."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
import yaml

from runner.tasks.models import keys_of, parts
from runner.tasks.schema import json_schema
from runner.tasks.starter import starter
from runner.tasks.taskfile import load
from tests.unit.test_task_refusals import FILE, ONE, REFUSALS, task
from tests.unit.test_taskfile import EXAMPLE


def valid_for_editors(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(json_schema())
    return bool(validator.is_valid(yaml.safe_load(text)))


def test_the_example_is_valid() -> None:
    assert valid_for_editors(EXAMPLE)


# A merge key is gone before an editor's validation sees it.
SHAPES = [
    text
    for text, _, message, _ in REFUSALS
    if any(words in message for words in ("unknown key", "must be", "lacks")) and "'<<'" not in message
]


@pytest.mark.parametrize("text", SHAPES)
def test_editors_refuse_what_has_a_wrong_shape(text: str) -> None:
    assert not valid_for_editors(text)


@pytest.mark.parametrize(
    "bad", ["memory: 4 gigs", "time: 45", "cpus: 0", "pids: 1", "idle: 5 fortnights", "memory: true"]
)
def test_editors_refuse_bad_units(bad: str) -> None:
    assert not valid_for_editors(task("prompt: p") + f"limits: {{{bad}}}\n")


@pytest.mark.parametrize("name", ["../x", "--flag", "X", "a..b", "a.lock", "a.", "a" * 65])
def test_editors_refuse_bad_names(name: str) -> None:
    assert not valid_for_editors(ONE + f"tasks: [{{id: {name}, prompt: p}}]\n")
    assert not valid_for_editors(
        f"agents: {{{name}: {{cli: claude, model: m}}}}\ntasks: [{{id: t, prompt: p}}]\n"
    )


def test_the_schema_is_a_valid_one_and_every_key_is_described() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "null" not in json.dumps(schema)
    for part in [schema, *schema["$defs"].values()]:
        assert part["additionalProperties"] is False
        assert part["description"]
        assert all(value["description"] for value in part["properties"].values())
    assert set(schema["$defs"]) == {part.__name__ for part in parts().values()} - {"TaskFile"}
    assert all(all(keys_of(part).values()) for part in parts().values())


@pytest.mark.parametrize("devcontainer", [True, False])
def test_the_starter_loads_and_validates(devcontainer: bool) -> None:
    text = starter(devcontainer=devcontainer)
    file = load(text, FILE)
    assert (file.image is not None) == devcontainer
    assert valid_for_editors(text)


def test_everything_that_the_starter_offers_can_be_switched_on() -> None:
    text = starter()
    assert len(re.findall(r"^ *#(?! )", text, re.MULTILINE)) == 16
    # Of the images one can be chosen, and `compare` takes the place of `default_agent`.
    for image in ("devcontainer", "name", "build"):
        offered = re.sub(rf"^#image: {{(?!{image}).*$", "", text, flags=re.MULTILINE)
        switched = re.sub(r"^( *)#(?! )", r"\1", offered, flags=re.MULTILINE).replace(
            "default_agent: opus\n", ""
        )
        assert f"\nimage: {{{image}" in switched
        file = load(switched, FILE)
        assert file.compare is not None
        assert len(file.tasks) == 2
        assert valid_for_editors(switched)
