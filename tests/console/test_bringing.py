"""Ways to bring accounts besides the form: by consent, by the dozen; and another credential for one that is here."""

from __future__ import annotations

import io
import re

import pytest

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests import factories
from tests.accounts.oauth_server import OAuthServer, invalid_grant
from tests.conftest import rows

SECRET = "sk-upstream-0123456789abcdefghij"
RETURN = "/accounts/consent/return"


@pytest.fixture
def server(app, with_settings):
    """A provider whose accounts can be contributed by consent."""
    made = OAuthServer()
    with with_settings(upstream_oauth_providers=(made.provider(),)):
        yield made
    app.extensions["wire"].sweep()
    made.stop()


def begin(browser, **fields):
    """The page that waits for the consent, and where it leads to."""
    page = browser.send(browser.get("/accounts/consent?provider=acme"), "/accounts/consent", **fields)
    assert page.status == 200, page.text[-300:]
    return page, next(str(link["href"]) for link in page.all("a") if "/authorize" in str(link["href"]))


def test_somebody_consents_and_pastes_where_she_ended(browser, server):
    assert "Acme AI" in browser.get("/accounts/new").text
    page, address = begin(browser, name="Seat")
    done = browser.send(page, RETURN, callback_url=f"  {server.consent(address)}  ")
    shown = browser.follow(done)

    (row,) = rows("accounts")
    assert (row["name"], row["sharing"], row["oauth_provider"], row["models"]) == (
        "Seat",
        "dedicated",
        "acme",
        ["m", "n"],
    )
    assert "The account is added" in shown.text
    assert "Share it" in shown.text
    assert "Consent anew" in shown.text


def test_a_browser_that_the_provider_sends_to_us_comes_back_by_itself(browser, server, client):
    _, address = begin(browser)
    landed = server.consent(address).partition("://")[2].partition("/")[2]

    onward = browser.get(f"/{landed}")
    done = browser.follow(onward)

    assert (onward.status, onward.location.partition("?")[0]) == (303, RETURN)
    assert (done.status, done.location.partition("?")[0]) == (303, f"/accounts/{rows('accounts')[0]['id']}")
    assert client.get(f"/{landed}").text.startswith("Nearly done")


def test_an_answer_counts_once_and_for_whoever_began(browser, server, signed_in):
    _, address = begin(browser)
    landed = server.consent(address)
    other = signed_in(factories.user(username="mallory", password=factories.PASSWORD))
    token = other.get("/keys/new").form("/keys").fields["csrf"]

    stolen = other.post(RETURN, {"csrf": token, "callback_url": landed})
    late = browser.get(f"{RETURN}?{landed.partition('?')[2]}")

    assert (stolen.status, late.status) == (400, 400)
    assert "begin again" in stolen.text
    assert rows("accounts") == []


def test_what_goes_wrong_at_the_provider_is_told_in_our_words(browser, server):
    page, address = begin(browser)
    server.routes["/token"] = invalid_grant
    refused = browser.send(page, RETURN, callback_url=server.consent(address))
    denied = browser.get(f"{RETURN}?error=<script>&state=x")

    assert "gave no token" in refused.text
    assert denied.status == 400
    assert "<script>" not in denied.source.partition("<body")[2].replace('<script type="module"', "")
    assert rows("accounts") == []


def test_a_consent_that_has_ended_is_given_anew(browser, server, lin):
    page, address = begin(browser)
    browser.send(page, RETURN, callback_url=server.consent(address))
    account_id = rows("accounts")[0]["id"]
    db.session.execute(db.text("update accounts set state = 'needs_sign_in'"))
    db.session.commit()

    waiting = browser.send(browser.get(f"/accounts/{account_id}"), "/accounts/consent", account_id=account_id)
    link = next(str(one["href"]) for one in waiting.all("a") if "/authorize" in str(one["href"]))
    shown = browser.follow(browser.send(waiting, RETURN, callback_url=server.consent(link)))

    assert rows("accounts")[0]["state"] == "active"
    assert "The consent is renewed" in shown.text


def test_a_provider_that_is_not_there_and_an_account_that_is_not_hers_lead_nowhere(browser, server):
    theirs = factories.account(factories.user(), oauth_provider="acme").id
    token = browser.get("/keys/new").form("/keys").fields["csrf"]

    assert browser.get("/accounts/consent?provider=nobody").status == 404
    assert browser.post("/accounts/consent", {"csrf": token, "provider": "acme", "account_id": theirs}).status == 404


def rows_of(report):
    return re.findall(r"\b(\d) (Garden|Attic|Cellar) .*?(Would be imported|Imported|Refused)", report.text)


