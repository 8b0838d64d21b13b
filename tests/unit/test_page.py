"""The report's page: what is in it, and that nothing in it acts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from runner.cli import app
from runner.compare.scored import Comparison, Pair, Side
from runner.supervisor import events as e
from runner.supervisor.journal import Journal
from runner.tasks.plan import CodexSettings, Source
from runner.views.inert import _is_active
from runner.views.page import activity, clock, colouring, diffs, lives, sharing
from runner.views.page.headline import better
from runner.views.page.markup import Html, escaped, joined, tag
from runner.views.page.material import Read, Step
from runner.views.page.page import page, policy, style
from runner.views.page.profiles import frontier
from tests import pages
from tests.pages import Size
from tests.support import git, make_repo
from tests.unit.makers import life

SMALL = Size(tasks=2, repeats=1, jobs=2)
VOID = {"meta", "br", "hr", "col", "wbr"}
KNOWN = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "footer",
        "nav",
        "section",
        "figure",
    ),
    *("figcaption", "div", "p", "span", "b", "i", "a", "h1", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt"),
    *(
        "dd",
        "small",
        "code",
        "pre",
        "ins",
        "del",
        "blockquote",
        "time",
        "details",
        "summary",
        "table",
        "thead",
    ),
    *("tbody", "tr", "th", "td", "svg", "g", "path", "rect", "line", "circle", "text"),
}


class Reading(HTMLParser):
    """Reads a page strictly: every element is closed where it was opened, and of a known kind."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN, tag
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if "href" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reading:
    reading = Reading()
    reading.feed(text)
    reading.close()
    assert reading.open == []
    return reading


# -- markup


@given(st.text())
def test_text_is_shown_and_never_acts(text: str) -> None:
    found = read(f"<p>{escaped(text)}</p>").text
    shown = "".join(found)
    assert not any(_is_active(sign) for sign in shown if sign not in "\n\t")
    assert "<" not in escaped(text)
    assert '"' not in escaped(text)
    assert "'" not in escaped(text)


@given(st.text(), st.text())
def test_attributes_hold_what_they_are_given(one: str, other: str) -> None:
    text = tag("p", other, title=one).text
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*</p>', text, re.DOTALL)


