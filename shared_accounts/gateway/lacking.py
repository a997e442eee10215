"""What a caller is told when accounts serve her model, and none of their upstreams offers what she asked for."""

from __future__ import annotations

import math
from time import monotonic

from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import ModelNotFound, NoAccountAvailable, ServiceError
from shared_accounts.gateway import upstream, verdicts
from shared_accounts.gateway.books import Opening
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.gateway.wording import understands


class EndpointNotOffered(ModelNotFound):
    """Somebody serves the model, but nobody at this address."""

    code = "ENDPOINT_NOT_OFFERED"
    message = "No account here offers this endpoint for this model."
    openai_code = "endpoint_not_offered"


def explained(
    gateway: Gateway, opening: Opening, exchange: Exchange, refusals: list[UpstreamRefused], *, short: bool
) -> ServiceError:
    """Return why nobody served: other reasons first, for what is refused or away now may be there later."""
    others = [one for one in refusals if one.kind != upstream.LACKS]
    error = verdicts.explained(gateway, opening, others, short=short)
    if others or short or not (refusals or exchange.call.must_speak) or isinstance(error, ModelNotFound):
        return error
    wait = _wait(gateway, opening, exchange)
    return EndpointNotOffered() if wait is None else NoAccountAvailable(retry_after=wait)


def _wait(gateway: Gateway, opening: Opening, exchange: Exchange) -> int | None:
    """Return the seconds until somebody who was not asked may offer it; nothing when nobody is left to ask."""
    asked = {attempt["account_id"] for attempt in exchange.attempts}
    if len(asked) >= gateway.settings.max_attempts:
        return None
    cooling: list[Candidate] = []
    ready = gateway.supply.candidates(opening.caller, opening.model, None, cooling.append)
    left = [one for one in (*ready, *cooling) if one.id not in asked and understands(one, exchange.call)]
    return max(1, math.ceil(min(one.cooling_until - monotonic() for one in left))) if left else None
