"""Accounts by the Plug-in API's contract: the same requests, shapes and statuses, whatever stands behind the routes."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from shared_accounts.users import roster
from tests.plugin.contract import (
    ACCOUNT,
    ADDED,
    API,
    ONE_ACCOUNT,
    PERSON,
    answered,
    done,
    flag,
    local_world,
    maybe,
    moment,
    refusal,
    remote_world,
    told,
    truth,
    whole,
    word,
    world,
)
from tests.plugin.provisioned import change, plugin
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["local_world", "plugin", "plugin_process", "plugin_server", "remote_world", "world"]

CHANGES = [
    ("post", "/oauth/authorize", {}),
    ("post", "/oauth/callback", {"callback_url": "http://localhost/?code=1&state=2"}),
    ("put", "/accounts/1/status", {"status": 1}),
    ("put", "/accounts/1/name", {"name": "mine"}),
    ("put", "/accounts/1/type", {"is_shared": 0}),
    ("put", "/accounts/1/quotas/m/status", {"status": 0}),
    ("put", "/preference", {"prefer_shared": 1}),
    ("delete", "/accounts/1", None),
    ("post", "/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "a cat"}]}]}),
]
UNUSABLE = [2, -1, True, "1", 1.5, None, [1]]
FLAGS = [
    ("post", "/oauth/authorize", "is_shared"),
    ("put", "/accounts/1/status", "status"),
    ("put", "/accounts/1/type", "is_shared"),
    ("put", "/accounts/1/quotas/m/status", "status"),
    ("put", "/preference", "prefer_shared"),
]


def test_an_account_comes_by_consent_and_is_listed_shown_and_gone(world):
    ada = world.member()

    begun = answered(
        ada.post(f"{API}/oauth/authorize", json={}), told({"auth_url": word, "state": word, "expires_in": whole})
    )
    pasted = {"callback_url": world.land(begun["auth_url"])}
    added = answered(ada.post(f"{API}/oauth/callback", json=pasted), done(ADDED))

    assert added["is_shared"] == 0
    [listed] = answered(ada.get(f"{API}/accounts"), told([ACCOUNT]))
    shown = answered(ada.get(f"{API}/accounts/{added['cookie_id']}"), told(ONE_ACCOUNT))
    assert shown == {name: value for name, value in listed.items() if name != "last_used_at"}
    assert (shown["cookie_id"], shown["status"], shown["is_shared"]) == (added["cookie_id"], 1, 0)
    answered(ada.delete(f"{API}/accounts/{added['cookie_id']}"), {"success": truth, "message": word})
    assert ada.get(f"{API}/accounts").json["data"] == []
    assert refusal(ada.get(f"{API}/accounts/{added['cookie_id']}")) == (404, "NOT_FOUND")


def test_the_newest_account_comes_first(world):
    ada = world.member()
    ids = [world.add(ada), world.add(ada, is_shared=1)]

    listed = answered(ada.get(f"{API}/accounts"), told([ACCOUNT]))

    assert [row["cookie_id"] for row in listed] == ids[::-1]
    assert [row["is_shared"] for row in listed] == [1, 0]


def test_an_account_is_paused_renamed_and_shared_and_the_answer_says_so(world):
    ada = world.member()
    account = f"{API}/accounts/{world.add(ada)}"
    status, name = {"cookie_id": word, "status": flag}, {"cookie_id": word, "name": word}

    answered(ada.put(f"{account}/status", json={"status": 0}), done(status))
    answered(ada.put(f"{account}/name", json={"name": "我的账号"}), done(name))
    answered(ada.put(f"{account}/type", json={"is_shared": 1}), done({"cookie_id": word, "is_shared": flag}))

    shown = ada.get(account).json["data"]
    assert (shown["status"], shown["name"], shown["is_shared"]) == (0, "我的账号", 1)
    answered(ada.put(f"{account}/status", json={"status": 1}), done(status))
    assert ada.get(account).json["data"]["status"] == 1
    again = ada.put(f"{account}/status", json={"status": 1})
    assert (again.status_code, again.json["message"]) == (200, "账号状态未变化")
    again = ada.put(f"{account}/type", json={"is_shared": 1})
    assert (again.status_code, again.json["message"]) == (200, "账号类型未变化")


def test_an_account_may_be_called_nothing_but_not_at_length(world):
    ada = world.member()
    account = f"{API}/accounts/{world.add(ada)}"

    assert ada.put(f"{account}/name", json={"name": ""}).status_code == 200
    for bad in ({"name": "x" * 101}, {"name": None}, {"name": 7}, {}):
        answer = ada.put(f"{account}/name", json=bad)
        assert answer.status_code == 400, bad
        assert "name" in answer.json["errors"]["json"]


def test_somebody_elses_account_is_as_unknown_as_none(world):
    ada, eve = world.member(), world.member()
    hers = world.add(ada, is_shared=1)
    asks = [
        lambda one: eve.get(one),
        lambda one: eve.delete(one),
        lambda one: eve.put(f"{one}/status", json={"status": 0}),
        lambda one: eve.put(f"{one}/name", json={"name": "mine now"}),
        lambda one: eve.put(f"{one}/type", json={"is_shared": 0}),
        lambda one: eve.get(f"{one}/quotas"),
        lambda one: eve.put(f"{one}/quotas/{world.MODEL}/status", json={"status": 0}),
    ]

    for ask in asks:
        foreign, unknown, odd = (ask(f"{API}/accounts/{one}") for one in (hers, "987654321", "no-such-id"))
        assert refusal(foreign) == (404, "NOT_FOUND")
        assert foreign.json == unknown.json == odd.json
    assert ada.get(f"{API}/accounts/{hers}").json["data"]["name"] != "mine now"


@pytest.mark.parametrize(("method", "path", "field"), FLAGS)
def test_a_flag_is_the_number_0_or_1(world, method, path, field):
    ada = world.member()

    for bad in UNUSABLE:
        answer = getattr(ada, method)(API + path, json={field: bad})
        assert answer.status_code == 400, bad
        assert list(answer.json["errors"]["json"]) == [field]
    answer = getattr(ada, method)(API + path, json={field: 1, "more": 1})
    assert (answer.status_code, list(answer.json["errors"]["json"])) == (400, ["more"])
    if path != "/oauth/authorize":
        answer = getattr(ada, method)(API + path, json={})
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (400, [field])


def test_a_silenced_user_reads_and_changes_nothing(world):
    ada = world.member()
    hers = world.add(ada)
    change("update users set state = 'silenced' where id = :id", id=ada.user_id)

    for method, path, body in CHANGES:
        answer = getattr(ada, method)(API + path, json=body) if body is not None else ada.delete(API + path)
        assert refusal(answer) == (403, "ACCOUNT_SILENCED"), path
    for path in ("/key", "/accounts", f"/accounts/{hers}", f"/accounts/{hers}/quotas", "/preference"):
        assert ada.get(API + path).status_code == 200, path
    for path in ("user", "shared-pool", "consumption", f"consumption/stats/{world.MODEL}"):
        assert ada.get(f"{API}/quotas/{path}").status_code == 200, path


def test_whoever_may_not_share_adds_accounts_for_herself_alone(world):
    change("update trust_levels set may_share = false where level = 0")
    ada = world.member(trust_level=0)
    account = f"{API}/accounts/{world.add(ada, is_shared=0)}"

    for answer in (
        ada.post(f"{API}/oauth/authorize", json={"is_shared": 1}),
        ada.put(f"{account}/type", json={"is_shared": 1}),
    ):
        assert refusal(answer) == (403, "TRUST_LEVEL_TOO_LOW")
    assert ada.get(account).json["data"]["is_shared"] == 0


def test_whoever_may_share_no_more_when_she_comes_back_adds_nothing(world):
    ada = world.member()
    begun = ada.post(f"{API}/oauth/authorize", json={"is_shared": 1}).json["data"]
    change("update trust_levels set may_share = false where level = 1")

    answer = ada.post(f"{API}/oauth/callback", json={"callback_url": world.land(begun["auth_url"])})

    assert refusal(answer) == (403, "TRUST_LEVEL_TOO_LOW")
    assert ada.get(f"{API}/accounts").json["data"] == []


def test_a_consent_counts_for_whoever_began_it_and_once(world):
    ada, eve = world.member(), world.member()
    begun = eve.post(f"{API}/oauth/authorize", json={}).json["data"]
    pasted = {"callback_url": world.land(begun["auth_url"])}

    assert refusal(ada.post(f"{API}/oauth/callback", json=pasted)) == (400, "INVALID_OAUTH_STATE")
    assert refusal(eve.post(f"{API}/oauth/callback", json=pasted)) == (400, "INVALID_OAUTH_STATE")

    begun = ada.post(f"{API}/oauth/authorize", json={}).json["data"]
    pasted = {"callback_url": world.land(begun["auth_url"])}
    assert ada.post(f"{API}/oauth/callback", json=pasted).status_code == 200
    assert refusal(ada.post(f"{API}/oauth/callback", json=pasted)) == (400, "INVALID_OAUTH_STATE")
    assert len(ada.get(f"{API}/accounts").json["data"]) == 1
    assert eve.get(f"{API}/accounts").json["data"] == []


def test_an_address_that_leads_nowhere_names_its_field(world):
    ada = world.member()
    state = ada.post(f"{API}/oauth/authorize", json={}).json["data"]["state"]
    bad = [{}, {"callback_url": ""}, {"callback_url": 1}, {"callback_url": "x" * 8193}]
    empty = ["nowhere", "http://localhost/", f"http://localhost/?state={state}", "http://localhost/?code=1"]

    for body in [*bad, *({"callback_url": address} for address in empty)]:
        answer = ada.post(f"{API}/oauth/callback", json=body)
        assert answer.status_code == 400, body
        assert "callback_url" in answer.json["errors"]["json"]
        assert state not in answer.text


def test_whoever_does_not_consent_adds_nothing(world):
    ada = world.member()
    begun = ada.post(f"{API}/oauth/authorize", json={}).json["data"]

    answer = ada.post(f"{API}/oauth/callback", json={"callback_url": world.land(begun["auth_url"], agree=False)})

    assert refusal(answer) == (400, "OAUTH_ERROR")
    assert ada.get(f"{API}/accounts").json["data"] == []


def test_a_preference_holds_here_and_there(world):
    ada = world.member()

    assert answered(ada.get(f"{API}/preference"), told(PERSON))["prefer_shared"] == 0
    for wanted in (1, 0, 1):
        changed = answered(
            ada.put(f"{API}/preference", json={"prefer_shared": wanted}), done({"user_id": word, "prefer_shared": flag})
        )
        assert changed["prefer_shared"] == wanted
        assert answered(ada.get(f"{API}/preference"), told(PERSON))["prefer_shared"] == wanted
        db.session.rollback()
        assert roster.get(ada.user_id).prefer_shared is bool(wanted)


def test_a_key_is_spoken_of_and_never_shown(world):
    ada = world.member()

    answer = ada.get(f"{API}/key")

    shape = {
        "id": whole,
        "user_id": whole,
        "plugin_user_id": maybe(word),
        "is_active": truth,
        "created_at": moment,
        "updated_at": moment,
        "last_used_at": maybe(moment),
    }
    answered(answer, shape)
    assert answer.json["user_id"] == ada.user_id
    assert answer.json["is_active"] is True
    assert "sk-" not in answer.text
