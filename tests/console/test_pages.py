from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

from shared_accounts import console
from shared_accounts.console import frame
from shared_accounts.console.language import catalogue, say
from shared_accounts.console.sentences import FILLED
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.console import crowd, places, world
from tests.console.reader import PAGE
from tests.usage import divided

FOLDER = Path(console.__file__).parent
MOST_QUERIES = 12
MOST_BYTES = 100_000
NO_SCREENS = {
    "console.static",
    "console.kept",
    "console.returned",  # leads on
    "console.about_answer",  # a part of the playground
    "console.live_usage",
    "console.export_usage",
    "console.download_statement",
}


@pytest.fixture
def browser_of_an_admin(signed_in, session):
    """Somebody to whom every screen is open, in a world where there is something on it."""
    lin = world.settled(role="admin")
    crowd.gathered(lin)
    return signed_in(lin)


@pytest.mark.timeout(300)
def test_no_page_asks_the_database_too_much(browser_of_an_admin, count_queries):
    for path in places.every().values():
        # Once a minute, whoever comes is noted as seen: the costliest visit is the one that counts.
        db.session.execute(db.text("update sessions set last_seen_at = now() - interval '2 minutes'"))
        db.session.commit()
        with count_queries() as queries:
            assert browser_of_an_admin.get(path).status == 200
        assert "execute session_seen" in queries
        assert len(queries) <= MOST_QUERIES, (path, len(queries))


def test_a_filtered_log_asks_no_more_once_months_are_gone(signed_in, session, count_queries):
    with divided.months(2, 1, 0):
        user = world.settled()
        browser, found = signed_in(user), places.members()
        filters = found["usage-filtered"].partition("&")[2] + f"&account={found['account'].rpartition('/')[2]}"
        for path in (f"/usage?period=all&{filters}", f"/usage/charts?period=all&{filters}"):
            with count_queries() as queries:
                assert browser.get(path).status == 200
            assert len(queries) <= MOST_QUERIES, (path, len(queries))


def test_more_accounts_cost_no_more_queries(signed_in, session, count_queries):
    user = world.settled()
    browser = signed_in(user)
    for _ in range(20):
        factories.account(user)
    for path in ("/overview", "/accounts"):
        with count_queries() as queries:
            assert browser.get(path).status == 200
        assert len(queries) <= MOST_QUERIES, (path, len(queries))


@pytest.mark.timeout(300)
def test_a_page_is_small_beside_what_a_browser_keeps(browser_of_an_admin):
    for path in places.every().values():
        assert len(gzip.compress(browser_of_an_admin.get(path).source.encode())) < MOST_BYTES, path


@pytest.mark.parametrize("path", ["/sign-in", "/nothing"])
def test_strangers_pages_load_nothing_from_elsewhere_and_lie_in_no_frame(reader, path):
    page = reader.get(path)

    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.timeout(300)
def test_every_page_keeps_to_its_policy(browser_of_an_admin):
    for path in places.every().values():
        page = browser_of_an_admin.get(path)
        assert page.headers["Content-Security-Policy"]
        assert not [attributes for _, attributes in page.tags if "style" in attributes]
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert not [tag for tag, attributes in page.tags if tag == "script" and "src" not in attributes]
        assert [tag for tag, _ in page.tags].count("h1") == 1, path


@pytest.mark.timeout(300)
def test_every_address_in_a_page_leads_somewhere(browser_of_an_admin):
    browser, seen = browser_of_an_admin, set()
    for path in places.every().values():
        for link in browser.get(path).all("a"):
            target = str(link["href"]).partition("#")[0]
            if target.startswith("/") and target not in seen:
                seen.add(target)
                assert browser.get(target).status == 200, (path, target)
    assert len(seen) > 15


def test_no_address_of_the_console_is_left_out_when_screens_are_looked_at(app, browser_of_an_admin):
    addresses = {**places.every(), **places.strangers(), **places.newcomers(), **places.consents()}
    there = app.url_map.bind("localhost")
    seen = {there.match(path.partition("?")[0])[0] for path in addresses.values() if path != "/nothing"}
    asked_for = {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}

    assert {name for name in asked_for if name.startswith("console.")} - seen == NO_SCREENS


def test_files_are_served_to_everybody(client):
    for name in ("base.css", "console.css", "mark.svg", "js/console.mjs"):
        with client.get(f"/assets/{name}") as answer:
            assert answer.status_code == 200
            assert answer.mimetype == {"css": "text/css", "svg": "image/svg+xml", "mjs": "text/javascript"}[name[-3:]]
    assert client.get("/assets/../door.py").status_code == 404