@pytest.mark.parametrize("name", ["onclick", "style", "src", "srcdoc", "formaction", "on_load", "data"])
def test_attributes_that_act_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no attribute"):
        tag("p", **{name: "x"})


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "https://example.org/", "//example.org", " #x", "x"]
)
def test_links_lead_within_the_page(target: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        tag("a", "x", href=target)


def test_pieces_are_put_together() -> None:
    assert joined("<", Html("<b>"), 3, None, [["&"]]).text == "&lt;<b>3&amp;"
    assert (
        tag("rect", x=1.0, width=2.345, hidden=True, title=None).text
        == '<rect x="1" width="2.35" hidden></rect>'
    )


# -- the page


def test_the_policy_allows_its_own_style_sheet_and_nothing_else() -> None:
    text = page(pages.night(SMALL))
    (sheet,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    (told,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert told == policy(style())
    assert told.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in told
    assert "unsafe" not in told
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_it_holds_every_part_in_order_and_every_link_leads_somewhere() -> None:
    reading = read(page(pages.night(Size(tasks=8, repeats=2, jobs=4))))
    parts = [
        "night",
        "profiles",
        "tasks",
        "pairs",
        "fairness",
        "conflicts",
        "integration",
        "spending",
        "attempts",
    ]
    assert [one for one in reading.ids if one in parts] == parts
    assert len(reading.ids) == len(set(reading.ids))
    assert {link[1:] for link in reading.links} <= set(reading.ids)
    assert not reading.attributes & {"style", "src", "onclick", "onload"}
    assert {"svg", "table", "details"} <= reading.tags


def test_every_command_names_the_run() -> None:
    """A page is kept: by then another run is the latest."""
    material = pages.night()
    typed = re.findall(r"corral (?:show|logs|diff|take) [^<`]*", str(page(material)))
    assert {one.split()[1] for one in typed} >= {"logs", "take"}
    assert [one for one in typed if not re.search(rf" --run {material.state.name}\b", one)] == []


def test_parts_without_data_are_left_out() -> None:
    whole = pages.night(SMALL)
    bare = replace(whole, comparison=None, audit=None, matrices={}, spending=(), shut=())
    bare = replace(bare, state=replace(bare.state, integrated={}))
    ids = read(page(bare)).ids
    assert not {"profiles", "pairs", "fairness", "conflicts", "integration", "spending"} & set(ids)
    assert {"night", "tasks", "attempts"} <= set(ids)


def test_a_run_that_began_just_now_has_a_page() -> None:
    whole = pages.night(SMALL)
    events: list[e.Event] = [e.RunStarted(at=pages.BEGAN, plan=whole.state.plan, jobs=2)]
    from_start = replace(
        whole, state=pages.state_of(events), attempts=(), moments=(), matrices={}, spending=()
    )
    text = " ".join(read(page(replace(from_start, comparison=None, audit=None, shut=()))).text)
    assert "The run has not ended." in text
    assert "Nothing was started." in text


@given(st.text(min_size=1, max_size=60))
def test_hostile_text_in_every_place_leaves_the_page_whole(text: str) -> None:
    read(page(pages.with_text(pages.night(SMALL), text)))


def test_what_a_script_played_is_said_wherever_its_figures_stand() -> None:
    whole = pages.night(SMALL)
    profiles = tuple(
        one.model_copy(
            update={"upstream": one.upstream.model_copy(update={"kind": "script", "script": "/x"})}
        )
        for one in whole.state.plan.profiles
    )
    plan = whole.state.plan.model_copy(update={"profiles": profiles})
    text = " ".join(read(page(replace(whole, state=replace(whole.state, plan=plan)))).text)
    assert text.count("A script played the model here") >= 2 + len(whole.attempts)
    head = "In this run a script plays the model: tokens and cost come from its transcripts"
    assert head in text  # and it is not said there twice


def test_the_headline_and_the_timeline_tell_the_same_times() -> None:
    text = page(pages.night())
    for name, title in (("working time", "{} of work by"), ("held", ", {} held by limits")):
        told = re.search(rf"<dt>{name}</dt><dd>([^<]+)", text)
        assert told is not None
        assert title.format(told[1]) in text


def test_what_is_unknown_is_said_to_be() -> None:
    whole = pages.night(SMALL)
    shown = tuple(
        replace(one, state=replace(one.state, usd=None), course=None, diff=Read(), check=Read())
        for one in whole.attempts
    )
    text = " ".join(read(page(replace(whole, attempts=shown, spending=()))).text)
    assert "what all of it cost is not known" in text
    assert "What it changed" not in text


def test_the_page_stays_small_however_much_there_is() -> None:
    material = pages.night(Size(tasks=20, repeats=2, jobs=8, diff=pages.large_diff(9000)))
    noise = Read("x" * 48_000, whole=False)
    large = replace(
        material, attempts=tuple(replace(one, check=noise, output=noise) for one in material.attempts)
    )
    text = page(large)
    assert len(text.encode()) < sharing.LARGEST
    assert text.count("shows it whole") >= 2 * len(material.attempts)


DENSE = Read('I am good, doing <b>add</b> & "all" <script>\u202e</script>\n')
COLOURFUL = (
    "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n"
    "-x = {1: '&', 2: '<'} if not y else [3, 4, '>']\n+x = {1: '&&', 2: '<<'} or [3, '>>']\n"
)


def test_nothing_is_cut_while_there_is_room() -> None:
    """Escapes and colours make small texts many times as long: that may not cut them."""
    material = pages.night(Size(tasks=3, repeats=1, jobs=2, diff=COLOURFUL))
    long = Read("<>" * 20_000 + "\n" + "y" * 900)
    for said in (DENSE, long):
        shown = tuple(replace(one, check=said, output=said) for one in material.attempts)
        text = page(replace(material, attempts=shown))
        assert "shows it whole" not in text
        assert "shows what it changed" not in text
        assert text.count(escaped(said.text.strip())) == 2 * len(shown)
        assert text.count("<ins>") == len(shown)


def test_a_large_text_beside_small_ones_has_what_they_leave() -> None:
    material = pages.night(SMALL)
    first, *others = material.attempts
    large = Read("<x>" * 150_000)
    text = page(replace(material, attempts=(replace(first, check=large), *others)))
    assert escaped(large.text) in text


def test_a_thousand_attempts_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "LARGEST", 900_000)  # as a thousand would have to fit: to each its part
    material = pages.night(Size(tasks=17, repeats=2, jobs=8, diff=pages.large_diff(1000)))
    noise = Read("<\u202e" * 20_000)
    text = page(replace(material, attempts=tuple(replace(one, check=noise) for one in material.attempts)))
    assert len(text.encode()) < sharing.LARGEST
    assert text.count("shows what it changed") + text.count("shows it whole") >= len(material.attempts)


def test_whatever_does_not_fit_at_all_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MOST_ATTEMPTS", 4)
    text = page(pages.night(SMALL))
    assert "2 attempts are not told of here" in text


# -- what is better


def test_which_setting_is_better_is_said_only_where_it_is_decided() -> None:
    sides = tuple(
        Side(name, scored=20, accepted=n, rate=n / 20) for name, n in (("a", 18), ("b", 8), ("c", 16))
    )
    pairs = (
        Pair("b", "a", 10, -0.5, decided=True),
        Pair("a", "c", 10, 0.1),
        Pair("b", "c", 10, -0.4, decided=True),
    )
    assert better(Comparison(sides, pairs)).startswith("a (90\u202f% accepted) is better than b (40\u202f%).")
    assert "can’t be told" in better(Comparison(sides, (Pair("a", "c", 10, 0.1),)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_frontier_holds_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    kept = {points[n] for n in frontier(points)}
    beaten = {
        one
        for one in points
        for other in points
        if other != one and other[0] <= one[0] and other[1] >= one[1]
    }
    assert kept == set(points) - beaten


# -- bytes


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 5000))
def test_shares_are_fair(needs: list[int], total: int) -> None:
    given_ = sharing.shares(needs, total)
    assert all(share <= need for share, need in zip(given_, needs, strict=True))
    assert sum(given_) <= total
    lacking = [share for share, need in zip(given_, needs, strict=True) if share < need]
    if lacking:
        assert total - sum(given_) < len(needs)  # nothing is kept back
        assert min(lacking) >= max(given_) - 1  # nobody who lacks something has less than another
        assert max(given_) <= min(lacking) + 1


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=20), st.integers(0, 9000))
def test_drawings_share_what_there_is(sizes: list[tuple[int, int]], total: int) -> None:
    """Each by what it was thought to take, and by what it takes."""
    given_: dict[int, int] = {}

    def draw(n: int, most: int) -> Html:
        given_[n] = most
        return Html("x" * min(most, sizes[n][1]))

    drawn = sharing.within([thought for thought, _ in sizes], total, draw)
    assert sum(len(one.text) for one in drawn) <= total
    assert len(given_) == len(sizes)
    if sum(max(one) for one in sizes) <= total:
        assert [len(one.text) for one in drawn] == [size for _, size in sizes]


