"""/api/accounts: ways to contribute: presets, a credential tried before and after, many accounts at once.

Nothing here holds a connection of the database while upstreams take their time.
"""

from __future__ import annotations

from typing import Any

from flask import current_app, g, request
from sqlalchemy import func

from shared_accounts.accounts import contribution, importing, presets
from shared_accounts.accounts import standing as service
from shared_accounts.accounts.api import bring, count_probes, guard, proved, settings_now, tried
from shared_accounts.accounts.importing import Row
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.presets import Preset
from shared_accounts.accounts.schemas import (
    AcceptedSchema,
    Attempt,
    Import,
    ImportedSchema,
    ImportQuery,
    PresetSchema,
    TestedSchema,
)
from shared_accounts.accounts.trial import Tried
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.config import Settings
from shared_accounts.errors import Conflict, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.users import standing

blp = Door("contributing", __name__, url_prefix="/api/accounts", description="Trying credentials, bringing many")

_ROWS_PER_VISIT = 10
_IMPORT_BODIES = {"application/json": {"schema": Import}, "text/csv": {"schema": {"type": "string"}}}


@blp.get("/presets")
@signed_in
@blp.response(200, PresetSchema(many=True))
def list_presets() -> list[Preset]:
    """List the upstreams that need no base URL, with where to get a key and where the terms of sharing stand."""
    return list(presets.ALL)


@blp.post("/try")
@signed_in
@blp.arguments(Attempt)
@blp.response(200, AcceptedSchema)
@blp.refuses(400, 422, 429)
def try_out(body: dict[str, Any]) -> dict[str, Any]:
    """Try a credential and list what it opens; nothing is kept. It is refused as a contribution would be."""
    refuse_silenced()
    count_probes(1)
    target = guard().parse(body["base_url"])
    proof = proved(target, body["api_key"], body.get("models"), body.get("preset"))
    models = proof.models if proof.lists_models else body["models"]
    return {"ok": True, "models": models, "lists_models": proof.lists_models}


@blp.post("/<int:account_id>/test")
@signed_in
@blp.response(200, TestedSchema)
@blp.refuses(404, 429)
def test(account_id: int) -> dict[str, Any]:
    """Try an account's credential now.

    One that works brings an account that needed it back into service at once; one that is refused takes the account
    out. An upstream that cannot be reached, or says it is at its limit, is no verdict. The token of an account by
    consent is exchanged for a fresh one before it ends, or when the upstream refuses it.
    """
    refuse_silenced()
    count_probes(1)
    shown = tried(contribution.mine(g.person.id, account_id))
    account = contribution.mine(g.person.id, account_id)
    if account.sealed_credential == shown.sealed:  # else it was another credential that was tried
        judge(account, shown)
    refusal = shown.refusal
    trail.record("account.tested", on=g.person.id, target=f"account:{account_id}", ok=refusal is None)
    db.session.commit()
    said = refusal.message if refusal else "The upstream accepts this credential."
    return {"ok": refusal is None, "message": said, "models": shown.proof.models, "state": account.state}


@blp.post("/import")
@signed_in
@blp.arguments(ImportQuery, location="query")
@blp.response(200, ImportedSchema)
@blp.refuses(400, 413, 415, 422, 429)
@blp.doc(requestBody={"required": True, "content": _IMPORT_BODIES})  # type: ignore[untyped-decorator]
def import_accounts(query: dict[str, Any]) -> dict[str, Any]:
    """Contribute up to a hundred accounts, as JSON or as a CSV file whose first row names the columns.

    Every row is imported wholly or refused with its reasons, and stops no other; rows that were imported are refused
    the next time, so a file may be sent again. In a file, models are separated by `;` or `|`.
    """
    refuse_silenced()
    rows, rehearsal = _rows(query["dry_run"])
    judged(rows)
    (rehearse if rehearsal else store)(rows, settings_now())
    return importing.report(rows)


def judged(rows: list[Row]) -> None:
    """Refuse the rows that cannot be imported, after their upstreams were asked; raises `RateLimitExceeded`."""
    importing.judge(rows, guard(), may_share=standing.allowance(g.person.id).may_share)
    count_probes(1 + len(importing.good(rows)) // _ROWS_PER_VISIT)
    db.session.rollback()
    importing.prove(rows, guard(), current_app.extensions["wire"])


def _rows(dry_run: bool) -> tuple[list[Row], bool]:  # noqa: FBT001
    if request.mimetype == "text/csv":
        return importing.read_csv(request.get_data()), dry_run
    body = Door.ARGUMENTS_PARSER.parse(Import, request, location="json")
    return [Row(number, given) for number, given in enumerate(body["accounts"], 1)], body["dry_run"] or dry_run


def store(rows: list[Row], settings: Settings) -> None:
    """Import what is good, row by row; one that is refused now stops no other."""
    for row in importing.good(rows):
        try:
            row.account_id = bring(row.body, row.models, settings).id
            db.session.commit()
        except (Conflict, Unprocessable) as refusal:
            db.session.rollback()
            row.refuse(refusal)
    report = importing.report(rows)
    trail.record("account.imported", on=g.person.id, imported=report["imported"], refused=report["refused"])
    db.session.commit()


def rehearse(rows: list[Row], settings: Settings) -> None:
    """Find what only the database knows, that is, which credentials are here already; and undo it."""
    for row in importing.good(rows):
        try:
            # Dedicated: a credit would lock the owner's pools, for nothing.
            bring({**row.body, "sharing": "dedicated"}, row.models, settings)
        except (Conflict, Unprocessable) as refusal:
            row.refuse(refusal)
    db.session.rollback()


def judge(account: Account, shown: Tried) -> None:
    """Draw the consequences of a test its owner asked for; the caller commits."""
    account.probed_at = func.now()
    db.session.flush()
    if shown.refusal is None and account.state in {"needs_sign_in", "broken"}:
        service.bring_back(account.id, account.state, reason="tested by its owner", actor_id=g.person.id)
    elif shown.is_refused:
        service.take_out(account.id, "needs_sign_in", "the upstream refused the credential", actor_id=g.person.id)
    db.session.refresh(account)
