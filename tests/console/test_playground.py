"""A chat in the console: through the gateway, with the session's cookie and nothing else."""

from __future__ import annotations

import json

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows
from tests.upstream import answers, breaks, refuses

HELLO = [{"role": "user", "content": "Say hello."}]
CANARY = "\"><img src=x onerror=alert(1)>'"


@pytest.fixture
def seat(committed, client, model_server):
    """Somebody else's account, which the reader pays for."""
    return factories.account(factories.user(username="Marta"), base_url=model_server.url, models=["m"])


@pytest.fixture
def pool(seat, lin):
    return factories.quota_pool(lin, balance=10 * MICRO)


def chat(browser, *, model="m", messages=HELLO, token=None, **body):
    token = token or browser.get("/playground").form("/playground").fields["csrf"]
    headers = {"X-CSRF-Token": token, "Accept": "text/event-stream, application/json;q=0.9"}
    body = {"model": model, "messages": messages, **body}
    return browser.client.post("/playground/answers", json=body, headers=headers)


def frames(answer):
    events = [one.removeprefix("data: ") for one in answer.get_data(as_text=True).split("\n\n") if one]
    return [json.loads(one) for one in events if one.startswith("{")]


def said(answer):
    return "".join(frame["choices"][0]["delta"].get("content") or "" for frame in frames(answer) if frame["choices"])


def explained(browser, answer):
    answer.close()
    return browser.client.get(f"/playground/answers/{answer.headers['X-Exchange-Id']}").json


def test_an_answer_streams_and_leads_to_its_exchange(browser, pool):
    answer = chat(browser)
    text, after = said(answer), explained(browser, answer)

    assert (answer.status_code, answer.mimetype, text) == (200, "text/event-stream", "Hello there ")
    assert after["is_over"]
    assert after["facts"][-2:] == ["100 + 50 tokens", "0.0003 units, measured"]
    assert "9.9997 units left for m" in after["left"]
    assert "Playground" in browser.get("/usage").text
    assert browser.get(after["href"]).status == 200
    (line,) = rows("usage_log")
    assert (line["endpoint"], line["api_key_id"], line["charged"]) == ("/playground/answers", None, 300)
    assert proof.verify() == []


def test_the_upstream_gets_the_talk_and_we_keep_none_of_it(browser, pool, model_server):
    talk = [*HELLO, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "a secret of mine"}]
    chat(browser, messages=talk).get_data()

    assert model_server.requests[0].json["messages"] == talk
    for table in db.metadata.tables:
        assert "a secret of mine" not in str(rows(table)), table


def test_a_cookie_alone_asks_nothing_and_the_gateway_reads_none(browser, signed_in, pool, model_server):
    mallory = signed_in(factories.user(username="mallory", password=factories.PASSWORD))
    hers = mallory.get("/playground").form("/playground").fields["csrf"]

    assert chat(browser, token="guessed").status_code == 403
    assert chat(browser, token=hers).status_code == 403
    assert browser.client.post("/v1/chat/completions", json={"model": "m", "messages": HELLO}).status_code == 401
    assert model_server.requests == []


def test_no_credential_reaches_the_page(browser, pool):
    page = browser.get("/playground").source

    assert browser.cookie("session_token") not in page
    assert "Bearer" not in page
    assert "sk-" not in page


def test_a_refusal_says_how_much_whose_limit_and_when(browser, lin, seat):
    factories.quota_pool(lin, balance=100, capacity=2 * MICRO, refill_per_hour=400_000)
    refusal = chat(browser, max_tokens=100_000).json["refusal"]

    assert refusal["kind"] == "wait"
    assert refusal["title"] == "Not enough quota for m"
    assert "would have needed 0.4000 units; you have 0.0001. It is our limit" in refusal["text"]
    assert "It fits at" in refusal["text"]
    assert refusal["links"][0]["href"] == "/quota?group=m"


def test_a_refusal_that_waiting_does_not_cure_says_so(browser, lin, seat):
    none = chat(browser).json["refusal"]
    factories.quota_pool(lin, balance=0, capacity=2 * MICRO)
    resting = chat(browser).json["refusal"]

    assert (none["kind"], resting["kind"]) == ("act", "act")
    assert "it comes from sharing" in none["text"]
    assert none["links"][0]["href"] == "/accounts/new"
    assert "The refill rests" in resting["text"]


@pytest.mark.parametrize(
    ("act", "status", "words"),
    [
        (refuses(429, retry_after=90), 429, "It is the provider\u2019s limit, not ours."),
        (refuses(500), 502, "It is the provider\u2019s fault; nothing was charged."),
        (refuses(400, CANARY), 400, CANARY),
    ],
)
def test_what_an_upstream_refuses_is_told_as_its_own(browser, pool, model_server, act, status, words):
    model_server.plays(act)
    answer = chat(browser)

    assert answer.status_code == status
    assert answer.json["refusal"]["text"].startswith(words)
    assert rows("quota_pools")[0]["reserved"] == 0


