import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func

from shared_accounts.config import MICRO
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.quotas import gifts, ledger, proof
from shared_accounts.quotas.refused import GiftLimitReached
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import backdate, pool_of, shared_account, spend

GIFTS = "/api/quotas/gifts"


@pytest.fixture
def giver(client):
    """Somebody with two units."""
    someone = factories.user(username="giver")
    shared_account(someone)
    return someone


@pytest.fixture
def receiver(client):
    """Somebody with room for two units."""
    someone = factories.user(username="receiver")
    shared_account(someone)
    spend(someone, 2 * MICRO)
    return someone


@pytest.fixture
def gives(giver, receiver, sign_in):
    """Send a gift of the giver's; what is not said is as usual."""
    hers = sign_in(giver)
    usual = {"to": "receiver", "model_group": "m", "units": "0.5000"}
    return lambda **fields: hers.post(GIFTS, json={**usual, **fields})


def test_a_gift_moves_what_is_free(gives, giver, receiver):
    answer = gives(note="for Monday")

    assert answer.status_code == 201
    assert answer.json == {
        "to": "receiver",
        "model_group": "m",
        "units": "0.5000",
        "note": "for Monday",
        "balance": "1.5000",
        "available": "1.5000",
        "left_today": "0.5000",
    }
    assert (pool_of(giver).balance, pool_of(receiver).balance) == (1_500_000, 500_000)
    assert proof.verify() == []


def test_both_ledgers_name_the_other_and_say_who_gave(gives, giver, receiver, sign_in):
    gives(note="for Monday")

    entries = [sign_in(user).get("/api/quotas/ledger?kind=gift").json[0] for user in (giver, receiver)]

    assert [(entry["amount"], entry["balance_after"]) for entry in entries] == [
        ("-0.5000", "1.5000"),
        ("0.5000", "0.5000"),
    ]
    assert [(entry["counterpart"], entry["actor"]) for entry in entries] == [
        ("receiver", "giver"),
        ("giver", "giver"),
    ]
    assert {entry["note"] for entry in entries} == {"for Monday"}


@pytest.mark.parametrize(
    ("units", "amount"),
    [("0.1234", 123_400), (0.3, 300_000), ("1", MICRO), (1, MICRO), ("0.0001", 100), (0.0001, 100), (1.0, MICRO)],
)
def test_an_amount_is_read_exactly(gives, receiver, units, amount):
    assert gives(units=units).status_code == 201
    assert pool_of(receiver).balance == amount


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"units": "0.00001"}, "units"),
        ({"units": 0.30000000000000004}, "units"),
        ({"units": 0}, "units"),
        ({"units": "-0.5"}, "units"),
        ({"units": "1e3"}, "units"),
        ({"units": "٣"}, "units"),
        ({"units": " 1"}, "units"),
        ({"units": ""}, "units"),
        ({"units": True}, "units"),
        ({"units": None}, "units"),
        ({"units": [1]}, "units"),
        ({"units": "9999999999"}, "units"),
        ({"to": ""}, "to"),
        ({"to": 3}, "to"),
        ({"to": "giver"}, "to"),
        ({"to": "GIVER"}, "to"),
        ({"model_group": ""}, "model_group"),
        ({"note": "x" * 201}, "note"),
        ({"note": "a\nb"}, "note"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_a_gift_that_cannot_be_names_the_field_and_moves_nothing(gives, giver, body, field):
    answer = gives(**body)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert pool_of(giver).balance == 2 * MICRO


@pytest.mark.parametrize("missing", ["to", "model_group", "units"])
def test_what_a_gift_needs_is_asked_for(giver, sign_in, missing):
    body = {"to": "receiver", "model_group": "m", "units": "0.5"}
    del body[missing]

    answer = sign_in(giver).post(GIFTS, json=body)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [missing])


def test_unknown_and_disabled_receivers_look_the_same(gives, giver):
    gone = factories.user(username="gone", state="disabled")
    shared_account(gone)
    spend(gone, MICRO)

    unknown, disabled = gives(to="nobody-here"), gives(to="gone")

    assert (unknown.status_code, disabled.status_code) == (404, 404)
    assert unknown.json == disabled.json
    assert pool_of(giver).balance == 2 * MICRO


