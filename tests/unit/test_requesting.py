"""Pull requests: where, by which program, and with which words, whoever wrote them."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.git import remotes
from runner.git.remotes import Place, forge_of, place_of
from runner.supervisor import events as e
from runner.tasks.checks import CheckSpec
from runner.tasks.plan import PlannedAttempt
from runner.views import pull_request
from tests.support import git
from tests.unit.makers import after, life, make_plan, started
from tests.unit.test_discarding import BRANCH, FIX, Night, call, night  # noqa: F401 - a fixture
from tests.unit.test_inert import hostile

FAKE = """\
#!{python}
# A fake of `{name}`: it writes down its arguments, and the text of the body, and opens nothing.
import json, pathlib, sys
body = [pathlib.Path(a.split("=", 1)[1]).read_text() for a in sys.argv if a.startswith("--body-file=")]
pathlib.Path(r"{record}").write_text(json.dumps({{"argv": sys.argv[1:], "body": body}}))
print("https://forge.example/pull/1\\x1b]52;c;\\x07")
sys.exit({code})
"""


@pytest.mark.parametrize(
    ("address", "place", "forge"),
    [
        ("https://github.com/o/n.git", Place("github.com", "o/n"), "github"),
        ("https://user:secret@github.com/o/n", Place("github.com", "o/n"), "github"),
        ("git@github.com:o/n.git", Place("github.com", "o/n"), "github"),
        ("ssh://git@github.example.com:2222/o/n.git", Place("github.example.com", "o/n"), "github"),
        ("git@gitlab.com:group/sub/n.git", Place("gitlab.com", "group/sub/n"), "gitlab"),
        ("https://codeberg.org/o/n.git/", Place("codeberg.org", "o/n"), "gitea"),
        ("https://forgejo.example.org/o/n", Place("forgejo.example.org", "o/n"), "gitea"),
        ("https://git.example.org/o/n.git", Place("git.example.org", "o/n"), None),
        ("https://notgithub.com/o/n.git", Place("notgithub.com", "o/n"), None),
        ("/srv/git/n.git", None, None),
        ("../n.git", None, None),
        ("file:///srv/n.git", None, None),
        ("git@github.com:o/$(id).git", None, None),
        ("https://github.com/--x/n\n", Place("github.com", "--x/n"), "github"),
    ],
)
def test_where_a_remote_is(address: str, place: Place | None, forge: str | None) -> None:
    found = place_of(address)
    if place is None or not place.path.startswith("-"):
        assert (found, forge_of(found)) == (place, forge)
    else:
        assert found is None


@given(st.text(max_size=60) | st.text(alphabet="abhtps:/@[].-$(`;", max_size=40).map("https://".__add__))
def test_any_address_is_a_plain_place_or_none(address: str) -> None:
    found = place_of(address)
    assert found is None or (found.path.isascii() and shlex.quote(found.path) == found.path)


@given(hostile, st.sampled_from(["github", "gitlab", "gitea"]))
def test_words_stay_one_argument_each(text: str, forge: Any) -> None:
    request = remotes.Request("origin", Place("h", "o/n"), "b", "main", text, text, "/f")
    command = remotes.command(forge, request)
    assert f"--title={text}" in command
    assert all(word.startswith("--") for word in command[3:])


@given(hostile)
def test_a_page_of_it_links_and_mentions_nobody(text: str) -> None:
    plan = make_plan(FIX)
    task = plan.tasks[0].model_copy(update={"prompt": f"do\n```\n{text}", "checks": (CheckSpec(run=text),)})
    events = (
        one.model_copy(update={"reason": text, "flags": (text,)}) if one.kind == "attempt.ended" else one
        for one in life("fix/p/1", "rejected")
    )
    state = after(started(plan.model_copy(update={"tasks": (task,)})), *events)
    (attempt,) = state.attempts.values()
    body = pull_request.body(state, attempt)
    head, asked = body.split("What was asked:\n\n")
    fence, *inside, end = asked.rstrip("\n").split("\n")
    assert (fence, end) == (end + "text", "`" * len(end)), "what was asked can't end its block"
    assert not any(end in row for row in inside)
    for row in head.splitlines():
        outside = "".join(row.split("`")[::2])
        assert not set(outside) & set("@[]<>#") or outside.startswith(("| |", "|---"))
    assert pull_request.title(state, attempt) == "do"


def ready(place: Night, forge: str = "gh", code: int = 0) -> Path:
    """A run with one attempt, a remote, and a fake program of the forge; returns what that writes down."""
    place.begin(FIX, PlannedAttempt(task="next", profile="p"))
    place.attempt("fix/p/1")
    place.note(e.RunEnded(at=9, exit_code=0))
    bare = place.repo.parent / "there.git"
    git(place.repo.parent, "init", "-q", "--bare", str(bare))
    git(place.repo, "remote", "add", "origin", "https://someone:secret@github.com/o/n.git")
    git(place.repo, "remote", "set-url", "--push", "origin", str(bare))
    record, folder = place.repo.parent / "record.json", place.repo.parent / "programs"
    folder.mkdir()
    fake = folder / forge
    fake.write_text(FAKE.format(python=sys.executable, name=forge, record=record, code=code))
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return record


def with_fakes(place: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{place.repo.parent / 'programs'}:{os.environ['PATH']}")


def heads(place: Night) -> dict[str, str]:
    rows = git(place.repo.parent / "there.git", "for-each-ref", "--format=%(refname:short) %(objectname)")
    return dict(row.split() for row in rows.splitlines())


def test_it_prints_what_a_person_can_paste(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    record = ready(night)
    done = call(night.home, "pr", "fix", "--as", "mine/fix", "--title", "it's $(done)")
    assert done.exit_code == 0, done.output
    assert "secret" not in done.output
    assert heads(night) == {}, "nothing was done"
    with_fakes(night, monkeypatch)
    subprocess.run(["sh", "-e"], input=done.output, text=True, check=True, capture_output=True)
    assert heads(night) == {"mine/fix": night.commits["fix/p/1"]}
    said = json.loads(record.read_text())
    assert said["argv"] == [
        "pr", "create", "--repo=github.com/o/n", "--head=mine/fix", "--title=it's $(done)",
        f"--body-file={night.home / 'runs/r/pr-fix+p+1.md'}",
    ]  # fmt: skip
    assert "verdict | `accepted`" in said["body"][0]
    assert str(night.repo) not in said["body"][0], "no path of this machine"


def test_with_push_it_does_it(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    record = ready(night)
    with_fakes(night, monkeypatch)
    done = call(night.home, "pr", "fix", "--push", "--into", "main")
    assert done.exit_code == 0, done.output
    assert done.output.strip() == "https://forge.example/pull/1\\x1b]52;c;\\x07"
    assert heads(night) == {BRANCH: night.commits["fix/p/1"]}
    argv = json.loads(record.read_text())["argv"]
    assert ("--base=main" in argv, f"--head={BRANCH}" in argv, "--title=fix" in argv) == (True, True, True)
    (row,) = json.loads(call(night.home, "pr", "fix", "--push", "--json").output)
    assert (row["pushed"], row["forge"], row["branch"]) == (True, "github", BRANCH)


def test_other_forges_get_the_text_as_an_argument(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    record = ready(night, "glab")
    git(night.repo, "remote", "set-url", "origin", "git@gitlab.com:g/s/n.git")
    with_fakes(night, monkeypatch)
    printed = call(night.home, "pr", "fix").output
    subprocess.run(["sh", "-e"], input=printed, text=True, check=True, capture_output=True)
    by_hand = json.loads(record.read_text())["argv"]
    assert call(night.home, "pr", "fix", "--push").exit_code == 0
    argv = json.loads(record.read_text())["argv"]
    assert [word.rstrip("\n") for word in argv] == by_hand, "the shell drops the last line's end"
    assert argv[:3] == ["mr", "create", "--repo=https://gitlab.com/g/s/n"]
    assert any(word.startswith("--description=Made by") for word in argv)


def test_what_can_not_be_done_is_said_before_anything_is(
    night: Night,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready(night, code=1)
    for arguments, why in (
        (["fix", "--push"], "no program 'gh' on your PATH"),
        (["next"], "has no branch"),
        (["+integration"], "nothing of the run r was put together"),
        (["fix", "--remote", "there"], "no remote called 'there'"),
        (["fix", "--as", "a..b"], "a branch can't be called"),
        (["fix", "--as", "x", "--into", "x"], "can't be merged into itself"),
        (["fix", "--title", "a\nb"], "one line of text"),
    ):
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        done = call(night.home, "pr", *arguments)
        assert (done.exit_code, why in done.output) == (2, True), done.output
    assert heads(night) == {}
    with_fakes(night, monkeypatch)
    done = call(night.home, "pr", "fix", "--push")
    assert (done.exit_code, "gh failed (exit 1)" in done.output) == (3, True)
    git(night.repo, "remote", "set-url", "origin", str(night.repo.parent / "there.git"))
    assert "--forge github, gitlab or gitea" in call(night.home, "pr", "fix").output
    assert "cd " in call(night.home, "pr", "fix", "--forge", "gitea").output
    call(night.home, "discard", "fix")
    assert "was discarded" in call(night.home, "pr", "fix").output


def test_what_was_put_together_can_be_asked_for(night: Night) -> None:  # noqa: F811
    ready(night)
    joined = (
        e.Joined(attempt="fix/p/1", went_in=True),
        e.Joined(attempt="next/p/1", went_in=False, why="it doesn't merge", cause="conflict", files=("a|b",)),
    )
    told = {"repo": str(night.repo), "base": night.base, "commit": night.commits["fix/p/1"]}
    night.note(e.Integrated(at=9, branch="corral/r/+integration", joined=joined, **told))
    (row,) = json.loads(call(night.home, "pr", "+integration", "--json").output)
    assert (row["title"], row["branch"]) == ("1 branch of the Corral run r", "corral/r/+integration")
    body = Path(row["body"]).read_text()
    assert "| `fix/p/1` | in |" in body
    assert "left out | `it doesn't merge` `a\\x7cb`" in body
    taken = call(night.home, "take", "+integration", "all")
    assert f"all is now at {night.commits['fix/p/1'][:12]}" in taken.output
    assert git(night.repo, "rev-parse", "all") == night.commits["fix/p/1"]
    again = call(night.home, "take", "+integration", "all")
    assert (again.exit_code, "there is a branch called 'all'" in again.output) == (2, True)
    discarded = call(night.home, "discard", "+integration")
    assert discarded.exit_code == 2
    assert "`corral integrate r` makes it anew" in discarded.output
    assert f"git -C '{night.repo}' branch -D corral/r/+integration" in discarded.output


def test_without_an_integration_there_is_none_to_take_or_discard(night: Night) -> None:  # noqa: F811
    ready(night)
    for command in (["take", "+integration", "all"], ["discard", "+integration"]):
        assert "nothing of the run r was put together" in call(night.home, *command).output
