"""Every screen by name and address: what is looked at in the browser tests, asked for in the page tests, and pictured."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func

from shared_accounts.accounts.models import Account
from shared_accounts.extensions import db
from shared_accounts.keys.models import ApiKey
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.usage.models import UsageLog
from shared_accounts.users.models import Invitation, User


def members() -> dict[str, str]:
    """What anybody sees who is signed in, in the world that `world.settled` makes."""
    key = db.session.query(ApiKey.id).order_by(ApiKey.id).first()[0]
    accounts = [row.id for row in db.session.query(Account.id).order_by(Account.id)]
    return {
        "overview": "/overview",
        "overview-month": "/overview?range=30d",
        "accounts": "/accounts",
        "contribute": "/accounts/new",
        "account": f"/accounts/{accounts[0]}",
        "account-waiting": f"/accounts/{accounts[1]}",
        "account-dedicated": f"/accounts/{accounts[2]}",
        "account-needs-sign-in": f"/accounts/{accounts[3]}",
        "share": f"/accounts/{accounts[2]}/sharing",
        "withdraw": f"/accounts/{accounts[0]}/withdraw",
        "account-credential": f"/accounts/{accounts[0]}/credential",
        "account-models": f"/accounts/{accounts[0]}/models",
        "import": "/accounts/import",
        "keys": "/keys",
        "key-new": "/keys/new",
        "key": f"/keys/{key}",
        "key-rotate": f"/keys/{key}/rotate",
        "key-tools": f"/keys/{key}/tools",
        "key-revoke": f"/keys/{key}/revoke",
        "usage": "/usage?period=7d",
        "usage-filtered": f"/usage?period=30d&key={key}&model=claude-sonnet&outcome=unfinished",
        "usage-of-others": "/usage?whose=others",
        "usage-none": "/usage?day=2020-02-02",
        "usage-charts": "/usage/charts?period=30d&by=account&measure=units",
        "statement": "/usage/statement",
        "statement-print": f"/statements/{datetime.now(UTC):%Y-%m}/print",
        **_exchanges(),
        "playground": "/playground",
        "quota": "/quota",
        "quota-lines": "/quota?view=lines",
        "quota-give": "/quota/give?group=gpt-5",
        "quota-spent": "/quota?group=gpt-5&kind=spend",
        "alerts": "/alerts",
        "profile": "/profile",
        "second-factor": "/profile/second-factor",
    }


def _exchanges() -> dict[str, str]:
    """Return an exchange that was served, one that was not, one on the reader's own account and one of others on it."""
    told = db.session.query(UsageLog).filter(UsageLog.attempts != [], UsageLog.outcome.in_(("served", "failed")))
    return {f"exchange-{_kind(one)}": f"/usage/{one.id}" for one in told}


def _kind(line: UsageLog) -> str:
    if line.user_id == line.contributor_id:
        return "own"
    return str(line.outcome) if line.outcome != "served" or line.api_key_id else "of-others"


