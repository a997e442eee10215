import threading
import time

import pytest
from sqlalchemy import update

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from tests import factories
from tests.accounts.test_probe import lists
from tests.conftest import rows
from tests.upstream import Upstream, answers, refuses, stalls_before_the_head

KEY = "sk-upstream-0123456789abcdef0123"


@pytest.fixture
def party(app):
    made = Upstream(lists("m", "n"))
    yield made
    app.extensions["wire"].sweep()
    made.stop()


@pytest.fixture
def owner(session):
    return factories.user()


@pytest.fixture
def hers(owner, sign_in):
    return sign_in(owner)


def account_of(owner, party, **fields):
    return factories.account(owner, base_url=party.url, secret=KEY, **fields).id


def state_of(account_id):
    return next(row["state"] for row in rows("accounts") if row["id"] == account_id)


def test_a_credential_may_be_tried_before_it_is_brought(member, party):
    answer = member.post("/api/accounts/try", json={"base_url": party.url, "api_key": KEY})

    assert answer.status_code == 200
    assert answer.json == {"ok": True, "models": ["m", "n"], "lists_models": True}
    assert KEY not in answer.text
    assert rows("accounts") == rows("audit_log") == []


def test_a_trial_may_name_a_preset(member, party):
    answer = member.post("/api/accounts/try", json={"preset": "anthropic", "base_url": party.url, "api_key": KEY})

    assert answer.json["ok"] is True
    assert party.requests[0].header("x-api-key") == KEY


def test_a_trial_where_no_list_is_kept_tries_what_is_named(member, party):
    party.plays(refuses(404), answers())

    answer = member.post("/api/accounts/try", json={"base_url": party.url, "api_key": KEY, "models": ["m"]})

    assert answer.json == {"ok": True, "models": ["m"], "lists_models": False}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"base_url", "api_key"}),
        ({"preset": "openai"}, {"api_key"}),
        ({"api_key": KEY}, {"base_url"}),
        ({"base_url": "http://10.0.0.1/", "api_key": KEY}, {"base_url"}),
        ({"base_url": "https://127.0.0.2/", "api_key": KEY}, {"base_url"}),
        ({"preset": "acme", "base_url": "https://example.com/", "api_key": KEY}, {"preset"}),
        ({"base_url": "https://example.com/", "api_key": "a b"}, {"api_key"}),
        ({"base_url": "https://example.com/", "api_key": KEY, "name": "x"}, {"name"}),
    ],
)
def test_a_bad_trial_is_refused_naming_the_field(member, body, fields):
    answer = member.post("/api/accounts/try", json=body)

    assert (answer.status_code, set(answer.json["errors"]["json"])) == (422, fields)
    assert KEY not in answer.text


@pytest.mark.parametrize(("act", "field"), [(refuses(401, KEY), "api_key"), (refuses(500, KEY), "base_url")])
def test_a_trial_that_fails_is_refused_as_a_contribution_would_be(member, party, offer, act, field):
    party.plays(act)
    tried = member.post("/api/accounts/try", json={"base_url": party.url, "api_key": KEY})
    party.plays(act)
    brought = member.post("/api/accounts", json={**offer, "base_url": party.url, "api_key": KEY})

    assert (tried.status_code, list(tried.json["errors"]["json"])) == (422, [field])
    assert tried.json == brought.json
    assert KEY not in tried.text


def test_trials_are_counted_per_user(sign_in, party, with_settings):
    first, second = sign_in(factories.user()), sign_in(factories.user())
    body = {"base_url": party.url, "api_key": KEY}

    with with_settings(visit_limit="2 per minute"):
        statuses = [first.post("/api/accounts/try", json=body).status_code for _ in range(3)]
        refused = first.post("/api/accounts/1/test")
        other = second.post("/api/accounts/try", json=body).status_code

    assert statuses == [200, 200, 429]
    assert (refused.status_code, other) == (429, 200)
    assert int(refused.headers["Retry-After"]) > 0
    assert len(party.requests) == 3