def test_a_silenced_giver_is_refused_but_may_receive(giver, receiver, sign_in):
    receiver.state = "silenced"
    db.session.commit()
    body = {"model_group": "m", "units": "0.5"}

    assert sign_in(giver).post(GIFTS, json={**body, "to": "receiver"}).status_code == 201
    refused = sign_in(receiver).post(GIFTS, json={**body, "to": "giver"})

    assert (refused.status_code, refused.json["error_code"]) == (403, "ACCOUNT_SILENCED")


def test_a_disabled_giver_and_a_stranger_are_refused(client, giver, receiver, sign_in):
    hers = sign_in(giver)
    giver.state = "disabled"
    db.session.commit()
    body = {"to": "receiver", "model_group": "m", "units": "0.5"}

    assert (hers.post(GIFTS, json=body).status_code, client.post(GIFTS, json=body).status_code) == (403, 401)


def test_nobody_gives_more_than_is_free(gives, giver):
    spend(giver, 1_200_000)
    pool = pool_of(giver)
    pool.reserved = 500_000
    db.session.commit()

    answer = gives(units="0.3001")

    assert (answer.status_code, answer.json["error_code"]) == (409, "NOT_ENOUGH_QUOTA")
    assert answer.json["available"] == "0.3000"
    assert gives(units="0.3").status_code == 201


def test_nobody_gives_from_a_pool_she_does_not_have(gives):
    answer = gives(model_group="n")

    assert (answer.status_code, answer.json["available"]) == (409, "0.0000")


def test_a_gift_never_lifts_the_receiver_over_her_capacity(gives, receiver, sign_in):
    other = factories.user(username="other")
    shared_account(other)
    spend(other, 300_000)

    answer = gives(to="other")

    assert (answer.status_code, answer.json["error_code"], answer.json["fits"]) == (409, "DOES_NOT_FIT", "0.3000")
    assert gives(to="other", units="0.3").status_code == 201
    assert pool_of(other).balance == pool_of(other).capacity


def test_who_shares_nothing_for_the_model_has_no_room_and_gets_no_pool(gives, giver):
    factories.user(username="newcomer")

    answer = gives(to="newcomer")

    assert (answer.status_code, answer.json["fits"]) == (409, "0.0000")
    assert len(rows("quota_pools")) == 2
    assert pool_of(giver).balance == 2 * MICRO


def test_due_hours_are_paid_before_the_gift_is_weighed(gives, giver, receiver):
    spend(giver, 2 * MICRO)
    pool = pool_of(giver)
    pool.refilled_through -= timedelta(hours=2)
    db.session.commit()

    assert gives(units="0.8").status_code == 201
    assert [entry["kind"] for entry in rows("ledger_entries") if entry["pool_id"] == pool.id][-2:] == [
        "refill",
        "gift",
    ]


def test_a_day_has_a_limit_for_each_model_group(gives, giver, receiver):
    shared_account(giver, "n")
    shared_account(receiver, "n")
    spend(receiver, MICRO, "n")
    assert gives(units="0.7").status_code == 201

    answer = gives(units="0.3001")

    assert (answer.status_code, answer.json["error_code"]) == (429, "GIFT_LIMIT_REACHED")
    assert (answer.json["left_today"], answer.json["daily_limit"]) == ("0.3000", "1.0000")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs((tomorrow - datetime.now(UTC)).total_seconds() - int(answer.headers["Retry-After"])) < 30
    assert gives(units="0.3").status_code == 201
    assert gives(units="1", model_group="n").status_code == 201


def test_more_than_a_days_limit_is_refused_without_a_time_to_try_again(gives):
    answer = gives(units="1.0001")

    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)


def test_the_limit_is_whole_again_after_midnight(gives, giver, receiver):
    midnight = func.date_trunc("day", func.now(), "UTC")
    assert gives(units="1").status_code == 201
    backdate("gift", midnight)
    assert gives(units="0.0001").status_code == 429

    backdate("gift", midnight - timedelta(microseconds=1))

    assert gives(units="1").json["left_today"] == "0.0000"


