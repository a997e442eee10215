"""/api/accounts: contribute upstream accounts, and stay their owner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import current_app, g
from sqlalchemy import func, select

from shared_accounts import live_settings
from shared_accounts.accounts import contribution, probe, windows
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.probe import Proof
from shared_accounts.accounts.schemas import AccountChange, AccountSchema, ContributedSchema, NewAccount
from shared_accounts.accounts.trial import Trial, Tried
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.config import Settings
from shared_accounts.crypto import Vault
from shared_accounts.extensions import db, limiter
from shared_accounts.json_bodies import Door
from shared_accounts.outbound.addresses import Guard, Target
from shared_accounts.requests_in import settings as startup_settings
from shared_accounts.users import standing

blp = Door("accounts", __name__, url_prefix="/api/accounts", description="Contributed upstream accounts")


@blp.post("")
@signed_in
@blp.arguments(NewAccount)
@blp.response(201, ContributedSchema)
@blp.refuses(400, 401, 403, 409, 422, 429)
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Contribute an account; it enters the pool once its upstream has accepted the credential.

    With a `preset` the base URL may be left out. Share only what your provider's terms allow you to share.
    """
    refuse_silenced()
    if body["sharing"] == "shared":
        standing.refuse_sharing(g.person.id)
    count_probes(1)
    settings = settings_now()
    target = guard().parse(body["base_url"])
    proof = proved(target, body["api_key"], body.get("models"), body.get("preset"))
    account = bring(body, proof.claimed(body.get("models")), settings)
    db.session.commit()
    return {**shown([account])[0], "discovered_models": proof.models}


@blp.get("")
@signed_in
@blp.response(200, AccountSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(401, 403)
def listing(pagination_parameters: Any) -> list[dict[str, Any]]:
    """List the caller's accounts, newest first."""
    mine = (Account.owner_id == g.person.id) & (Account.state != "withdrawn")
    pagination_parameters.item_count = db.session.query(Account).filter(mine).count()
    query = select(Account).where(mine).order_by(Account.id.desc())
    page = query.offset(pagination_parameters.first_item).limit(pagination_parameters.page_size)
    return shown(list(db.session.scalars(page)))


@blp.get("/<int:account_id>")
@signed_in
@blp.response(200, AccountSchema)
@blp.refuses(401, 403, 404)
def show(account_id: int) -> dict[str, Any]:
    """Show one of the caller's accounts."""
    return shown([contribution.mine(g.person.id, account_id)])[0]


@blp.patch("/<int:account_id>")
@signed_in
@blp.arguments(AccountChange)
@blp.response(200, AccountSchema)
@blp.refuses(400, 401, 403, 404, 422)
def change(body: dict[str, Any], account_id: int) -> dict[str, Any]:
    """Change an account; the quota it earns follows. `paused: false` brings it back into service."""
    refuse_silenced()
    prove_again(contribution.mine(g.person.id, account_id), body)
    account = contribution.mine(g.person.id, account_id)
    if body.get("sharing") == "shared" != account.sharing:
        standing.refuse_sharing(g.person.id)
    contribution.change(account, body, settings_now())
    trail.record("account.changed", on=g.person.id, target=f"account:{account_id}", fields=sorted(body))
    db.session.commit()
    return shown([account])[0]


def bring(body: dict[str, Any], models: list[str], settings: Settings) -> Account:
    """Contribute what was asked for and has been proved, and leave word of it; the caller commits."""
    account = contribution.contribute(g.person.id, offered(body, models, settings), vault=vault(), settings=settings)
    account.preset, account.probed_at = body.get("preset"), func.now()
    trail.record("account.contributed", on=g.person.id, target=f"account:{account.id}", sharing=account.sharing)
    return account


def offered(body: dict[str, Any], models: list[str], settings: Settings) -> contribution.Offer:
    """Return what was asked for as the account it would be."""
    return contribution.Offer(
        name=body["name"],
        base_url=body["base_url"].rstrip("/"),
        target=guard().parse(body["base_url"]),
        credential=body["api_key"],
        sharing=body["sharing"],
        models=models,
        allowance_tokens=body.get("allowance_tokens", settings.reference_allowance_tokens),
        window_hours=body["window_hours"],
        max_concurrency=body["max_concurrency"],
    )


def proved(target: Target, credential: str, models: list[str] | None, preset: str | None) -> Proof:
    """Ask the upstream; raises `Unprocessable` when it does not accept the credential."""
    db.session.rollback()  # no connection is held while the upstream takes its time
    return probe.prove(current_app.extensions["wire"], target, credential, models or [], preset=preset)


def tried(account: Account, models: list[str] | None = None) -> Tried:
    """Try an account's credential for these models, or for one of its; what the caller had locked is free meanwhile."""
    parts = current_app.extensions
    return Trial(parts["wire"], parts["guard"], vault(), parts["gateway"].refresher).run(account.id, models)


def count_probes(cost: int) -> None:
    """Count what somebody has upstreams asked for, lest stolen keys be tried here; raises `RateLimitExceeded`."""
    g.probes = cost
    _count()


@limiter.shared_limit(
    lambda: startup_settings().visit_limit,
    scope="probe",
    key_func=lambda: str(g.person.id),
    cost=lambda: int(g.probes),
)
def _count() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


def settings_now() -> Settings:
    """Return the settings in force."""
    return live_settings.current(startup_settings())


def guard() -> Guard:
    """Return who decides where we may connect to."""
    found: Guard = current_app.extensions["guard"]
    return found


def prove_again(account: Account, body: dict[str, Any]) -> None:
    """Ask the upstream again when new models are claimed or a refused credential is said to work."""
    claims_more = set(body.get("models", ())) - set(account.models)
    comes_back = body.get("paused") is False and account.state in {"needs_sign_in", "broken"}
    if not claims_more and not comes_back:
        return
    models = body.get("models", account.models)
    shown = tried(account, models)
    db.session.commit()  # a consent that has ended has, whatever else is asked for
    if shown.refusal:
        raise shown.refusal
    shown.proof.claimed(models)


def _state(account: Account) -> str:
    is_cooling = account.cooling_until is not None and account.cooling_until > datetime.now(UTC)
    return "cooling" if account.state == "active" and is_cooling else account.state


def shown(accounts: list[Account]) -> list[dict[str, Any]]:
    """Return the caller's accounts as she sees them, with their windows."""
    used = windows.current(accounts, reference=settings_now().reference_allowance_tokens)
    names = [name for name in AccountSchema._declared_fields if name not in {"windows", "owner"}]  # noqa: SLF001
    return [
        {
            **{name: getattr(one, name) for name in names},
            "owner": g.person.username,
            "windows": used[one.id],
            "state": _state(one),
        }
        for one in accounts
    ]


def vault() -> Vault:
    """Return what seals credentials."""
    found: Vault = current_app.extensions["vault"]
    return found