def test_a_contribution_is_a_trial_too_and_counted_with_the_others(sign_in, party, offer, with_settings):
    first, second = sign_in(factories.user()), sign_in(factories.user())
    offered = {**offer, "base_url": party.url, "api_key": KEY}

    with with_settings(visit_limit="2 per minute"):
        tried = first.post("/api/accounts/try", json={"base_url": party.url, "api_key": KEY})
        party.plays(refuses(401), lists("m"))
        stolen = first.post("/api/accounts", json={**offered, "api_key": "sk-stolen-from-somebody"})
        refused = first.post("/api/accounts", json=offered)
        other = second.post("/api/accounts", json=offered)

    assert [answer.status_code for answer in (tried, stolen, refused, other)] == [200, 422, 429, 201]
    assert refused.json["error_code"] == "RATE_LIMITED"
    assert int(refused.headers["Retry-After"]) > 0
    assert len(party.requests) == 3


def test_what_no_upstream_is_asked_about_is_not_counted(sign_in, party, offer, with_settings):
    hers = sign_in(factories.user())
    offered = {**offer, "base_url": party.url, "api_key": KEY}

    with with_settings(visit_limit="1 per minute"):
        assert [hers.post("/api/accounts", json={**offered, "sharing": "?"}).status_code for _ in range(3)] == [422] * 3
        assert hers.post("/api/accounts", json=offered).status_code == 201
        assert hers.get("/api/accounts").status_code == 200


def test_who_is_silenced_or_a_stranger_tries_nothing(sign_in, client, party):
    silenced = sign_in(factories.user(state="silenced"))
    for path in ("/api/accounts/try", "/api/accounts/1/test", "/api/accounts/import"):
        body = {"base_url": party.url, "api_key": KEY} if path.endswith("try") else None
        assert silenced.post(path, json=body).status_code == 403, path
        assert client.post(path, json=body).status_code == 401, path
    assert party.requests == []


def test_an_account_that_works_is_told_so_and_stays_where_it_is(hers, owner, party):
    account_id = account_of(owner, party)

    answer = hers.post(f"/api/accounts/{account_id}/test")

    assert answer.status_code == 200
    assert (answer.json["ok"], answer.json["models"], answer.json["state"]) == (True, ["m", "n"], "active")
    assert answer.json["message"] == "The upstream accepts this credential."
    assert party.requests[0].header("authorization") == f"Bearer {KEY}"
    assert rows("accounts")[0]["probed_at"] is not None
    (entry,) = rows("audit_log")
    assert (entry["act"], entry["target"], entry["details"]) == (
        "account.tested",
        f"account:{account_id}",
        {"ok": True},
    )


@pytest.mark.parametrize("state", ["needs_sign_in", "broken"])
def test_an_account_that_works_again_returns_and_its_refill_resumes(member, offer, party, state):
    account_id = member.post("/api/accounts", json={**offer, "base_url": party.url, "api_key": KEY}).json["id"]
    party.plays(refuses(401), lists("m"))
    assert member.post(f"/api/accounts/{account_id}/test").json["state"] == "needs_sign_in"
    assert member.get("/api/quotas").json[0]["refill_per_hour"] == "0.0000"
    db.session.execute(update(Account).values(state=state))
    db.session.commit()

    answer = member.post(f"/api/accounts/{account_id}/test").json

    assert (answer["ok"], answer["state"]) == (True, "active")
    assert member.get("/api/quotas").json[0]["refill_per_hour"] == "0.4000"
    assert member.get(f"/api/accounts/{account_id}").json["state_reason"] is None


def test_an_account_that_returns_can_be_chosen_at_once(committed, app, sign_in, party):
    owner = factories.user()
    account_id = account_of(owner, party, state="broken")
    supply = app.extensions["gateway"].supply
    assert supply.serving("m").shared == []

    sign_in(owner).post(f"/api/accounts/{account_id}/test")

    assert [one.id for one in supply.serving("m").shared] == [account_id]


def test_a_refused_credential_takes_its_account_out_and_says_why(hers, owner, party):
    account_id = account_of(owner, party)
    party.plays(refuses(401, KEY))

    answer = hers.post(f"/api/accounts/{account_id}/test")

    assert (answer.json["ok"], answer.json["models"], answer.json["state"]) == (False, [], "needs_sign_in")
    assert answer.json["message"] == "The upstream refuses this credential."
    assert hers.get(f"/api/accounts/{account_id}").json["state_reason"] == "the upstream refused the credential"
    assert KEY not in answer.text + str(rows("audit_log"))