def test_the_silenced_are_told_why(browser, lin, pool):
    db.session.execute(db.text("update users set state = 'silenced' where id = :id"), {"id": lin.id})
    db.session.commit()
    answer = chat(browser)

    assert answer.status_code == 403
    assert answer.json["refusal"]["title"] == "This user has been silenced and may only read."


def test_a_stream_that_breaks_says_so_and_is_settled(browser, pool, model_server):
    model_server.plays(breaks(3))
    answer = chat(browser)
    last, after = frames(answer)[-1], explained(browser, answer)

    assert last["error"]["code"] == "upstream_error"
    assert "partial" in after["facts"][-1]
    assert proof.verify() == []


def test_hanging_up_stops_the_upstream_and_settles(browser, pool, model_server):
    model_server.plays(answers("one two three four five six seven eight nine ten", delay=0.2))
    answer = chat(browser)
    chunks = answer.iter_encoded()
    next(chunks)
    answer.close()

    after = explained(browser, answer)
    assert "partial" in after["facts"][-1]
    assert rows("usage_log")[0]["outcome"] == "client_left"
    assert model_server.requests[0].gone.wait(20)
    assert proof.verify() == []


def test_answers_are_explained_to_whoever_asked(browser, signed_in, pool):
    answer = chat(browser)
    answer.get_data()
    other = signed_in(factories.user(username="eve", password=factories.PASSWORD))

    path = f"/playground/answers/{answer.headers['X-Exchange-Id']}"
    assert other.client.get(path).status_code == 404
    assert browser.client.get(path).status_code == 200


def test_without_scripts_a_form_holds_the_talk(browser, pool, model_server):
    first = browser.send(browser.get("/playground"), "/playground", model="m", say="Say hello.")
    model_server.plays(answers(CANARY))
    second = browser.post(
        "/playground",
        {**first.form("/playground").fields, "model": "m", "said": ["Say hello.", "Hello there"], "say": "And now?"},
    )

    assert "Say hello. Hello there" in first.text
    assert "100 + 50 tokens" in first.text
    assert [one["content"] for one in model_server.requests[1].json["messages"]] == [
        "Say hello.",
        "Hello there",
        "And now?",
    ]
    assert CANARY in second.text
    assert "<img" not in second.source


def test_what_is_wished_for_goes_along_only_where_it_is_filled_in(browser, pool, model_server):
    bare = browser.send(browser.get("/playground"), "/playground", model="m", say="Hello", system="  ", temperature="")
    wished = {"system": "Answer in rhymes.", "temperature": "0.3"}
    told = browser.send(browser.get("/playground"), "/playground", model="m", say="Hello", **wished)

    first, second = (request.json for request in model_server.requests)
    assert "temperature" not in first
    assert [one["role"] for one in first["messages"]] == ["user"]
    assert second["temperature"] == 0.3
    assert second["messages"][0] == {"role": "system", "content": "Answer in rhymes."}
    assert [one["role"] for one in second["messages"]] == ["system", "user"]
    assert not [tag for tag, attributes in bare.tags if tag == "details" and "open" in attributes]
    assert "Answer in rhymes." in told.source
    assert "Answer in rhymes." not in browser.get("/playground").source
    for table in db.metadata.tables:
        assert "in rhymes" not in str(rows(table)), table


def test_a_stream_passes_on_what_is_wished_for(browser, pool, model_server):
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert said(chat(browser, messages=messages, temperature=1.5)) == "Hello there "

    assert (model_server.requests[0].json["messages"], model_server.requests[0].json["temperature"]) == (messages, 1.5)


@pytest.mark.parametrize(
    ("temperature", "words"),
    [("2.1", "Write a number from 0 to 2."), ("warm", "Write a number."), ("nan", "")],
)
def test_a_temperature_that_cannot_be_is_said_beside_the_field(browser, pool, model_server, temperature, words):
    page = browser.send(
        browser.get("/playground"), "/playground", model="m", say="Hello", system=CANARY, temperature=temperature
    )
    (field,) = [one for one in page.all("input") if one.get("name") == "temperature"]

    assert page.status == 422
    assert (field["aria-invalid"], field["value"]) == ("true", temperature)
    assert words in page.text
    assert "<img" not in page.source
    assert CANARY in page.text
    assert "Hello" in page.text
    assert model_server.requests == []


def test_without_scripts_a_refusal_keeps_what_was_typed(browser, seat):
    page = browser.send(browser.get("/playground"), "/playground", model="m", say="Say hello.")

    assert page.status == 429
    assert "No quota left for m" in page.text
    assert page.text.count("Say hello.") == 2


def test_no_connection_is_held_while_the_upstream_takes_its_time(browser, pool, model_server):
    connections, held = db.engine.pool, []

    def act(turn):
        held.append(connections.checkedout())
        return answers("Hello")(turn)

    model_server.plays(act)
    db.session.rollback()
    answer = chat(browser)
    answer.get_data()

    assert held == [0]


def test_who_has_no_model_is_told_what_to_do(browser):
    assert "Nobody serves you a model yet" in browser.get("/playground").text
