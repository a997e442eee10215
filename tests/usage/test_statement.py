"""`GET /api/usage/statement`: a month of the ledger that adds up to the last digit."""

from __future__ import annotations

import csv
import io
import itertools
import random
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.money import price_list
from shared_accounts.quotas import gifts, ledger, refill
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import contributed, pool_of, spend, withdraw
from tests.usage.scene import NOW, line


def price(amount, currency):
    found, _ = price_list.lay_down("m", amounts=(amount,) * 3, currency=currency, since=None, actor_id=None)
    db.session.commit()
    return found.id


KINDS = [
    ("credits", "credit", 0), ("refills", "refill", 0), ("spent", "spend", 0), ("forfeits", "forfeit", 0),
    ("corrections", "correction", 0), ("gifts_received", "gift", 1), ("gifts_given", "gift", -1),
]  # fmt: skip
PARTS = ("earned", "spent", "gifts_given", "forfeits", "corrections")
THIS_MONTH = datetime.now(UTC).strftime("%Y-%m")


@pytest.fixture
def alice(session, client):
    return factories.user(username="alice")


@pytest.fixture
def ask(sign_in, alice):
    browser = sign_in(alice)

    def ask(month=THIS_MONTH):
        answer = browser.get("/api/usage/statement", query_string={"month": month})
        assert answer.status_code == 200, answer.json
        return answer.json

    return ask


def adds_up(group):
    return Decimal(group["opening"]) + sum(Decimal(group[part]) for part in PARTS) == Decimal(group["closing"])


def test_a_month_of_everything_that_moves_a_pool_adds_up_to_its_balance(ask, alice):
    bob = factories.user(username="bob")
    contributed(bob, "bob's")
    account = contributed(alice)
    contributed(alice, "another")
    spend(alice, 1_234_567)
    spend(bob, 500_000)
    gifts.give(alice.id, "bob", "m", 100_000, note=None, daily_limit=10 * MICRO)
    gifts.give(bob.id, "alice", "m", 30_000, note=None, daily_limit=10 * MICRO)
    ledger.correct(pool_of(alice), -11, actor_id=bob.id, note="a test")
    db.session.commit()
    withdraw(account)

    found = ask()
    (group,) = found["model_groups"]

    assert (found["month"], found["complete"], group["model_group"]) == (THIS_MONTH, False, "m")
    assert (group["opening"], group["credits"], group["spent"]) == ("0.000000", "4.000000", "-1.234567")
    assert (group["gifts_given"], group["gifts_received"], group["corrections"]) == (
        "-0.100000",
        "0.030000",
        "-0.000011",
    )
    assert Decimal(group["forfeits"]) < 0
    assert Decimal(group["closing"]) * MICRO == pool_of(alice).balance
    assert adds_up(group)


def test_every_figure_is_the_ledgers_own_sum_pool_by_pool(ask, alice):
    bob = factories.user(username="bob")
    contributed(bob, "bob's", models=["m", "n"])
    accounts = [contributed(alice, f"hers {number}", models=["m", "n", "o"]) for number in range(3)]
    for group, units in (("m", 700_001), ("n", 3), ("o", 1_999_999)):
        spend(alice, units, group)
    spend(bob, 500_000, "n")
    gifts.give(alice.id, "bob", "n", 200_000, note=None, daily_limit=10 * MICRO)
    gifts.give(bob.id, "alice", "m", 50_000, note=None, daily_limit=10 * MICRO)
    for group, amount in (("m", 17), ("o", -400_000)):
        ledger.correct(pool_of(alice, group), amount, actor_id=bob.id, note="a test")
    db.session.execute(text("update quota_pools set refilled_through = refilled_through - interval '2 hours'"))
    refill.refill()
    db.session.commit()
    withdraw(accounts[1])

    groups = {group["model_group"]: group for group in ask()["model_groups"]}

    assert set(groups) == {"m", "n", "o"}
    for name, group in groups.items():
        pool = pool_of(alice, name)
        entries = [entry for entry in rows("ledger_entries") if entry["pool_id"] == pool.id]
        assert group["entries"] == len(entries)
        for figure, kind, sign in KINDS:
            amounts = [
                one["amount"] for one in entries if one["kind"] == kind and (not sign or one["amount"] * sign > 0)
            ]
            assert Decimal(group[figure]) * MICRO == sum(amounts), (name, figure)
        assert Decimal(group["closing"]) * MICRO == pool.balance == sum(one["amount"] for one in entries)
        assert adds_up(group)
    assert {figure for figure, *_ in KINDS if not any(Decimal(group[figure]) for group in groups.values())} == set()


