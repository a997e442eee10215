"""Rules for models over a real gunicorn: aliases, groups that share an allowance, weights and references.

The worker that most tests here ask reads the rules at every request; one test is about workers that remember them.
"""

from __future__ import annotations

import itertools
import json
import time
from contextlib import ExitStack

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import proof, rule_changes
from shared_accounts.quotas.pricing import STANDARD
from tests import factories
from tests.gateway.scene import COST, MESSAGES, Scene, content, frames, rows, wait_until
from tests.upstream import answers, drips, event, plays, streams, usage_chunk

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(forgetful):
    return forgetful


@pytest.fixture
def quick(database, server):
    """A scene at a worker that remembers no rule."""
    yield Scene(server, f"ruled-{next(_numbers)}")
    wait_until(lambda: rows("select from usage_log where state = 'open'") == [], "an exchange stays open")
    assert proof.verify() == []


@pytest.fixture
def alias(quick):
    """Another name for the scene's model."""
    name = f"{quick.model}-fast"
    make_alias(name, quick.model)
    return name


def make_alias(name, target):
    rule_changes.make_alias(name, target)
    db.session.commit()


def lay_down(model, *, group=None, weights=STANDARD, reference=None):
    rule_changes.lay_down(model, group=group, weights=weights, reference=reference)
    db.session.commit()


def pool(user, group):
    return rows("select * from quota_pools where user_id = :id and model_group = :group", id=user.id, group=group)[0]


def names(scene, **how):
    return {one["id"] for one in scene.ask(path="/v1/models", method="GET", raw=b"", **how).json["data"]}


# -- aliases


def test_a_call_by_alias_goes_upstream_under_the_real_name_and_its_pool_pays(quick, upstream, alias):
    server = upstream(answers())
    quick.account(server)

    reply = quick.ask(model=alias)

    assert reply.status == 200
    assert server.requests[0].json == {"model": quick.model, "messages": MESSAGES, "max_tokens": 100}
    assert (quick.line()["model"], quick.line()["model_group"]) == (quick.model, quick.model)
    assert quick.charged() == quick.line()["charged"] == COST


def test_a_stream_by_alias_goes_upstream_under_the_real_name_and_its_pool_pays(quick, upstream, alias):
    server = upstream(streams("Hello", "world"))
    quick.account(server)

    reply = quick.ask(model=alias, stream=True)

    assert (content(reply.frames), reply.frames[-1]) == ("Hello world ", "[DONE]")
    assert server.requests[0].json["model"] == quick.model
    assert (quick.line()["model"], quick.line()["basis"]) == (quick.model, "measured")
    assert quick.charged() == COST


