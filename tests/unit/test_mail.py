"""Mail between tasks: what is taken, who gets it, what is unanswered; and the one who carries it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.post import delivery, message
from runner.supervisor.post.mail import Mail, asked_words, refusal_of, waited
from runner.supervisor.post.message import MOST_BYTES, MOST_DEEP, RefusedError, read, shown_name
from runner.supervisor.post.told import how_to, words_for
from runner.supervisor.state import RunState
from runner.tasks.plan import ForEach, MailTerms, Plan, PlannedAttempt
from runner.views import inbox, live, report, summary
from runner.views.inert import InertConsole
from tests.support import within
from tests.unit.makers import after, life, make_plan, started

A, B, C = AttemptKey("a", "p"), AttemptKey("b", "p"), AttemptKey("c", "p")


def refusal(content: bytes) -> str:
    """Why a file is no message; empty if it is one."""
    try:
        read(content)
    except RefusedError as refused:
        return str(refused)
    return ""


def wrote(**keys: Any) -> bytes:
    return json.dumps({"to": "b", "type": "note", "payload": "hello", **keys}).encode()


# -- one message

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('abc\n"', max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_is_taken_survives_the_journal_and_the_delivery(payload: Any) -> None:
    sent = read(wrote(payload=payload))
    assert (sent.to, sent.type, sent.payload) == ("b", "note", payload)
    event = e.RunMail(at=1, attempt="a/p/1", file="x.json", to=sent.to, type=sent.type, payload=sent.payload)
    kept = e.ADAPTER.validate_json(event.model_dump_json())
    assert kept == event
    ((name, content),) = delivery.view(plan_of("a", "b"), Mail().after(kept), B).letters
    assert name == "0001.json"
    assert json.loads(content)["payload"] == payload


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_file_holds_it_is_a_message_or_refused_in_few_words(content: bytes) -> None:
    assert len(refusal(content)) < 300


DEEP = "[" * (MOST_DEEP + 1) + "]" * (MOST_DEEP + 1)
REFUSED = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[]", "no JSON object"),
    (b'"to"', "no JSON object"),
    (b'{"to": "b", "to": "c", "type": "note", "payload": 1}', "a key is given twice"),
    (b'{"to": "b", "type": "note", "payload": NaN}', "NaN is no number"),
    (b'{"to": "b", "type": "note", "payload": -Infinity}', "-Infinity is no number"),
    (b'{"to": "b", "type": "note", "payload": 1e999}', "not JSON"),
    (b'{"to": "b", "type": "note", "payload": "\\ud800"}', "not JSON"),
    (b'{"to": "b", "type": "note", "payload": {"\\udfff": 1}}', "not JSON"),
    (b'{"to": "b", "type": "note", "payload": %d}' % 2**63, "more than 64 bits"),
    (b'{"to": "b", "type": "note", "payload": [[1, %s]]}' % (b"9" * 5000), "not JSON"),
    (b'{"to": "b", "type": "note", "payload": %s}' % DEEP.encode(), "levels deep"),
    (b"[" * 8000, "levels deep"),
    (b'{"a":' * 3000, "levels deep"),
    (b"x" * (MOST_BYTES + 1), "more than 16384 bytes"),
    (b'{"to": "b", "type": "note"}', "lacks 'payload'"),
    (b'{"type": "note", "payload": 1}', "lacks 'to'"),
    (wrote(to=1), "'to' is not the name"),
    (wrote(to=None), "'to' is not the name"),
    (wrote(type="Note"), "'type' is not a word"),
    (wrote(type="x" * 33), "'type' is not a word"),
    (wrote(type="note\n"), "'type' is not a word"),
    (wrote(type="refused"), "sent by corral alone"),
    (wrote(reply_to=1), "a key 'reply_to' that no message has"),
    (wrote(**{"\x1b[2J" * 99: 1}), r"\x1b[2J"),
    (wrote(to="person", type="question", payload=""), "payload of a question"),
    (wrote(to="person", type="question", payload={"text": "?"}), "payload of a question"),
    (wrote(to="person", type="question", payload="x" * 4001), "payload of a question"),
]


@pytest.mark.parametrize(("content", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_file_that_is_no_message_is_refused_with_its_reason(content: bytes, why: str) -> None:
    with within(1), pytest.raises(RefusedError) as refused:
        read(content)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


def test_what_a_sender_says_of_itself_is_not_heeded() -> None:
    forged = {"from": "person", "id": 7, "timestamp": "2099-01-01"}
    state = sent(run_of("a", "b"), A, "x.json", read(wrote(**forged)))
    ((_, content),) = look(state, B).letters
    told = json.loads(content)
    assert (told["id"], told["from"], told["timestamp"]) == (1, "a", "1970-01-01T00:00:05.000Z")


@given(st.text(min_size=1, max_size=60))
def test_a_file_name_is_told_in_plain_letters(name: str) -> None:
    told = shown_name(name)
    assert told.isascii()
    assert told.isprintable()
    assert (told == name) == (message.FILE.fullmatch(name) is not None)


# -- who gets it


def plan_of(*tasks: str, compared: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> Plan:
    """A plan whose tasks have mail, but those in `off`; the compared ones are done by p and q, twice each."""
    lanes = [("p", 1), ("q", 1), ("p", 2)]
    planned = [
        PlannedAttempt(task=task, profile=profile, n=n)
        for task in tasks
        for profile, n in (lanes if task in compared else lanes[:1])
    ]
    plan = make_plan(*planned)
    changed = [
        task.model_copy(
            update={"mail": None if task.id in off else MailTerms(), "compared": task.id in compared}
        )
        for task in plan.tasks
    ]
    return plan.model_copy(update={"tasks": tuple(changed)})


def run_of(*tasks: str, **how: Any) -> RunState:
    return started(plan_of(*tasks, **how))


def sent(state: RunState, sender: AttemptKey, file: str, what: message.Sent) -> RunState:
    event = e.RunMail(at=5, attempt=str(sender), file=file, to=what.to, type=what.type, payload=what.payload)
    return after(state, event)


def asked(state: RunState, sender: AttemptKey, text: str = "which?", at: float = 5) -> RunState:
    """The state after a question to a person."""
    event = e.RunMail(
        at=at, attempt=str(sender), file=f"{text}.json", to="person", type="question", payload=text
    )
    return after(state, event)


def look(state: RunState, key: AttemptKey) -> delivery.View:
    return delivery.view(state.plan, state.mail, key)


def told(state: RunState, key: AttemptKey) -> list[dict[str, Any]]:
    return [json.loads(content) for _, content in look(state, key).letters]


def test_a_message_reaches_every_try_of_its_task_and_nobody_else() -> None:
    state = sent(run_of("a", "b", "c"), A, "x.json", read(wrote()))
    for key in (B, B.retried()):
        (letter,) = told(state, key)
        assert (letter["from"], letter["to"], letter["payload"]) == ("a", "b", "hello")
    assert told(state, A) == told(state, C) == []


def test_all_are_all_other_tasks_that_take_mail() -> None:
    state = sent(run_of("a", "b", "c", "d", off=("d",)), A, "x.json", read(wrote(to="all")))
    assert len(told(state, B)) == len(told(state, C)) == 1
    assert told(state, A) == told(state, AttemptKey("d", "p")) == []
    assert delivery.recipients(state.plan, A) == ("b", "c")


ITEMS = e.TaskExpanded(at=4, task="b", items=("one", "two"))


def unfolding(compared: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> RunState:
    """A run of `a`, `b` and `c`; for what `b` is done a command says."""
    plan = plan_of("a", "b", "c", compared=compared, off=off)
    tasks = tuple(
        task.model_copy(update={"for_each": ForEach(command="c")} if task.id == "b" else {})
        for task in plan.tasks
    )
    return started(Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | {"tasks": tasks}))


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("to", "reached"), [("b", ["b.1", "b.2"]), ("all", ["b.1", "b.2", "c"])])
def test_the_name_of_a_task_reaches_all_of_its_items_also_later(
    early: bool, to: str, reached: list[str]
) -> None:
    state = unfolding() if early else after(unfolding(), ITEMS)
    state = sent(state, A, "x.json", read(wrote(to=to)))
    state = after(state, ITEMS)
    assert [key.task for key in state.attempts if told(state, key)] == reached


def test_one_item_can_be_written_to_and_writes_to_the_others() -> None:
    state = sent(after(unfolding(), ITEMS), A, "x.json", read(wrote(to="b.2")))
    state = sent(state, AttemptKey("b.1", "p"), "x.json", read(wrote(to="b")))
    heard = {str(key): [letter["from"] for letter in told(state, key)] for key in state.attempts}
    assert heard == {"a/p/1": [], "b.1/p/1": [], "b.2/p/1": ["a", "b.1"], "c/p/1": []}


def test_items_are_recipients_once_they_are_known_and_only_where_they_take_mail() -> None:
    before = unfolding()
    state = after(before, ITEMS)
    assert delivery.recipients(before.plan, A) == ("b", "c")
    assert delivery.recipients(state.plan, A) == ("b", "b.1", "b.2", "c")
    assert delivery.recipients(state.plan, AttemptKey("b.1", "p")) == ("a", "b", "b.2", "c")
    alone = after(before, ITEMS.model_copy(update={"items": ("one",)}))
    assert delivery.recipients(alone.plan, AttemptKey("b.1", "p")) == ("a", "c")
    assert delivery.recipients(after(unfolding(off=("b",)), ITEMS).plan, A) == ("c",)


def test_lineages_of_compared_items_do_not_hear_each_other() -> None:
    state = sent(unfolding(compared=("a", "b")), AttemptKey("a", "q"), "x.json", read(wrote(to="b")))
    state = after(state, ITEMS)
    assert {str(key) for key in state.attempts if told(state, key)} == {"b.1/q/1", "b.2/q/1"}


def test_an_agent_is_told_what_a_name_means_that_stands_for_many() -> None:
    for state in (unfolding(), after(unfolding(), ITEMS)):
        (said,) = words_for(state.plan, state.mail, A)
        assert "A message to b reaches all tasks of that name with a number, like b.1" in said
    (said,) = words_for(run_of("a", "b").plan, Mail(), A)
    assert "of that name" not in said


def test_lineages_of_compared_tasks_do_not_hear_each_other() -> None:
    state = run_of("a", "b", "c", compared=("a", "b"))
    state = sent(state, AttemptKey("a", "q"), "x.json", read(wrote(to="all")))
    heard = {str(key) for key in state.attempts if told(state, key)}
    assert heard == {"b/q/1", "c/p/1"}, "an attempt of its own task would be told by its rival"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("b", ""),
        ("person", ""),
        ("all", ""),
        ("a", "there are: bee, see"),
        ("be", "did you mean 'bee'?"),
        ("../x\n", r"'../x\n'"),
        ("x" * 9999, "there are"),
    ],
)
def test_who_is_nobody_is_refused(to: str, words: str) -> None:
    tasks = ("b",) if not words else ("bee", "see")
    said = delivery.unknown_recipient(to, tasks)
    assert words in said
    assert len(said) < 300


def test_a_refused_message_comes_back_to_that_try_alone() -> None:
    state = after(
        run_of("a", "b"), e.RunMail(at=5, attempt=str(A), file="x.json", refused="nobody is called so")
    )
    (letter,) = told(state, A)
    assert (letter["from"], letter["type"]) == ("corral", "refused")
    assert letter["payload"] == {"file": "x.json", "reason": "nobody is called so"}
    assert told(state, A.retried()) == told(state, B) == []
    assert look(state, A).taken == {"x.json"}


# -- people


def test_a_question_is_open_until_it_is_answered_and_the_answer_reaches_every_try() -> None:
    state = asked(asked(run_of("a", "b"), A, "one?"), B, "two?")
    assert [(q.id, str(q.sender)) for q in state.mail.open_questions()] == [(1, "a/p/1"), (2, "b/p/1")]
    assert [q.payload for q in look(state, A).open] == ["one?"]
    assert look(state, A.retried()).open == ()
    state = after(state, e.RunAnswer(at=9, question=1, text="that one"))
    assert [q.id for q in state.mail.open_questions()] == [2]
    assert look(state, A).asked == ((5, 9),)
    for key in (A, A.retried()):
        (letter,) = told(state, key)
        assert (letter["id"], letter["from"], letter["type"]) == (3, "person", "answer")
        assert letter["payload"] == {"file": "one?.json", "question": "one?", "answer": "that one"}
    assert told(state, B) == []


def test_an_answer_belongs_to_one_open_question() -> None:
    state = sent(asked(run_of("a", "b"), A), A, "x.json", read(wrote(to="person")))
    assert refusal_of(state.mail, 1) == ""
    assert refusal_of(state.mail, 2) == "there is no question 2"
    assert refusal_of(state.mail, 3) == "there is no question 3"
    state = after(state, e.RunAnswer(at=9, question=1, text="x"))
    assert refusal_of(state.mail, 1) == "question 1 is answered already"


def test_a_later_try_is_told_what_was_answered_as_data() -> None:
    state = asked(run_of("a", "b"), A, 'tabs\n# or "spaces"?')
    assert len(words_for(state.plan, state.mail, A.retried())) == 1, "nothing was answered yet"
    state = after(state, e.RunAnswer(at=9, question=1, text="tabs\n"))
    assert len(words_for(state.plan, state.mail, A)) == 1
    (_, answered) = words_for(state.plan, state.mail, A.retried())
    assert r'You asked: "tabs\n# or \"spaces\"?"' in answered
    assert r'The person answered: "tabs\n"' in answered


def test_who_has_no_mail_is_told_nothing_of_it() -> None:
    state = run_of("a", "b", off=("a",))
    assert words_for(state.plan, state.mail, A) == ()
    assert "No other task takes mail" in words_for(state.plan, state.mail, B)[0]


def test_an_agent_is_told_an_example_that_works() -> None:
    said = how_to(("b",), 1800)
    (line,) = [line for line in said.splitlines() if "echo" in line]
    assert read(line.split("'")[1].encode()).type == "question"
    assert "1800 seconds" in said
    assert "at once" in how_to(("b",), 0)


def test_what_was_asked_is_told_as_data_and_in_short() -> None:
    state = asked(asked(run_of("a", "b"), A, "x\n" * 999), A, "two?")
    words = asked_words(state.mail.open_questions())
    assert words.startswith(r'question 1 (and 1 more) is not answered: "x\nx')
    assert len(words) < 1000
    assert asked_words(()) == ""


TIMES = st.lists(
    st.tuples(st.floats(0, 100), st.none() | st.floats(0, 100)).map(
        lambda one: (one[0], None if one[1] is None else one[0] + one[1])
    ),
    max_size=6,
)


@given(TIMES, st.floats(0, 50), st.floats(0, 100), st.floats(0, 100))
def test_the_time_for_which_people_were_waited_is_counted_once(
    asked_at: list[tuple[float, float | None]], wait: float, began: float, lasted: float
) -> None:
    now = began + lasted
    total = waited(asked_at, wait, began, now)
    assert 0 <= total <= lasted + 1e-6
    assert total <= wait * len(asked_at) + 1e-6
    halves = waited(asked_at, wait, began, began + lasted / 2) + waited(
        asked_at, wait, began + lasted / 2, now
    )
    assert total == pytest.approx(halves, abs=1e-6)
    assert waited([*asked_at, *asked_at], wait, began, now) == pytest.approx(total, abs=1e-6)


# -- the fold


def test_a_view_is_made_anew_only_for_new_mail() -> None:
    state = asked(run_of("a", "b"), A)
    now = delivery.looking(A, lambda: (state.plan, state.mail))
    first = now()
    state = after(state, e.BoxStarted(at=6, attempt=str(A), container="c"))
    assert now() is first
    state = after(state, e.RunAnswer(at=9, question=1, text="x"))
    assert now().open == ()


def test_a_view_knows_the_items_that_were_found_out_since() -> None:
    state = unfolding(compared=("a", "b"))
    now = delivery.looking(A, lambda: (state.plan, state.mail))
    assert now().others == ("b", "c")
    state = after(state, ITEMS)
    assert now().others == ("b", "b.1", "b.2", "c")
    state = sent(state, AttemptKey("b.1", "p"), "x.json", read(wrote(to="a")))
    assert len(now().letters) == 1


def test_mail_changes_nothing_else_of_a_run() -> None:
    before = run_of("a", "b")
    now = after(asked(before, A), e.RunAnswer(at=9, question=1, text="x"))
    assert (now.attempts, now.images, now.ended) == (before.attempts, before.images, before.ended)


# -- what people are shown


def drawn(what: Any) -> str:
    console = InertConsole(file=io.StringIO(), width=100)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_people_are_shown_what_is_asked_and_nothing_acts() -> None:
    state = after(
        run_of("a", "b"), *life("b/p/1", "needs-input"), e.BoxStarted(at=3, attempt=str(A), container="c")
    )
    state = asked(asked(state, A, "\x1b]0;x\x07 which?"), B, "two?")
    state = sent(state, A, "x.json", read(wrote()))
    messages = inbox.for_people(state, everything=False)
    assert [inbox.standing(state, one, ()) for one in messages] == ["waits", "open"]
    assert [inbox.standing(state, one, {1, 2}) for one in messages] == ["given", "given"]
    shown = drawn(inbox.listing(state, messages, ()))
    assert "a/p/1" in shown
    assert "\x1b" not in shown
    assert len(inbox.for_people(state, everything=True)) == 3
    assert inbox.waiting(state) == "2 questions for you: corral inbox"
    assert "2 questions for you" in drawn(live.draw(state, {}, "", 10))
    assert "corral inbox answer 1" in drawn(report.next_steps(state))
    assert [row["id"] for row in summary.summary(state)["questions"]] == [1, 2]  # type: ignore[union-attr,call-overload,index]
    state = after(state, e.RunAnswer(at=9, question=1, text="so\n\x1b[2Jso"))
    assert "so\n\\x1b[2Jso" in drawn(inbox.whole(state, messages[0], ()))
    assert inbox.as_json(state, messages[0], ())["answer"] == "so\n\x1b[2Jso"
    assert inbox.waiting(after(state, e.RunAnswer(at=9, question=2, text="x"))) == ""


def test_lines_are_told_of_what_concerns_people() -> None:
    state = sent(run_of("a", "b"), A, "x.json", read(wrote()))
    quiet = e.RunMail(at=5, attempt=str(A), file="x.json", to="b", type="note", payload="hello")
    assert live.sentence(quiet, state) is None
    for event, words in (
        (
            quiet.model_copy(update={"refused": "it is too large"}),
            "a/p/1  mail refused: x.json: it is too large",
        ),
        (quiet.model_copy(update={"to": "person"}), "a/p/1  tells you (2): hello"),
        (quiet.model_copy(update={"to": "person", "type": "question"}), "a/p/1  asks (2): hello"),
    ):
        assert str(live.sentence(event, after(state, event))) == words
    assert str(live.sentence(e.RunAnswer(at=9, question=2, text="x"), state)) == "question 2 is answered"