def test_a_month_opens_with_what_the_one_before_closed_with(ask, alice):
    chance = random.Random(5)
    pools = [factories.quota_pool(alice, balance=1, model_group=group) for group in ("m", "n")]
    for pool in pools:
        for _ in range(60):
            amount = chance.randrange(1, 10**7)
            kind = chance.choice(["credit", "refill", "spend", "gift", "forfeit", "correction"])
            signed = -amount if kind in {"spend", "forfeit"} or (chance.random() < 0.5 and kind == "gift") else amount
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(150 * 86_400))
            db.session.execute(
                text(
                    "insert into ledger_entries (pool_id, kind, amount, balance_after, at) values (:pool, :kind, :amount, 0, :at)"
                ),
                {"pool": pool.id, "kind": kind, "amount": signed, "at": at},
            )
    db.session.execute(text("update ledger_entries set at = '2026-01-01' where note = 'test'"))
    db.session.commit()

    months = [ask(f"2026-{number:02d}")["model_groups"] for number in range(1, 7)]

    for number, groups in enumerate(months, 1):
        entries = [one for one in rows("ledger_entries") if one["at"] < datetime(2026, number + 1, 1, tzinfo=UTC)]
        for group, pool in zip(groups, pools, strict=True):
            assert adds_up(group)
            assert Decimal(group["closing"]) * MICRO == sum(
                one["amount"] for one in entries if one["pool_id"] == pool.id
            )
    for before, after in itertools.pairwise(months):
        assert [group["closing"] for group in before] == [group["opening"] for group in after]
    assert sum(group["entries"] for groups in months for group in groups) == 122


def test_an_entry_belongs_to_the_month_it_was_made_in_to_the_microsecond(ask, alice):
    factories.quota_pool(alice, balance=5)
    db.session.execute(text("update ledger_entries set at = '2026-04-01 00:00+00'"))
    db.session.commit()

    assert ask("2026-03")["model_groups"] == []
    (april,) = ask("2026-04")["model_groups"]
    assert (april["opening"], april["corrections"], april["closing"]) == ("0.000000", "0.000005", "0.000005")

    db.session.execute(text("update ledger_entries set at = at - interval '1 microsecond'"))
    db.session.commit()
    (april,) = ask("2026-04")["model_groups"]
    assert (april["opening"], april["entries"], april["closing"]) == ("0.000005", 0, "0.000005")


def test_a_month_in_which_nothing_moved_closes_as_it_opened(ask, alice):
    factories.quota_pool(alice, balance=5)
    factories.quota_pool(alice, balance=7, model_group="n")
    db.session.execute(text("update ledger_entries set at = '2026-01-01'"))
    db.session.commit()

    found = ask("2026-02")

    moved = [(one["model_group"], one["opening"], one["closing"], one["entries"]) for one in found["model_groups"]]
    assert moved == [("m", "0.000005", "0.000005", 0), ("n", "0.000007", "0.000007", 0)]
    assert all(adds_up(group) and {group[part] for part in PARTS} == {"0.000000"} for group in found["model_groups"])
    assert (found["used"]["total_requests"], found["used"]["by_model"], found["contributed"]["by_account"]) == (
        0,
        [],
        [],
    )


def test_what_was_used_stands_beside_it_by_model_and_by_account_with_the_money(ask, alice):
    bob, account = factories.user(username="bob"), factories.account(alice, name="hers")
    dollars, euros = (price(1_000_000, currency) for currency in ("USD", "EUR"))
    line(NOW, user=alice, contributor=bob, price_id=dollars, money=12_000_000)
    line(NOW, user=alice, contributor=bob, price_id=euros, money=5)
    line(NOW, user=alice, contributor=bob, model="n", cost=2 * MICRO, charged=MICRO)
    line(NOW, user=bob, account=account, contributor=alice, price_id=dollars, money=7)
    line(NOW - timedelta(days=62), user=alice, model="earlier")

    found = ask()

    assert found["used"]["money"] == {"USD": "12.000000", "EUR": "0.000005"}
    assert {one["model_name"]: (one["total_charged"], one["money"]) for one in found["used"]["by_model"]} == {
        "m": ("0.0018", {"USD": "12.000000", "EUR": "0.000005"}),
        "n": ("1.0000", {}),
    }
    (hers,) = found["contributed"]["by_account"]
    assert (hers["account"], hers["total_requests"], hers["money"]) == ("hers", 1, {"USD": "0.000007"})


