"""Calls that are sent again under their Idempotency-Key: served again, and in sum paid for once."""

from __future__ import annotations

import os
import signal
import time

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.gateway.idempotency_api import _request_as_sent
from tests import factories
from tests.gateway.scene import BALANCE, CHAT, COST, MESSAGES, PLUGIN_CHAT, at_once, content, rows, wait_until
from tests.later import Later
from tests.upstream import answers, breaks, drips, refuses, stalls_before_the_head, streams

openai = Later("openai")

KEY = "a-key-of-hers"


def tokens(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def send(scene, *, name=KEY, key=None, **fields):
    headers = scene.headers(**({"authorization": f"Bearer {key}"} if key else {}))
    return scene.ask(headers=headers | {"Idempotency-Key": name}, **fields)


def send_and_wait(scene, **fields):
    """Send, and wait until what it cost has been counted."""
    reply = send(scene, **fields)
    wait_until(lambda: held() == [], "the key is still held")
    return reply


def held():
    return rows("select * from idempotency_keys where exchange_id is not null")


def known(scene):
    return rows("select * from idempotency_keys where user_id = :user order by key_digest", user=scene.user.id)


def entries(scene):
    """The caller's ledger, oldest first, without what she began with."""
    query = "select * from ledger_entries where pool_id = :pool order by id"
    return rows(query, pool=scene.pool_now()["id"])[1:]


def charges(scene):
    return [line["charged"] for line in scene.lines()]


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_sent_again_is_served_again_and_paid_for_once(scene, upstream, stream):
    server = upstream(streams("Hello") if stream else answers())
    scene.account(server)

    replies = [send_and_wait(scene, stream=stream) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert len(server.requests) == 2
    assert charges(scene) == [COST, COST]
    assert scene.charged() == COST
    again = scene.lines()[1]["id"]
    assert [(entry["kind"], entry["amount"]) for entry in entries(scene)] == [
        ("spend", -COST),
        ("spend", -COST),
        ("correction", COST),
    ]
    assert str(again) in entries(scene)[-1]["note"]
    assert entries(scene)[-1]["actor_id"] == scene.user.id


@pytest.mark.parametrize(
    ("usages", "paid"),
    [
        ([tokens(100, 50), tokens(100, 60)], [300, 340]),
        ([tokens(100, 60), tokens(100, 50)], [340, 340]),
        ([tokens(100, 10), tokens(100, 60), tokens(100, 30)], [140, 340, 340]),
    ],
    ids=["dearer", "cheaper", "up and down"],
)
def test_all_calls_under_a_key_cost_what_the_dearest_did(scene, upstream, usages, paid):
    scene.account(upstream(*(answers(usage=usage) for usage in usages)))

    seen = []
    for _ in usages:
        send_and_wait(scene)
        seen.append(scene.charged())

    assert seen == paid


def test_a_call_that_was_not_served_leaves_its_key_free_and_unpaid(scene, upstream):
    server = upstream(refuses(500), refuses(400), answers())
    account = scene.account(server)

    replies = [send_and_wait(scene) for _ in range(2)]
    scene.change("accounts", account.id, cooling_until=None, strikes=0)
    replies.append(send_and_wait(scene))

    assert [reply.status for reply in replies] == [502, 400, 200]
    assert scene.charged() == COST


def test_a_key_that_opened_nothing_is_free_at_once(scene, upstream):
    server = upstream(answers())
    scene.account(server)
    db.session.execute(text("update quota_pools set balance = 0 where id = :id"), {"id": scene.pool.id})
    db.session.execute(text("delete from ledger_entries where pool_id = :id"), {"id": scene.pool.id})
    db.session.commit()

    replies = [send(scene) for _ in range(2)]

    assert [reply.error["code"] for reply in replies] == ["insufficient_quota"] * 2
    assert [row["exchange_id"] for row in known(scene)] == [None]


def test_while_one_is_being_answered_the_next_is_told_to_come_again(scene, upstream):
    scene.account(upstream(drips(0.2), answers()))
    connection = scene.server.connect()
    connection.request("POST", CHAT, scene.body(stream=True), scene.headers() | {"Idempotency-Key": KEY})
    with connection.getresponse() as first:
        refused = send(scene, stream=True)
        others = [send(scene, name="another-key", stream=True), scene.ask(stream=True)]
        assert first.status == 200
    connection.close()

    assert (refused.status, refused.error["code"]) == (409, "idempotency_key_in_use")
    assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("1", "true")
    assert [other.status for other in others] == [200, 200]


def test_of_many_at_once_one_is_served(scene, upstream):
    server = upstream(answers(delay=0.8))
    scene.account(server)

    replies = at_once(*[lambda: send(scene)] * 8)

    assert sorted(reply.status for reply in replies) == [200] + [409] * 7
    assert len(server.requests) == 1
    wait_until(lambda: held() == [], "the key is still held")
    assert scene.charged() == COST


def test_retries_that_race_over_all_workers_are_paid_for_once(scene, upstream):
    """Each comes again as soon as it is refused, as SDKs do, until all that may have been served."""
    server = upstream(answers(delay=0.05))
    scene.account(server)

    def insist():
        for _ in range(1000):
            reply = send(scene)
            if reply.status != 409:
                return reply.status
            time.sleep(0.02)
        return None

    statuses = at_once(*[insist] * 6)

    assert sorted(statuses) == [200] * 3 + [400] * 3
    assert len(server.requests) == 3
    wait_until(lambda: held() == [], "the key is still held")
    assert scene.charged() == COST
    assert len([entry for entry in entries(scene) if entry["kind"] == "correction"]) == 2


def test_a_client_that_left_and_comes_again_pays_for_the_dearer_one(scene, upstream):
    scene.account(upstream(drips(0.1), answers()))
    connection = scene.server.connect()
    connection.request("POST", CHAT, scene.body(stream=True), scene.headers() | {"Idempotency-Key": KEY})
    with connection.getresponse() as response:
        response.read1(100)
    connection.close()
    scene.line()
    left = scene.charged()
    assert left > 0

    send_and_wait(scene, stream=True)

    assert scene.last_line()["outcome"] == "served"
    assert scene.charged() == max(left, COST) == max(charges(scene))


def test_a_stream_that_broke_off_and_its_retry_cost_what_the_dearer_one_did(scene, upstream):
    scene.account(upstream(breaks(2), streams("Hello")))

    broken, whole = send_and_wait(scene, stream=True), send_and_wait(scene, stream=True)

    assert broken.frames[-1]["error"]["code"] == "upstream_error"
    assert content(whole.frames) == "Hello "
    assert scene.charged() == max(charges(scene)) < sum(charges(scene))


def test_the_official_client_tries_again_and_pays_once(scene, upstream):
    server = upstream(stalls_before_the_head, answers("Hello"))
    scene.account(server)
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.key, timeout=1, max_retries=2) as client:
        done = client.chat.completions.create(
            model=scene.model, messages=MESSAGES, max_tokens=100, extra_headers={"Idempotency-Key": KEY}
        )

    assert done.choices[0].message.content == "Hello"
    assert len(server.requests) == 2
    wait_until(lambda: held() == [], "the key is still held")
    assert scene.charged() == max(charges(scene))


def test_a_call_that_many_answers_came_to_needs_a_new_key(scene, upstream):
    """Or somebody could have any number of answers for the price of one."""
    server = upstream(answers())
    scene.account(server)

    replies = [send_and_wait(scene) for _ in range(4)]

    assert [reply.status for reply in replies] == [200, 200, 200, 400]
    assert (replies[-1].error["param"], replies[-1].headers["x-should-retry"]) == ("Idempotency-Key", "false")
    assert len(server.requests) == 3
    assert scene.charged() == COST


def test_ones_own_account_may_be_asked_as_often_as_one_likes(scene, upstream):
    scene.account(upstream(answers()), owner=scene.user)

    assert [send_and_wait(scene).status for _ in range(5)] == [200] * 5
    assert scene.charged() == 0


def test_another_request_under_the_same_key_is_refused(scene, upstream):
    server = upstream(answers())
    scene.account(server)
    send_and_wait(scene)

    another_body = send(scene, temperature=0.5)
    another_path = send(scene, path=PLUGIN_CHAT, stream=False)

    assert another_body.status == another_path.status == 400
    assert another_body.error["param"] == "Idempotency-Key"
    assert another_path.json["errors"]["json"]["Idempotency-Key"]
    assert len(server.requests) == 1
    assert send_and_wait(scene).status == 200


def test_a_key_is_everybodys_own(scene, upstream):
    scene.account(upstream(answers()))
    other, key = scene.somebody()
    factories.quota_pool(other, model_group=scene.model)
    db.session.rollback()

    send_and_wait(scene)
    reply = send_and_wait(scene, key=key, temperature=0.5)

    assert reply.status == 200
    assert BALANCE - scene.pool_now(other)["balance"] == COST


@pytest.mark.parametrize("name", ["", "x" * 256, "schlüssel", "tab\there"])
def test_a_key_that_cannot_be_one_is_refused_by_name(scene, upstream, name):
    server = upstream(answers())
    scene.account(server)

    reply = send(scene, name=name)

    assert (reply.status, reply.error["param"]) == (400, "Idempotency-Key")
    assert "Idempotency-Key" in reply.error["message"]
    assert (known(scene), server.requests) == ([], [])


@pytest.mark.parametrize("name", ["x", "x" * 255, "~ !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}"])
def test_any_other_key_will_do(scene, upstream, name):
    scene.account(upstream(answers()))

    assert [send_and_wait(scene, name=name).status for _ in range(2)] == [200, 200]
    assert scene.charged() == COST


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", PLUGIN_CHAT])
def test_every_dialect_knows_the_header(scene, upstream, path):
    server = upstream(answers())
    scene.account(server)
    fields = {"path": path, "stream": False, "messages": MESSAGES} | (
        {"input": "Say hello.", "messages": None, "max_tokens": None, "max_output_tokens": 100}
        if path == "/v1/responses"
        else {}
    )

    replies = [send_and_wait(scene, **fields) for _ in range(2)]
    wrong = send(scene, name="x" * 256, **fields)

    assert [reply.status for reply in replies] == [200, 200]
    assert scene.charged() == COST
    assert (wrong.status, "Idempotency-Key" in wrong.body.decode()) == (400, True)


def test_a_request_without_the_header_leaves_nothing(scene, upstream):
    scene.account(upstream(answers()))

    scene.ask()

    assert known(scene) == []


def test_neither_key_nor_body_is_kept(scene, upstream):
    scene.account(upstream(answers()))

    send_and_wait(scene, name="sk-canary-key", messages=[{"role": "user", "content": "canary-prompt"}])

    (row,) = known(scene)
    assert "canary" not in str({name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()})
    assert {len(bytes(row["key_digest"])), len(bytes(row["body_digest"]))} == {32}
    assert "canary" not in scene.server.output()


def test_a_form_is_the_same_however_it_is_cut_up(scene, app):
    def sent(boundary, field="1"):
        body = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{field}\r\n--{boundary}--\r\n'.encode()
        kind = f"multipart/form-data; boundary={boundary}"
        with app.test_request_context("/v1/audio/transcriptions", method="POST", data=body, content_type=kind):
            return _request_as_sent(body)

    assert sent("one") == sent("another") != sent("one", "2")


def test_a_worker_that_is_killed_leaves_the_key_held_until_its_exchange_is_closed(scene, upstream, start_servers):
    dying = start_servers(LEASE_SECONDS=2, HEARTBEAT_SECONDS=1)
    scene.account(upstream(drips(0.1), answers()))
    connection = dying.connect()
    connection.request("POST", CHAT, scene.body(stream=True), scene.headers() | {"Idempotency-Key": KEY})
    with connection.getresponse() as response:
        response.read1(100)
        os.kill(dying.pids()[0], signal.SIGKILL)
    connection.close()

    assert send(scene, stream=True).status == 409
    wait_until(lambda: books.close_abandoned() == 1, "the lease never ends")
    again = send_and_wait(scene, stream=True)

    assert again.status == 200
    estimate, cost = charges(scene)
    assert estimate == scene.lines()[0]["estimate"] > cost
    assert scene.charged() == estimate


def test_a_refill_that_came_in_between_is_not_exceeded(scene, upstream):
    scene.account(upstream(answers()))
    send_and_wait(scene)
    scene.change("quota_pools", scene.pool.id, capacity=BALANCE - COST - 50)

    send_and_wait(scene)

    assert scene.pool_now()["balance"] == BALANCE - COST - 50
    assert entries(scene)[-1]["amount"] == COST - 50