@pytest.mark.parametrize("act", [refuses(500), refuses(429), refuses(404)])
@pytest.mark.parametrize("state", ["active", "broken"])
def test_an_upstream_in_trouble_is_no_verdict(hers, owner, party, act, state):
    account_id = account_of(owner, party, state=state)
    party.plays(act)

    answer = hers.post(f"/api/accounts/{account_id}/test").json

    assert (answer["ok"], answer["state"]) == (False, state)


def test_an_upstream_that_is_gone_is_no_verdict(hers, owner, party):
    account_id = account_of(owner, party, state="needs_sign_in")
    party.stop()

    answer = hers.post(f"/api/accounts/{account_id}/test").json

    assert (answer["ok"], answer["state"]) == (False, "needs_sign_in")
    assert "cannot be reached" in answer["message"]


@pytest.mark.parametrize("state", ["paused", "disabled", "draining"])
@pytest.mark.parametrize("act", [lists("m"), refuses(401)])
def test_a_test_overrules_neither_owner_nor_admin(hers, owner, party, state, act):
    account_id = account_of(owner, party, state=state)
    party.plays(act)

    assert hers.post(f"/api/accounts/{account_id}/test").json["state"] == state


def test_where_no_list_is_kept_one_model_is_enough(hers, owner, party):
    account_id = account_of(owner, party, models=[f"m{number}" for number in range(9)])
    party.plays(refuses(404), answers())

    assert hers.post(f"/api/accounts/{account_id}/test").json["ok"] is True
    assert [one.path for one in party.requests] == ["/v1/models", "/v1/chat/completions"]


def test_an_account_is_tested_in_its_upstreams_way(hers, owner, party):
    account_id = account_of(owner, party, preset="anthropic")

    hers.post(f"/api/accounts/{account_id}/test")

    assert party.requests[0].header("x-api-key") == KEY


def test_an_address_the_operator_no_longer_allows_is_no_verdict(hers, owner):
    account_id = factories.account(owner, base_url="http://10.0.0.1/v1").id

    answer = hers.post(f"/api/accounts/{account_id}/test").json

    assert (answer["ok"], answer["state"]) == (False, "active")


def test_nobody_tests_somebody_elses_account(member, owner, party):
    account_id = account_of(owner, party)

    answer = member.post(f"/api/accounts/{account_id}/test")

    assert (answer.status_code, answer.json) == (404, member.post("/api/accounts/999999/test").json)
    assert (party.requests, rows("audit_log")) == ([], [])


def in_another_thread(act):
    answer = []
    thread = threading.Thread(target=lambda: answer.append(act()))
    thread.start()
    return thread, answer


def test_no_connection_is_kept_while_an_upstream_takes_its_time(committed, sign_in, party):
    owner = factories.user()
    path, client = f"/api/accounts/{account_of(owner, party)}/test", sign_in(owner)
    trial = {"base_url": party.url, "api_key": KEY}
    db.session.remove()
    for act in (lambda: client.post(path), lambda: client.post("/api/accounts/try", json=trial)):
        asked = len(party.requests)
        party.plays(stalls_before_the_head)
        thread, _ = in_another_thread(act)
        party.wait_for(asked + 1)

        assert [db.engine.pool.checkedout() for _ in range(20) if not time.sleep(0.01)] == [0] * 20

        party.hang_up()
        thread.join(20)


def test_a_verdict_on_a_credential_that_was_replaced_meanwhile_is_none(committed, sign_in, app, party):
    owner = factories.user()
    account_id, client = account_of(owner, party), sign_in(owner)

    def replace(turn):
        with app.app_context():
            sealed = app.extensions["vault"].seal("another", purpose=f"account:{account_id}")
            db.session.execute(update(Account).values(sealed_credential=sealed))
            db.session.commit()
        return refuses(401)(turn)

    party.plays(replace)

    answer = client.post(f"/api/accounts/{account_id}/test").json

    assert (answer["ok"], answer["state"]) == (False, "active")


def test_an_account_withdrawn_during_its_test_is_gone(committed, sign_in, party):
    owner = factories.user()
    account_id, client = account_of(owner, party), sign_in(owner)

    def withdraw(turn):
        assert client.delete(f"/api/accounts/{account_id}").status_code == 204
        return lists("m")(turn)

    party.plays(withdraw)

    assert client.post(f"/api/accounts/{account_id}/test").status_code == 404
    assert state_of(account_id) == "withdrawn"
