from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from shared_accounts.errors import Conflict, NotFound, TrustTooLow
from shared_accounts.extensions import db
from shared_accounts.users import roster, standing
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows


def acts():
    return [row["act"] for row in rows("audit_log")]


@pytest.mark.parametrize(
    ("state", "act"), [("silenced", "user.silenced"), ("disabled", "user.disabled"), ("active", "user.restored")]
)
def test_a_state_is_set_by_hand_and_written_down_once(session, state, act):
    user = factories.user()

    standing.set_state(user, state)
    standing.set_state(user, state)
    session.commit()

    assert (user.state, user.state_by_hand) == (state, True)
    assert acts() == [act]


@pytest.mark.parametrize("leave", [{"role": "user"}, {"state": "silenced"}, {"state": "disabled"}])
@pytest.mark.parametrize("others", [[], ["silenced"], ["disabled"], ["silenced", "disabled"]])
def test_the_last_active_admin_cannot_leave(session, leave, others):
    admin = factories.admin()
    for state in others:
        factories.admin(state=state)

    with pytest.raises(Conflict):
        _change(admin, **leave)
    session.rollback()

    assert (admin.role, admin.state) == ("admin", "active")
    assert acts() == []


@pytest.mark.parametrize("leave", [{"role": "user"}, {"state": "silenced"}, {"state": "disabled"}])
def test_one_of_two_active_admins_may_leave(session, leave):
    admin, _ = factories.admin(), factories.admin()

    _change(admin, **leave)

    assert (admin.role, admin.state) != ("admin", "active")


def test_an_admin_who_is_out_already_may_be_made_a_user(session):
    factories.admin()
    out = factories.admin(state="disabled")

    standing.set_role(out, "user")

    assert out.role == "user"


def test_what_is_decided_is_decided_on_her_as_she_is_now(app, committed):
    """Whoever was made an admin after this transaction had read her is the last one all the same."""
    user_id = factories.user().id
    user = roster.get(user_id)
    with app.app_context(), db.engine.begin() as elsewhere:
        elsewhere.execute(db.text("update users set role = 'admin'"))
    assert user.role == "user"

    with pytest.raises(Conflict):
        standing.set_state(user, "disabled")


@pytest.mark.parametrize("leave", [{"role": "user"}, {"state": "disabled"}])
def test_of_many_admins_who_leave_at_once_one_stays(app, committed, leave):
    ids = [factories.admin().id for _ in range(6)]
    committed.rollback()
    together = Barrier(len(ids))

    def go(user_id: int) -> bool:
        with app.app_context():
            user = roster.get(user_id)
            together.wait()
            try:
                _change(user, **leave)
            except Conflict:
                return False
            db.session.commit()
            return True

    with ThreadPoolExecutor(len(ids)) as threads:
        left = list(threads.map(go, ids))

    assert left.count(False) == 1
    assert [row["id"] for row in rows("users") if (row["role"], row["state"]) == ("admin", "active")] == [
        ids[left.index(False)]
    ]


def test_a_trust_level_is_set_by_hand_and_written_down_once(session):
    user = factories.user()

    standing.set_trust(user, 3)
    standing.set_trust(user, 3)
    session.commit()

    assert (user.trust_level, user.trust_by_hand) == (3, True)
    assert acts() == ["user.trust_set"]


def test_a_provider_is_followed_where_no_admin_decided(session):
    user = factories.user()

    standing.follow(user, trust_level=2, silenced=True)

    assert (user.trust_level, user.state, user.trust_by_hand, user.state_by_hand) == (2, "silenced", False, False)

    standing.follow(user, trust_level=None, silenced=False)

    assert (user.trust_level, user.state) == (2, "active")


def test_what_an_admin_decided_no_provider_undoes_until_it_may(session):
    user = factories.user()
    standing.set_trust(user, 1)
    standing.set_state(user, "active")

    standing.follow(user, trust_level=4, silenced=True)
    assert (user.trust_level, user.state) == (1, "active")

    standing.let_provider_decide(user, state=True, trust=True)
    standing.follow(user, trust_level=4, silenced=True)
    assert (user.trust_level, user.state) == (4, "silenced")


def test_no_provider_enables_anybody_or_silences_an_admin(session):
    disabled, admin = factories.user(state="disabled"), factories.admin()

    for user in (disabled, admin):
        standing.follow(user, trust_level=2, silenced=user is admin)

    assert (disabled.state, admin.state) == ("disabled", "active")
    assert (disabled.trust_level, admin.trust_level) == (2, 2)


def test_a_provider_is_let_decide_again_in_words_that_stand_in_the_log(session):
    user = factories.user(state_by_hand=True)

    standing.let_provider_decide(user, state=True, trust=True)
    standing.let_provider_decide(user, state=True, trust=True)
    session.commit()

    (entry,) = rows("audit_log")
    assert (entry["act"], entry["details"]) == ("user.follows_provider", {"state": True, "trust": False})


def test_a_trust_level_says_who_may_share(session):
    newcomer, regular = factories.user(), factories.user(trust_level=1)
    standing.change_trust_level(0, {"may_share": False})

    standing.refuse_sharing(regular.id)
    with pytest.raises(TrustTooLow):
        standing.refuse_sharing(newcomer.id)


def test_there_are_no_levels_but_five(session):
    assert [row.level for row in standing.trust_levels()] == [0, 1, 2, 3, 4]
    with pytest.raises(NotFound):
        standing.change_trust_level(5, {"max_keys": 1})


def _change(user: User, *, role: str | None = None, state: str | None = None) -> None:
    if role:
        standing.set_role(user, role)
    if state:
        standing.set_state(user, state)
