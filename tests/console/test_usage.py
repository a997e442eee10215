"""What was used, as its people see it: the log and its filters, one exchange explained, charts, files, statements."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.console import world


@pytest.fixture
def marta(client):
    return factories.user(username="Marta", password=factories.PASSWORD)


@pytest.fixture
def seat(marta):
    """An account of somebody else's, by a name that is nobody's business."""
    return factories.account(marta, name="marta@private.example")


def listed(page):
    return [attributes["id"][1:] for attributes in page.all("tr") if attributes.get("id")]


def test_the_newest_stands_first_and_fifty_are_a_page(browser, lin, seat):
    made = [world.exchange(lin, seat, "m", opened_at=factories.ago(seconds=60 - number)) for number in range(53)]

    first, second = browser.get("/usage?period=7d"), browser.get("/usage?period=7d&page=2")

    assert listed(first) == [str(one) for one in made[:2:-1]]
    assert listed(second) == [str(one) for one in made[2::-1]]
    assert "53 exchanges, 0.6287 units. All were served" in first.text


def test_each_filter_finds_its_own(browser, lin, seat):
    key, _ = factories.api_key(lin, name="laptop")
    own = factories.account(lin, name="Mine")
    found = {
        "model=n": world.exchange(lin, seat, "n"),
        f"key={key.id}": world.exchange(lin, seat, "m", api_key_id=key.id),
        f"account={own.id}": world.exchange(lin, own, "m"),
        "outcome=broken": world.exchange(lin, seat, "m", outcome="broken", basis="estimated"),
    }
    world.exchange(lin, seat, "m")

    for query, line in found.items():
        assert listed(browser.get(f"/usage?period=7d&{query}")) == [str(line)], query
    assert listed(browser.get("/usage?period=7d&outcome=unfinished")) == [str(found["outcome=broken"])]
    assert "Nothing matches" in browser.get("/usage?model=n&outcome=broken").text


def test_the_time_is_a_day_or_a_stretch_of_the_readers_clock(signed_in, lin, seat):
    browser = signed_in(lin, zone="Asia/Shanghai")
    late = world.exchange(lin, seat, "m", opened_at="2026-03-01T16:30:00+00:00", closed_at="2026-03-01T16:31:00+00:00")

    assert listed(browser.get("/usage?day=2026-03-01")) == []
    assert listed(browser.get("/usage?day=2026-03-02")) == [str(late)]
    span = "from=2026-03-02T00:00:00%2B08:00&to=2026-03-02T01:00:00%2B08:00"
    assert listed(browser.get(f"/usage?{span}")) == [str(late)]
    assert listed(browser.get("/usage?from=2026-03-02T01:00:00%2B08:00&to=2026-03-02T02:00:00%2B08:00")) == []


def test_an_id_leads_to_its_exchange(browser, lin, seat):
    line = world.exchange(lin, seat, "m")

    assert browser.get(f"/usage?q={line}").location == f"/usage/{line}"


def test_nobody_sees_what_others_asked_for_but_owners_see_who_used_their_account(browser, signed_in, lin, seat, marta):
    key, _ = factories.api_key(lin, name="a private key name")
    line = world.exchange(lin, seat, "m", api_key_id=key.id, client_app="a private program", total_ms=4321)
    hers, stranger = signed_in(marta), signed_in(factories.user(username="eve", password=factories.PASSWORD))

    assert listed(hers.get("/usage")) == []
    for path in ("/usage?whose=others", f"/usage/{line}", "/usage/charts?whose=others&by=member"):
        seen = hers.get(path)
        assert "Lin Wei" in seen.text
        assert "private" not in seen.text.replace("marta@private.example", "")
        assert "4.3 s" not in seen.text
    assert "for 0.0118 units" in hers.get(f"/usage/{line}").text
    assert listed(stranger.get("/usage?whose=others")) == []
    unknown, foreign = stranger.get(f"/usage/{uuid4()}"), stranger.get(f"/usage/{line}")
    assert (foreign.status, foreign.text) == (unknown.status, unknown.text) == (404, unknown.text)
    mine = browser.get(f"/usage/{line}")
    assert "a private key name" in mine.text
    assert "marta@private.example" not in mine.source
    assert f"Marta\u2019s account {seat.id}" in mine.text


def test_the_bill_adds_up_by_hand(browser, lin, seat):
    line = world.exchange(lin, seat, "m")
    page = browser.get(f"/usage/{line}").text

    for part in (
        "Prompt 6,240 \u00d7 1 6,240",
        "cached 12,000 \u00d7 0.1 1,200",
        "Answer 1,106 \u00d7 4 4,424",
        "tokens 11,864",
    ):
        assert part in page
    assert "÷ 1,000,000 per unit 0.01 1864" in page
    assert "Reserved before the call 0.03 4884 Given back at the end +0.02 3020" in page
    assert "Charged to m \u22120.01 1864" in page


def test_weights_that_were_changed_since_are_not_pretended(browser, lin, seat):
    line = world.exchange(lin, seat, "m")
    db.session.execute(db.text("insert into model_rules (model, completion_weight) values ('m', 8000)"))
    db.session.commit()
    page = browser.get(f"/usage/{line}").text

    assert "An admin has changed the weights" in page
    assert "\u00d7 8" not in page
    assert "Charged to m \u22120.01 1864" in page


def test_what_was_not_covered_and_what_was_lost_is_said(browser, lin, seat):
    short = world.exchange(lin, seat, "m", charged=4_000)
    lost = world.exchange(
        lin, seat, "m", outcome="abandoned", basis="estimated", attempts=[], total_ms=None, prompt_tokens=None
    )

    assert "Not covered by the quota there was \u22120.00 7864" in browser.get(f"/usage/{short}").text
    assert "Nothing is known of the choice" in browser.get(f"/usage/{lost}").text
    assert "what was estimated before the call is charged" in browser.get(f"/usage/{lost}").text


def test_an_exchange_under_way_is_not_judged(browser, lin, seat):
    line = world.exchange(lin, seat, "m", state="open", outcome=None, basis=None, closed_at=None)

    assert "It is under way" in browser.get(f"/usage/{line}").text


def test_the_choice_is_told_in_its_order(browser, lin, seat):
    own = factories.account(lin, name="Evening seat")
    other = factories.account(factories.user(username="Jonas"))
    attempts = [
        {"account_id": seat.id, "result": "answered 429", "ms": 310},
        {"account_id": other.id, "result": "served", "ms": 518},
    ]
    over = [{"account_id": own.id, "why": "its window is used up"}]
    line = world.exchange(lin, other, "m", attempts=attempts, passed_over=over, first_byte_ms=840)
    page = browser.get(f"/usage/{line}")

    words = page.text[page.text.index("Why this account") :]
    order = ["Evening seat", "its window is used up", f"Marta · #{seat.id}", "answered 429 after 310 ms", "Jonas"]
    assert [words.index(part) for part in order] == sorted(words.index(part) for part in order)
    assert [one.get("class") for one in page.all("li") if (one.get("class") or "").startswith("why")] == [
        "why-out",
        "why-tried",
        "why-took",
    ]
    assert "Choose and reserve 12 ms" in page.text
    assert "first byte after 518 ms" in page.text
    assert "Streaming 11.8 s" in page.text


def test_a_chart_and_its_table_say_what_the_log_says(browser, lin, seat):
    key, _ = factories.api_key(lin, name="laptop")
    for _ in range(3):
        world.exchange(lin, seat, "m", api_key_id=key.id)
    world.exchange(lin, seat, "n")

    by_key = browser.get("/usage/charts?period=7d&by=key").text
    units = browser.get("/usage/charts?period=7d&by=model&measure=units").text

    assert re.search(r"Time laptop no key \S+ \S+ 3 1\b", by_key)
    assert re.search(r"Time m n \S+ \S+ 0\.0355 0\.0118", units)


def test_a_file_holds_what_the_page_shows(browser, lin, seat):
    line = world.exchange(lin, seat, "m")
    world.exchange(lin, seat, "n")
    files = [link["href"] for link in browser.get("/usage?model=m").all("a") if "export" in (link["href"] or "")]
    sheet, whole = (browser.client.get(path) for path in files)

    assert [json.loads(one)["id"] for one in whole.text.splitlines()] == [str(line)]
    assert len(sheet.text.splitlines()) == 2
    assert sheet.headers["Content-Disposition"] == "attachment; filename=usage.csv"


def test_a_statement_opens_with_what_the_month_before_closed_with(browser, lin):
    pool = factories.quota_pool(lin, balance=3 * MICRO)
    entry = "insert into ledger_entries (pool_id, kind, amount, balance_after, at) values (:p, 'spend', :a, 0, :t)"
    for amount, at in ((-1_234_567, "2026-01-31T23:59:59Z"), (-1, "2026-02-01T00:00:00Z")):
        db.session.execute(db.text(entry), {"p": pool.id, "a": amount, "t": at})
    db.session.commit()

    january, february = (browser.get(f"/usage/statement?month=2026-0{n}").text for n in (1, 2))

    assert "Used \u22121.23 4567 Closing balance \u22121.23 4567" in january
    assert "Opening balance \u22121.23 4567 Used \u22120.00 0001 Closing balance \u22121.23 4568" in february
    assert "Statement for January 2026" in january
    assert rows("quota_pools")[0]["balance"] == 3 * MICRO


def test_an_alert_is_read_once_and_where_it_goes_is_laid_down(signed_in, session):
    browser = signed_in(world.settled())
    overview = browser.get("/overview")
    assert "Little quota left for deepseek" in overview.text

    browser.send(overview, "/alerts/read", alert_id=rows("alerts")[0]["id"])
    assert "Little quota left for deepseek" not in browser.get("/overview").text
    page = browser.get("/alerts")
    assert "1 is to be read" in page.text
    wrong = browser.send(page, "/alerts/preferences", email="nobody", webhook_url="http://127.0.0.1/x")
    right = browser.send(page, "/alerts/preferences", email="lin@example.com", by_email=["quota_low"])

    assert wrong.status == 422
    assert right.location == "/alerts?said=saved"
    assert (rows("alert_preferences")[0]["email"], rows("alert_preferences")[0]["by_email"]) == (
        "lin@example.com",
        ["quota_low"],
    )


def test_another_ones_alert_looks_like_none(browser, signed_in):
    world.settled()
    page = browser.get("/alerts")

    token = page.form("/alerts/preferences").fields["csrf"]
    assert browser.post("/alerts/read", {"csrf": token, "alert_id": str(rows("alerts")[0]["id"])}).status == 404