def test_as_csv_it_says_the_same_and_runs_no_formula(sign_in, alice):
    contributed(alice, models=["=evil()"])
    dollars, euros = (price(1_000_000, currency) for currency in ("USD", "EUR"))
    line(NOW, user=alice, model="@both", price_id=dollars, money=2)
    line(NOW, user=alice, model="@both", price_id=euros, money=3)

    answer = sign_in(alice).get("/api/usage/statement/file", query_string={"month": THIS_MONTH})

    assert answer.headers["Content-Disposition"] == f"attachment; filename=statement-{THIS_MONTH}.csv"
    pool, model, further = csv.DictReader(io.StringIO(answer.get_data(as_text=True)))
    assert (pool["part"], pool["name"], pool["closing"], pool["money"]) == ("quota", "'=evil()", "2.000000", "")
    assert (model["part"], model["name"], model["total_requests"]) == ("used", "'@both", "2")
    assert further["total_requests"] == ""
    assert {row["currency"]: row["money"] for row in (model, further)} == {"USD": "0.000002", "EUR": "0.000003"}


def test_to_be_printed_it_says_the_same_and_loads_nothing_from_elsewhere(sign_in, alice):
    contributed(alice, models=["<script>"])
    line(NOW, user=alice, price_id=price(1, "USD"), money=2)

    answer = sign_in(alice).get("/api/usage/statement/file", query_string={"month": THIS_MONTH, "format": "html"})

    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<strong>2.000000</strong>" in page
    assert "0.000002 USD" in page
    addresses = re.findall(r'(?:href|src)="([^"]+)', page)
    assert [re.sub(r"^/assets/at-\w{12}/", "", address) for address in addresses] == ["print.css", "mark.svg"]


def test_admins_read_somebody_elses_without_the_names_of_her_accounts(sign_in, alice):
    contributed(alice)
    account = factories.account(alice, name="alice's secret account")
    line(NOW, user=factories.user(), account=account, contributor=alice)
    boss = sign_in(factories.admin())

    answer = boss.get("/api/usage/statement", query_string={"month": THIS_MONTH, "user_id": alice.id})

    assert answer.json["user_id"] == alice.id
    assert [group["closing"] for group in answer.json["model_groups"]] == ["2.000000"]
    (hers,) = answer.json["contributed"]["by_account"]
    assert (hers["account_id"], hers["account"]) == (account.id, None)
    file = boss.get("/api/usage/statement/file", query_string={"month": THIS_MONTH, "user_id": alice.id})
    assert "secret" not in file.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/api/usage/statement", "/api/usage/statement/file"])
def test_others_do_not(member, sign_in, alice, path):
    query = {"month": THIS_MONTH, "user_id": alice.id}

    assert member.get(path, query_string=query).status_code == 403
    assert sign_in(alice).get(path, query_string=query).status_code == 200
    assert sign_in(factories.admin()).get(path, query_string={**query, "user_id": 10**14}).status_code == 404


def test_december_ends_with_the_year(ask):
    found = ask("2025-12")

    assert (found["start_date"], found["end_date"], found["complete"]) == (
        "2025-12-01T00:00:00+00:00",
        "2026-01-01T00:00:00+00:00",
        True,
    )


def test_pools_of_others_are_not_shown(ask):
    factories.quota_pool(factories.user())

    assert ask()["model_groups"] == []


@pytest.mark.parametrize(
    "month", [None, "", "2026", "2026-13", "2026-1", "1969-12", "9999-12", "2026-01-01", "2026-01\n", "٢٠٢٦-01"]
)
def test_what_is_no_month_is_refused_by_name(member, month):
    answer = member.get("/api/usage/statement", query_string={} if month is None else {"month": month})

    assert (answer.status_code, list(answer.json["errors"]["query"])) == (422, ["month"])


def test_a_month_that_has_not_begun_is_refused_by_name(member):
    answer = member.get("/api/usage/statement", query_string={"month": "8999-12"})

    assert (answer.status_code, "month" in str(answer.json["errors"])) == (422, True)
