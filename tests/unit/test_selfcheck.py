"""From a probe's facts to findings: what holds, what each hole looks like, and what is said of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from runner.errors import HostError, UsageError
from runner.gather.policy import Refused, TreeWalk
from runner.git.commits import oid_of
from runner.sandbox.facts import EngineFacts
from runner.selfcheck import attacks, bomb, quick
from runner.selfcheck.judge import RULES, Facts, Given, findings, judge_probe, lacking, merged, untested
from runner.selfcheck.promises import BY_NAME, PROMISES, Promise, check_names
from runner.supervisor import events as e
from runner.supervisor.host.doctor import Finding
from runner.supervisor.outfit import Means
from runner.supervisor.state import apply, begin
from runner.views import selfcheck_view
from tests.attacks.test_shown import LATER as SHOWN_LATER
from tests.support import git, make_repo
from tests.unit.makers import make_plan

BOX = Given(disk=16 << 20, files=2048, pids=64, uid=59999)
CAPTURED = (Path(__file__).parent / "captured" / "probe.txt").read_text()
"""What the probe printed in a real box, all promises holding."""

ENGINE = EngineFacts(
    "20.10.24", "1.41", "1", "overlay2", 2, 1 << 30, "/var/lib/docker", ("name=seccomp",), ()
)


def seen(**changed: str) -> dict[str, tuple[str, ...]]:
    """What breaks promises where these facts are otherwise."""
    facts = Facts.parse(CAPTURED)
    assert set(changed) <= set(facts)
    return {name: words for name, words in judge_probe(Facts({**facts, **changed}), BOX).items() if words}


def test_in_a_sound_box_everything_holds() -> None:
    assert judge_probe(Facts.parse(CAPTURED), BOX) == dict.fromkeys(RULES, ())


@pytest.mark.parametrize(
    ("promise", "fact", "value", "words"),
    [
        ("git-mask", "mask.remove", "done", "a box could remove it"),
        ("git-mask", "mask.unmount", "done", "a box could unmount it"),
        ("git-mask", "mask.says", "gitdir: /workspace/mine", "it says 'gitdir: /workspace/mine'"),
        ("base-store", "base.secret", "there", "a commit of another branch"),
        ("base-store", "base.listed", "secret", "a commit of another branch"),
        ("base-store", "base.refs", "2", "2 refs"),
        ("base-store", "base.base", "absent", "could not be tested"),
        ("system-calls", "status.Seccomp", "0", "no filter"),
        ("system-calls", "call.io_uring_setup", "EFAULT", "io_uring_setup is let through (EFAULT)"),
        ("system-calls", "socket.vsock", "done", "vsock is let through"),
        ("system-calls", "call.unshare", "untried", "unshare"),
        ("system-calls", "calls.known", "0", "could not be tested"),
        ("privileges", "status.CapBnd", "00000000a80425fb", "CapBnd is 00000000a80425fb"),
        ("privileges", "status.CapEff", "nonsense", "could not be tested"),
        ("privileges", "status.NoNewPrivs", "0", "gain privileges"),
        ("privileges", "status.Uid", "59999 0 59999 59999", "uid"),
        ("privileges", "root/etc", "done", "/etc can be written"),
        ("disk-bytes", "disk.written", str(17 << 20), "17 MiB were written to a disk of 16 MiB"),
        ("disk-bytes", "disk.written", "0", "could not be tested"),
        ("disk-files", "disk.made", "4096", "4096 files"),
        ("setuid", "mount./gitdir", "rw,nosuid,relatime", "/gitdir is mounted without nodev"),
        ("processes", "processes.made", "256", "256 processes where 64 may be"),
        ("network", "network.up", "eth0", "eth0"),
        ("network", "network.routes", "1", "a route"),
        ("network", "network.connect", "done", "a route"),
        ("network", "network.engines", "/run/docker.sock", "/run/docker.sock"),
    ],
)
def test_each_hole_breaks_its_own_promise_alone(promise: str, fact: str, value: str, words: str) -> None:
    broken = seen(**{fact: value})
    assert list(broken) == [promise]
    assert words in " ".join(broken[promise])


@pytest.mark.parametrize("fact", sorted(set(Facts.parse(CAPTURED)) - {"probe"}))
def test_what_the_box_did_not_show_is_not_taken_for_sound(fact: str) -> None:
    """Of the calls each one may be missing: which there are differs between machines."""
    facts = Facts.parse(CAPTURED)
    del facts[fact]
    broken = {name: words for name, words in judge_probe(facts, BOX).items() if words}
    if fact.startswith(("call.", "socket.")):
        assert broken == {}
    else:
        assert len(broken) == 1
        assert all(words[0].startswith("could not be tested") for words in broken.values())


@given(st.text(max_size=200), st.integers(0, 2000))
def test_whatever_a_probe_prints_is_judged(noise: str, cut: int) -> None:
    judged = judge_probe(Facts.parse(CAPTURED[:cut] + noise), BOX)
    assert set(judged) == set(RULES)


# -- findings


def test_a_platform_that_lacks_a_part_is_weaker_and_not_broken() -> None:
    said = ("WARNING: No memory limit support", "WARNING: No swap limit support", "WARNING: No pids limit")
    bare = replace(ENGINE, security=("name=apparmor",), warnings=said)
    assert set(lacking(bare, "watched")) == {
        *("memory", "processes", "system-calls"),
        *("disk-bytes", "disk-files", "setuid"),
    }
    assert "limits.memory" in lacking(bare, "limited")["memory"], "the worst of two is said"
    assert lacking(ENGINE, "limited") == {}
    (found,) = findings({"memory": ("it ended as exited",)}, lacking(bare, "limited"))
    assert (found.level, found.cure) == ("weaker", BY_NAME["memory"].cure)


def test_findings_come_in_the_order_of_the_promises_and_say_what_was_seen() -> None:
    found = findings({"network": ("a", "b", "c", "d"), "git-mask": (), "output": (untested("no"),)}, {})
    assert [(one.name, one.level) for one in found] == [
        ("git-mask", "ok"),
        ("network", "broken"),
        ("output", "broken"),
    ]
    assert found[1].found == "a; b; c (and 1 more)"
    assert found[1].cure == BY_NAME["network"].cure
    assert "doctor" in (found[2].cure or "")


def test_what_was_seen_in_two_ways_is_told_once() -> None:
    assert merged({"a": ("x",)}, {"a": ("x", "y"), "b": ()}) == {"a": ("x", "y"), "b": ()}


def test_promises_have_names_of_their_own_and_all_rules_belong_to_one() -> None:
    assert len(BY_NAME) == len(PROMISES) == 15
    assert set(RULES) < set(BY_NAME)
    assert check_names(["setuid", "setuid"]) == {"setuid"}
    with pytest.raises(UsageError, match="no promise 'x'"):
        check_names(["setuid", "x"])


# -- before a night


def told(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> Means:
    """Means on a host of which a probe says this."""
    monkeypatch.setattr(quick, "probe", lambda *_: found)
    no = cast(Any, None)
    return Means(no, no, no, no, no, 1, ("slow disk",))


BROKEN = Finding("network", "broken", "it has the network interfaces eth0", "look at the engine")


def test_a_night_begins_where_all_holds_or_is_weaker(monkeypatch: pytest.MonkeyPatch) -> None:
    has = told(monkeypatch, Finding("setuid", "weaker", "so", "do"), Finding("network", "ok", "fine"))
    assert quick.require(has, "r", frozenset()) == has


def test_a_broken_promise_is_refused_with_its_cure_and_the_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    has = told(monkeypatch, BROKEN, Finding("setuid", "broken", "s", "c"))
    with pytest.raises(HostError) as caught:
        quick.require(has, "r", frozenset({"setuid"}))
    assert caught.value.exit_code == 3
    said = str(caught.value)
    assert "the promise network is broken here: it has the network interfaces eth0\n  → look at" in said
    assert "--accept-weaker network" in said
    assert "setuid" not in said


def test_what_is_accepted_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    has = quick.require(told(monkeypatch, BROKEN), "r", frozenset({"network", "setuid"}))
    assert has.weaker == ("slow disk", f"network is broken, and accepted: {BROKEN.found}")


def test_what_is_accepted_when_a_run_is_resumed_is_told_beside_what_was_before() -> None:
    begun = begin("r", e.RunStarted(at=1, plan=make_plan(), jobs=1, weaker=("slow disk", "a")))
    resumed = apply(begun, e.RunResumed(at=2, jobs=1, weaker=("slow disk", "b")))
    assert resumed.weaker == ("slow disk", "a", "b")


# -- the bomb, the attacks, the view


def test_the_bomb_is_what_it_says_and_the_policy_refuses_it(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    tip, pack = bomb.pack(git(repo, "rev-parse", "HEAD"))
    subprocess.run(
        ["git", "-C", str(repo), "index-pack", "--stdin", "--strict", "--fsck-objects"],
        input=pack,
        check=True,
        capture_output=True,
    )
    assert git(repo, "rev-parse", f"{tip}^{{tree}}") == bomb.outermost()
    assert git(repo, "rev-list", "--count", tip) == "2"
    assert len(pack) < 4096
    bodies = dict(zip(_ids(), bomb.trees(), strict=True))
    with pytest.raises(Refused, match="more than 500000 files"):
        TreeWalk(bodies.__getitem__).shape(bomb.outermost())


def _ids() -> list[str]:
    return [oid_of("tree", body) for body in bomb.trees()]


def test_every_attack_says_when_it_was_made_and_is_shell(tmp_path: Path) -> None:
    made = (
        *(attacks.host_execution(tmp_path / "it's"), attacks.tree_policy()),
        *(attacks.MEMORY_BOMB, attacks.OUTPUT_FLOOD, attacks.CREDENTIALS),
    )
    for attack in made:
        assert attack.name in BY_NAME
        assert f"attacked {attack.name}" in attack.script
        subprocess.run(["sh", "-n", "-c", attack.script], check=True)


def test_the_view_says_the_worst_last_and_shows_nothing_that_steers() -> None:
    rows = (
        Finding("memory", "ok", "fine"),
        Finding("setuid", "weaker", "so", "do this"),
        Finding("network", "broken", "\x1b[31mred", "look"),
    )
    console = Console(width=200, record=True, force_terminal=False)
    with console.capture() as shown:
        console.print(selfcheck_view.terminal(rows))
    lines = shown.get().splitlines()
    assert lines[0] == "holds       memory: fine"
    assert lines[1:3] == ["weaker here setuid: so", "            → do this"]
    assert lines[3].startswith("BROKEN      network: ")
    assert lines[-1] == "1 of 3 promises broken: network"
    assert "\x1b" not in shown.get()
    assert selfcheck_view.as_json(rows)[1] == {
        "name": "setuid", "level": "weaker", "found": "so", "cure": "do this",
    }  # fmt: skip


# -- the document

DOCUMENT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_the_document_makes_the_same_promises(promise: Promise) -> None:
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{promise.name}` |")]
    assert row.split("|")[2].strip().rstrip(".").lower() == promise.says.lower()


def test_the_document_says_what_is_tested_before_a_run() -> None:
    (part,) = [part for part in DOCUMENT.split("\n- ") if part.startswith("`corral run` and")]
    assert all(f"`{name}`" in part for name in (*RULES, "tree-policy"))
    assert not any(f"`{name}`" in part for name in BY_NAME.keys() - RULES.keys() - {"tree-policy"})


def test_the_document_lists_the_cases_that_are_not_tested() -> None:
    (part,) = [part for part in DOCUMENT.split("\n## ") if part.startswith("Attacks that are not tested")]
    listed = {int(number) for number in re.findall(r"^\| (\d+), ", part, re.MULTILINE)}
    assert listed == {34, *SHOWN_LATER}