# -- time


def test_spans_follow_one_another() -> None:
    name = "t/p/1"
    events: list[e.Event] = [
        e.AttemptStarted(at=10, attempt=name, box="b", base="a"),
        e.BoxStarted(at=12, attempt=name, container="c"),
        e.AttemptFrozen(at=20, attempt=name, why="memory"),
        e.AttemptThawed(at=30, attempt=name),
        e.AttemptHeld(at=40, attempt=name, container="c", why="a window", seconds=18, held_s=0),
        e.BoxStarted(at=90, attempt=name, container="d", again=1),
        e.AttemptEnded(at=100, attempt=name, ended="exited"),
        e.AttemptFinal(at=110, attempt=name, verdict="accepted"),
        e.AttemptRetried(at=111, attempt=name, why="person"),
    ]
    found = lives.spans(5, events, 999)
    assert [(one.stage, one.start, one.end) for one in found] == [
        ("waiting", 5, 10),
        ("preparing", 10, 12),
        ("working", 12, 20),
        ("frozen", 20, 30),
        ("working", 30, 40),
        ("held", 40, 90),
        ("working", 90, 100),
        ("checking", 100, 110),
    ]
    assert found[5].why == "a window"
    assert lives.spans(5, events[:2], 50)[-1].end == 50
    assert lives.spans(5, [], 50)[0].stage == "waiting"


