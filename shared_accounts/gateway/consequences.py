"""What an attempt means for its account: a rest, a strike, the end of its service, or a fresh token.

Invariant: a caller's own bad request is never held against an account, and neither is a token provider that is away.
"""

from __future__ import annotations

from shared_accounts.accounts import standing
from shared_accounts.accounts.selection import Candidate
from shared_accounts.extensions import db
from shared_accounts.gateway import books, hints, upstream, verdicts
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused


def renewed(
    gateway: Gateway, opening: books.Opening, candidate: Candidate, refused: UpstreamRefused
) -> Candidate | None:
    """Return the account with a fresh token, where that helps; a provider that is away is no verdict on it."""
    if refused.kind != upstream.CREDENTIAL:
        return None
    outcome = gateway.refresher.refresh_now(candidate.id, refused=candidate.credential)
    db.session.commit()
    if outcome:
        gateway.supply.forget(opening.model)
        return gateway.supply.again(candidate, opening.model)
    if not outcome.is_verdict:
        refused.kind = upstream.FAULT
    return None


def believe(gateway: Gateway, exchange: Exchange, candidate: Candidate) -> None:
    """Let an account rest whose upstream says, while it serves, that this was the last it had."""
    if exchange.answer is None or candidate.strikes:
        return
    wait = hints.exhausted(exchange.answer.header, exchange.answer.info())
    if wait is not None:
        reason = "its upstream has nothing left"
        standing.cool(candidate.id, seconds=wait, default=wait, reason=reason, exchange_id=exchange.id)
        gateway.supply.forget(exchange.call.model)


def blame(gateway: Gateway, exchange: Exchange, candidate: Candidate, refused: UpstreamRefused) -> None:
    """Hold a refusal against the account, as its kind deserves; the caller's own fault is raised as such."""
    if refused.kind == upstream.CALLER:
        raise verdicts.CallersFault(refused)
    default = gateway.settings.cooldown_seconds
    if refused.kind == upstream.CREDENTIAL:
        reason = f"the upstream {refused.reason}"
        standing.take_out(candidate.id, "needs_sign_in", reason, exchange_id=exchange.id)
        db.session.commit()
    elif refused.kind == upstream.LIMIT:
        seconds = refused.retry_after
        standing.cool(candidate.id, seconds=seconds, default=default, reason=refused.reason, exchange_id=exchange.id)
    elif refused.kind != upstream.GONE:
        standing.strike(candidate.id, default=default, reason=refused.reason, exchange_id=exchange.id)
    gateway.supply.forget(exchange.call.model)
