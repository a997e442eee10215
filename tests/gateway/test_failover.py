"""An account that does not serve, and what becomes of it, of the exchange and of the one who asked."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger
from shared_accounts.quotas.ledger import Terms
from tests.gateway.scene import COST, at_once, content, rows, wait_until
from tests.upstream import (
    DONE,
    answers,
    breaks,
    chunk,
    event,
    plays,
    redirects,
    refuses,
    says,
    stalls,
    stalls_before_the_head,
    streams,
    usage_chunk,
)

EMPTY_STREAM = plays([DONE])
ERROR_STREAM = plays([event(b'{"error":{"message":"overloaded","code":"overloaded"}}')])


@pytest.fixture
def fallback(scene, upstream):
    """Somebody's shared account that works; the caller prefers her own, so whatever is dedicated to her comes first."""
    server = upstream(answers("from the fallback"))
    return server, scene.account(server)


@pytest.fixture
def first(scene, upstream):
    """Make an account that is asked first and acts like this."""

    def make(*acts, **fields):
        server = upstream(*acts)
        return server, scene.account(server, owner=scene.user, sharing="dedicated", **fields)

    return make


def its_time_comes(scene, account, instead):
    """Let its cooldown end now, and who is asked `instead` pause, so that the worker looks again at once."""
    db.session.execute(db.text("update accounts set cooling_until = now() where id = :id"), {"id": account.id})
    scene.change("accounts", instead.id, state="paused")


def served_by_the_fallback(scene, account, fallback, reason, *, stream):
    """One reservation, one line, one charge, both attempts on the line; returns how the account stands."""
    reply = scene.ask(stream=stream)

    assert reply.status == 200, reply.body
    assert ("fallback" in content(reply.frames)) if stream else (b"from the fallback" in reply.body)
    line = scene.line()
    assert [(one["account_id"], one["result"]) for one in line["attempts"]] == [
        (account.id, reason),
        (fallback[1].id, "served"),
    ]
    assert (line["outcome"], line["basis"], line["account_id"]) == ("served", "measured", fallback[1].id)
    assert (line["charged"], scene.charged()) == (COST, COST)
    entries = rows("select * from ledger_entries where exchange_id = :id", id=line["id"])
    assert [entry["amount"] for entry in entries] == [-COST]
    assert scene.pool_now()["reserved"] == 0
    return scene.account_now(account)


FAULTS = [
    (refuses(500), "answered 500"),
    (refuses(503), "answered 503"),
    (refuses(403, "Forbidden"), "answered 403"),
    (says(b"<html>", status=404, headers=[("content-type", "text/html")]), "answered 404"),
    (redirects("http://127.0.0.1:9/v1/chat/completions"), "answered 307"),
    (lambda turn: bool(turn.reset()), "the connection broke"),
    (lambda _: False, "the connection closed early"),
    (lambda turn: bool(turn.raw(b"nonsense\r\n\r\n")), "the answer is not HTTP"),
]
STREAM_FAULTS = [
    (ERROR_STREAM, "answered 200 with an error"),
    (says(b'{"error":{"message":"overloaded"}}'), "answered 200 with an error"),
    (says(b'{"choices":[]}'), "did not stream"),
    (EMPTY_STREAM, "the stream was empty"),
    (plays([b": ping\n\n"]), "the stream was empty"),
    (plays([b": ping\n\n"], ending="close"), "the connection closed early"),
    (breaks(0, how="close"), "the connection closed early"),
]
JSON_FAULTS = [
    (says(b"<html>"), "answered no JSON"),
    (says(b"[]"), "answered no JSON"),
    (says(b""), "answered no JSON"),
    (says(b'{"error":{"message":"overloaded"}}'), "answered 200 with an error"),
    (streams("a"), "answered no JSON"),
    (
        plays([b'{"choices":'], headers=[("content-type", "application/json")], ending="close"),
        "the connection closed early",
    ),
]


@pytest.mark.parametrize(
    ("act", "reason", "stream"),
    [
        *[(*fault, stream) for fault in FAULTS[:2] for stream in (False, True)],
        *[(*fault, False) for fault in FAULTS[2:] + JSON_FAULTS],
        *[(*fault, True) for fault in STREAM_FAULTS],
    ],
)
def test_a_fault_is_a_strike_and_the_next_account_serves(scene, first, fallback, act, reason, stream):
    _, account = first(act)

    standing = served_by_the_fallback(scene, account, fallback, reason, stream=stream)

    assert (standing["state"], standing["strikes"], standing["cooling_until"]) == ("active", 1, None)


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_refuses_the_connection_is_a_strike(scene, first, fallback, stream):
    server, account = first()
    server.stop()

    standing = served_by_the_fallback(scene, account, fallback, "no connection could be made", stream=stream)

    assert (standing["state"], standing["strikes"]) == ("active", 1)


