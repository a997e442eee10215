from __future__ import annotations

import pytest
from sqlalchemy.exc import InternalError

from shared_accounts.audit import trail
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows


@pytest.mark.parametrize(
    "statement", ["update audit_log set act = 'nothing'", "delete from audit_log", "truncate audit_log"]
)
def test_nobody_changes_or_deletes_what_was_written(committed, statement):
    trail.record("user.disabled", on=7)
    committed.commit()
    before = rows("audit_log")

    with pytest.raises(InternalError, match="append-only"):
        committed.execute(db.text(statement))
    committed.rollback()

    assert len(before) == 1
    assert rows("audit_log") == before


def test_an_entry_goes_with_the_act_when_that_is_undone(session):
    trail.record("user.disabled", on=7)
    session.rollback()

    assert rows("audit_log") == []


def test_an_entry_outlives_whom_it_names(session):
    alice = factories.user()
    trail.record("user.disabled", on=alice.id)
    session.delete(alice)
    session.commit()

    assert [row["user_id"] for row in rows("audit_log")] == [alice.id]


def test_outside_a_request_it_was_the_operator(session):
    trail.record("user.disabled", on=7, reason="asked to")
    session.commit()

    (entry,) = rows("audit_log")
    assert (entry["actor_id"], entry["address"], entry["request_id"]) == (None, "operator", None)
    assert entry["details"] == {"reason": "asked to"}
