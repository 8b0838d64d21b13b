"""A night of the real command that tells a real service on this host what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.listeners import Listener, http
from tests.engine.living import living
from tests.support import Corral, write_tasks

SECRET = "canary-0123456789"  # noqa: S105 - it has to be found nowhere
REJECTED = {"sh": "echo begun; date > made", "check": "false"}


@pytest.fixture
def service() -> Iterator[Listener]:
    with http() as made:
        yield made


@pytest.fixture
def told(corral: Corral, service: Listener, tmp_path: Path) -> Corral:
    """The command, with a recipient in its configuration file whose URL stands in another file."""
    url = tmp_path / "url"
    url.write_text(f"json://127.0.0.1:{service.port}/{SECRET}\n")
    url.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(f'[[notify.to]]\nname = "phone"\nurl = {{ file = "{url}" }}\n')
    corral.env["CORRAL_CONFIG"] = str(config)
    return corral


def titles(service: Listener) -> list[str]:
    """What it was told, in its order."""
    return [body["title"].split(": ", 1)[1] for _, body in service.came]


def test_a_night_tells_what_needs_a_person_and_its_end_once_and_raises_the_flag(
    told: Corral, repo: Path, service: Listener
) -> None:
    long = "echo begun; for i in 1 2 3 4; do sleep 8; echo $i; done"  # never silent for `idle`
    file = write_tasks(repo.parent / "t.yaml", repo, {"bad": REJECTED, "long": long})
    with living(told, "run", file, "--name", "night") as run:
        run.until("run.notified")
        run.kill()
    flag = told.home / "needs-attention"
    assert flag.read_text().startswith("night: task bad was not served: rejected (corral show bad/")
    with living(told, "resume") as again:
        assert again.end() == 1
    assert titles(service) == ["task bad was not served: rejected", "0 of 2 tasks served"]
    last = service.came[-1][1]["message"].splitlines()
    assert "Needs a decision: bad (rejected), long (no-change)" in last
    assert [event["recipient"] for event in again.events if event["kind"] == "run.notified"] == ["phone"]
    assert again.events[-1]["untold"] == {}
    assert len(flag.read_text().splitlines()) == 2
    assert_secret(told, again.events)


def test_a_service_that_fails_is_named_in_the_summary_and_costs_the_night_nothing(
    told: Corral, repo: Path, service: Listener
) -> None:
    service.status = 500
    done = told.run(repo, {"good": "date > made", "bad": REJECTED})
    assert done.verdicts == {"good": "done", "bad": "rejected"}
    assert done.code == 1
    assert done.summary["untold"] == {"phone": "the service refused it with status 500"}
    assert "phone could not be told: the service refused it with status 500" in told("report").out
    assert_secret(told, done.events)


def assert_secret(told: Corral, *shown: object) -> None:
    """Nothing shows where people are reached: no event, no file of the state directory, no command."""
    outputs = [told(command).out for command in ("status", "report", "doctor")]
    assert SECRET not in str(shown) + "".join(outputs)
    for file in told.home.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_the_command_sends_a_test_and_says_who_took_it(told: Corral, service: Listener) -> None:
    done = told("notify", "test", "--json")
    assert (done.code, done.json) == (0, [{"recipient": "phone", "problem": None}])
    assert service.came[0][1]["title"] == "Corral: a test"
    service.status = 403
    done = told("notify", "test", "phone")
    assert (done.code, done.out) == (3, "phone: the service refused it with status 403\n")
    assert told("notify", "test", "nobody").code == 2
    told.env["CORRAL_CONFIG"] = "/dev/null"
    nobody = told("notify", "test")
    assert (nobody.code, "[[notify.to]]" in nobody.err) == (2, True)
