"""/api/admin/prices and its twin on the command line."""

from __future__ import annotations

import pytest

from tests.conftest import rows
from tests.usage.scene import HOUR, NOW, THIS_HOUR, line

PATH = "/api/admin/prices"
GOOD = {"model": "acme/large", "input": "2.50", "output": 10, "cached": 0.25}


@pytest.fixture
def run(app, session):
    return lambda *arguments: app.test_cli_runner().invoke(args=arguments)


def test_a_price_is_laid_down_and_listed_with_who_did_it(admin, boss, acts):
    answer = admin.post(PATH, json=GOOD)

    assert answer.status_code == 201
    said = {name: answer.json[name] for name in ("model", "currency", "input", "output", "cached", "counts")}
    assert said == {
        "model": "acme/large", "currency": "USD", "input": "2.500000", "output": "10.000000", "cached": "0.250000", "counts": True,
    }  # fmt: skip
    assert answer.json["laid_down_by"] == boss.id
    assert admin.get(PATH).json == [answer.json]
    (act,) = acts()
    assert (act["act"], act["target"], act["actor_id"]) == ("model_price.laid_down", "model:acme/large", boss.id)
    assert act["details"]["completion"] == "10.000000"


def test_the_same_again_adds_nothing(admin, acts):
    first = admin.post(PATH, json=GOOD)
    again = admin.post(PATH, json=GOOD)

    assert (again.status_code, again.json) == (200, first.json)
    assert len(acts()) == 1


def test_versions_follow_each_other_and_one_counts(admin):
    for since, price in (("2026-01-01", "1"), ("2026-03-01T12:00:00+02:00", "2"), ("8000-01-01", "3")):
        admin.post(PATH, json={**GOOD, "input": price, "valid_from": since})
    admin.post(PATH, json={**GOOD, "model": "other"})

    found = admin.get(PATH, query_string={"model": "acme/large"}).json

    assert [(one["input"], one["counts"]) for one in found] == [
        ("3.000000", False),
        ("2.000000", True),
        ("1.000000", False),
    ]
    assert found[1]["valid_from"] == "2026-03-01T10:00:00+00:00"
    counting = admin.get(PATH, query_string={"only_counting": "true", "page_size": 1})
    assert ([one["model"] for one in counting.json], '"total": 2' in counting.headers["X-Pagination"]) == (
        ["acme/large"],
        True,
    )


def test_cached_input_costs_as_much_as_other_input_unless_said_otherwise(admin):
    assert admin.post(PATH, json={**GOOD, "cached": None}).json["cached"] == "2.500000"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""),
        ("model", "m" * 201),
        ("currency", "usd"),
        ("currency", "US"),
        ("currency", "USD\n"),
        ("input", "-1"),
        ("input", "1.1234567"),
        ("input", True),
        ("input", None),
        ("output", "100000"),
        ("cached", "free"),
        ("valid_from", "yesterday"),
        ("valid_from", "9999-12-31"),
        ("user_id", 1),
    ],
)
def test_what_is_no_price_is_refused_by_name_and_leaves_nothing(admin, acts, field, value):
    answer = admin.post(PATH, json={**GOOD, field: value})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert (rows("model_prices"), acts()) == ([], [])


def test_models_that_are_used_without_a_price_are_listed(admin, boss):
    line(NOW, model="new")
    line(THIS_HOUR - 2 * HOUR, model="new")
    line(NOW, model="acme/large")
    line(NOW, model="failed", prompt_tokens=None, completion_tokens=None, basis="released")
    admin.post(PATH, json=GOOD)

    assert admin.get(f"{PATH}/unpriced").json == [
        {"model": "new", "unpriced_requests": 2, "has_price": False},
        {"model": "acme/large", "unpriced_requests": 1, "has_price": True},
    ]


def test_the_command_line_does_the_same(run, client):
    line(NOW, model="m")
    line(THIS_HOUR - 2 * HOUR, model="m")
    assert "       2  m" in run("prices", "unpriced").output

    done = run(
        "prices", "set", "m", "--input", "2", "--output", "0.5", "--currency", "EUR", "--valid-from", "2026-01-01"
    )
    assert (done.exit_code, "Laid down" in done.output) == (0, True)
    assert "Nothing to do" in run("prices", "set", "m", "--input", "2", "--output", "0.5", "--currency", "EUR").output
    assert "* m  EUR  2.000000  0.500000  2.000000  since 2026-01-01T00:00:00+00:00" in run("prices", "list").output
    assert "has a price now" in run("prices", "unpriced").output

    assert run("usage", "reprice", "--since", "2026-01-01").output.startswith("2 exchanges repriced")
    assert run("usage", "reprice", "--since", "2026-01-01").output.startswith("0 exchanges repriced")
    assert {row["money"] for row in rows("usage_log")} == {22}
    assert run("prices", "unpriced").output == ""


def test_the_command_line_refuses_what_is_no_price(run):
    result = run("prices", "set", "m", "--input", "x", "--output", "1")

    assert (result.exit_code, "input: Not an amount" in result.output) == (1, True)
    assert rows("model_prices") == []


def test_what_is_shown_has_the_money_and_the_sums_of_it(admin, boss, run):
    run("prices", "set", "m", "--input", "2", "--output", "0.5", "--valid-from", "2026-01-01")
    line(NOW, user=boss)
    line(NOW, user=boss, model="unknown")
    run("usage", "reprice", "--since", "2026-01-01")

    found = admin.get("/api/usage/logs").json["data"]["logs"]
    sums = admin.get("/api/usage/stats").json["data"]

    assert {one["model_name"]: (one["money"], one["currency"]) for one in found} == {
        "m": ("0.000022", "USD"),
        "unknown": (None, None),
    }
    assert (sums["money"], sums["unpriced_requests"]) == ({"USD": "0.000022"}, 1)
    assert [group["money"] for group in sums["by_model"] if group["model_name"] == "m"] == [{"USD": "0.000022"}]
    head, *lines = admin.get("/api/usage/export").get_data(as_text=True).splitlines()
    assert ",money,currency,price_id," in head
    assert sorted(",0.000022,USD," in one for one in lines) == [False, True]
