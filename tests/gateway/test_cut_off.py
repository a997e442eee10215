"""An owner who withdraws an account may cut off what runs on it: whichever worker serves it ends it, and settles it once."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from shared_accounts.accounts import withdrawal
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests import factories
from tests.gateway.scene import MESSAGES, content, read, rows, wait_until
from tests.upstream import answers, chunk, drips, event, plays, stalls_before_the_head

TALK = [event(chunk({"content": f"word{number} "})) for number in range(3)]


@pytest.fixture(scope="module")
def patient(start_servers):
    """A gunicorn whose own deadlines cut nothing off here, however slow the machine is."""
    deadlines = ("UPSTREAM_FIRST_BYTE_TIMEOUT", "UPSTREAM_GAP_TIMEOUT", "UPSTREAM_TOTAL_TIMEOUT")
    return start_servers(workers=2, **dict.fromkeys(deadlines, 120))


@pytest.fixture(autouse=True)
def served_patiently(scene, patient):
    scene.server = patient


@pytest.fixture
def withdrawn(scene):
    """Withdraw an account over the API, whichever worker hears it."""

    def withdraw(account, *, running="cut_off"):
        token = {"authorization": f"Bearer {scene.token(scene.owner)}"}
        path = f"/api/accounts/{account.id}?running={running}"
        assert scene.ask(path=path, method="DELETE", raw=b"", headers=token).status == 204

    return withdraw


def finish_all():
    while withdrawal.finish_draining():
        db.session.commit()
    db.session.commit()


def test_a_stream_is_cut_off_and_settled_once_by_what_was_used(scene, upstream, withdrawn):
    server = upstream(drips(0.1))
    account = scene.account(server)
    with scene.stream() as response:
        begun = response.read1(1000)
        withdrawn(account)
        reply = read(response)

    assert b"data" in begun
    assert (reply.frames[-1]["error"]["code"], "[DONE]" in reply.frames) == ("account_withdrawn", False)
    assert server.requests[0].gone.wait(20)
    line = scene.line()
    assert (line["outcome"], line["basis"], line["error_code"]) == ("interrupted", "partial", "account_withdrawn")
    assert 0 < line["charged"] == scene.charged() < line["estimate"]
    assert scene.pool_now()["reserved"] == 0
    wait_until(lambda: _is_gone(account), "it stays")
    assert proof.verify() == []


def test_while_it_drains_its_owner_may_still_cut_off(scene, upstream, withdrawn):
    account = scene.account(upstream(drips(0.1)))
    with scene.stream() as response:
        response.read1(1000)
        withdrawn(account, running="finish")
        finish_all()
        assert scene.account_now(account)["state"] == "draining"
        response.read1(1000)
        withdrawn(account)
        assert read(response).frames[-1]["error"]["code"] == "account_withdrawn"

    wait_until(lambda: _is_gone(account), "it stays")
    assert [event["reason"] for event in events(account)] == [
        "withdrawn by its owner",
        "what ran on it was cut off by its owner",
        "withdrawn by its owner",
    ]


def test_before_the_first_byte_another_account_serves(scene, upstream, withdrawn):
    silent, other = upstream(stalls_before_the_head), upstream(answers("Hello"))
    account = scene.account(silent)
    replies = []
    asking = threading.Thread(target=lambda: replies.append(scene.ask(stream=True)))
    asking.start()
    silent.wait_for(1)
    scene.account(other)
    withdrawn(account)
    asking.join(60)

    assert content(replies[0].frames).strip() == "Hello"
    line = scene.line()
    assert [one["result"] for one in line["attempts"]] == ["its owner withdrew it", "served"]
    assert line["outcome"] == "served"
    assert scene.account_now(account)["strikes"] == 0


def test_where_nobody_else_serves_that_is_said(scene, upstream, withdrawn):
    silent = upstream(stalls_before_the_head)
    account = scene.account(silent)
    replies = []
    asking = threading.Thread(target=lambda: replies.append(scene.ask()))
    asking.start()
    silent.wait_for(1)
    withdrawn(account)
    asking.join(60)

    assert replies[0].error["code"] in {"model_not_found", "no_account_available"}
    line = scene.line()
    assert (line["outcome"], line["basis"], line["charged"]) == ("failed", "released", 0)
    assert scene.pool_now()["reserved"] == 0


def test_what_runs_on_other_accounts_goes_on(scene, upstream, withdrawn):
    last = event(chunk({}, "stop"))
    account = scene.account(upstream(drips(0.1)))
    kept = scene.account(
        upstream(plays([*TALK, *[0.3, TALK[0]] * 8, last, b"data: [DONE]\n\n"])), models=[f"{scene.model} kept"]
    )
    with ExitStack() as streams:
        going_on = streams.enter_context(scene.stream(model=f"{scene.model} kept", key=_key_of(scene)))
        cut = streams.enter_context(scene.stream())
        cut.read1(1000)
        going_on.read1(1000)
        withdrawn(account)
        assert read(cut).frames[-1]["error"]["code"] == "account_withdrawn"
        assert "[DONE]" in read(going_on).frames

    assert scene.account_now(kept)["state"] == "active"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 100}, b"overloaded_error"),
        ("/v1/responses", {"input": "Say hello."}, b"account_withdrawn"),
    ],
)
def test_every_dialect_is_told(scene, upstream, withdrawn, path, body, told):
    account = scene.account(upstream(drips(0.1)))
    connection = scene.server.connect()
    try:
        raw = scene.body(**{"messages": None, "max_tokens": None, "stream": True, **body})
        connection.request("POST", path, raw, scene.headers())
        response = connection.getresponse()
        response.read1(1000)
        withdrawn(account)
        assert told in read(response).body
    finally:
        connection.close()
    assert scene.line()["error_code"] == "account_withdrawn"


def _key_of(scene):
    """The key of the owner, whom her own accounts cost nothing."""
    return factories.api_key(scene.owner)[1]


def _is_gone(account):
    finish_all()
    return rows("select state from accounts where id = :id", id=account.id)[0]["state"] == "withdrawn"


def events(account):
    return rows("select * from account_events where account_id = :id order by id", id=account.id)
