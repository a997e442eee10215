from __future__ import annotations

import json
import logging

import pytest
import redis

from shared_accounts.extensions import celery, db
from shared_accounts.quotas import rule_changes
from shared_accounts.quotas.pricing import STANDARD
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import contributed, withdraw

MODELS = "/api/admin/models"
USUAL = {"prompt": "1", "completion": "4", "cached": "0.1"}
BY_DEFAULT = {"alias_of": None, "reference_tokens": None, "tokens_per_unit": 1_000_000, "weights": USUAL}
NOTHING_OF_ITS_OWN = {"model_group": None, "reference_tokens": None, "tokens_per_unit": None, "weights": None}


@pytest.fixture
def queued(redis_server):
    """The names of the tasks that wait for a worker."""

    def names():
        with redis.Redis.from_url(redis_server.url()) as connection:
            return [json.loads(message)["headers"]["task"] for message in connection.lrange("celery", 0, -1)]

    return names


def names(answer):
    return [one["model"] for one in answer.json]


def test_models_that_accounts_serve_are_listed_beside_those_with_rules_and_told_apart(admin, session):
    owner = factories.user()
    for models, fields in [
        (["n", "m"], {}),
        (["m"], {"sharing": "dedicated"}),
        (["broken"], {"state": "broken"}),
    ]:
        factories.account(owner, models=models, **fields)
    withdraw(contributed(owner, models=["m", "old"]))
    rule_changes.lay_down("n", group="g", weights=(500, 2000, 0), reference=5000)
    rule_changes.lay_down("later", group=None, weights=STANDARD)
    rule_changes.make_alias("fast", "m")
    db.session.commit()

    assert admin.get(MODELS).json == [
        {"model": "broken", "accounts": 1, "laid_down": False, "model_group": "broken", **BY_DEFAULT},
        {"model": "fast", "accounts": 2, "laid_down": True, "alias_of": "m", **NOTHING_OF_ITS_OWN},
        {"model": "later", "accounts": 0, "laid_down": True, "model_group": "later", **BY_DEFAULT},
        {"model": "m", "accounts": 2, "laid_down": False, "model_group": "m", **BY_DEFAULT},
        {
            "model": "n",
            "accounts": 1,
            "laid_down": True,
            "alias_of": None,
            "model_group": "g",
            "reference_tokens": 5000,
            "tokens_per_unit": 5000,
            "weights": {"prompt": "0.5", "completion": "2", "cached": "0"},
        },
    ]


def test_models_are_found_by_a_part_of_their_name_and_paged(admin, session):
    factories.account(factories.user(), models=["gpt-4.1", "gpt-4.1-mini", "GPT-5", "100%", "org/model"])

    assert names(admin.get(f"{MODELS}?search=gpt")) == ["GPT-5", "gpt-4.1", "gpt-4.1-mini"]
    assert names(admin.get(f"{MODELS}?search=%25")) == ["100%"]
    assert names(admin.get(f"{MODELS}?search=_")) == []
    page = admin.get(f"{MODELS}?search=GPT&page=2&page_size=2")
    assert names(page) == ["gpt-4.1-mini"]
    assert '"total": 3' in page.headers["X-Pagination"]


@pytest.mark.parametrize("query", [{"page": 0}, {"page_size": 201}, {"search": "x" * 201}, {"search": "\0"}])
def test_a_list_that_cannot_be_is_refused(admin, query):
    assert admin.get(MODELS, query_string=query).status_code == 422


def test_a_rule_is_laid_down_shown_audited_and_lifted(admin, boss, acts, queued):
    body = {"model_group": "claude", "reference_tokens": 2_000_000, "weights": {"prompt": 3, "completion": "15.125"}}

    answer = admin.put(f"{MODELS}/anthropic/sonnet", json=body)

    shown = {
        "model": "anthropic/sonnet",
        "accounts": 0,
        "laid_down": True,
        "alias_of": None,
        "model_group": "claude",
        "reference_tokens": 2_000_000,
        "tokens_per_unit": 2_000_000,
        "weights": {"prompt": "3", "completion": "15.125", "cached": "0.1"},
    }
    assert (answer.status_code, answer.json) == (200, shown)
    assert admin.get(f"{MODELS}/anthropic/sonnet").json == shown
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["target"]) == (
        "model_rule.changed",
        boss.id,
        "model:anthropic/sonnet",
    )
    assert entry["details"] == {
        "alias_of": None,
        "model_group": "claude",
        "reference_tokens": 2_000_000,
        "prompt_weight": 3000,
        "completion_weight": 15125,
        "cached_weight": 100,
    }
    assert queued() == ["shared_accounts.regroup_accounts"]

    assert admin.delete(f"{MODELS}/anthropic/sonnet").json["success"] is True
    assert admin.get(f"{MODELS}/anthropic/sonnet").status_code == 404
    assert [one["act"] for one in acts()] == ["model_rule.changed", "model_rule.lifted"]
    assert len(queued()) == 2


def test_an_alias_is_made_shown_and_forgotten(admin):
    answer = admin.put(f"{MODELS}/fast", json={"alias_of": "m"})

    assert answer.json == {
        "model": "fast",
        "accounts": 0,
        "laid_down": True,
        "alias_of": "m",
        **NOTHING_OF_ITS_OWN,
    }
    admin.delete(f"{MODELS}/fast")
    assert rows("model_rules") == []


def test_the_same_again_changes_nothing_and_what_is_left_out_is_the_standard(admin, acts, queued):
    whole = {"model_group": "g", "reference_tokens": 5000, "weights": {"prompt": 2}}
    first, second = admin.put(f"{MODELS}/m", json=whole), admin.put(f"{MODELS}/m", json=whole)
    assert first.json == second.json
    assert (len(acts()), len(queued())) == (1, 1)

    answer = admin.put(f"{MODELS}/m", json={"reference_tokens": None})

    assert answer.json == {"model": "m", "accounts": 0, "laid_down": True, "model_group": "m", **BY_DEFAULT}


