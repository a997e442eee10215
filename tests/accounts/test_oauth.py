"""Contributing an account by consent: what travels, whose answer counts, and what remains when it does not."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import text

from shared_accounts.accounts import upstream_oauth
from shared_accounts.quotas import proof
from tests import factories
from tests.accounts.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer, html, invalid_grant, stalls
from tests.auth.idp import challenge_of, drips_forever, fields
from tests.conftest import rows
from tests.upstream import says

AUTHORIZE, CALLBACK = "/api/accounts/oauth/authorize", "/api/accounts/oauth/callback"
OFFER = {"provider": "acme", "sharing": "shared"}


@pytest.fixture
def server(app):
    made = OAuthServer()
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture(autouse=True)
def offered(server, with_settings):
    with with_settings(upstream_oauth_providers=(server.provider(),)):
        yield


@pytest.fixture
def impatient_visits(monkeypatch):
    monkeypatch.setattr(upstream_oauth, "SECONDS", 0.3)


def begin(client, **wish):
    answer = client.post(AUTHORIZE, json={**OFFER, **wish})
    assert answer.status_code == 200, answer.json
    return answer.json


def consented(client, server, **wish):
    """Where the browser lands, which is what people paste."""
    return server.consent(begin(client, **wish)["authorization_url"])


def paste(client, address):
    return client.post(CALLBACK, json={"callback_url": address})


def contribute(client, server, **wish):
    answer = paste(client, consented(client, server, **wish))
    assert answer.status_code == 201, answer.json
    return answer.json


def renew(client, server, account_id):
    begun = client.post(AUTHORIZE, json={"provider": "acme", "account_id": account_id})
    assert begun.status_code == 200, begun.json
    return paste(client, server.consent(begun.json["authorization_url"]))


def refusal(answer):
    return answer.status_code, answer.json["error_code"]


def unsealed(app, row):
    vault = app.extensions["vault"]
    credential = vault.unseal(bytes(row["sealed_credential"]), purpose=f"account:{row['id']}")
    return credential, vault.unseal(bytes(row["sealed_refresh_token"]), purpose=f"refresh:{row['id']}")


def units(client):
    pools = client.get("/api/quotas").json
    return {row["model_group"]: (row["balance"], row["capacity"], row["refill_per_hour"]) for row in pools}


def test_an_account_comes_by_consent_and_earns_like_any_other(member, server, app, session):
    shown = contribute(member, server)

    assert {name: shown[name] for name in ("name", "base_url", "sharing", "state", "models", "window_hours")} == {
        "name": "Acme AI",
        "base_url": server.url,
        "sharing": "shared",
        "state": "active",
        "models": ["m", "n"],
        "window_hours": 5,
    }
    assert shown.items() >= member.get(f"/api/accounts/{shown['id']}").json.items()
    assert units(member) == {"m": ("2.0000", "2.0000", "0.4000"), "n": ("2.0000", "2.0000", "0.4000")}
    assert proof.verify() == []
    (row,) = rows("accounts")
    credential, refresh_token = unsealed(app, row)
    assert credential in server.accepted
    assert refresh_token in server.consents
    assert row["oauth_provider"] == "acme"
    lasts = session.scalar(text("select extract(epoch from credential_expires_at - now()) from accounts"))
    assert 3500 < lasts <= 3600


def test_what_the_provider_gets_to_see(member, server):
    begun = begin(member)
    asked = fields(urlsplit(begun["authorization_url"]).query)
    paste(member, server.consent(begun["authorization_url"]))

    assert begun.keys() == {"authorization_url", "state", "expires_in"}
    assert begun["expires_in"] == 600
    assert asked == {
        "prompt": "login",
        "access_type": "offline",
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": "http://localhost:8008/api/accounts/oauth/callback",
        "scope": "openid chat",
        "state": begun["state"],
        "code_challenge": asked["code_challenge"],
        "code_challenge_method": "S256",
    }
    (form,) = server.forms
    assert form.keys() == {"grant_type", "code", "redirect_uri", "code_verifier", "client_id"}
    assert challenge_of(form["code_verifier"]) == asked["code_challenge"]
    (exchange,) = server.asked("/token")
    assert exchange.names.isdisjoint({"authorization", "cookie", "referer"})


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_client_with_a_secret_shows_it_as_the_provider_wants(member, server, with_settings, method):
    provider = server.provider(client_secret=CLIENT_SECRET, token_auth=method, redirect_uri="http://localhost:1/back")
    with with_settings(upstream_oauth_providers=(provider,)):
        contribute(member, server)

    (exchange,) = server.asked("/token")
    (form,) = server.forms
    assert (form.get("client_secret") == CLIENT_SECRET) == (method == "client_secret_post")
    assert ("authorization" in exchange.names) == (method == "client_secret_basic")
    assert form["redirect_uri"] == "http://localhost:1/back"


def test_the_terms_are_those_that_were_offered(member, server, with_settings):
    with with_settings(upstream_oauth_providers=(server.provider(models=("n",)),)):
        shown = contribute(
            member,
            server,
            sharing="dedicated",
            name="Mine",
            allowance_tokens=5000,
            window_hours=24,
            max_concurrency=3,
        )

    terms = ("name", "sharing", "models", "allowance_tokens", "window_hours", "max_concurrency")
    assert [shown[name] for name in terms] == ["Mine", "dedicated", ["n"], 5000, 24, 3]
    assert units(member) == {}


def test_code_and_state_may_be_sent_apart(member, server):
    brought = {name: values[0] for name, values in parse_qs(urlsplit(consented(member, server)).query).items()}

    assert member.post(CALLBACK, json=brought).status_code == 201


PASTED = {
    "as it stands": "{address}",
    "with a fragment": "{address}#_=_",
    "in the fragment": "http://localhost:8008/back#{query}",
    "with spaces and a line break": "  {address}\n",
    "in angle brackets": "<{address}>",
    "in quotes": '"{address}"',
    "at another host": "http://somebody.else:99/there?{query}",
    "without a scheme": "localhost:4711/callback?{query}",
    "only the query": "{query}",
    "among other parameters": "https://x.test/?a=b&iss=https%3A%2F%2Fx.test&{query}&scope=openid%20chat&authuser=0",
    "with a sentence around it": "It landed at {address} and then?",
    "with the same part twice": "{address}&{query}",
}


@pytest.mark.parametrize("pasted", PASTED.values(), ids=PASTED)
def test_an_address_may_be_pasted_with_what_is_around_it(member, server, pasted):
    address = consented(member, server)

    answer = paste(member, pasted.format(address=address, query=urlsplit(address).query))

    assert answer.status_code == 201, answer.json


def test_the_state_of_another_user_is_refused_and_spent(sign_in, server):
    hers, his = sign_in(factories.user()), sign_in(factories.user())
    address = consented(hers, server)

    assert refusal(paste(his, address)) == (400, "INVALID_OAUTH_STATE")
    assert refusal(paste(hers, address)) == (400, "INVALID_OAUTH_STATE")
    assert (rows("accounts"), server.forms) == ([], [])


def test_an_answer_counts_once(member, server):
    address = consented(member, server)
    paste(member, address)

    assert refusal(paste(member, address)) == (400, "INVALID_OAUTH_STATE")
    assert (len(rows("accounts")), len(server.forms)) == (1, 1)


def test_an_answer_has_its_time(member, server, session):
    address = consented(member, server)
    session.execute(text("update tickets set expires_at = now() - interval '1 second'"))
    session.commit()

    assert refusal(paste(member, address)) == (400, "INVALID_OAUTH_STATE")
    assert server.forms == []


@pytest.mark.parametrize("state", ["", "unknown", "a" * 43, "\x00"], ids=repr)
def test_a_state_nobody_has_is_refused(member, server, state):
    answer = paste(member, "http://localhost/?" + urlencode({"code": "c", "state": state}))

    assert answer.status_code in {400, 422}
    assert server.forms == []


def test_a_state_for_signing_in_is_none_here(member, server, app, session):
    from shared_accounts.auth import tickets

    state = tickets.issue(app.extensions["vault"], "sso-state", {"user_id": 1}, seconds=60)

    assert refusal(paste(member, f"http://localhost/?code=c&state={state}")) == (400, "INVALID_OAUTH_STATE")


def test_a_refusal_of_the_provider_is_told_without_its_words_and_spends_the_state(member, server):
    address = consented(member, server)
    state = parse_qs(urlsplit(address).query)["state"][0]

    answer = paste(member, f"http://localhost/?error=%3Cscript%3E&error_description=secret&state={state}")

    assert refusal(answer) == (400, "OAUTH_ERROR")
    assert "script" not in answer.text
    assert "secret" not in answer.text
    assert refusal(paste(member, address)) == (400, "INVALID_OAUTH_STATE")


NO_ANSWERS = {
    "nothing": {},
    "both": {"callback_url": "http://localhost/?code=c&state=s", "code": "c"},
    "a code alone": {"code": "c"},
    "an address without anything": {"callback_url": "http://localhost/"},
    "two codes": {"callback_url": "http://localhost/?code=a&code=b&state=s"},
    "two states": {"callback_url": "http://localhost/?code=a&state=s&state=t"},
    "an endless address": {"callback_url": "a" * 9000},
    "what nobody asked for": {"callback_url": "http://localhost/?code=a&state=s", "user_id": 1},
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_is_refused_naming_the_field(member, server, body):
    answer = member.post(CALLBACK, json=body)

    assert answer.status_code == 422
    assert answer.json["errors"]["json"]


WISHES = {
    "an unknown provider": ({"provider": "elsewhere", "sharing": "shared"}, "provider"),
    "no sharing": ({"provider": "acme"}, "sharing"),
    "another sharing": ({"provider": "acme", "sharing": "everybody"}, "sharing"),
    "no allowance": ({**OFFER, "allowance_tokens": 0}, "allowance_tokens"),
    "a key": ({**OFFER, "api_key": "sk-1"}, "api_key"),
    "terms for an account that has some": ({**OFFER, "account_id": 1}, "sharing"),
}


@pytest.mark.parametrize(("wish", "field"), WISHES.values(), ids=WISHES)
def test_what_cannot_be_begun_is_refused_naming_the_field(member, wish, field):
    answer = member.post(AUTHORIZE, json=wish)

    assert answer.status_code == 422
    assert list(answer.json["errors"]["json"]) == [field]
    assert rows("tickets") == []


BAD_TOKENS = {
    "refused": (invalid_grant, 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "a page": (html, 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "broken": (says(b"oops", status=500), 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "no token": (says(b'{"token_type": "bearer"}'), 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "an error with status 200": (says(b'{"error": "no", "access_token": "a"}'), 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "a token that fits no header": (says(b'{"access_token": "a\\r\\nb"}'), 400, "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "silence": (stalls, 502, "OAUTH_PROVIDER_UNREACHABLE"),
    "drops": (drips_forever, 502, "OAUTH_PROVIDER_UNREACHABLE"),
}


@pytest.mark.parametrize(("act", "status", "code"), BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_without_a_token_nothing_is_stored(member, server, impatient_visits, act, status, code):
    address = consented(member, server)
    server.routes["/token"] = act

    assert refusal(paste(member, address)) == (status, code)
    assert rows("accounts") == []


def test_a_token_the_upstream_refuses_is_not_stored(member, server):
    address = consented(member, server)
    server.routes["/v1/models"] = says(b"{}", status=401)

    answer = paste(member, address)

    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert (rows("accounts"), rows("quota_pools")) == ([], [])


ODD_TOKENS = {
    "a life in words": ({"expires_in": "1800"}, 1800),
    "no life": ({"expires_in": None}, None),
    "no sensible life": ({"expires_in": {"seconds": 5}}, None),
    "a negative life": ({"expires_in": -5}, None),
    "an endless life": ({"expires_in": 10**400}, None),
    "a life that is no number": ({"expires_in": float("nan")}, None),
}


@pytest.mark.parametrize(("said", "lasts"), ODD_TOKENS.values(), ids=ODD_TOKENS)
def test_how_long_a_token_lasts_is_believed_as_far_as_it_makes_sense(member, server, session, said, lasts):
    server.tokens |= said

    contribute(member, server)

    found = session.scalar(text("select extract(epoch from credential_expires_at - now()) from accounts"))
    assert found is None if lasts is None else lasts - 60 < found <= lasts


@pytest.mark.parametrize("refresh_token", [None, 5, "", "a\nb", "é"], ids=repr)
def test_without_a_usable_refresh_token_the_account_serves_as_long_as_its_token(member, server, refresh_token):
    server.tokens["refresh_token"] = refresh_token

    contribute(member, server)

    assert rows("accounts")[0]["sealed_refresh_token"] is None


def test_who_consents_twice_brings_one_account(sign_in, server):
    contribute(sign_in(factories.user()), server)
    other = sign_in(factories.user())

    again = paste(other, consented(other, server))

    assert refusal(again) == (409, "ALREADY_EXISTS")
    assert (len(rows("accounts")), units(other)) == (1, {})
    server.subject = "bob"
    contribute(other, server)


def test_where_nobody_says_who_consented_accounts_are_told_by_their_tokens(member, server):
    server.subject = None

    contribute(member, server)
    contribute(member, server)

    assert len(rows("accounts")) == 2


def test_a_new_consent_replaces_the_tokens_and_brings_the_account_back(member, server, app, session):
    account_id = contribute(member, server)["id"]
    (before,) = rows("accounts")
    session.execute(text("update accounts set state = 'needs_sign_in', state_reason = 'x'"))
    session.commit()

    answer = renew(member, server, account_id)

    assert (answer.status_code, answer.json["id"], answer.json["state"]) == (200, account_id, "active")
    (after,) = rows("accounts")
    assert set(unsealed(app, before)).isdisjoint(unsealed(app, after))
    assert unsealed(app, after)[0] in server.accepted
    assert units(member)["m"] == ("2.0000", "2.0000", "0.4000")
    assert proof.verify() == []


def test_a_paused_account_stays_paused_when_it_is_consented_to_anew(member, server):
    account_id = contribute(member, server)["id"]
    member.patch(f"/api/accounts/{account_id}", json={"paused": True})

    assert renew(member, server, account_id).json["state"] == "paused"


def test_only_its_owner_can_consent_anew(member, server, sign_in):
    account_id = contribute(member, server)["id"]
    stranger = sign_in(factories.user())

    answer = stranger.post(AUTHORIZE, json={"provider": "acme", "account_id": account_id})

    assert refusal(answer) == (404, "NOT_FOUND")
    assert rows("tickets") == []


def test_an_account_that_came_with_a_key_is_not_the_providers(sign_in, server):
    owner = factories.user()
    account = factories.account(owner)

    answer = sign_in(owner).post(AUTHORIZE, json={"provider": "acme", "account_id": account.id})

    assert list(answer.json["errors"]["json"]) == ["provider"]


def test_a_new_consent_of_somebody_who_is_here_already_changes_nothing(member, server):
    contribute(member, server)
    server.subject = "bob"
    account_id = contribute(member, server)["id"]
    before = rows("accounts")
    server.subject = "alice"

    answer = renew(member, server, account_id)

    assert refusal(answer) == (409, "ALREADY_EXISTS")
    assert rows("accounts") == before


def test_a_new_consent_that_the_upstream_refuses_changes_nothing(member, server):
    account_id = contribute(member, server)["id"]
    before = rows("accounts")
    server.routes["/v1/models"] = says(b"{}", status=401)

    assert renew(member, server, account_id).status_code == 422
    assert rows("accounts") == before


def test_an_account_withdrawn_meanwhile_does_not_come_back(member, server):
    account_id = contribute(member, server)["id"]
    begun = member.post(AUTHORIZE, json={"provider": "acme", "account_id": account_id}).json
    member.delete(f"/api/accounts/{account_id}")

    answer = paste(member, server.consent(begun["authorization_url"]))

    assert refusal(answer) == (404, "NOT_FOUND")
    (row,) = rows("accounts")
    assert (row["sealed_credential"], row["sealed_refresh_token"]) == (None, None)


def test_who_may_not_share_cannot_begin_nor_finish(sign_in, server, session):
    user = factories.user()
    client = sign_in(user)
    address = consented(client, server)
    session.execute(text("update trust_levels set may_share = false"))
    session.commit()

    assert client.post(AUTHORIZE, json=OFFER).status_code == 403
    assert paste(client, address).status_code == 403
    assert rows("accounts") == []
    contribute(client, server, sharing="dedicated")


def test_the_silenced_can_neither_begin_nor_finish(sign_in, server, session):
    client = sign_in(factories.user())
    address = consented(client, server)
    session.execute(text("update users set state = 'silenced'"))
    session.commit()

    assert refusal(client.post(AUTHORIZE, json=OFFER)) == (403, "ACCOUNT_SILENCED")
    assert refusal(paste(client, address)) == (403, "ACCOUNT_SILENCED")


def test_the_browser_that_comes_back_is_told_how_to_go_on_and_nothing_else(client):
    answer = client.get(CALLBACK, query_string={"code": "<b>", "state": "hello", "error": "<script>"})

    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert not any(word in answer.text for word in ("<b>", "hello", "script"))
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_providers_are_listed_without_anything_secret(member, server, with_settings):
    with with_settings(upstream_oauth_providers=(server.provider(client_secret=CLIENT_SECRET, models=("m",)),)):
        answer = member.get("/api/accounts/oauth/providers")

    known = {"id": "acme", "name": "Acme AI", "base_url": server.url, "models": ["m"]}
    assert answer.json == {"providers": [known]}


def test_nothing_secret_is_stored_in_the_clear_logged_or_shown(member, server, caplog):
    with caplog.at_level(logging.DEBUG):
        address = consented(member, server)
        shown = paste(member, address)
        refused = paste(member, address)

    state, code = (parse_qs(urlsplit(address).query)[name][0] for name in ("state", "code"))
    secrets = [*server.accepted, *server.consents, code, server.forms[0]["code_verifier"]]
    stored = str(
        [[repr(dict(row)) for row in rows(table)] for table in ("accounts", "tickets", "audit_log", "account_events")]
    )
    logged = "\n".join(
        f"{record.getMessage()} {vars(record)}"
        for record in caplog.records
        if record.name.startswith("shared_accounts")
    )
    for secret in (*secrets, state):
        assert secret not in stored + logged + shown.text + refused.text


def test_beginning_is_throttled(member, with_settings, server):
    with with_settings(visit_limit="2 per minute", upstream_oauth_providers=(server.provider(),)):
        statuses = [member.post(AUTHORIZE, json=OFFER).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