@given(st.lists(st.floats(1, 1e6), min_size=6, max_size=6))
def test_no_span_ends_before_it_begins_whatever_clocks_say(times: list[float]) -> None:
    lived = life("t/p/1", "accepted")
    events = [event.model_copy(update={"at": at}) for event, at in zip(lived, times, strict=True)]
    found = lives.spans(0.5, events, 2e6)
    assert all(one.start <= one.end for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_a_window_is_shut_until_it_opens() -> None:
    def shut(name: str, until: float) -> e.Shut:
        return e.Shut(profile=name, window="w", since=1, until=until)

    events: list[e.Event] = [
        e.WindowsChanged(at=10, shut=(shut("a", 99),)),
        e.WindowsChanged(at=20, shut=(shut("a", 99), shut("b", 99))),
        e.WindowsChanged(at=30, shut=(shut("b", 99),)),
    ]
    found = sorted((one.profile, one.since, one.until) for one in lives.shut(events, 50))
    assert found == [("a", 10, 30), ("b", 20, 50)]


def test_an_axis_has_round_times_of_the_clock() -> None:
    axis = clock.Axis(pages.BEGAN, pages.BEGAN + 5 * 3600, pages.ZONE)
    assert [name for _, name in axis.marks()] == ["00:00", "01:00", "02:00", "03:00", "04:00"]
    assert next(round(share, 3) for share, _ in axis.marks()) == 0.15


# -- what agents did


def test_steps_are_condensed() -> None:
    ran = b'{"type":"command_execution","command":"%s","aggregated_output":"a\\nb"}'
    did = b'{"type":"item.completed","item":%s}' % ran
    rows = [
        b"corral: ready",
        b"A word before.",
        did % b"ls",
        *(did % (b"cat %d" % n) for n in range(9)),
        b'{"type":"item.completed","item":{"type":"agent_message","text":"Done: all of it."}}',
    ]
    found = activity.steps(CodexSettings(model="m"), rows)
    assert found[0] == Step("said", "A word before.")
    assert found[1].kind == "did"
    assert found[1].words.startswith("command: ls · cat 0 · cat 1 · cat 2 and 6 more")
    assert found[-1] == Step("said", "Done: all of it.")


@given(st.lists(st.sampled_from("sdg"), max_size=90), st.integers(6, 40))
def test_condensing_keeps_the_beginning_and_the_end(kinds: list[str], most: int) -> None:
    names = {"s": "said", "d": "did", "g": "got"}
    found = [Step(names[kind], f"{n}") for n, kind in enumerate(kinds)]  # type: ignore[arg-type]
    shown = activity.condensed(found, most)
    assert len(shown) <= most + 1
    assert (None in shown) == (len(found) > most)
    if found:
        assert shown[0] == found[0]
        assert shown[-1] == found[-1]


# -- differences


def test_a_diff_is_read_by_its_own_counts() -> None:
    text = (
        "diff --git a/a.py b/a.py\nindex 1..2 100644\n--- a/a.py\n+++ b/a.py\n"
        "@@ -1,3 +1,3 @@ def f():\n one\n--- a/looks like a heading\n+++ b/so does this\n three\n"
        "diff --git a/b b/b\nnew file mode 100755\n--- /dev/null\n+++ b/b\n"
        "@@ -0,0 +1 @@\n+x\n\\ No newline at end\n"
        "diff --git a/c.png b/c.png\nBinary files a/c.png and b/c.png differ\n"
    )
    one, two, three = diffs.files(text)
    assert (one.path, one.lines, one.count("+"), one.count("-")) == ("a.py", 4, 1, 1)
    assert (two.path, two.notes, two.count("+")) == ("b", ["new file mode 100755"], 1)
    assert three.notes == ["Binary files a/c.png and b/c.png differ"]


@given(st.text(alphabet="+-@ \\\ndifg-a/b0123456789,\r\t<&\"'", max_size=400), st.integers(0, 3000))
def test_any_text_can_stand_where_a_diff_does(text: str, most: int) -> None:
    head = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,9 +1,9 @@\n"
    drawn = diffs.drawn(head + text, most, whole=True, command="c")
    read(drawn.text)


def test_colours_change_nothing_of_the_text() -> None:
    lines = ["def f(a: int) -> str:", "    return f'<{a}>'  # a & b", "", 'x = """', "two", '"""']
    shown = colouring.coloured(colouring.lexer_for("src/a.py"), lines)
    assert ["".join(read(f"<p>{one.text}</p>").text) for one in shown] == lines
    assert '<i class="k">def</i>' in shown[0].text
    assert '<i class="c"># a &amp; b</i>' in shown[1].text


def test_a_lexer_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colouring, "_LEXERS", __file__)
    lexer = colouring.lexer_for("a.py")
    assert lexer is not None
    forever = re.compile("(a+)+$")
    monkeypatch.setattr(lexer, "get_tokens", lambda _: [forever.match("a" * 40 + "b")])
    assert [one.text for one in colouring.coloured(lexer, ["a <b>"])] == ["a &lt;b&gt;"]


