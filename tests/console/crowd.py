"""The people around somebody in a settled world: in every state, with what they share, and what became of them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from shared_accounts.accounts import standing
from shared_accounts.alerts.models import Alert
from shared_accounts.audit.models import AuditEntry
from shared_accounts.auth.models import Identity, Session
from shared_accounts.extensions import db
from shared_accounts.metrics.models import JobRun
from shared_accounts.money import price_list
from shared_accounts.quotas import rule_changes
from shared_accounts.usage.models import UsageHour
from shared_accounts.users import invitations
from shared_accounts.users.models import User
from tests import factories
from tests.factories import ago

PEOPLE = (
    ("Ola Nordmann", {"state": "disabled", "trust_level": 1, "state_by_hand": True}),
    ("Yuki Tanaka", {"trust_level": 1}),
    ("Pedro Alves", {"state": "silenced", "trust_level": 1, "state_by_hand": True}),
    ("Amara Okafor", {"trust_level": 2}),
    ("陈昊", {"trust_level": 2}),
    ("Jonas Weber", {"trust_level": 3}),
    ("Marta Kovács", {"trust_level": 4, "role": "admin"}),
)
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1) Safari/605.1")


def gathered(admin: User, *, name: str = "", **text: Any) -> None:
    """Let people in, have them share and call, and write down what admins did; `text` replaces what people wrote."""
    people = [_person(f"{one}{name}", fields, number) for number, (one, fields) in enumerate(PEOPLE, 1)]
    note = text.get("note", "for the reading circle")
    for uses, kind in ((3, {}), (1, {"used": 1}), (1, {"revoked": True})):
        _invitation(admin, uses, note, **kind)
    rule_changes.make_alias(text.get("alias", "sonnet"), "claude-sonnet")
    rule_changes.lay_down(text.get("model", "gpt-5-mini"), group="gpt-5", weights=(250, 2000, 25), reference=2_000_000)
    price_list.lay_down(
        "gpt-5", amounts=(1_250_000, 10_000_000, 125_000), currency="USD", since=None, actor_id=admin.id
    )
    _disabled(people[-1], admin, text.get("reason", "its provider asked us to"))
    for act, on, details in (
        ("user.silenced", people[2], {}),
        ("user.disabled", people[0], {}),
        ("quota.corrected", people[3], {"units": "1.5000", "reason": text.get("reason", "made good for Tuesday")}),
        ("user.trust_set", people[5], {"trust_level": 3}),
    ):
        entry = {"actor_id": admin.id, "user_id": on.id, "address": "192.0.2.7", "request_id": "4f1c9a"}
        db.session.add(AuditEntry(act=act, details=details, at=ago(hours=2), **entry))
    for task, outcome, ms in (("refill_quotas", "succeeded", 31), ("probe_accounts", "failed", 50_012)):
        ran = {"last_started": ago(minutes=3), "last_finished": ago(minutes=3), "last_outcome": outcome}
        sums = {"succeeded": 288, "failed": int(outcome == "failed"), "total_ms": 9_000}
        db.session.add(JobRun(task=task, duration_ms=ms, **ran, **sums))
    _alerts()
    db.session.commit()


def _alerts() -> None:
    for kind, details, over in (
        ("ledger_broken", {"problems": 1}, ago(hours=2)),
        ("job_failing", {"job": "probe_accounts", "failures": 3}, None),
    ):
        told = {"kind": kind, "subject": "group", "episode": 1, "details": details}
        db.session.add(Alert(**told, raised_at=ago(hours=3), over_at=over, read_at=over))


def _person(username: str, fields: dict[str, Any], number: int) -> User:
    made = factories.user(username=username, last_login_at=ago(hours=number * 5), **fields)
    subject = {"provider": "linux-do", "subject": f"{made.id}", "name": username.split(maxsplit=1)[0].lower()}
    db.session.add(Identity(user_id=made.id, **subject))
    if made.state != "disabled":
        factories.account(made, name="Workshop", models=("gpt-5", "claude-sonnet"), base_url="https://api.example/v1")
        _sessions(made, number)
        _hour(made, number)
    db.session.commit()
    return made


def _disabled(owner: User, admin: User, reason: str) -> None:
    made = factories.account(owner, name="Night shift", models=("deepseek",), base_url="https://api.example/v1")
    standing.disable(made.id, reason, actor_id=admin.id)


def _sessions(user: User, number: int) -> None:
    for agent in _AGENTS[: 1 + number % 2]:
        used = {"last_seen_at": ago(minutes=number * 41), "expires_at": ago(days=-6), "address": "192.0.2.40"}
        db.session.add(Session(id=uuid4(), user_id=user.id, user_agent=agent, **used))


def _hour(user: User, number: int) -> None:
    sums = dict.fromkeys(
        ("timed", "estimated", "partial", "released", "cached_tokens", "total_ms", "money", "unpriced"), 0
    )
    counts = {"calls": 9, "measured": 9, "prompt_tokens": 9_000, "completion_tokens": 900}
    keys = {"api_key_id": 0, "account_id": 1, "contributor_id": 0, "model": "gpt-5", "client_app": "", "currency": ""}
    spent = {"cost": 1_093_100 * number, "charged": 1_093_100 * number}
    what = {**sums, **counts, **keys, **spent, "endpoint": "chat", "outcome": "served"}
    db.session.add(UsageHour(hour=ago(hours=30), user_id=user.id, **what))


def _invitation(admin: User, uses: int, note: str, *, used: int = 0, revoked: bool = False) -> None:
    made, _ = invitations.invite(admin.id, max_uses=uses, expires_at=None, note=note)
    made.uses = used
    if revoked:
        invitations.revoke(made.id)