REST = ', "messages": [{"role": "user", "content": "Which \\"model\\": \\"ALIAS\\"?"}]}'
SPELLINGS = {
    "spaces": '{ "model"\t:\n "ALIAS"' + REST,
    "the last member": '{"messages": [{"role": "user", "content": "Hi"}], "model": "ALIAS"}',
    "an escaped letter": '{"model": "\\u0072uled-NUMBER-fast"' + REST,
    "an escaped member": '{"mod\\u0065l": "ALIAS"' + REST,
    "an escaped member beside a plain one": '{"mod\\u0065l": "ALIAS", "metadata": {"model": "ALIAS"}' + REST,
    "named twice": '{"model": "other", "model": "ALIAS"' + REST,
    "a tool that takes a model": '{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type":'
    ' "object", "properties": {"model": {"enum": ["ALIAS"]}}}}}], "model": "ALIAS"' + REST,
    "the same name in metadata": '{"metadata": {"model": "ALIAS"}, "model": "ALIAS"' + REST,
    "another name in metadata": '{"metadata": {"model": "other"}, "model": "ALIAS"' + REST,
    "numbers, fields of others": '{"temperature": 0.70, "x": {"y": [1e2, null, -0.0]}, "model": "ALIAS"' + REST,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_however_an_alias_is_spelt_it_alone_is_replaced(quick, upstream, alias, spelling):
    server = upstream(answers())
    quick.account(server)
    raw = SPELLINGS[spelling].replace("ALIAS", alias).replace("NUMBER", quick.model.removeprefix("ruled-"))

    reply = quick.ask(raw=raw.encode())

    assert reply.status == 200
    assert server.requests[0].json == {**json.loads(raw), "model": quick.model}
    assert quick.line()["model"] == quick.model


def test_but_for_its_name_not_a_byte_of_a_call_by_alias_is_changed(quick, upstream, alias):
    server = upstream(answers())
    quick.account(server)
    raw = f'{{ "n":1,\n "seed": 123456789012345678901234567890, "model":"{alias}" ,"messages":[{{"role":"user"}}] }}'

    assert quick.ask(raw=raw.encode()).status == 200

    assert server.requests[0].body == raw.replace(alias, quick.model).encode()


def test_an_alias_is_listed_while_its_target_is_served_and_only_then(quick, upstream, alias):
    assert {quick.model, alias}.isdisjoint(names(quick))
    account = quick.account(upstream())

    assert {quick.model, alias} <= names(quick)
    assert quick.ask(path=f"/v1/models/{alias}", method="GET", raw=b"").json["id"] == alias
    quick.change("accounts", account.id, state="paused")

    assert {quick.model, alias}.isdisjoint(names(quick))
    assert quick.ask(path=f"/v1/models/{alias}", method="GET", raw=b"").status == 404
    assert quick.ask(model=alias).error["code"] == "model_not_found"


def test_an_alias_of_what_others_keep_to_themselves_is_not_listed(quick, upstream, alias):
    quick.account(upstream(), sharing="dedicated")
    _, stranger = quick.somebody()

    assert alias not in names(quick, key=stranger)
    assert alias in names(quick, key=factories.api_key(quick.owner)[1])


def test_a_name_that_accounts_list_and_that_is_an_alias_stands_for_its_target_alone(quick, upstream, alias):
    listing, target = upstream(answers("listed")), upstream(answers("meant"))
    quick.account(listing, models=[alias])
    assert alias not in names(quick)

    quick.account(target)

    assert alias in names(quick)
    assert quick.ask(model=alias).json["choices"][0]["message"]["content"] == "meant"
    assert listing.requests == []


def test_an_alias_that_gets_another_target_calls_that_one(quick, upstream, alias):
    server = upstream(answers())
    quick.account(server, models=[quick.model, f"{quick.model}-b"], owner=quick.user, sharing="dedicated")
    quick.ask(model=alias)

    make_alias(alias, f"{quick.model}-b")
    quick.ask(model=alias)

    assert [request.json["model"] for request in server.requests] == [quick.model, f"{quick.model}-b"]


def test_a_dry_run_knows_aliases_and_what_they_would_cost(quick, upstream, alias):
    lay_down(quick.model, weights=(0, 5000, 0))
    account = quick.account(upstream())
    asked = json.dumps({"model": alias, "prompt_tokens": 1000, "max_tokens": 100_000}).encode()

    told = quick.ask(path="/api/accounts/explain", raw=asked, key=quick.token()).json

    assert (told["served"], told["account_id"], told["estimate"]) == (True, account.id, "0.5000")


# -- groups


@pytest.fixture
def pair(quick, upstream):
    """Two models that share the pool named after the scene's model, and an account that serves both."""
    models = [f"{quick.model}-a", f"{quick.model}-b"]
    for model in models:
        lay_down(model, group=quick.model)
    quick.serving = upstream(answers())
    quick.shared = quick.account(quick.serving, models=models)
    return models


def group_lines(scene):
    query = "select * from usage_log where model_group = :group order by opened_at, id"
    return rows(query, group=scene.model)


def test_models_of_one_group_are_paid_from_one_pool(quick, pair):
    for model in pair:
        factories.quota_pool(quick.user, model_group=model)

    assert [quick.ask(model=model).status for model in pair] == [200, 200]

    wait_until(lambda: quick.charged() == 2 * COST, "not charged")
    assert [line["model"] for line in group_lines(quick)] == pair
    assert [pool(quick.user, model)["balance"] for model in pair] == [10 * MICRO] * 2


def test_hole_13_what_one_model_of_a_group_used_up_the_others_do_not_have(quick, pair):
    user, key = quick.somebody()
    factories.quota_pool(user, balance=500, model_group=quick.model)
    factories.quota_pool(user, model_group=pair[1])
    assert quick.ask(model=pair[0], key=key).status == 200
    wait_until(lambda: pool(user, quick.model)["balance"] == 500 - COST, "not settled")

    replies = [quick.ask(model=model, key=key) for model in pair]

    assert [reply.status for reply in replies] == [429, 429]
    assert {reply.error["details"]["quota"]["model_group"] for reply in replies} == {quick.model}
    assert pool(user, pair[1])["balance"] == 10 * MICRO
    assert len(quick.serving.requests) == 1


def test_hole_13_a_pool_of_the_models_own_name_lets_nobody_in(quick, pair):
    user, key = quick.somebody()
    factories.quota_pool(user, model_group=pair[0])

    assert quick.ask(model=pair[0], key=key).status == 429
    assert quick.serving.requests == []


def test_what_one_model_of_a_group_has_reserved_the_others_cannot_reserve(quick, upstream, pair):
    user, key = quick.somebody()
    quick.ask(model=pair[0])
    estimate = group_lines(quick)[0]["estimate"]
    factories.quota_pool(user, balance=2 * estimate + 1, model_group=quick.model)
    quick.serving.plays(drips(0.5))

    with ExitStack() as held:
        opened = [held.enter_context(quick.stream(model=model, key=key)).status for model in (*pair, *pair)]

    assert opened == [200, 200, 429, 429]


def test_models_of_one_group_share_an_accounts_window(quick, pair):
    for model in pair:
        quick.ask(model=model)

    windows = "select model_group, used from account_windows where account_id = :id"
    expected = [{"model_group": quick.model, "used": 2 * COST}]
    wait_until(lambda: rows(windows, id=quick.shared.id) == expected, "not counted")


def test_a_window_is_used_up_by_whichever_model_of_its_group(quick, pair):
    quick.change("accounts", quick.shared.id, allowance_tokens=2 * COST)
    for _ in range(2):
        assert quick.ask(model=pair[0]).status == 200
    window = "select used from account_windows where account_id = :id"
    wait_until(lambda: [one["used"] for one in rows(window, id=quick.shared.id)] == [2 * COST], "not counted")

    refused = quick.ask(model=pair[1])

    assert (refused.status, refused.error["code"]) == (503, "no_account_available")


def test_a_window_is_measured_by_its_groups_reference(quick, upstream):
    lay_down(quick.model, reference=500_000)
    account = quick.account(upstream(answers()), allowance_tokens=2 * COST, owner=quick.user, sharing="dedicated")
    quick.ask()
    window = "select used from account_windows where account_id = :id"
    wait_until(lambda: [one["used"] for one in rows(window, id=account.id)] == [2 * COST], "not counted")

    shown = quick.ask(path=f"/api/accounts/{account.id}", method="GET", raw=b"", key=quick.token()).json

    assert [one["used"] for one in shown["windows"]] == [0.5]
    assert quick.ask().status == 200


# -- prices


def test_weights_and_reference_make_the_price(quick, upstream):
    quick.account(upstream(answers()))
    lay_down(quick.model, weights=(2000, 1000, 0))
    quick.ask()
    assert quick.last_line()["charged"] == 100 * 2 + 50 * 1

    lay_down(quick.model, reference=500_000)
    quick.ask()
    assert quick.last_line()["charged"] == 2 * COST

    rule_changes.lift(quick.model)
    db.session.commit()
    quick.ask()
    assert quick.last_line()["charged"] == COST


def test_cached_tokens_weigh_what_was_laid_down(quick, upstream):
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 40}}
    quick.account(upstream(answers(usage=usage)))
    lay_down(quick.model, weights=(1000, 4000, 500))

    quick.ask()

    assert quick.line()["charged"] == 60 + 20 + 200