def test_what_one_receives_is_not_what_one_gives(gives, giver, receiver, sign_in):
    assert gives(units="1").status_code == 201

    back = sign_in(receiver).post(GIFTS, json={"to": "giver", "model_group": "m", "units": "1"})

    assert (back.status_code, back.json["left_today"]) == (201, "0.0000")
    assert (pool_of(giver).balance, pool_of(receiver).balance) == (2 * MICRO, 0)


def test_without_a_limit_nobody_gives(gives, giver, with_settings):
    with with_settings(gift_daily_limit=0):
        answer = gives(units="0.0001")

    assert (answer.status_code, answer.json["error_code"]) == (403, "GIFTS_OFF")
    assert pool_of(giver).balance == 2 * MICRO


def test_a_pool_in_debt_neither_gives_nor_receives(gives, giver, receiver, sign_in):
    second = shared_account(giver)
    spend(giver, 3 * MICRO)
    ledger.shrink(second.id)
    db.session.commit()
    assert pool_of(giver).owed == MICRO

    out = gives(units="0.1")
    rich = factories.user(username="rich")
    shared_account(rich)
    into = sign_in(rich).post(GIFTS, json={"to": "giver", "model_group": "m", "units": "0.1"})

    assert (out.status_code, out.json["error_code"], out.json["owed"]) == (409, "QUOTA_OWED", "1.0000")
    assert (into.status_code, into.json["error_code"]) == (409, "QUOTA_OWED")
    assert "owed" not in into.json  # what others owe is their affair
    assert proof.verify() == []


def test_giving_everything_away_and_withdrawing_leaves_a_debt(gives, giver, receiver):
    (account_id,) = {entry["account_id"] for entry in rows("ledger_entries") if entry["pool_id"] == pool_of(giver).id}
    gives(units="1")

    ledger.shrink(account_id)
    db.session.commit()

    assert (pool_of(giver).balance, pool_of(giver).owed) == (0, MICRO)
    assert proof.verify() == []


def run_at_once(app, *acts):
    """Run each act in a thread, a session and a transaction of its own; return the refusals."""
    barrier, refused, broken = threading.Barrier(len(acts)), [], []

    def run(act):
        with app.app_context():
            barrier.wait()
            try:
                act()
            except ServiceError as error:
                refused.append(type(error))
            except Exception as error:  # noqa: BLE001 - a deadlock, say: the test fails on it
                broken.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    return refused


def test_gifts_in_both_directions_at_once_never_wait_for_each_other(committed, app):
    users = [factories.user(username=name) for name in ("ann", "bob")]
    for user in users:
        for _ in range(2):
            shared_account(user)
        spend(user, 2 * MICRO)

    def keeps_giving(giver_id, to):
        def act():
            for _ in range(25):
                gifts.give(giver_id, to, "m", 1000, note=None, daily_limit=100 * MICRO)
                db.session.commit()

        return act

    there, back = keeps_giving(users[0].id, "bob"), keeps_giving(users[1].id, "ann")
    refused = run_at_once(app, there, back, there, back)

    assert refused == []
    assert [pool_of(user).balance for user in users] == [2 * MICRO, 2 * MICRO]
    assert len([entry for entry in rows("ledger_entries") if entry["kind"] == "gift"]) == 200
    assert proof.verify() == []


def test_of_many_gifts_at_once_the_days_limit_lets_exactly_as_many_through_as_fit(committed, app):
    giver, bob, col = (factories.user(username=name) for name in ("ann", "bob", "col"))
    for user in (giver, bob, col):
        shared_account(user)
    for user in (bob, col):
        spend(user, 2 * MICRO)
    giver_id = giver.id

    def gives_to(name):
        def act():
            gifts.give(giver_id, name, "m", 200_000, note=None, daily_limit=MICRO)
            db.session.commit()

        return act

    refused = run_at_once(app, *[gives_to(name) for name in ("bob", "col") * 4])

    assert refused == [GiftLimitReached] * 3
    given = [entry["amount"] for entry in rows("ledger_entries") if entry["kind"] == "gift" and entry["amount"] < 0]
    assert sum(given) == -MICRO
    assert proof.verify() == []
