"""Who calls, and what there is to be called: made anew for each test, so that none spoils another's."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from shared_accounts.auth import tokens
from shared_accounts.auth.models import Identity, Session
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.users import invitations
from shared_accounts.users.models import User
from tests import factories
from tests.upstream import Upstream

_numbers = itertools.count(1)


class Cast:
    """A member with an account, a key, quota and an identity elsewhere; another member; an admin."""

    def __init__(self, upstream: Upstream) -> None:
        self.number = next(_numbers)
        self.model = f"model-{self.number}"
        self.upstream = upstream
        self.member, self.peer = self._somebody("member"), self._somebody("peer")
        self.admin = self._somebody("admin", role="admin")
        self.account = factories.account(
            self.member, models=[self.model], base_url=upstream.url, preset="gemini", allowance_tokens=10**12
        )
        self.key_row, self.key = factories.api_key(self.member)
        factories.quota_pool(self.member, balance=5 * MICRO, model_group=self.model)
        factories.quota_pool(self.peer, balance=5 * MICRO, model_group=self.model)
        self.identity = Identity(user_id=self.member.id, provider="github", subject=f"{self.number}")
        db.session.add(self.identity)
        db.session.commit()

    def _somebody(self, name: str, **more: Any) -> User:
        return factories.user(username=f"{name}-{self.number}", password=factories.PASSWORD, **more)

    def token(self, user: User) -> str:
        """A token of a fresh session."""
        issued = tokens.issue(user, user_agent="tests", address="127.0.0.1")
        db.session.commit()
        return issued.access_token

    def existing(self, path: str) -> dict[str, Any]:
        """What stands for the parameters of a path, so that something is found there."""
        people = self.peer if path.startswith("/api/admin/") else self.member
        return {
            "account_id": self.account.id,
            "cookie_id": str(self.account.id),
            "key_id": self.key_row.id,
            "model_group": self.model,
            "model_name": self.model,
            "model": self.model,
            "name": self.model,
            "provider": "github",
            "identity_id": self.identity.id,
            "invitation_id": self._invitation(),
            "user_id": people.id,
            "session_id": self._session(people),
            "level": 1,
        }

    def said(self) -> dict[str, Any]:
        """What stands for the fields of a body, so that something comes of it."""
        return {
            "model": self.model,
            "model_group": self.model,
            "base_url": self.upstream.url,
            "api_key": f"sk-new-{self.number}",
            "models": [self.model],
            "to": self.peer.username,
            "provider": "acme",
        }

    def certain(self) -> dict[str, Any]:
        """What has to stand for fields of a body, or nothing would come of it."""
        soon = (datetime.now(UTC) + timedelta(days=300)).isoformat()
        return {"base_url": self.upstream.url, "models": [self.model], "preset": "custom", "expires_at": soon}

    def _invitation(self) -> int:
        made, _ = invitations.invite(self.admin.id, max_uses=1, expires_at=None, note=None)
        db.session.commit()
        return made.id

    def _session(self, user: User) -> str:
        self.token(user)
        newest = db.session.query(Session).filter_by(user_id=user.id).order_by(Session.created_at.desc()).first()
        assert newest is not None
        return str(newest.id)
