from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from flask import current_app

from shared_accounts.auth import tickets
from shared_accounts.extensions import db
from tests.conftest import rows


@pytest.fixture
def vault(session):
    return current_app.extensions["vault"]


def test_a_ticket_is_redeemed_once(vault):
    secret = tickets.issue(vault, "kind", {"user": 7}, seconds=60)

    assert tickets.look_at(vault, "kind", secret) == {"user": 7}
    assert tickets.redeem(vault, "kind", secret) == {"user": 7}
    assert tickets.redeem(vault, "kind", secret) is None
    assert tickets.look_at(vault, "kind", secret) is None


def test_a_ticket_is_good_for_one_purpose(vault):
    secret = tickets.issue(vault, "kind", {"user": 7}, seconds=60)

    assert tickets.redeem(vault, "another kind", secret) is None
    assert tickets.redeem(vault, "kind", secret) == {"user": 7}


def test_a_ticket_has_its_time(vault):
    secret = tickets.issue(vault, "kind", {}, seconds=-1)

    assert tickets.look_at(vault, "kind", secret) is None
    assert tickets.redeem(vault, "kind", secret) is None


def test_who_reads_the_table_can_redeem_nothing(vault):
    secret = tickets.issue(vault, "kind", {"verifier": "do-not-read-this"}, seconds=60)

    kept = str([bytes(row["sealed"]) + bytes(row["fingerprint"]) for row in rows("tickets")])

    assert secret not in kept
    assert "do-not-read-this" not in kept


def test_of_many_who_redeem_one_ticket_at_once_one_gets_it(app, committed):
    vault = app.extensions["vault"]
    secret = tickets.issue(vault, "kind", {"user": 7}, seconds=60)
    db.session.commit()
    together = Barrier(8)

    def redeem(_):
        with app.app_context():
            together.wait()
            found = tickets.redeem(vault, "kind", secret)
            db.session.commit()
            return found

    with ThreadPoolExecutor(8) as threads:
        assert [one for one in threads.map(redeem, range(8)) if one] == [{"user": 7}]


def test_expired_tickets_are_forgotten(vault):
    tickets.issue(vault, "kind", {}, seconds=-1)
    tickets.issue(vault, "kind", {}, seconds=60)

    assert tickets.forget_expired() == 1
    assert len(rows("tickets")) == 1
