import pytest

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows


def units(client):
    pools = client.get("/api/quotas").json
    return {row["model_group"]: (row["balance"], row["capacity"], row["refill_per_hour"]) for row in pools}


def test_a_shared_account_raises_its_owners_pools(member, offer):
    answer = member.post("/api/accounts", json={**offer, "models": ["m", "n"]})

    assert answer.status_code == 201
    assert answer.json["state"] == "active"
    assert answer.json["models"] == ["m", "n"]
    assert units(member) == {"m": ("2.0000", "2.0000", "0.4000"), "n": ("2.0000", "2.0000", "0.4000")}
    assert proof.verify() == []


def test_the_credential_is_sealed_and_never_shown(member, offer):
    made = member.post("/api/accounts", json=offer)
    shown = [made.text, member.get("/api/accounts").text, member.get(f"/api/accounts/{made.json['id']}").text]

    assert not any(offer["api_key"] in text for text in shown)
    assert all(offer["api_key"].encode() not in bytes(row["sealed_credential"]) for row in rows("accounts"))


def test_a_sealed_credential_copied_to_another_row_opens_as_nothing(member, offer, app):
    from shared_accounts.errors import CredentialUnreadable

    account_id = member.post("/api/accounts", json=offer).json["id"]
    vault, account = app.extensions["vault"], db.session.get(Account, account_id)

    assert vault.unseal(account.sealed_credential, purpose=f"account:{account_id}") == offer["api_key"]
    with pytest.raises(CredentialUnreadable):
        vault.unseal(account.sealed_credential, purpose=f"account:{account_id + 1}")


def test_a_dedicated_account_earns_nothing(member, offer):
    member.post("/api/accounts", json={**offer, "sharing": "dedicated"})

    assert units(member) == {}


def test_models_are_discovered_when_none_are_named(member, offer, upstream):
    del offer["models"]

    assert member.post("/api/accounts", json=offer).json["models"] == upstream.models


def test_a_small_account_is_worth_its_part_and_a_large_one_no_more_than_one(member, offer):
    member.post("/api/accounts", json={**offer, "allowance_tokens": 250_000})
    assert units(member) == {"m": ("0.5000", "0.5000", "0.1000")}

    member.post("/api/accounts", json={**offer, "api_key": "another-credential-of-mine-1", "allowance_tokens": 10**9})
    assert units(member) == {"m": ("2.5000", "2.5000", "0.5000")}


def test_one_credential_counts_once_whoever_brings_it(sign_in, offer):
    first, second = sign_in(factories.user()), sign_in(factories.user())
    first.post("/api/accounts", json=offer)

    again = second.post("/api/accounts", json={**offer, "base_url": offer["base_url"] + "/"})

    assert again.status_code == 409
    assert again.json["errors"] == {"json": {"api_key": ["This credential has been contributed already."]}}
    assert units(second) == {}


def test_withdrawing_takes_back_exactly_what_was_credited(member, offer):
    account_id = member.post("/api/accounts", json=offer).json["id"]

    assert member.delete(f"/api/accounts/{account_id}").status_code == 204

    assert units(member) == {"m": ("0.0000", "0.0000", "0.0000")}
    assert member.get(f"/api/accounts/{account_id}").status_code == 404
    assert member.delete(f"/api/accounts/{account_id}").status_code == 404
    assert [(row["state"], row["sealed_credential"]) for row in rows("accounts")] == [("withdrawn", None)]


def test_a_withdrawn_credential_may_come_back(member, offer):
    account_id = member.post("/api/accounts", json=offer).json["id"]
    member.delete(f"/api/accounts/{account_id}")

    assert member.post("/api/accounts", json=offer).status_code == 201
    assert units(member) == {"m": ("2.0000", "2.0000", "0.4000")}


def test_changing_the_sharing_moves_the_quota_both_ways(member, offer):
    path = f"/api/accounts/{member.post('/api/accounts', json=offer).json['id']}"

    member.patch(path, json={"sharing": "dedicated"})
    assert units(member) == {"m": ("0.0000", "0.0000", "0.0000")}

    assert member.patch(path, json={"sharing": "shared"}).json["sharing"] == "shared"
    assert units(member) == {"m": ("2.0000", "2.0000", "0.4000")}
    assert proof.verify() == []


def test_a_paused_account_rests_its_refill_and_comes_back(member, offer):
    path = f"/api/accounts/{member.post('/api/accounts', json=offer).json['id']}"

    paused = member.patch(path, json={"paused": True})
    assert (paused.json["state"], units(member)["m"]) == ("paused", ("2.0000", "2.0000", "0.0000"))

    back = member.patch(path, json={"paused": False})
    assert (back.json["state"], units(member)["m"]) == ("active", ("2.0000", "2.0000", "0.4000"))


def test_a_paused_account_may_change_and_be_shared_again_without_waking(member, offer):
    path = f"/api/accounts/{member.post('/api/accounts', json={**offer, 'sharing': 'dedicated'}).json['id']}"
    member.patch(path, json={"paused": True})

    member.patch(path, json={"sharing": "shared"})

    assert units(member)["m"] == ("2.0000", "2.0000", "0.0000")