# -- from a run to a file


def test_the_command_writes_the_page_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path / "repo", {"a.py": "def f():\n    return 1\n"})
    base = git(repo, "rev-parse", "HEAD").strip()
    (repo / "a.py").write_text("def f():\n    return '<script>'\n")
    git(repo, "commit", "--quiet", "--all", "--message=second")
    commit = git(repo, "rev-parse", "HEAD").strip()
    plan = pages.plan(SMALL)
    source = Source(repo=str(repo), git_dir=str(repo / ".git"), base=base, base_name="main")
    home = tmp_path / "home"
    name, other = str(plan.attempts[0].key), str(plan.attempts[3].key)
    with Journal(home / "journal.db") as book:
        started = e.RunStarted(at=1000, plan=plan.model_copy(update={"sources": (source,)}), jobs=2)
        for event in (
            started,
            *life(name, "accepted", commit=commit, base=base),
            *life(other, "accepted", commit=commit, base=base),
            e.RunEnded(at=2000, exit_code=0),
        ):
            book.append(plan.run, event.model_copy(update={"at": 1000.0 + event.at % 1000}))
    log = home / "runs" / plan.run / "logs" / f"{name.replace('/', '+')}.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(
        b'{"type":"assistant","message":{"content":[{"type":"text","text":"I did <b>it</b>."}]}}\n'
    )
    monkeypatch.setenv("CORRAL_HOME", str(home))
    done = CliRunner().invoke(app, ["report", "latest", "--html"])
    assert done.exit_code == 0, done.output
    file = home / "runs" / plan.run / "report.html"
    assert done.output.strip() == str(file)
    text = file.read_text()
    reading = read(text)
    assert "I did <b>it</b>." in reading.text
    assert "return '&lt;script&gt;'" not in text  # it is coloured: a string of its own
    assert "&lt;script&gt;" in text
    assert name in reading.ids
    elsewhere = tmp_path / "there" / "page.html"
    refused = CliRunner().invoke(app, ["report", plan.run, "--html", str(elsewhere)])
    assert f"there is no directory {elsewhere.parent}" in str(refused.exception)
    assert not elsewhere.parent.exists()
    elsewhere.parent.mkdir()
    assert CliRunner().invoke(app, ["report", plan.run, "--html", str(elsewhere)]).exit_code == 0
    assert elsewhere.stat().st_size > 10_000
    said = json.loads(CliRunner().invoke(app, ["report", plan.run, "--json"]).output)
    compared = json.loads(CliRunner().invoke(app, ["compare", plan.run, "--json"]).output)
    assert said["comparison"] == compared
    (conflicts,) = said["conflicts"]
    assert (conflicts["repo"], conflicts["matrix"]["attempts"]) == (str(repo), [name, other])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["latest", "page.html"], "would be written with --html"),
        (["latest", "--csv", "x.csv"], "--csv is printed, not written"),
        (["page.html", "--html"], "is a file's name, not a run's"),
        (["latest", "--html", "--json"], "exclude each other"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["report", *arguments])
    assert said in str(done.exception)