def admins() -> dict[str, str]:
    """What admins see besides, in the world that `crowd.gathered` makes."""
    user = db.session.query(User.id).order_by(User.id.desc()).first()[0]
    accounts = [row.id for row in db.session.query(Account.id).order_by(Account.id)]
    pool = db.session.query(QuotaPool.id).filter_by(model_group="gpt-5").order_by(QuotaPool.id).first()[0]
    invitation = db.session.query(Invitation.id).order_by(Invitation.id.desc()).first()[0]
    return {
        "users": "/admin/users",
        "users-none": "/admin/users?search=nobody-is-called-this",
        "user": f"/admin/users/{user}",
        "user-new": "/admin/users/new",
        "user-password": f"/admin/users/{user}/password",
        "invitations": "/admin/invitations",
        "invitation-new": "/admin/invitations/new",
        "invitation-revoke": f"/admin/invitations/{invitation}/revoke",
        "all-accounts": "/admin/accounts",
        "all-accounts-none": "/admin/accounts?state=broken",
        "any-account": f"/admin/accounts/{accounts[0]}",
        "any-account-disabled": f"/admin/accounts/{accounts[-1]}",
        "account-disable": f"/admin/accounts/{accounts[0]}/disable",
        "pools": "/admin/pools",
        "pool": f"/admin/pools/{pool}",
        "pool-correct": f"/admin/pools/{pool}/correct",
        "models": "/admin/models",
        "model-rule": "/admin/models/rule?model=gpt-5",
        "group-alerts": "/admin/alerts",
        "prices": "/admin/prices",
        "price-new": "/admin/prices/new?model=gpt-5",
        "jobs": "/admin/jobs",
        "audit": "/admin/audit",
        "audit-quota": "/admin/audit?act=quota&actor=nobody",
        "settings": "/admin/settings",
        "trust-level": "/admin/settings/trust/2",
        "status": "/admin/status",
    }


def every() -> dict[str, str]:
    """All of them."""
    return {**members(), **admins()}


def strangers() -> dict[str, str]:
    """What stands before the entrance, where people may join and have begun to sign in by two factors."""
    return {
        "sign-in": "/sign-in",
        "sign-in-refused": "/sign-in?error=INVALID_CREDENTIALS&next=/keys",
        "sign-up": "/sign-up",
        "code": "/sign-in/code",
        "nothing": "/nothing",
    }


def newcomers() -> dict[str, str]:
    """What somebody sees who has nothing yet."""
    bare = ("overview", "accounts", "keys", "usage", "usage/charts", "usage/statement", "quota", "playground", "alerts")
    return {f"no-{path}": f"/{path}" for path in (*bare, "quota/give", "profile")}


def answers(upstream: str) -> dict[str, tuple[str, str, dict[str, str | None]]]:
    """What forms lead to that no address leads to: the page, the form's address, and what is sent.

    It takes `acme`, where accounts are contributed by consent, and `linux_do`, where people sign in.
    """
    credential = "sk-upstream-0123456789abcdefghij"
    serves = f"/accounts/{db.session.query(func.min(Account.id)).scalar()}/models"
    offered: dict[str, str | None] = {"preset": "custom", "base_url": upstream, "api_key": credential, "name": "Garden"}
    rows = (
        f"name,base_url,api_key,sharing\nGarden,{upstream},{credential},shared\nAttic,{upstream},sk-it-is-wrong,shared"
    )
    return {
        "contribute-choice": ("/accounts/new", "/accounts/new", offered),
        "contribute-refused": ("/accounts/new", "/accounts/new", {**offered, "base_url": "ftp://x"}),
        "models-effect": (serves, serves, {"models": None}),
        "import-report": ("/accounts/import", "/accounts/import", {"text": rows}),
        "consent-waiting": ("/accounts/consent?provider=acme", "/accounts/consent", {"name": "Seat"}),
        "key-fresh": ("/keys/new", "/keys", {"name": "laptop"}),
        "link": ("/profile", "/profile/identities/linux_do", {}),
        "password-refused": ("/profile", "/profile/password", {"new_password": "1234"}),
        "second-factor-begun": ("/profile/second-factor", "/profile/second-factor", {}),
        "password": ("/admin/users/new", "/admin/users", {"username": "Fresh"}),
        "user-refused": ("/admin/users/new", "/admin/users", {"username": ""}),
        "form-refused": ("/keys/new", "/keys", {"csrf": "of another session"}),
    }


def consents() -> dict[str, str]:
    """What belongs to contributing by consent."""
    return {"consent": "/accounts/consent?provider=acme", "consent-failed": "/accounts/consent/return?state=s&code=c"}


def dialogs() -> dict[str, tuple[str, str]]:
    """Pages that open over another one: where, and by which link."""
    return {
        "dialog-contribute": ("/accounts", "/accounts/new"),
    }
