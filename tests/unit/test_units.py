"""The unit of a detached run: what stands in it, that systemd takes it, and that nothing is left of it.

No systemd runs where these tests run: `systemctl` is imitated by a script that notes what it is asked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.errors import HostError
from runner.supervisor.host import units

HOME, LOG = Path("/home/me/.local/state/corral"), Path("/home/me/100% mine/log")
COMMAND = ["/usr/bin/env", "-m", 'a "b" $HOME %h \\', "resume", "night"]
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "CORRAL_HOME": str(HOME),
    "DOCKER_HOST": "unix:///run/user/1000/docker.sock",
    "ANTHROPIC_API_KEY": "sk-ant-canary",
    "AWS_SECRET": "canary",
    "HTTPS_PROXY": "http://me:canary@proxy:3128",
    "no_proxy": "localhost",
    "CORRAL_ODD": "two\nlines",
    "CORRAL_CONFIG": '/home/me/$HOME/100%/"a"\\b',
}


def test_it_holds_what_is_needed_and_no_secret() -> None:
    text = units.unit("night", COMMAND, LOG, ENVIRONMENT)
    assert "canary" not in text
    assert "two" not in text
    assert 'Environment="CORRAL_HOME=/home/me/.local/state/corral"' in text
    assert 'Environment="no_proxy=localhost"' in text
    assert 'Environment="CORRAL_CONFIG=/home/me/$HOME/100%%/\\"a\\"\\\\b"' in text
    assert 'ExecStart="/usr/bin/env" "-m" "a \\"b\\" $$HOME %%h \\\\" "resume" "night"' in text
    assert "append:/home/me/100%% mine/log" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_it(tmp_path: Path) -> None:
    text = units.unit("night", COMMAND, LOG, ENVIRONMENT)
    assert complaints(tmp_path, text) == []
    assert len(complaints(tmp_path, text.replace("Restart=on-abnormal", "Restart=when-it-rains"))) == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_the_program_wherever_it_lies(tmp_path: Path) -> None:
    program = tmp_path / "$HOME 100%h" / "python"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    assert complaints(tmp_path, units.unit("night", [str(program), "$x"], LOG, ENVIRONMENT)) == []
    (complaint,) = complaints(tmp_path, units.unit("night", [f"{program}3"], LOG, ENVIRONMENT))
    assert "is not executable" in complaint


def complaints(folder: Path, text: str) -> list[str]:
    """What systemd says is wrong with a unit."""
    file = folder / units.unit_name(HOME, "night")
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", file],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
    )
    return done.stderr.splitlines()


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30))
def test_a_word_stays_one_word(text: str) -> None:
    line = units.unit("r", ["x", text], LOG, {})
    (start,) = (one for one in line.split("\n") if one.startswith("ExecStart="))
    word = start.removeprefix('ExecStart="x" ')
    assert (word[0], word[-1]) == ('"', '"')
    inside = word[1:-1]
    plain, rest = "", inside
    while rest:
        pair = rest[:2]
        if pair in {"\\\\", '\\"', "$$", "%%"}:
            plain, rest = plain + pair[1], rest[2:]
        else:
            assert rest[0] not in '"\\$%'
            plain, rest = plain + rest[0], rest[1:]
    assert plain == text


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"], blacklist_characters="@"), max_size=30))
def test_a_value_arrives_as_it_is(text: str) -> None:
    """In a value systemd reads `%%` and what is quoted; a `$` is itself there (systemd.exec(5))."""
    assume(text.isprintable())
    line = 'Environment="CORRAL_X='
    unit = units.unit("r", ["x"], LOG, {"CORRAL_X": text})
    (given,) = (one for one in unit.split("\n") if one.startswith(line))
    inside = given.removeprefix(line).removesuffix('"')
    assert re.sub(r'\\([\\"])|%(%)', lambda found: found[1] or found[2], inside) == text


@pytest.fixture
def imitated(tmp_path: Path) -> dict[str, str]:
    """An environment with an imitated `systemctl`."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest ! -e {tmp_path}/broken || exit 1\n'
        f'case "$*" in *" show "*) echo "ActiveState=$(cat {tmp_path}/state)";; esac\n'
    )
    script.chmod(0o755)
    (tmp_path / "run" / "systemd").mkdir(parents=True)
    (tmp_path / "run" / "systemd" / "private").touch()
    return {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_it_is_started_and_leaves_nothing(tmp_path: Path, imitated: dict[str, str]) -> None:
    found = units.manager(tmp_path, imitated)
    assert found is not None
    found.start("u.service", "[Service]\n")
    file = tmp_path / ".config" / "systemd" / "user" / "u.service"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("[Service]\n", 0o600)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--user show-environment", "--user daemon-reload", "--user enable --now u.service"]
    found.forget("u.service")
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "lives"), [("active", True), ("activating", True), ("failed", False), ("inactive", False)]
)
def test_whether_it_lives_is_asked(tmp_path: Path, imitated: dict[str, str], state: str, lives: bool) -> None:
    found = units.manager(tmp_path, imitated)
    assert found is not None
    (tmp_path / "state").write_text(state)
    assert found.lives("u.service") is lives
    assert (tmp_path / "asked").read_text().endswith("--user show --property=ActiveState u.service\n")
    (tmp_path / "broken").touch()
    assert found.lives("u.service")


def test_what_it_refuses_is_said(tmp_path: Path, imitated: dict[str, str]) -> None:
    found = units.manager(tmp_path, imitated)
    assert found is not None
    (tmp_path / "broken").touch()
    with pytest.raises(HostError, match="daemon-reload"):
        found.start("u.service", "")
    assert list((tmp_path / ".config" / "systemd" / "user").iterdir()) == []
    assert units.manager(tmp_path, imitated) is None
    assert units.manager(tmp_path, {}) is None


def test_who_lingers(tmp_path: Path) -> None:
    assert not units.lingers("me", tmp_path)
    (tmp_path / "me").touch()
    assert units.lingers("me", tmp_path)
