from __future__ import annotations

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, proof
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import pool_of, shared_account, spend

POOLS = "/api/admin/quotas"
CORRECTIONS = f"{POOLS}/corrections"
USUAL = {"username": "alice", "model_group": "m", "units": "0.5", "reason": "an outage of ours"}


@pytest.fixture
def alice(client):
    """Somebody with half a unit and room for one and a half."""
    someone = factories.user(username="alice")
    shared_account(someone)
    spend(someone, 1_500_000)
    return someone


def test_a_correction_adds_and_says_why_to_everybody_concerned(admin, boss, alice, acts, sign_in):
    answer = admin.post(CORRECTIONS, json=USUAL)

    assert answer.status_code == 201
    shown = {name: answer.json[name] for name in ("username", "user_id", "model_group", "balance", "capacity")}
    assert shown == {
        "username": "alice",
        "user_id": alice.id,
        "model_group": "m",
        "balance": "1.0000",
        "capacity": "2.0000",
    }
    (entry,) = sign_in(alice).get("/api/quotas/ledger?kind=correction").json
    assert (entry["amount"], entry["balance_after"], entry["note"]) == ("0.5000", "1.0000", "an outage of ours")
    assert (entry["actor"], entry["counterpart"]) == ("boss", None)
    (act,) = acts()
    assert (act["act"], act["actor_id"], act["user_id"]) == ("quota.corrected", boss.id, alice.id)
    assert act["details"] == {"model_group": "m", "units": "0.5000", "reason": "an outage of ours"}
    assert proof.verify() == []


def test_a_correction_takes_down_to_what_is_reserved_and_no_further(admin, alice):
    pool = pool_of(alice)
    pool.reserved = 200_000
    db.session.commit()

    refused = admin.post(CORRECTIONS, json={**USUAL, "units": "-0.3001"})

    assert (refused.status_code, refused.json["error_code"]) == (409, "DOES_NOT_FIT")
    assert (refused.json["least"], refused.json["most"]) == ("-0.3000", "1.5000")
    assert admin.post(CORRECTIONS, json={**USUAL, "units": "-0.3"}).json["available"] == "0.0000"


def test_a_correction_fills_up_to_the_capacity_and_no_further(admin, alice, acts):
    refused = admin.post(CORRECTIONS, json={**USUAL, "units": 1.5001})

    assert (refused.status_code, refused.json["most"]) == (409, "1.5000")
    assert acts() == []
    assert admin.post(CORRECTIONS, json={**USUAL, "units": 1.5}).json["balance"] == "2.0000"


def test_what_stands_above_its_capacity_can_only_be_taken_from(admin, alice):
    pool = pool_of(alice)
    pool.reserved = 400_000
    db.session.commit()
    (credit,) = rows("credits")
    ledger.shrink(credit["account_id"])
    db.session.commit()
    assert (pool_of(alice).balance, pool_of(alice).capacity) == (400_000, 0)
    pool_of(alice).reserved = 100_000
    db.session.commit()

    assert admin.post(CORRECTIONS, json={**USUAL, "units": "0.0001"}).json["most"] == "0.0000"
    assert admin.post(CORRECTIONS, json={**USUAL, "units": "-0.1"}).json["balance"] == "0.3000"


@pytest.mark.parametrize("wrong", [{"username": "nobody"}, {"model_group": "n"}, {"username": "boss"}])
def test_a_correction_of_a_pool_nobody_has_is_not_found(admin, alice, acts, wrong):
    answer = admin.post(CORRECTIONS, json={**USUAL, **wrong})

    assert (answer.status_code, acts()) == (404, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"units": 0}, "units"),
        ({"units": "0.00001"}, "units"),
        ({"units": "many"}, "units"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"reason": None}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"username": ""}, "username"),
        ({"model_group": None}, "model_group"),
        ({"balance": 3}, "balance"),
    ],
)
def test_a_correction_that_cannot_be_names_the_field(admin, alice, acts, body, field):
    answer = admin.post(CORRECTIONS, json={**USUAL, **body})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert (acts(), pool_of(alice).balance) == ([], 500_000)


def test_a_correction_without_a_reason_is_refused(admin, alice):
    body = {name: value for name, value in USUAL.items() if name != "reason"}

    assert admin.post(CORRECTIONS, json=body).status_code == 422


def test_everybodys_pools_are_listed_newest_first_and_paged(admin, alice):
    bob = factories.user(username="Bobby")
    shared_account(bob, "org/n", "m")

    def listed(query=""):
        return [(pool["username"], pool["model_group"]) for pool in admin.get(f"{POOLS}?{query}").json]

    assert sorted(listed()) == [("Bobby", "m"), ("Bobby", "org/n"), ("alice", "m")]
    assert listed()[-1] == ("alice", "m")
    assert sorted(listed("user=bob")) == [("Bobby", "m"), ("Bobby", "org/n")]
    assert listed("user=bob&model_group=org/n") == [("Bobby", "org/n")]
    assert listed("user=&model_group=") == listed()
    assert listed("user=%25") == []
    page = admin.get(f"{POOLS}?model_group=m&page=2&page_size=1")
    assert [pool["username"] for pool in page.json] == ["alice"]
    assert '"total": 2' in page.headers["X-Pagination"]


def test_a_listed_pool_shows_its_figures_and_its_debt(admin, alice):
    (credit,) = rows("credits")
    ledger.shrink(credit["account_id"])
    db.session.commit()

    (pool,) = admin.get(POOLS).json

    assert (pool["balance"], pool["owed"], pool["capacity"]) == ("0.0000", "1.5000", "0.0000")


def test_the_proof_holds_until_somebody_touches_a_row(admin, alice):
    assert admin.get(f"{POOLS}/proof").json == {"holds": True, "pools": 1, "problems": []}
    pool = pool_of(alice)
    db.session.execute(text("update quota_pools set balance = balance + 1"))
    db.session.commit()

    answer = admin.get(f"{POOLS}/proof").json

    problem = f"Pool {pool.id}: its entries sum to 500000 but its balance is 500001"
    assert answer == {"holds": False, "pools": 1, "problems": [problem]}


def test_only_admins_come_in_and_silenced_ones_only_read(client, admin, boss, alice, sign_in):
    hers = sign_in(alice)
    for path in (POOLS, f"{POOLS}/proof"):
        assert (client.get(path).status_code, hers.get(path).status_code) == (401, 403)
    assert (client.post(CORRECTIONS, json=USUAL).status_code, hers.post(CORRECTIONS, json=USUAL).status_code) == (
        401,
        403,
    )
    boss.state = "silenced"
    db.session.commit()

    assert admin.get(f"{POOLS}/proof").status_code == 200
    assert admin.post(CORRECTIONS, json=USUAL).json["error_code"] == "ACCOUNT_SILENCED"
