"""What can be waited out the agent never hears of: the real parts before a service that fails."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path

import aiohttp
import pytest

from runner.gateway.grants import Account
from runner.gateway.pacing.patience import PING, Patience
from runner.tasks.plan import Budget, Caps
from tests.contract.faulty_service import (
    BOX,
    KEY,
    OTHER,
    QUICK,
    STREAM,
    WHOLE,
    Answer,
    error,
    failing_stream,
    fleet,
    good,
    hang_up,
)
from tests.contract.world import run

QUOTA = {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "pay"}}


def impatient(**changes: float) -> Patience:
    """`QUICK`, but for some things."""
    return QUICK.model_copy(update=changes)


@pytest.mark.parametrize(
    "faults",
    [
        [error(429)] * 3,
        [error(429, retry_after="1")],
        [error(529)] * 4,
        [error(status) for status in (500, 502, 503, 504)],
        [hang_up] * 3,
        [failing_stream] * 2,
        [error(529), hang_up, error(429), error(503), failing_stream],
    ],
)
def test_what_can_be_waited_out_is(tmp_path: Path, faults: list[Answer]) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            made.upstream.answers = list(faults)
            assert (await made.ask())[::2] == (200, STREAM)
            usage = made.usage()
            assert (usage.requests, usage.output, usage.last_status) == (len(faults) + 1, 42, 200)
            assert usage.in_flight == 0
            assert len(set(made.upstream.bodies)) == 1, "the same request is sent again"
            lost = faults.count(hang_up)
            spent = made.ledger.spent(Account(run="r", attempt=BOX))["attempt"]
            assert spent.requests == 1 + lost, "what was refused counts nowhere; what was sent and lost may"

    run(story())


def test_an_agent_that_waits_long_is_pinged_and_gets_the_very_stream(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path, patience=impatient(silent=0.1, ping=0.05)) as made:
            made.upstream.last = error(529)
            asking = asyncio.create_task(made.ask())
            await made.until(lambda: len(made.upstream.at) > 8)
            assert (await made.until_held("overload")).why.startswith("anthropic: HTTP 529, said 529")
            made.upstream.last = good()
            status, headers, body = await asking
            pings = body.count(PING)
            assert (status, headers["content-type"]) == (200, "text/event-stream")
            assert pings > 0
            assert body == PING * pings + STREAM
            assert made.usage().output == 42

    run(story())


@pytest.mark.parametrize("status", [529, 400])
def test_a_failure_behind_pings_is_the_first_event(tmp_path: Path, status: int) -> None:
    """Claude Code then asks anew, and is told by a status; an error after other events it takes for worse."""

    async def story() -> None:
        async with fleet(tmp_path, patience=impatient(silent=0.05, ping=0.05, overload=0.5)) as made:
            made.upstream.last = error(529)
            asking = asyncio.create_task(made.ask())
            await made.until(lambda: len(made.upstream.at) > 6)
            made.upstream.last = error(status)
            got, _, body = await asking
            rest = body.replace(PING, b"")
            assert got == 200
            assert rest.startswith(b"event: error\ndata: {")
            assert rest.count(b"event: ") == 1
            said = json.loads(rest.partition(b"data: ")[2])
            assert f"said {status}" in said["error"]["message"]
            assert (await made.ask())[0] == (402 if status == 529 else 400), "and then it is told plainly"

    run(story())


def test_a_request_that_cant_be_pinged_is_told_to_come_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path, patience=impatient(unpinged=0.3)) as made:
            made.upstream.last = error(529, retry_after="600")
            status, headers, body = await made.ask(stream=False)
            assert (status, headers["retry-after"]) == (429, "59")
            assert json.loads(body)["error"]["type"] == "rate_limit_error"
            assert b"ask again" in body

    run(story())


def test_codex_waits_in_silence(tmp_path: Path) -> None:
    async def story() -> None:
        patience = impatient(silent=0.05, unpinged=0.05, ping=0.01)
        async with fleet(tmp_path, {"dialect": "openai"}, patience=patience) as made:
            made.upstream.answers = [error(429), error(429), error(503)] * 4
            status, _, body = await made.ask(path="/v1/responses", model="gpt-5.5")
            assert (status, body) == (200, STREAM)
            made.upstream.last = error(429, body=QUOTA)
            status, headers, body = await made.ask(path="/v1/responses", model="gpt-5.5")
            assert (status, json.loads(body)) == (429, QUOTA)
            assert headers["retry-after"] == "59", "Codex takes a 429 without one for the end"

    run(story())


@pytest.mark.parametrize(
    ("fault", "dialect", "path", "status"),
    [
        (error(529), "anthropic", "/v1/messages", 402),
        (error(500), "anthropic", "/v1/messages", 402),
        (hang_up, "anthropic", "/v1/messages", 402),
        (error(401), "anthropic", "/v1/messages", 403),
        (error(503), "openai", "/v1/responses", 400),
        (error(401), "openai", "/v1/responses", 400),
    ],
)
def test_in_the_end_it_is_told_in_terms_that_end_it(
    tmp_path: Path, fault: Answer, dialect: str, path: str, status: int
) -> None:
    patience = impatient(overload=0.2, failing=0.2, unreachable=0.2, credential=0.2)

    async def story() -> None:
        async with fleet(tmp_path, {"dialect": dialect}, patience=patience) as made:
            made.upstream.last = fault
            got, _, body = await made.ask(path=path)
            assert got == status
            said = json.loads(body)["error"]["message"]
            assert said.startswith(("given up after", "no key that is taken"))
            assert KEY not in said
            assert made.usage().last_status == status

    run(story())


def test_a_rotated_key_is_waited_for_and_used_by_all(tmp_path: Path) -> None:
    new, file = f"{KEY}-rotated", tmp_path / "key"
    file.write_text(KEY)

    async def story() -> None:
        source = {"credential": {"kind": "file", "path": str(file)}, "secret": ""}
        async with fleet(tmp_path / "home", source, patience=impatient(credential=20)) as made:
            made.upstream.answers = [error(401)]
            asking = asyncio.create_task(made.ask())
            await made.until_held("credential")
            file.write_text(new)
            assert (await asking)[0] == 200
            assert (await made.ask())[0] == 200
            assert made.upstream.keys == [KEY, new, new]

    run(story())


def test_a_key_that_a_grant_renews_is_used_by_what_waits(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path, patience=impatient(credential=20)) as made:
            made.upstream.answers = [error(401)]
            asking = asyncio.create_task(made.ask())
            await made.until_held("credential")
            await made.grants.open(BOX, (made.service(secret=f"{KEY}-2"),), made.usage(), Account())
            assert (await asking)[0] == 200
            assert made.upstream.keys == [KEY, f"{KEY}-2"]
            made.upstream.answers = [error(403)]
            assert (await made.ask())[0] == 403, "a key that is known, and may not, is nothing to wait for"

    run(story())


def limited(seconds: float) -> dict[str, str]:
    """What a subscription is told whose 5-hour window is used up for so long."""
    return {
        "anthropic_ratelimit_unified_status": "rejected",
        "anthropic_ratelimit_unified_representative_claim": "five_hour",
        "anthropic_ratelimit_unified_reset": str(round(time.time() + seconds, 3)),
        "anthropic_ratelimit_unified_5h_status": "rejected",
        "anthropic_ratelimit_unified_5h_utilization": "1.0",
        "anthropic_ratelimit_unified_5h_reset": str(round(time.time() + seconds, 3)),
    }


def test_nothing_is_sent_into_a_used_up_window_until_it_opens(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            told = limited(2)
            opens = float(told["anthropic_ratelimit_unified_reset"])
            made.upstream.answers = [error(429, **told)]
            asking = [asyncio.create_task(made.ask(BOX))]
            held = await made.until_held("window")
            asking.append(asyncio.create_task(made.ask(OTHER)))
            assert held.until == opens
            assert "5-hour" in held.why
            await made.until(lambda: sum(one.waiting for one in made.grants.outlooks()) == 2)
            shut = [(one.family, one.closed, one.closed_until) for one in made.grants.outlooks()]
            assert shut == [("", "5-hour", opens), ("opus", "5-hour", opens)]
            assert [status for status, *_ in await asyncio.gather(*asking)] == [200, 200]
            assert len([at for at in made.upstream.at if at < opens]) == 1, "the one that was turned away"
            assert made.usage().held_s > 0

    run(story())


def test_a_window_known_from_a_good_answer_closes_before_anything_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            told = limited(1000) | {
                "anthropic_ratelimit_unified_status": "allowed_warning",
                "anthropic_ratelimit_unified_5h_status": "allowed_warning",
            }
            made.upstream.answers = [good(**told)]
            assert (await made.ask())[0] == 200
            asking = asyncio.create_task(made.ask(OTHER))
            await made.until_held("window", OTHER)
            assert len(made.upstream.at) == 1
            asking.cancel()

    run(story())


def test_a_gateway_that_died_sends_nothing_into_a_used_up_window(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path / "keeper") as keeper:
            upstream = keeper.upstream
            upstream.answers = [error(429, **limited(1000))]
            for _ in range(2):
                async with fleet(tmp_path / "home", upstream=upstream) as made:
                    asking = asyncio.create_task(made.ask())
                    await made.until_held("window")
                    asking.cancel()
            assert len(upstream.at) == 1
            assert (await keeper.ask())[0] == 200, "of another state directory nothing is known"

    run(story())


def test_a_box_that_does_not_wait_is_told_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        account = Account(run="r", attempt="a", on_limit="stop")
        async with fleet(tmp_path, account=account) as made:
            made.upstream.answers = [error(429, **limited(1000))]
            status, _, body = await made.ask()
            assert status == 402
            assert b"the 5-hour window of anthropic is used up until 20" in body
            assert made.usage().limited == "the 5-hour window of anthropic"
            assert (await made.ask(OTHER))[0] == 402
            assert len(made.upstream.at) == 1

    run(story())


def test_the_next_account_is_used_while_the_first_is_used_up(tmp_path: Path) -> None:
    async def story() -> None:
        account = Account(run="r", attempt="a", on_limit="next-account")
        two = ({"account": "one", "secret": "key-of-one"}, {"account": "two", "secret": "key-of-two"})
        async with fleet(tmp_path, *two, account=account) as made:
            made.upstream.answers = [error(429, **limited(1000))]
            assert (await made.ask())[0] == 200
            assert (await made.ask(OTHER))[0] == 200
            assert made.upstream.keys == ["key-of-one", "key-of-two", "key-of-two"]
            made.upstream.answers = [error(429, **limited(1000))]
            asking = asyncio.create_task(made.ask())
            await made.until_held("window")
            assert len(made.upstream.at) == 4, "and if all are used up, it waits"
            asking.cancel()

    run(story())


def test_who_lists_two_accounts_and_says_nothing_uses_the_first(tmp_path: Path) -> None:
    async def story() -> None:
        two = ({"account": "one", "secret": "key-of-one"}, {"account": "two", "secret": "key-of-two"})
        async with fleet(tmp_path, *two) as made:
            made.upstream.answers = [error(429, **limited(1000))]
            asking = asyncio.create_task(made.ask())
            await made.until_held("window")
            assert made.upstream.keys == ["key-of-one"]
            asking.cancel()

    run(story())


def test_who_hangs_up_waits_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            made.upstream.last = error(529)
            asking = asyncio.create_task(made.ask())
            await made.until_held("overload")
            asking.cancel()
            await made.until(lambda: made.usage().in_flight == 0)
            await made.until(lambda: all(one.waiting == one.in_flight == 0 for one in made.grants.outlooks()))
            asked = len(made.upstream.at)
            await asyncio.sleep(0.3)
            assert len(made.upstream.at) == asked

    run(story())


def test_what_waits_holds_nothing_of_the_budget(tmp_path: Path) -> None:
    """One request waits for the service; another of the same budget, which has room for one alone, goes."""

    async def story() -> None:
        budget = Budget(run=Caps(tokens=300, requests=3))
        async with fleet(tmp_path, account=Account(run="r", attempt="a", budget=budget)) as made:
            made.upstream.answers = [error(529, retry_after="2")]
            waits = asyncio.create_task(made.ask(model="claude-opus-5-5"))
            await made.until_held("overload")
            assert (await made.ask(OTHER, model="claude-haiku-4-5"))[0] == 200
            assert not waits.done()
            assert (await waits)[0] == 200
            assert (await made.ask())[0] == 200
            assert (await made.ask())[0] == 402, "what was absorbed did not count, what was answered did"
            assert made.usage().over_budget == "run"

    run(story())


def test_forty_boxes_that_wait_fit_and_one_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.gateway.forward.MAX_HELD_BY_ALL", 3_000_000)
    monkeypatch.setattr("runner.gateway.forward.ALWAYS_HELD", 1_000_000)

    async def story() -> None:
        async with fleet(tmp_path) as made:
            made.upstream.last = error(529)
            large = json.dumps({"model": "m", "stream": True, "x": "x" * 1_400_000}).encode()

            async def send(box: str, body: bytes) -> int:
                try:
                    async with made.boxes[box].post(
                        "http://gateway/v1/messages", data=io.BytesIO(body)
                    ) as answer:
                        await answer.read()
                        return answer.status
                except aiohttp.ClientError:  # refused while it was still sending
                    return 429

            hostile = [asyncio.create_task(send(BOX, large)) for _ in range(4)]
            done, waiting = await asyncio.wait(hostile, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in done} == {429}
            assert waiting
            small = json.dumps({"model": "m", "stream": True, "x": "x" * 500_000}).encode()
            honest = asyncio.create_task(send(OTHER, small))
            await made.until_held("overload", OTHER)
            made.upstream.last = good()
            assert await honest == 200
            await asyncio.gather(*hostile)

    run(story())


def test_what_is_no_request_to_a_model_is_held_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            made.upstream.answers = [error(529), error(429)]
            assert (await made.ask(path="/v1/messages/count_tokens", stream=False))[::2] == (200, WHOLE)
            made.upstream.answers = [error(503)]
            made.upstream.last = error(404)
            async with made.boxes[BOX].get("http://gateway/v1/models") as answer:
                assert answer.status == 404

    run(story())


def test_no_connection_is_left_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with fleet(tmp_path) as made:
            made.upstream.answers = [error(529), hang_up, failing_stream] * 5
            assert {(await made.ask())[0] for _ in range(5)} == {200}
            client = made.grants._client_for(made.service())
            assert isinstance(client, aiohttp.ClientSession)
            assert isinstance(client.connector, aiohttp.TCPConnector)
            assert not client.connector._acquired

    run(story())
