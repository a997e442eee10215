"""Windows, owners' limits, slots, conversations and draining, over a real gunicorn."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from shared_accounts.accounts import standing, tally, withdrawal
from shared_accounts.accounts.models import Account
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from tests import factories
from tests.gateway.scene import COST, rows, wait_until
from tests.upstream import USAGE, answers, refuses, says, stalls_before_the_head


@pytest.fixture
def account(scene, upstream):
    """An account that answers with its own name."""

    def make(name, **fields):
        return scene.account(upstream(answers(name)), **fields)

    return make


def ask(scene, **fields):
    reply = scene.ask(**fields)
    return reply.json["choices"][0]["message"]["content"] if reply.status == 200 else reply.error["code"]


def window(account):
    found = rows("select * from account_windows where account_id = :id", id=account.id)
    return found[0] if found else {"used": None}


def used(account):
    return rows("select * from account_use where account_id = :id order by user_id", id=account.id)


def passed_over(scene):
    return {one["account_id"]: one["why"] for one in scene.last_line()["passed_over"]}


# -- windows


def test_what_is_used_is_counted_against_the_window_and_by_whom(scene, account):
    one = account("one")
    for _ in range(3):
        assert ask(scene) == "one"

    wait_until(lambda: window(one)["used"] == 3 * COST, "nothing counted")
    wait_until(lambda: used(one) and used(one)[0]["calls"] == 3, "nothing counted")
    (line,) = used(one)
    assert (line["user_id"], line["tokens"], line["cost"]) == (scene.user.id, 3 * 150, 3 * COST)
    hours = (window(one)["resets_at"] - scene.lines()[0]["opened_at"]).total_seconds() / 3600
    assert 4.99 < hours < 5.01


def test_an_account_whose_window_is_used_up_rests_until_it_resets(scene, account):
    small = account("small", allowance_tokens=2 * COST, owner=scene.user, sharing="dedicated")
    big = account("big")
    assert [ask(scene), ask(scene)] == ["small", "small"]
    wait_until(lambda: window(small)["used"] == 2 * COST, "not counted")

    assert ask(scene) == "big"
    # The worker may know it already, or learn it when it tries.
    assert passed_over(scene) in ({small.id: "its window is used up"}, {small.id: "it is cooling down"})
    assert scene.last_line()["account_id"] == big.id

    db.session.execute(db.text("update account_windows set resets_at = now() where account_id = :id"), {"id": small.id})
    db.session.commit()
    time.sleep(5.1)  # what the worker remembers
    assert ask(scene) == "small"
    wait_until(lambda: window(small)["used"] == COST, "the window has not begun anew")


def test_when_every_window_is_used_up_the_refusal_says_when_one_resets(scene, account):
    small = account("small", allowance_tokens=COST, window_hours=2)
    assert ask(scene) == "small"
    wait_until(lambda: window(small)["used"] == COST, "not counted")
    scene.ask()

    reply = scene.ask()

    assert (reply.status, reply.error["code"]) == (503, "no_account_available")
    assert 7000 < int(reply.headers["retry-after"]) <= 7200


def test_a_recount_sets_a_window_to_what_the_log_says(scene, account):
    one = account("one")
    ask(scene)
    wait_until(lambda: window(one)["used"] == COST, "not counted")
    # A minute later.
    for statement in (
        "update usage_log set closed_at = closed_at - interval '1 minute' where account_id = :id",
        "update account_windows set resets_at = resets_at - interval '1 minute' where account_id = :id",
    ):
        db.session.execute(db.text(statement), {"id": one.id})
    for wrong in (0, 10 * COST):
        db.session.execute(
            db.text("update account_windows set used = :used where account_id = :id"), {"used": wrong, "id": one.id}
        )
        assert tally.recount() >= 1  # other tests' accounts may come to rest in this moment
        db.session.commit()
        assert window(one)["used"] == COST


# -- what owners keep


def test_an_owner_keeps_a_part_of_the_window_to_herself(scene, account):
    kept = account("kept", allowance_tokens=4 * COST, owner_reserve=0.5)
    _, hers = scene.owner, factories.api_key(scene.owner)[1]
    assert [ask(scene), ask(scene)] == ["kept", "kept"]
    wait_until(lambda: window(kept)["used"] == 2 * COST, "not counted")

    assert ask(scene) == "no_account_available"
    assert ask(scene, key=hers) == "kept"


def test_an_owners_limit_for_the_day_holds_for_all_others_together(scene, account):
    limited = account("limited", others_per_day=2 * COST)
    other, key = scene.somebody()
    factories.quota_pool(other, model_group=scene.model)
    assert [ask(scene), ask(scene, key=key)] == ["limited", "limited"]
    wait_until(lambda: sum(line["cost"] for line in used(limited)) == 2 * COST, "not counted")

    assert ask(scene) == "no_account_available"
    assert ask(scene, key=factories.api_key(scene.owner)[1]) == "limited"


def test_a_members_share_for_the_day_holds_for_each_of_them(scene, account):
    limited = account("limited", member_per_day=COST)
    other, key = scene.somebody()
    factories.quota_pool(other, model_group=scene.model)
    assert ask(scene) == "limited"
    wait_until(lambda: used(limited), "not counted")

    assert ask(scene) == "no_account_available"
    assert ask(scene, key=key) == "limited"


@pytest.mark.parametrize(
    ("begins", "ends", "served"), [(-10, 10, False), (10, 20, True), (-20, -10, True), (20, 10, False), (10, -10, True)]
)
def test_in_quiet_hours_an_account_serves_its_owner_only(scene, account, begins, ends, served):
    now = rows("select extract(epoch from (now() at time zone 'UTC')::time)::int / 60 as minute")[0]["minute"]
    account("quiet", quiet_from=(now + begins) % 1440, quiet_until=(now + ends) % 1440)

    assert ask(scene) == ("quiet" if served else "no_account_available")
    assert ask(scene, key=factories.api_key(scene.owner)[1]) == "quiet"


# -- slots


def test_of_many_at_the_same_instant_exactly_as_many_get_in_as_there_are_slots(scene, upstream):
    scene.account(upstream(*[stalls_before_the_head] * 3), max_concurrency=3)

    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda _: scene.ask(), range(20)))

    opened = [line for line in scene.lines() if line["account_id"]]
    assert len(opened) == 3
    assert sorted(reply.status for reply in replies) == [503] * 17 + [504] * 3


def test_a_slot_comes_back_when_its_exchange_ends(scene, upstream):
    scene.account(upstream(answers("in")), max_concurrency=1)

    for _ in range(4):
        assert ask(scene) == "in"
        wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "still open")


# -- conversations


def messages(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]


def test_a_conversation_that_goes_on_stays_with_one_account(scene, account):
    for name in "abcdef":
        account(name)
    for talk in range(4):
        texts = [f"question {talk}", "an answer", "and then?"]
        served = set()
        for _ in range(6):
            served.add(ask(scene, messages=messages(*texts)))
            texts += ["another answer", "and then?"]
        assert len(served) == 1


def test_conversations_are_spread(scene, account):
    for name in "abcd":
        account(name)

    served = {ask(scene, messages=messages(f"question {n}", "answer", "more")) for n in range(30)}

    assert served == set("abcd")


def test_a_clients_own_name_for_its_cache_is_taken(scene, account):
    for name in "abcdef":
        account(name)

    assert len({ask(scene, prompt_cache_key="my-cache", messages=messages(f"question {n}")) for n in range(8)}) == 1


def test_a_conversation_moves_on_when_its_account_cannot_serve(scene, account):
    accounts = {name: account(name) for name in "abc"}
    talk = messages("question", "answer", "more")
    home = ask(scene, messages=talk)

    standing.take_out(accounts[home].id, "paused", "test")
    db.session.commit()

    assert ask(scene, messages=talk) in set("abc") - {home}


def test_of_a_hundred_accounts_both_workers_find_a_conversations_home(scene, upstream):
    server = upstream(answers("here"))
    accounts = [scene.account(server) for _ in range(100)]

    for talk in range(3):
        for turn in range(4):
            assert ask(scene, messages=messages(f"question {talk}", "an answer", f"and {turn}?")) == "here"
    alone = [ask(scene, messages=messages(f"question {turn}")) for turn in range(12)]

    served = [line["account_id"] for line in scene.lines()]
    assert alone == ["here"] * 12
    assert [len(set(served[4 * talk :][:4])) for talk in range(3)] == [1, 1, 1]
    assert len(set(served[12:])) > 3
    assert set(served) <= {one.id for one in accounts}


# -- the life of an account


def events(account):
    found = rows("select * from account_events where account_id = :id order by id", id=account.id)
    return [(event["from_state"], event["to_state"]) for event in found]


def test_every_step_names_the_exchange_that_caused_it(scene, upstream):
    account = scene.account(upstream(refuses(429, retry_after=1), answers("back"), refuses(401)))
    assert scene.ask().status == 429
    time.sleep(1.1)
    wait_until(lambda: ask(scene) == "back", "it does not come back")
    wait_until(lambda: ("cooling", "active") in events(account), "its return is not noted")
    scene.ask()

    assert events(account) == [("active", "cooling"), ("cooling", "active"), ("active", "needs_sign_in")]
    found = rows("select * from account_events where account_id = :id order by id", id=account.id)
    lines = {line["id"] for line in scene.lines()}
    assert {event["exchange_id"] for event in found} <= lines
    assert found[0]["until"] is not None


def test_a_withdrawal_drains(scene, upstream):
    server = upstream(answers("one two three four five", delay=0.3))
    account = scene.account(server)
    with ExitStack() as streams:
        stream = streams.enter_context(scene.stream())
        withdrawal.withdraw(db.session.get(Account, account.id))
        db.session.commit()

        assert scene.account_now(account)["state"] == "draining"
        assert ask(scene) in {"model_not_found", "no_account_available"}
        finish_all_draining()
        assert scene.account_now(account)["state"] == "draining"
        assert b"[DONE]" in stream.read()
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "still open")

    finish_all_draining()

    gone = scene.account_now(account)
    assert (gone["state"], gone["sealed_credential"]) == ("withdrawn", None)
    assert scene.lines()[0]["outcome"] == "served"


def finish_all_draining():
    """Other tests' accounts may be draining, too."""
    while withdrawal.finish_draining():
        db.session.commit()
    db.session.commit()