@pytest.mark.parametrize("url", ["https://localhost:{port}/v1", "https://nobody.invalid/v1"], ids=["no TLS", "no name"])
def test_an_upstream_that_cannot_be_reached_safely_is_a_strike(scene, upstream, fallback, url):
    plain = upstream(answers())
    account = scene.account(None, owner=scene.user, sharing="dedicated", base_url=url.format(port=plain.port))

    standing = served_by_the_fallback(scene, account, fallback, "no connection could be made", stream=True)

    assert (standing["state"], standing["strikes"]) == ("active", 1)
    # A handshake may happen to look like a request; what matters is that no credential was in it.
    assert not any(request.header("authorization") for request in plain.requests)


STALLS = {
    "before the head": (stalls_before_the_head, False),
    "before the head of a stream": (stalls_before_the_head, True),
    "before the first event": (stalls(), True),
    "after a comment": (stalls(b": wait\n\n"), True),
    "in a JSON answer": (plays([b'{"choices":'], headers=[("content-type", "application/json")], ending="hang"), False),
    "in a refusal": (plays([b"{"], status=429, headers=[], ending="hang"), False),
}


def test_an_upstream_that_stalls_before_it_serves_is_cut_off_in_time(scene, upstream):
    """All of them at once, since each takes its time; the next account is the caller's own, too."""
    fallback, servers, accounts = upstream(answers("from the fallback")), {}, {}
    for name, (act, _) in STALLS.items():
        servers[name] = upstream(act)
        fields = {"owner": scene.user, "models": [f"{scene.model} {name}"]}
        accounts[name] = scene.account(servers[name], sharing="dedicated", **fields)
        scene.account(fallback, **fields)
    began = time.monotonic()

    replies = at_once(
        *(
            lambda n=name, s=stream: scene.ask(model=f"{scene.model} {n}", stream=s)
            for name, (_, stream) in STALLS.items()
        )
    )

    assert 1.3 < time.monotonic() - began < 8
    assert [reply.status for reply in replies] == [200] * len(STALLS)
    for name, server in servers.items():
        assert server.requests[0].gone.wait(2), name
        assert len(server.requests) == 1, name
        line = _closed_line(f"{scene.model} {name}")
        assert [one["result"] for one in line["attempts"]] == ["did not answer in time", "served"], name
        assert scene.account_now(accounts[name])["strikes"] == 1, name


def test_a_kept_connection_that_stalls_is_not_asked_twice(scene, first, fallback, connection):
    server, account = first(answers(), stalls_before_the_head)
    scene.ask(connection=connection)
    assert scene.ask(connection=connection).status == 200

    assert len(server.requests) == 2
    assert scene.last_line()["attempts"][0]["result"] == "did not answer in time"