def test_only_models_the_upstream_lists_can_be_claimed(member, offer):
    answer = member.post("/api/accounts", json={**offer, "models": ["m", "gpt-of-my-dreams"]})
    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["models"])

    path = f"/api/accounts/{member.post('/api/accounts', json=offer).json['id']}"
    assert member.patch(path, json={"models": ["m", "gpt-of-my-dreams"]}).status_code == 422
    assert member.patch(path, json={"models": ["m", "n"]}).status_code == 200
    assert set(units(member)) == {"m", "n"}


def test_an_upstream_without_a_list_is_asked_for_each_declared_model(member, offer, upstream):
    upstream.lists_models = False

    assert member.post("/api/accounts", json={**offer, "models": ["m", "n"]}).status_code == 201

    assert [(method, path) for method, path, _ in upstream.asked] == [
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions"),
    ]
    del offer["models"]
    assert member.post("/api/accounts", json={**offer, "api_key": "other"}).status_code == 422


def test_a_wrong_credential_is_refused_naming_the_field(member, offer):
    answer = member.post("/api/accounts", json={**offer, "api_key": "wrong"})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["api_key"])
    assert "wrong" not in answer.json["message"]
    assert rows("accounts") == []


@pytest.mark.parametrize("status", [302, 500])
def test_an_upstream_that_is_none_is_refused_and_redirects_are_not_followed(member, offer, upstream, status):
    upstream.status = status

    answer = member.post("/api/accounts", json=offer)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["base_url"])
    assert len(upstream.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/v1",
        "https://10.0.0.1/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://2130706434/v1",
        "https://0x7f.2/",
        "http://example.com/v1",
        "ftp://example.com/",
        "https://user:pass@example.com/v1",
        "https://example.com/v1?key=1",
        "https://example.com/v1#x",
        "https://exa mple.com/",
        "not a url",
        "https://example.com:99999/",
        "https://a.com\\@10.0.0.1/",
    ],
)
def test_a_base_url_that_leads_inside_or_nowhere_is_refused(member, offer, url):
    answer = member.post("/api/accounts", json={**offer, "base_url": url})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["base_url"])
    assert url not in answer.text


def test_a_base_url_without_a_host_is_refused(member, offer):
    assert member.post("/api/accounts", json={**offer, "base_url": "https://"}).status_code == 422


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": ""}, 422),
        ({"name": "x" * 101}, 422),
        ({"name": "a\nb"}, 422),
        ({"sharing": "everyone"}, 422),
        ({"models": []}, 422),
        ({"models": ["x" * 201]}, 422),
        ({"models": "m"}, 422),
        ({"allowance_tokens": 0}, 422),
        ({"allowance_tokens": "many"}, 422),
        ({"allowance_tokens": 1.5}, 422),
        ({"window_hours": -1}, 422),
        ({"max_concurrency": 0}, 422),
        ({"api_key": ""}, 422),
        ({"api_key": "a b"}, 422),
        ({"api_key": "key\r\nx-evil: 1"}, 422),
        ({"owner_id": 1}, 422),
        ({"state": "active"}, 422),
        ({"id": 7}, 422),
    ],
)
def test_bad_fields_are_named_and_nothing_is_kept(member, offer, change, status):
    answer = member.post("/api/accounts", json={**offer, **change})

    assert answer.status_code == status
    assert next(iter(change)) in answer.text
    assert rows("accounts") == []


@pytest.mark.parametrize("missing", ["name", "base_url", "api_key", "sharing"])
def test_required_fields_are_required(member, offer, missing):
    del offer[missing]

    answer = member.post("/api/accounts", json=offer)

    assert (answer.status_code, missing in answer.json["errors"]["json"]) == (422, True)


def test_another_users_account_is_as_unknown_as_none(sign_in, offer):
    mine, hers = sign_in(factories.user()), sign_in(factories.user())
    path = f"/api/accounts/{mine.post('/api/accounts', json=offer).json['id']}"

    for answer in (hers.get(path), hers.patch(path, json={"name": "x"}), hers.delete(path)):
        assert (answer.status_code, answer.json) == (404, hers.get("/api/accounts/999999").json)
    assert mine.get(path).status_code == 200


def test_a_silenced_user_contributes_nothing(sign_in, offer):
    answer = sign_in(factories.user(state="silenced")).post("/api/accounts", json=offer)

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_SILENCED")


def test_a_strangers_requests_are_refused(client, offer):
    for answer in (client.get("/api/accounts"), client.post("/api/accounts", json=offer), client.get("/api/quotas")):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_lists_are_paged_newest_first(member, offer):
    ids = [member.post("/api/accounts", json={**offer, "api_key": f"key-{n}"}).json["id"] for n in range(3)]

    page = member.get("/api/accounts?page=2&page_size=2")

    assert [row["id"] for row in page.json] == [ids[0]]
    assert '"total": 3' in page.headers["X-Pagination"]
    assert member.get("/api/accounts?page_size=201").status_code == 422


def test_the_ledger_tells_why_a_pool_moved(member, offer):
    account_id = member.post("/api/accounts", json=offer).json["id"]
    member.delete(f"/api/accounts/{account_id}")

    entries = member.get("/api/quotas/ledger").json

    assert [(e["kind"], e["amount"], e["balance_after"], e["account_id"]) for e in entries] == [
        ("forfeit", "-2.0000", "0.0000", account_id),
        ("credit", "2.0000", "2.0000", account_id),
    ]