def test_a_reserve_of_everything_leaves_others_nothing(scene, account):
    account("mine", owner_reserve=1.0, allowance_tokens=MICRO)
    assert ask(scene, key=factories.api_key(scene.owner)[1]) == "mine"
    wait_until(
        lambda: rows(
            "select 1 from account_windows w join accounts a on a.id = w.account_id where :m = any(a.models)",
            m=scene.model,
        ),
        "not counted",
    )

    assert ask(scene) == "no_account_available"


# -- what upstreams say


def test_an_account_whose_upstream_has_nothing_left_is_not_asked_again_until_it_has(scene, upstream, account):
    left = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m0s")]
    choice = {"index": 0, "message": {"role": "assistant", "content": "last"}, "finish_reason": "stop"}
    body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    used_up = scene.account(upstream(says(body, headers=left)), owner=scene.user, sharing="dedicated")
    account("other")

    assert ask(scene) == "last"
    assert [ask(scene), ask(scene)] == ["other", "other"]

    now = scene.account_now(used_up)
    assert 50 < now["cooling"] <= 60
    assert events(used_up) == [("active", "cooling")]


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": 10**12, "completion_tokens": 1}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_usage_that_cannot_be_true_is_flagged_and_charged_by_estimate(scene, upstream, usage, stream):
    scene.account(upstream(answers("hello there", usage=usage)))

    assert scene.ask(stream=stream).status == 200

    line = scene.line()
    assert (line["flag"], line["basis"]) == ("usage not believed", "estimated")
    assert 0 < line["charged"] < 1000
    assert scene.charged() == line["charged"]