def test_a_groups_reference_is_changed_by_any_of_its_models_and_left_alone_by_silence(admin):
    admin.put(f"{MODELS}/a", json={"model_group": "g", "reference_tokens": 5000})
    admin.put(f"{MODELS}/b", json={"model_group": "g"})
    assert admin.get(f"{MODELS}/b").json["tokens_per_unit"] == 5000

    admin.put(f"{MODELS}/b", json={"model_group": "g", "reference_tokens": 7000})

    assert [one["tokens_per_unit"] for one in admin.get(MODELS).json] == [7000, 7000]


@pytest.mark.parametrize(
    ("weight", "shown"),
    [(0, "0"), (1, "1"), ("1.0", "1"), (0.1, "0.1"), ("0.001", "0.001"), (100, "100"), ("999.999", "999.999")],
)
def test_a_weight_is_kept_to_the_last_digit(admin, weight, shown):
    answer = admin.put(f"{MODELS}/m", json={"weights": {"prompt": weight}})

    assert answer.json["weights"] == {**USUAL, "prompt": shown}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"alias_of": "fast"}, "alias_of"),
        ({"alias_of": ""}, "alias_of"),
        ({"alias_of": "x" * 201}, "alias_of"),
        ({"alias_of": 7}, "alias_of"),
        ({"alias_of": "a\tb"}, "alias_of"),
        ({"alias_of": "slow"}, "alias_of"),
        ({"alias_of": "m", "model_group": "g"}, "model_group"),
        ({"alias_of": "m", "reference_tokens": 5000}, "reference_tokens"),
        ({"alias_of": "m", "weights": {}}, "weights"),
        ({"model_group": ""}, "model_group"),
        ({"model_group": "x" * 201}, "model_group"),
        ({"model_group": ["g"]}, "model_group"),
        ({"reference_tokens": 0}, "reference_tokens"),
        ({"reference_tokens": 999}, "reference_tokens"),
        ({"reference_tokens": 10**12 + 1}, "reference_tokens"),
        ({"reference_tokens": 1.5}, "reference_tokens"),
        ({"reference_tokens": "5000"}, "reference_tokens"),
        ({"weights": 4}, "weights"),
        ({"weights": {"prompt": -1}}, "weights"),
        ({"weights": {"prompt": 0.0001}}, "weights"),
        ({"weights": {"prompt": "1e2"}}, "weights"),
        ({"weights": {"prompt": 1000}}, "weights"),
        ({"weights": {"prompt": True}}, "weights"),
        ({"weights": {"prompt": None}}, "weights"),
        ({"weights": {"prompt": "٣"}}, "weights"),
        ({"weights": {"output": 4}}, "weights"),
        ({"weights": {"prompt": 0, "completion": 0}}, "weights"),
        ({"model": "m"}, "model"),
    ],
)
def test_a_rule_that_cannot_be_names_the_field_and_nothing_is_laid_down(admin, acts, queued, body, field):
    rule_changes.make_alias("slow", "n")
    db.session.commit()
    before, said = rows("model_rules"), len(acts())

    answer = admin.put(f"{MODELS}/fast", json=body)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert (rows("model_rules"), len(acts()), queued()) == (before, said, [])


@pytest.mark.parametrize("body", ['{"alias_of": "m\\u0000"}', '{"model_group": "\\ud800"}'])
def test_what_cannot_be_stored_names_the_field(admin, body):
    answer = admin.put(f"{MODELS}/fast", data=body, content_type="application/json")

    assert (answer.status_code, len(answer.json["errors"]["json"])) == (422, 1)


def test_what_others_are_aliases_of_cannot_become_one(admin):
    admin.put(f"{MODELS}/fast", json={"alias_of": "m"})

    answer = admin.put(f"{MODELS}/m", json={"alias_of": "n"})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["alias_of"])


@pytest.mark.parametrize("name", ["x" * 201, "%00", "a%09b", "%20", "a%E2%80%AEb"])
def test_a_name_that_no_model_has_is_refused(admin, acts, name):
    answer = admin.put(f"{MODELS}/{name}", json={})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["model"])
    assert (admin.get(f"{MODELS}/{name}").status_code, admin.delete(f"{MODELS}/{name}").status_code) == (404, 404)
    assert acts() == []


def test_what_nobody_serves_and_no_rule_names_is_not_found(admin, acts):
    factories.account(factories.user(), models=["m"])

    assert admin.get(f"{MODELS}/nothing").status_code == 404
    assert admin.get(f"{MODELS}/m").json["laid_down"] is False
    assert admin.delete(f"{MODELS}/m").status_code == 404
    assert acts() == []


def test_the_task_a_change_asks_for_moves_the_credits(admin, queued):
    alice = factories.user()
    contributed(alice, models=["a", "b"])
    for model in ("a", "b"):
        admin.put(f"{MODELS}/{model}", json={"model_group": "g"})

    celery.tasks[queued()[-1]]()

    assert [(row["model_group"], row["capacity"]) for row in rows("credits")] == [("g", 2_000_000)]


def test_while_the_broker_hangs_rules_are_laid_down_all_the_same(admin, caplog, redis_server, frozen):
    with caplog.at_level(logging.WARNING), frozen(redis_server.pid):
        answer = admin.put(f"{MODELS}/m", json={"model_group": "g"})

    assert (answer.status_code, rows("model_rules")[0]["model_group"]) == (200, "g")
    assert "a task waits for its turn" in caplog.text
