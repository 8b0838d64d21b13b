"""Accepted branches put together, with their checks run in real containers on what comes of it."""

from __future__ import annotations

from pathlib import Path

from tests.support import Corral, git, make_repo

FILES = {
    "shared": "one\ntwo\nthree\n",
    "limit": "10\n",
    "Makefile": 'check:\n\ttest "$$(cat a)" -le "$$(cat limit)"\n',
}
TASKS: dict[str, object] = {
    "first": {"sh": "sed -i s/two/TWO/ shared", "check": "grep -q TWO shared"},
    "eases": {
        "sh": "printf 'check:\\n\\ttrue\\n' > Makefile",
        "check": "test -s Makefile",
        "priority": "high",
    },
    "adds": {"sh": "echo 4 > a", "check": "make -s check"},
    "shrinks": {"sh": "echo 3 > limit", "check": "test -s limit", "priority": "low"},
    "clashes": {"sh": "sed -i s/two/2/ shared", "check": "grep -q 2 shared", "priority": "low"},
    "unseen": {"sh": "echo 1 > c", "check": "test -s c && sh tests/hidden.sh", "hidden": "hidden"},
    "writes-tests": "mkdir t; echo 'test -e d' > t/new.sh",
    "passes-them": {
        "sh": "touch d",
        "needs": ["writes-tests"],
        "from": "writes-tests",
        "check": "sh t/new.sh",
        "protect": ["t"],
    },
    "fails": {"sh": "touch x", "check": "false"},
}


def test_what_goes_together_is_one_branch_and_the_rest_is_named(corral: Corral, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", FILES)
    (tmp_path / "hidden" / "tests").mkdir(parents=True)
    (tmp_path / "hidden" / "tests" / "hidden.sh").write_text("test -e c\n")
    assert corral.run(repo, TASKS).verdicts["fails"] == "rejected"
    head, index = git(repo, "rev-parse", "HEAD"), (repo / ".git" / "index").read_bytes()
    done = corral("integrate", "--json")
    (row,) = done.json["repositories"]
    told = {one["attempt"].partition("/")[0]: one for one in row["joined"]}
    assert {name for name, one in told.items() if one["went_in"]} == {
        *("eases", "first", "adds", "unseen", "writes-tests", "passes-them")
    }
    assert (told["clashes"]["cause"], told["clashes"]["files"]) == ("conflict", ["shared"])
    assert told["clashes"]["with_"] == ["first/do-first/1"]
    assert (told["shrinks"]["cause"], told["shrinks"]["with_"]) == ("check", ["adds/do-adds/1"])
    assert "adds: it passes only with the work's own Makefile" in told["shrinks"]["why"]
    checks = {one["name"]: one["check"] for one in row["checks"]}
    assert checks == dict.fromkeys(("eases", "first", "adds", "unseen", "passes-them"), "passed")
    assert done.code == 1  # something was left out
    listed = git(repo, "ls-tree", "-r", "--name-only", row["branch"]).split()
    assert {"a", "c", "shared"} <= set(listed)
    assert "tests/hidden.sh" not in listed
    assert (git(repo, "rev-parse", "HEAD"), (repo / ".git" / "index").read_bytes()) == (head, index)
    again = corral("integrate", "--json").json["repositories"][0]
    assert (again["commit"], again["new"]) == (row["commit"], False)
    assert "shrinks/do-shrinks/1" in corral("report", "--markdown").out