@pytest.mark.parametrize(
    ("act", "reason", "least", "most"),
    [
        (refuses(429, retry_after=120), "answered 429", 110, 120),
        (refuses(429, retry_after=10**9), "answered 429", 86_000, 86_400),
        (refuses(429, retry_after=0), "answered 429", -5, 1),
        (refuses(429), "answered 429", -5, 1),
        (refuses(402), "answered 402", -5, 1),
        (refuses(403, "You exceeded your current quota"), "answered 403", -5, 1),
        (says(b'{"error":{"message":"You exceeded your quota"}}'), "answered 200 with an error", -5, 1),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_cools_the_account_for_the_time_it_names(scene, first, fallback, act, reason, least, most, stream):
    server, account = first(act)

    standing = served_by_the_fallback(scene, account, fallback, reason, stream=stream)

    assert standing["state"] == "active"
    assert least <= standing["cooling"] <= most
    assert len(server.requests) == 1


def test_a_cooling_account_is_asked_again_when_its_time_has_come(scene, first, fallback, connection):
    server, account = first(refuses(429, retry_after=600), answers("back again"))
    scene.ask(connection=connection)
    assert b"fallback" in scene.ask(connection=connection).body
    assert len(server.requests) == 1

    its_time_comes(scene, account, fallback[1])

    assert b"back again" in scene.ask(connection=connection).body
    wait_until(lambda: scene.account_now(account)["strikes"] == 0, "its strikes are not forgotten")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("act", "reason"),
    [(refuses(401), "answered 401"), (refuses(403, "invalid api key"), "answered 403")],
)
def test_a_refused_credential_takes_the_account_out_and_rests_its_refill(scene, first, fallback, act, reason, stream):
    _, account = first(act)
    group = f"what {scene.model} earns"
    ledger.grow(scene.user.id, account.id, {group: Terms(capacity=2 * MICRO, refill_per_hour=400_000, balance=0)})
    db.session.commit()

    standing = served_by_the_fallback(scene, account, fallback, reason, stream=stream)

    assert (standing["state"], standing["cooling_until"]) == ("needs_sign_in", None)
    assert standing["state_reason"]
    assert rows("select refill_per_hour from quota_pools where model_group = :g", g=group) == [{"refill_per_hour": 0}]


def test_three_strikes_open_the_circuit_and_a_success_closes_it(scene, first, fallback, connection):
    server, account = first(refuses(500), refuses(500), refuses(500), answers("recovered"))
    for strikes in (1, 2, 3):
        assert b"fallback" in scene.ask(connection=connection).body
        scene.last_line()
        assert scene.account_now(account)["strikes"] == strikes
    assert -9 < scene.account_now(account)["cooling"] <= 1

    scene.change("accounts", account.id, cooling_until=datetime.now(UTC) + timedelta(hours=1))
    assert b"fallback" in scene.ask(connection=connection).body
    assert len(server.requests) == 3

    its_time_comes(scene, account, fallback[1])
    assert b"recovered" in scene.ask(connection=connection).body
    wait_until(lambda: not scene.account_now(account)["strikes"], "its strikes are not forgotten")
    standing = scene.account_now(account)
    assert (standing["strikes"], standing["cooling_until"], standing["state_reason"]) == (0, None, None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_callers_own_fault_is_returned_as_it_is_and_held_against_nobody(scene, first, fallback, status, stream):
    _, account = first(refuses(status, "messages[0] is odd", param="messages"))

    reply = scene.ask(stream=stream)

    assert reply.status == status
    error = {"message": "messages[0] is odd", "type": "refused", "param": "messages", "code": None}
    assert reply.json == {"error": error}
    assert reply.headers["content-type"] == "application/json"
    assert fallback[0].requests == []
    line = scene.line()
    assert (line["outcome"], line["basis"], line["http_status"], line["charged"]) == ("failed", "released", status, 0)
    assert [one["result"] for one in line["attempts"]] == [f"answered {status}"]
    assert scene.account_now(account)["strikes"] == 0


def test_a_refusal_that_is_no_json_is_told_in_our_own_words(scene, first):
    first(says(b"<html>secret proxy</html>", status=413, headers=[("content-type", "text/html")]))

    reply = scene.ask()

    assert reply.status == 413
    assert reply.error == {
        "message": "The upstream refused the request.", "type": "invalid_request_error", "param": None, "code": None
    }  # fmt: skip


@pytest.mark.parametrize("how", ["reset", "close", "end"])
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_stream_that_breaks_after_three_chunks_ends_with_an_error_event(scene, first, upstream, how, framing):
    server = upstream(breaks(3, how=how, framing=framing))
    scene.account(server)
    other = upstream()
    scene.account(other, models=[f"not {scene.model}"])

    reply = scene.ask(stream=True)

    assert reply.status == 200
    assert not reply.broken
    assert content(reply.frames) == "word0 word1 word2 "
    assert reply.frames[-1]["error"] == {
        "message": "The upstream broke off.", "type": "server_error", "param": None, "code": "upstream_error"
    }  # fmt: skip
    assert "[DONE]" not in reply.frames
    assert len(server.requests) == 1
    line = scene.line()
    assert (line["outcome"], line["basis"], line["error_code"]) == ("broken", "partial", "upstream_error")
    assert line["completion_tokens"] == 3
    assert 0 < line["charged"] == scene.charged() < line["estimate"]


def test_an_error_event_after_text_is_passed_on_and_ends_the_stream(scene, upstream):
    boom = event(b'{"error":{"message":"boom","type":"server_error","param":null,"code":"overloaded"}}')
    server = upstream(plays([event(chunk({"content": "text"})), 0.1, boom, event(chunk({"content": "more"})), DONE]))
    scene.account(server)

    reply = scene.ask(stream=True)

    assert reply.frames[-1]["error"]["code"] == "overloaded"
    assert content(reply.frames) == "text"
    assert len(server.requests) == 1
    assert (scene.line()["outcome"], scene.line()["basis"]) == ("broken", "partial")


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_says_no_usage_is_estimated(scene, upstream, stream):
    scene.account(upstream(answers("some words of an answer", usage=None)))

    assert scene.ask(stream=stream).status == 200

    line = scene.line()
    assert (line["outcome"], line["basis"]) == ("served", "estimated")
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0
    assert 0 < line["charged"] == scene.charged()


def test_a_usage_said_only_at_the_beginning_is_not_the_whole_bill(scene, upstream):
    words = [event(chunk({"content": f"word{number} "})) for number in range(40)]
    early = event(usage_chunk({"prompt_tokens": 100, "completion_tokens": 0}))
    scene.account(
        upstream(plays([event(chunk({"role": "assistant"})), early, 0.1, *words, event(chunk({}, "stop")), DONE]))
    )

    scene.ask(stream=True)

    line = scene.line()
    assert (line["basis"], line["prompt_tokens"]) == ("estimated", 100)
    assert line["completion_tokens"] >= 40


def test_a_stream_that_ends_after_its_finish_reason_is_complete(scene, upstream):
    scene.account(upstream(streams("all", "said", done=False, framing="close")))

    reply = scene.ask(stream=True)

    assert reply.frames[-1] == "[DONE]"
    assert (scene.line()["outcome"], scene.line()["basis"]) == ("served", "measured")


LIMITED = refuses(429, retry_after=77)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("acts", "status", "code", "retry_after"),
    [
        ([refuses(500), refuses(500)], 502, "upstream_error", range(1, 3)),
        ([refuses(500), LIMITED], 502, "upstream_error", range(1, 3)),
        ([refuses(401), refuses(401)], 502, "upstream_error", range(1, 3)),
        ([LIMITED, refuses(429, retry_after=99)], 429, "upstream_limited", range(77, 78)),
        ([refuses(429), refuses(402)], 429, "upstream_limited", range(1, 3)),
    ],
)
def test_when_all_fail_the_answer_says_why_and_when_to_come_back(
    scene, upstream, acts, status, code, retry_after, stream
):
    servers = [upstream(act) for act in acts]
    accounts = {scene.account(server).id for server in servers}

    reply = scene.ask(stream=stream)

    assert reply.status == status, reply.body
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert int(reply.headers["retry-after"]) in retry_after
    assert reply.headers["content-type"] == "application/json"
    line = scene.line()
    assert {one["account_id"] for one in line["attempts"]} == accounts
    assert len(line["attempts"]) == 2
    assert (line["outcome"], line["basis"], line["http_status"], line["charged"]) == ("failed", "released", status, 0)
    assert scene.charged() == 0
    assert rows("select state from reservations where id = :id", id=line["id"]) == [{"state": "released"}]
    assert reply.error["code"] == code


def test_when_all_stall_it_is_a_timeout(scene, upstream):
    for _ in range(2):
        scene.account(upstream(stalls_before_the_head))

    reply = scene.ask()

    assert reply.status == 504
    assert int(reply.headers["retry-after"]) > 0
    line = scene.line()
    assert [one["result"] for one in line["attempts"]] == ["did not answer in time"] * 2
    assert (line["outcome"], line["basis"], line["charged"]) == ("failed", "released", 0)


def test_however_many_accounts_are_tried_it_is_one_reservation_and_one_charge(scene, upstream):
    for _ in range(3):
        scene.account(upstream(refuses(500)))
    hers = scene.account(upstream(answers()), owner=scene.user, sharing="dedicated")
    scene.change("users", scene.user.id, prefer_shared=True)

    assert scene.ask().status == 200

    line = scene.line()
    assert len(line["attempts"]) == 4
    assert line["attempts"][-1] == {"account_id": hers.id, "result": "served", "ms": line["attempts"][-1]["ms"]}
    assert rows("select count(*) from reservations where id = :id", id=line["id"]) == [{"count": 1}]
    assert (line["cost"], line["charged"], scene.charged()) == (COST, 0, 0)


def test_no_more_accounts_are_tried_than_the_settings_say(scene, upstream):
    servers = [upstream(refuses(500)) for _ in range(7)]
    for server in servers:
        scene.account(server)

    assert scene.ask().status == 502

    assert len(scene.line()["attempts"]) == 5
    assert sum(len(server.requests) for server in servers) == 5


def _closed_line(model):
    """The usage line of a model, once it is closed."""
    query = "select * from usage_log where model = :model and state = 'closed'"
    wait_until(lambda: rows(query, model=model), f"no closed line of {model}")
    return rows(query, model=model)[0]
