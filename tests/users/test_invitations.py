from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users import invitations
from tests import factories
from tests.conftest import rows


def invite(**overrides):
    return invitations.invite(None, **{"max_uses": 1, "expires_at": None, "note": None, **overrides})


def uses():
    return [row["uses"] for row in rows("invitations")]


def test_a_code_lets_in_as_many_as_it_says(session):
    invitation, code = invite(max_uses=2)

    assert [invitations.spend(code), invitations.spend(code)] == [invitation.id, invitation.id]
    with pytest.raises(Unprocessable) as refusal:
        invitations.spend(code)

    assert refusal.value.field == "invitation_code"
    assert uses() == [2]


def test_looking_at_a_code_spends_nothing(session):
    _, code = invite()

    invitations.refuse_useless(code)
    invitations.refuse_useless(code)

    assert uses() == [0]


def test_a_code_that_is_unknown_over_or_revoked_lets_nobody_in_and_they_look_the_same(session):
    _, late = invite(expires_at=factories.ago(seconds=1))
    revoked, ended = invite()
    invitations.revoke(revoked.id)
    said = set()

    for code in ("unknown", "", late, ended, late.swapcase()):
        for use in (invitations.refuse_useless, invitations.spend):
            with pytest.raises(Unprocessable) as refusal:
                use(code)
            said.add((refusal.value.message, refusal.value.field))

    assert len(said) == 1
    assert uses() == [0, 0]


def test_a_code_is_good_until_its_time(session):
    _, code = invite(expires_at=datetime.now(UTC) + timedelta(minutes=1))

    assert invitations.spend(code)


def test_a_refused_sign_up_spends_nothing(session):
    _, code = invite()
    session.commit()

    invitations.spend(code)
    session.rollback()

    assert uses() == [0]


def test_of_many_who_come_with_one_code_at_once_as_many_enter_as_it_says(app, committed):
    _, code = invite(max_uses=3)
    committed.commit()
    together = Barrier(8)

    def come(_: int) -> bool:
        with app.app_context():
            together.wait()
            try:
                invitations.spend(code)
            except Unprocessable:
                return False
            db.session.commit()
            return True

    with ThreadPoolExecutor(8) as threads:
        entered = list(threads.map(come, range(8)))

    assert entered.count(True) == 3
    assert uses() == [3]


def test_the_code_is_not_kept(session):
    _, code = invite(note="for the team")
    session.commit()

    assert code not in repr(rows("invitations")) + repr(rows("audit_log"))


def test_revoking_what_does_not_exist_is_refused(session):
    with pytest.raises(NotFound):
        invitations.revoke(1)
