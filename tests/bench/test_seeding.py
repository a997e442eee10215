"""What the bench seeds by the million must be what the service would have written, whatever its tables have become."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import func, select, text

from bench import seeding
from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.quotas import proof
from shared_accounts.usage.models import UsageLog

MODELS = ("m", "n")


@pytest.fixture
def connection(committed, postgres):
    with closing(psycopg2.connect(postgres.url())) as made:
        yield made


@pytest.fixture
def seeded(app, connection):
    vault = app.extensions["vault"]
    seeding.add_accounts(connection, vault, range(1, 13), models=MODELS, upstream="http://127.0.0.1:9/v1")
    seeding.add_members(connection, range(1, 4), models=MODELS)
    seeding.add_lines(connection, range(1, 21))
    return connection


def test_a_seeded_members_key_is_good(seeded):
    caller = keyring.authenticate(keyring.fingerprint_of(seeding.secret(2)))

    assert caller is not None
    assert caller.state == "active"


def test_a_seeded_accounts_credential_opens_and_ten_have_one_owner(app, seeded):
    made = list(db.session.scalars(select(Account).order_by(Account.id)))

    assert [app.extensions["vault"].unseal(one.sealed_credential, purpose=f"account:{one.id}") for one in made] == [
        f"sk-{n}" for n in range(1, 13)
    ]
    assert len({one.owner_id for one in made}) == 2
    assert made[0].owner_id == made[9].owner_id


def test_books_of_seeded_exchanges_are_right(seeded):
    assert db.session.scalar(select(func.count()).select_from(UsageLog)) == 20
    assert proof.verify() == []


def test_the_id_of_a_seeded_line_begins_with_its_time(seeded):
    apart = db.session.scalars(
        text("select extract(epoch from uuid_extract_timestamp(id) - opened_at) from usage_log order by id")
    ).all()

    assert all(abs(seconds) < 60 for seconds in apart)


def test_accounts_can_be_pointed_elsewhere(seeded):
    seeding.point(seeded, "http://127.0.0.1:10/v1")

    assert set(db.session.scalars(select(Account.base_url))) == {"http://127.0.0.1:10/v1"}