def test_a_rule_changed_in_the_middle_of_a_stream_changes_the_next_bill_and_not_this_one(quick, upstream):
    go_on = plays(
        [event(b'{"choices": [{"delta": {"content": "a "}}]}'), 1.0, event(usage_chunk()), b"data: [DONE]\n\n"]
    )
    quick.account(upstream(go_on, answers()))
    poor = factories.quota_pool(quick.user, model_group=f"{quick.model}-elsewhere")

    with quick.stream() as stream:
        first = stream.read1(65536)
        lay_down(quick.model, group=f"{quick.model}-elsewhere", weights=(9000, 9000, 9000), reference=1000)
        rest = stream.read()

    assert frames(first + rest)[-1] == "[DONE]"
    line = quick.line()
    assert (line["model_group"], line["cost"], line["charged"]) == (quick.model, COST, COST)
    assert quick.charged() == COST
    assert pool(quick.user, poor.model_group)["balance"] == 10 * MICRO
    lay_down(quick.model, group=f"{quick.model}-elsewhere", weights=(9000, 9000, 9000))
    quick.ask()
    assert quick.last_line()["charged"] == 150 * 9
    assert quick.charged() == COST


def test_a_change_is_everywhere_when_the_time_that_workers_remember_is_over(database, upstream, start_servers):
    workers = [start_servers(workers=1, SUPPLY_CACHE_SECONDS=2) for _ in range(2)]
    scene = Scene(workers[0], f"ruled-{next(_numbers)}")
    scene.account(upstream(answers()))

    def costs():
        for scene.server in workers:
            assert scene.ask().status == 200
        wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "no closed line")
        return [line["cost"] for line in scene.lines()][-2:]

    assert costs() == [COST, COST]
    lay_down(scene.model, weights=(2000, 1000, 0))
    time.sleep(2.1)

    assert costs() == [250, 250]
