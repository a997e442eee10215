"""What a key may do, laid down by form; and what becomes of quota: its day, its ledger, what is given away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.keys.models import ApiKey
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows
from tests.console import world

TERMS = {
    "name": "nightly evals",
    "models": "m, n\nm",
    "addresses": "203.0.113.7\n2001:db8::/32",
    "requests_per_minute": "60",
    "tokens_per_minute": "100000",
    "max_concurrent": "2",
    "budget_day": "0.5",
    "budget_total": "20",
}


@pytest.fixture
def key(lin):
    return factories.api_key(lin, name="laptop")[0]


def secret_in(page):
    (secret,) = set(re.findall(r"sk-[0-9A-Za-z]{64}", page.source))
    return secret


def test_limits_are_laid_down_and_taken_away(browser, key):
    path = f"/keys/{key.id}"
    answer = browser.send(browser.get(path), path, **TERMS)
    (row,) = rows("api_keys")

    assert answer.location == f"{path}?said=saved"
    assert (row["name"], row["models"], row["addresses"]) == (
        "nightly evals",
        ["m", "n"],
        ["203.0.113.7", "2001:db8::/32"],
    )
    assert [row[one] for one in ("requests_per_minute", "tokens_per_minute", "max_concurrent")] == [60, 100_000, 2]
    assert (row["budget_day"], row["budget_total"], row["revision"]) == (500_000, 20 * MICRO, 1)
    assert "60 / min · 20.0000 in all · +5" in browser.get("/keys").text
    shown = browser.follow(answer).form(path).fields
    assert (shown["budget_day"], shown["requests_per_minute"]) == ("0.5000", "60")

    browser.send(browser.get(path), path, **{**dict.fromkeys(TERMS, ""), "name": "laptop"})
    (row,) = rows("api_keys")
    assert (row["models"], row["addresses"], row["budget_day"], row["requests_per_minute"]) == ([], [], None, None)


def test_a_key_begins_with_its_limits(browser):
    browser.send(browser.get("/keys/new"), "/keys", **TERMS)

    assert rows("api_keys")[0]["budget_day"] == 500_000


def test_a_key_ends_with_a_day_of_its_readers(signed_in, lin, key):
    browser, path = signed_in(lin, zone="Asia/Shanghai"), f"/keys/{key.id}"
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    browser.send(browser.get(path), path, expires_at=day.isoformat())

    ends = rows("api_keys")[0]["expires_at"].astimezone(UTC)
    assert (ends.date(), ends.hour) == (day, 16)
    assert browser.get(path).form(path).fields["expires_at"] == day.isoformat()


def test_what_is_wrong_is_told_at_its_field_and_nothing_is_kept(browser, key):
    path = f"/keys/{key.id}"
    wrong = {"budget_day": "much", "addresses": "10.0.0.1/8", "requests_per_minute": "0", "max_concurrent": "x"}
    answer = browser.send(browser.get(path), path, **{**TERMS, **wrong})
    marked = {one["name"] for tag in ("input", "textarea") for one in answer.all(tag) if one.get("aria-invalid")}

    assert answer.status == 422
    assert marked == set(wrong)
    assert "nightly evals" in answer.source
    assert browser.send(browser.get(path), path, expires_at="2020-13-01").status == 422
    assert rows("api_keys")[0]["name"] == "laptop"


def test_a_rotated_key_is_shown_once_and_the_former_secret_lasts_as_asked(browser, lin):
    found, former = factories.api_key(lin, name="laptop")
    path = f"/keys/{found.id}/rotate"
    shown = browser.send(browser.get(path), path, grace_minutes="60")
    (row,) = rows("api_keys")

    assert bytes(row["fingerprint"]) == keyring.fingerprint_of(secret_in(shown))
    assert bytes(row["former_fingerprint"]) == keyring.fingerprint_of(former)
    assert row["former_until"] - datetime.now(UTC) < timedelta(minutes=61)
    assert "the former secret works until" in shown.text
    assert secret_in(shown) not in browser.get("/keys").source

    browser.send(browser.get(path), path, grace_minutes="0")
    assert rows("api_keys")[0]["former_fingerprint"] is None


def test_budgets_say_how_they_stand(browser, lin, key):
    key.budget_total = 2 * MICRO
    db.session.execute(db.text("insert into api_key_spend values (:id, '-infinity', 500000)"), {"id": key.id})
    db.session.commit()

    assert "In all 0.5000 of 2.0000" in browser.get(f"/keys/{key.id}").text


def test_another_ones_key_looks_like_none(browser, signed_in, key):
    other = signed_in(factories.user(username="eve", password=factories.PASSWORD))
    token = other.get("/keys/new").form("/keys").fields["csrf"]

    for path in (f"/keys/{key.id}", f"/keys/{key.id}/rotate"):
        assert other.get(path).status == 404
        assert other.post(path, {**TERMS, "csrf": token}).status == 404
    assert db.session.get(ApiKey, key.id, populate_existing=True).name == "laptop"


def test_the_ledger_is_folded_by_the_hour_and_every_line_is_a_click_away(signed_in, session):
    browser = signed_in(world.settled())
    folded, in_full = browser.get("/quota?group=gpt-5"), browser.get("/quota?group=gpt-5&view=lines")

    assert "7 exchanges" in folded.text
    assert "largest" in folded.text
    assert len([one for one in in_full.all("a") if (one["href"] or "").startswith("/usage/")]) > 7
    (hour,) = {one["href"] for one in folded.all("a") if (one["href"] or "").startswith("/usage?from=")}
    assert browser.get(hour).status == 200


def test_a_day_opens_with_what_the_one_before_left(browser, lin):
    pool = factories.quota_pool(lin, balance=3 * MICRO)
    move = "insert into ledger_entries (pool_id, kind, amount, balance_after, at) values (:p, :k, :a, :b, :t)"
    for kind, amount, after, at in (
        ("refill", 2_000_000, 5_000_000, "2026-03-02T09:00:00Z"),
        ("spend", -500_000, 4_500_000, "2026-03-02T09:10:00Z"),
        ("spend", -1_500_000, 3_000_000, "2026-03-02T09:40:00Z"),
        ("correction", -1, 2_999_999, "2026-03-03T08:00:00Z"),
    ):
        db.session.execute(db.text(move), {"p": pool.id, "k": kind, "a": amount, "b": after, "t": at})
    db.session.execute(db.text("update quota_pools set balance = 2999999"))
    db.session.execute(db.text("update ledger_entries set at = '2026-03-01T00:00:00Z' where note = 'test'"))
    db.session.commit()
    day = browser.get("/quota?day=2026-03-02").text

    assert "09:10\u201309:40 2 exchanges largest \u22121.5000 \u22122.00 00 3.00 00" in day
    assert "09:00 Refill +2.00 00 5.00 00" in day
    assert "00:00 At midnight 3.00 00" in day
    assert "00:00 At midnight 3.00 00" in browser.get("/quota?day=2026-03-03").text


def test_a_gift_moves_and_says_what_was_possible(browser, lin):
    other = factories.user(username="Marta")
    factories.quota_pool(lin, balance=3 * MICRO)
    hers = factories.quota_pool(other, balance=0, capacity=2 * MICRO)
    page = browser.get("/quota/give?group=m")
    gift = {"to": "marta", "model_group": "m", "units": "0.5", "note": "for Tuesday"}

    assert "m: 3.0000 free, 1.0000 may be given today" in page.text
    unknown = browser.send(page, "/quota/give", **{**gift, "to": "nobody"})
    too_much = browser.send(page, "/quota/give", **{**gift, "units": "1.5"})
    given = browser.follow(browser.send(page, "/quota/give", **gift))

    assert (unknown.status, too_much.status, given.status) == (404, 429, 200)
    assert "Nobody here has this name" in unknown.text
    assert unknown.form("/quota/give").fields["units"] == "0.5"
    assert "1.0000 are left today" in too_much.text
    assert "to Marta for Tuesday" in given.text
    assert db.session.get(type(hers), hers.id, populate_existing=True).balance == 500_000
    assert "m: 2.5000 free, 0.5000 may be given today" in browser.get("/quota/give?group=m").text
    assert proof.verify() == []


def test_the_silenced_give_nothing(signed_in):
    mute = factories.user(username="mute", password=factories.PASSWORD, state="silenced")
    factories.quota_pool(mute, balance=MICRO)
    browser = signed_in(mute)

    gift = {"to": "x", "model_group": "m", "units": "0.5"}
    assert browser.send(browser.get("/quota/give"), "/quota/give", **gift).status == 403