def test_a_file_of_this_release_is_kept_and_no_other(client):
    with client.application.test_request_context():
        named = frame.asset("js/console.mjs")
    elsewhere = ("/assets/js/console.mjs", "/assets/at-another/js/console.mjs", named.replace("console.mjs", "nothing"))
    kept = {}
    for address in (named, *elsewhere):
        with client.get(address) as answer:
            kept[address] = (answer.status_code, "immutable" in answer.headers.get("Cache-Control", ""))

    assert list(kept.values()) == [(200, True), (200, False), (200, False), (404, False)]


def test_a_browser_gets_a_page_where_there_is_nothing_and_a_program_json(client, reader):
    page = reader.get("/nothing")

    assert page.status == 404
    assert "There is nothing at this address" in page.text
    assert client.get("/nothing").json["error_code"] == "NOT_FOUND"
    assert client.get("/api/nothing", headers=PAGE).json["error_code"] == "NOT_FOUND"
    assert client.get("/v1/nothing", headers=PAGE).json["error"]["code"] is None


def test_what_is_not_ones_own_looks_like_what_is_not_there(browser):
    other = factories.user()
    account, (key, _) = factories.account(other), factories.api_key(other)
    for path in (f"/accounts/{account.id}", f"/accounts/{account.id}/withdraw", f"/keys/{key.id}/revoke"):
        assert browser.get(path).status == 404
    token = browser.get("/keys/new").form("/keys").fields["csrf"]
    for path in (f"/accounts/{account.id}/withdraw", f"/accounts/{account.id}/pause", f"/keys/{key.id}/revoke"):
        assert browser.post(path, {"csrf": token, "paused": "1"}).status == 404
    assert rows("accounts")[0]["state"] == "active"


def messages():
    options = {"templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}}
    method = [("**.py", "python"), ("templates/**.html", "jinja2")]
    words = {"_": None, "ngettext": (1, 2), "say": None}
    for found in extract_from_dir(FOLDER, method_map=method, options_map=options, keywords=words):
        yield found[2]


def test_every_sentence_is_there_in_chinese():
    chinese, missing = catalogue("zh"), []
    for message in messages():
        one, many = message if isinstance(message, tuple) else (message, None)
        said = chinese.ngettext(one, many, 2) if many else chinese.gettext(one)
        if said in {one, many} and said not in {"token", "Profile"}:
            missing.append(message)
    assert missing == []


def test_what_comes_filled_from_below_is_said_in_parts(app):
    with app.test_request_context(headers={"Accept-Language": "zh-CN"}):
        assert say("The upstream cannot be reached: timed out.") == "无法连接上游\uff1a超时。"
        assert say("answered 401: the key is not valid") == "返回 401\uff1a密钥无效"
        assert say("its provider asked us to: really") == "its provider asked us to: really"
        assert [one for one in FILLED if say(one) == one] == []
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert say("answered 429") == "answered 429"


def test_a_translation_has_the_places_of_its_sentence():
    for message in messages():
        one, many = message if isinstance(message, tuple) else (message, message)
        said = catalogue("zh").ngettext(one, many, 2) if isinstance(message, tuple) else catalogue("zh").gettext(one)
        places = set(re.findall(r"%\((\w+)\)s", said))
        assert places <= set(re.findall(r"%\((\w+)\)s", f"{one} {many}")) | {"num"}, message


def test_the_browsers_language_is_spoken_until_another_is_chosen(reader):
    assert "登录" in reader.get("/sign-in", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}).text
    assert 'lang="en"' in reader.get("/sign-in", headers={"Accept-Language": "fr"}).source


def test_times_are_those_of_the_readers_zone(signed_in, session):
    user = world.settled()
    there = signed_in(user, zone="Asia/Shanghai").get("/profile")
    nowhere = signed_in(user, zone="../../etc/passwd").get("/profile")

    assert "Times are those of Asia/Shanghai" in there.text
    assert "Times are those of UTC" in nowhere.text


def test_a_newcomers_steps_tick_themselves_off(browser, lin):
    assert [
        step.get("class") for step in browser.get("/overview").all("li") if step.get("class") in {"done", "next"}
    ] == ["next"]
    factories.account(lin)
    factories.api_key(lin)
    ticked = [step.get("class") for step in browser.get("/overview").all("li") if step.get("class") in {"done", "next"}]

    assert ticked == ["done", "done", "next"]


def test_the_books_say_when_they_do_not_balance(signed_in, session):
    user = world.settled()
    browser = signed_in(user)
    assert "They balance." in browser.get("/overview").text

    session.execute(db.text("update quota_pools set balance = balance + 1"))
    session.commit()

    assert "They do not balance" in browser.get("/overview").text
