"""Every form: where it may come from, and what may stand in it."""

from __future__ import annotations

import re
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.console import crowd, places, world
from tests.console.reader import Reader

CANARY = "\"><img src=x onerror=alert(1)>'{{7*7}}"
CANARIES = {"canary": CANARY}


def acts(app, number=1):
    """Where forms go, with a number for every place."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("console.") and "POST" in rule.methods:
            yield re.sub(r"<uuid:\w+>", str(uuid4()), re.sub(r"<int:\w+>", str(number), rule.rule))


def test_no_form_is_taken_without_its_token(app, browser, lin):
    account = factories.account(lin)
    before = {table: rows(table) for table in ("accounts", "api_keys", "audit_log", "sessions")}

    answers = {path: browser.post(path) for path in acts(app, account.id)}

    assert len(answers) > 20
    assert {path: answer.status for path, answer in answers.items() if answer.status != 403} == {}
    assert {table: rows(table) for table in before} == before


def test_a_token_is_good_for_its_own_session_only(signed_in, lin):
    mallory = signed_in(factories.user(username="mallory", password=factories.PASSWORD))
    hers = mallory.get("/keys/new").form("/keys").fields["csrf"]
    lins = signed_in(lin)

    assert lins.post("/keys", {"csrf": hers, "name": "x"}).status == 403
    assert rows("api_keys") == []


def test_a_token_ends_with_its_session(signed_in, lin):
    first = signed_in(lin)
    old = first.get("/keys/new").form("/keys").fields["csrf"]
    first.send(first.get("/profile"), "/sign-out/everywhere")
    first.sign_in("Lin Wei")

    assert first.post("/keys", {"csrf": old, "name": "x"}).status == 403


def test_a_guest_cannot_be_signed_in_by_another_site(app, lin):
    answer = Reader(app).post("/sign-in", {"username": "Lin Wei", "password": factories.PASSWORD})

    assert (answer.status, answer.headers.getlist("Set-Cookie")) == (403, [])


def test_nothing_is_changed_by_looking(app, browser):
    for path in acts(app):
        page = browser.get(path)
        assert page.status in {200, 303, 404, 405}, path
    assert rows("api_keys") == []
    assert browser.get("/overview").status == 200


def test_what_people_write_stays_text(app, signed_in):
    user = world.settled(username=CANARY)
    account = factories.account(user, name=CANARY, models=[CANARY], state="needs_sign_in", state_reason=CANARY)
    factories.quota_pool(user, model_group=CANARY)
    key, _ = factories.api_key(user, name=CANARY)
    key.description, key.models = CANARY, [CANARY]
    line = world.exchange(user, account, CANARY, api_key_id=key.id, client_app=CANARY)
    paths = [
        "/usage",
        f"/usage?model={quote(CANARY)}&outcome=%22%3E",
        f"/usage/{line}",
        "/usage/charts",
        "/usage/charts?by=key",
        "/usage/charts?by=account",
        "/usage/statement",
        "/playground",
        "/overview",
        "/keys",
        f"/keys/{key.id}",
        f"/keys/{key.id}/rotate",
        f"/quota/give?group={quote(CANARY)}",
        f"/quota?view=lines&group={quote(CANARY)}",
        f"/keys/{key.id}/tools",
        f"/keys/{key.id}/revoke",
        "/accounts",
        f"/accounts/{account.id}",
        f"/accounts/{account.id}/sharing",
        f"/accounts/{account.id}/withdraw",
        f"/quota?group={quote(CANARY)}",
        "/profile",
    ]
    for lang in ("en", "zh"):
        browser = signed_in(user, lang=lang)
        for path in paths:
            page = browser.get(path)
            assert page.status == 200, path
            assert "<img" not in page.source, path
            assert "49" not in page.source.partition("alert(1)")[2][:20], path


WRITTEN = {
    "users": ("username",),
    "accounts": ("name", "state_reason"),
    "account_events": ("reason",),
    "api_keys": ("name", "description"),
    "sessions": ("user_agent", "address"),
    "identities": ("name",),
    "invitations": ("note",),
    "model_prices": ("model",),
}
"""What people, or their browsers, write; besides what the crowd is told to write."""


@pytest.mark.timeout(300)
def test_on_no_screen_anything_anybody_wrote_becomes_more_than_text(signed_in, session):
    admin = world.settled(username="boss", role="admin")
    crowd.gathered(admin, name=CANARY, note=CANARY, reason=CANARY, alias=f"a{CANARY}", model=f"m{CANARY}")
    paths = places.every()
    for lang in ("en", "zh"):
        browser = signed_in(admin, lang=lang)
        for table, columns in WRITTEN.items():
            for column in columns:
                told = "concat(:canary, id::text)" if column == "username" else ":canary"
                session.execute(text(f"update {table} set {column} = {told} where id::text <> '{admin.id}'"), CANARIES)
        session.commit()
        for screen, path in paths.items():
            page = browser.get(path)
            assert page.status == 200, screen
            assert "<img" not in page.source, screen
            assert "49" not in page.source.partition("alert(1)")[2][:20], screen


@pytest.mark.parametrize("field", ["username", "password"])
def test_what_cannot_be_stored_is_refused_by_the_name_of_its_field(reader, field):
    page = reader.get("/sign-in")
    answer = reader.send(page, "/sign-in", **{"username": "a", "password": "b", field: "a\0b"})

    assert answer.status == 400
    assert "cannot be stored" in answer.text


def test_what_comes_with_an_address_is_no_part_of_the_page(browser):
    odd = ["key=-1", "account=x", "from=x&to=y", "from=2026-01-01T00:00:00%2B00:00&to=2020-01-01T00:00:00%2B00:00"]
    odd += [
        "day=2026-02-30",
        "day=9999-12-31",
        "period=<script>",
        "outcome=<script>",
        "model=%00",
        "page=0",
        "q=<script>",
    ]
    usage = [f"/usage{view}?{one}" for one in odd for view in ("", "/charts")]
    months = [f"/usage/statement?month={one}" for one in ("x", "0001-01", "9999-12", "2026-13", "<script>")]
    for path in (
        *usage,
        *months,
        "/overview?range=<script>",
        "/quota?group=%00",
        "/keys?page=-1",
        "/keys?page=99999999999999999999",
    ):
        page = browser.get(path)
        assert page.status == 200, path
        assert "<script>" not in page.source.partition("<body")[2]


def test_theme_and_language_are_kept_and_the_page_stays(browser):
    page = browser.get("/keys")
    answer = browser.post(
        "/preferences", {**page.form("/preferences").fields, "lang": "zh"}, headers={"Referer": "http://localhost/keys"}
    )
    browser.post("/preferences", {**page.form("/preferences").fields, "theme": "dark"})
    page = browser.follow(answer)

    assert answer.location == "/keys"
    assert 'lang="zh-CN" data-theme="dark"' in page.source
    assert "API 密钥" in page.text


def test_a_preference_leads_to_no_other_site(browser):
    page = browser.get("/keys")
    answer = browser.post(
        "/preferences",
        {**page.form("/preferences").fields, "theme": "x"},
        headers={"Referer": "https://evil.example/keys"},
    )

    assert answer.location == "/overview"
    assert browser.cookie("theme") is None
    db.session.rollback()