def test_a_file_is_reported_on_row_by_row_before_anything_is_kept(browser, upstream):
    text = (
        "name,base_url,api_key,sharing\n"
        f"Garden,{upstream.url},{SECRET},shared\n"
        f"Attic,{upstream.url},sk-upstream-that-is-wrong,dedicated\n"
        f"Cellar,{upstream.url},{SECRET},dedicated\n"
    )
    report = browser.send(browser.get("/accounts/import"), "/accounts/import", text=text)

    assert rows_of(report) == [
        ("1", "Garden", "Would be imported"),
        ("2", "Attic", "Refused"),
        ("3", "Cellar", "Refused"),
    ]
    assert "1 of 3 rows would be imported" in report.text
    assert "What sharing them would do" in report.text
    assert SECRET not in report.source
    assert (rows("accounts"), rows("quota_pools")) == ([], [])

    stored = browser.send(report, "/accounts/import/store")
    assert rows_of(stored) == [("1", "Garden", "Imported")]
    assert [row["name"] for row in rows("accounts")] == ["Garden"]
    assert rows("quota_pools")[0]["capacity"] == 2_000_000
    assert proof.verify() == []
    assert browser.send(report, "/accounts/import/store").status == 400


def test_a_file_may_be_json_and_may_be_uploaded(browser, upstream):
    data = f'[{{"name": "Garden", "base_url": "{upstream.url}", "api_key": "{SECRET}", "sharing": "dedicated"}}]'
    page = browser.get("/accounts/import")
    report = browser.post(
        "/accounts/import",
        {**page.form("/accounts/import").fields, "file": (io.BytesIO(data.encode()), "accounts.json")},
    )

    assert rows_of(report) == [("1", "Garden", "Would be imported")]


@pytest.mark.parametrize("text", ["", "name\n", "sk-secret,of,somebody\n1,2,3", '{"accounts": 7}', "[", "[[[[[[", "[]"])
def test_a_file_that_is_none_is_refused_and_never_repeated(browser, text):
    answer = browser.send(browser.get("/accounts/import"), "/accounts/import", text=text)

    assert answer.status in {400, 422}
    assert "The file cannot be used" in answer.text
    assert "sk-secret" not in answer.source


def test_rows_are_their_owners_and_not_for_the_silenced(browser, upstream, signed_in):
    text = f"name,base_url,api_key,sharing\nGarden,{upstream.url},{SECRET},shared\n"
    report = browser.send(browser.get("/accounts/import"), "/accounts/import", text=text)
    other = signed_in(factories.user(username="mallory", password=factories.PASSWORD))
    stolen = {
        **report.form("/accounts/import/store").fields,
        "csrf": other.get("/keys/new").form("/keys").fields["csrf"],
    }
    mute = signed_in(factories.user(username="mute", password=factories.PASSWORD, state="silenced"))

    assert other.post("/accounts/import/store", stolen).status == 400
    assert mute.send(mute.get("/accounts/import"), "/accounts/import", text=text).status == 403
    assert rows("accounts") == []


def replace(browser, account, secret):
    path = f"/accounts/{account.id}/credential"
    return browser.send(browser.get(path), path, api_key=secret)


def test_a_credential_is_replaced_once_the_upstream_accepts_it(browser, lin, upstream, app):
    account = factories.account(lin, base_url=upstream.url, state="needs_sign_in", models=["m"])
    sealed = account.sealed_credential

    wrong = replace(browser, account, "sk-this-one-is-wrong")
    assert (wrong.status, "sk-this-one-is-wrong" in wrong.source) == (422, False)
    assert bytes(rows("accounts")[0]["sealed_credential"]) == sealed
    right = browser.follow(replace(browser, account, SECRET))

    row = db.session.get(Account, account.id, populate_existing=True)
    assert app.extensions["vault"].unseal(row.sealed_credential, purpose=f"account:{row.id}") == SECRET
    assert (row.state, "The credential is replaced" in right.text) == ("active", True)


def test_a_credential_that_is_here_already_does_not_come_twice(browser, lin, upstream):
    factories.account(factories.user(), base_url=upstream.url, secret=SECRET)
    account = factories.account(lin, base_url=upstream.url)

    assert replace(browser, account, SECRET).status == 409


def test_programs_replace_a_credential_likewise(sign_in, upstream):
    owner = factories.user()
    account = factories.account(owner, base_url=upstream.url, state="broken", models=["m"])
    by_consent = factories.account(owner, oauth_provider="acme")
    hers, path = sign_in(owner), "/api/accounts/{}/credential"

    answer = hers.put(path.format(account.id), json={"api_key": SECRET})

    assert (answer.status_code, answer.json["state"]) == (200, "active")
    assert "api_key" not in answer.json
    assert hers.put(path.format(account.id), json={"api_key": "a\nb"}).status_code == 422
    assert hers.put(path.format(by_consent.id), json={"api_key": SECRET}).status_code == 422
    assert sign_in(factories.user()).put(path.format(account.id), json={"api_key": SECRET}).status_code == 404
