"""Why nobody served: what the refusals of several accounts, or none, mean to the one who asked."""

from __future__ import annotations

import math
from http import HTTPStatus

from shared_accounts.errors import (
    InvalidApiKey,
    ModelNotFound,
    NoAccountAvailable,
    NotSignedIn,
    QuotaExhausted,
    ServiceError,
    TooManyRequests,
    UserDisabled,
    UserSilenced,
)
from shared_accounts.gateway import upstream
from shared_accounts.gateway.books import Opening
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.quotas import forecast
from shared_accounts.users.roster import Caller


class UpstreamLimited(NoAccountAvailable):
    """Every account that could serve was refused for its own limits upstream."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "UPSTREAM_LIMITED"
    message = "Every account for this model is at its upstream's limit."
    openai_type = "rate_limit_error"
    openai_code = "upstream_limited"


class UpstreamFailed(NoAccountAvailable):
    """Every account was tried and its upstream failed."""

    status = HTTPStatus.BAD_GATEWAY
    code = "UPSTREAM_FAILED"
    message = "The upstream failed to answer."
    openai_code = "upstream_error"


class UpstreamTimeout(UpstreamFailed):
    """Every account was tried and none answered in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "UPSTREAM_TIMEOUT"
    message = "The upstream did not answer in time."


class CallersFault(ServiceError):
    """The upstream refused the request itself; its words go back as they are, if they are an error's."""

    message = "The upstream refused the request."

    def __init__(self, refused: UpstreamRefused) -> None:
        super().__init__()
        self.status = HTTPStatus(refused.status or HTTPStatus.BAD_REQUEST)
        self.code = "UPSTREAM_REFUSED"
        self.body = refused.body if upstream.parsed(refused.body) else None


class Interrupted(ServiceError):
    """This worker is about to stop; the next one will serve."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "SERVER_RESTARTING"
    message = "The server is restarting; send the request again."
    openai_type = "server_error"
    openai_code = "server_restarting"


def denied(gateway: Gateway, caller: Caller, verdict: str) -> ServiceError:
    """Return why the books refused to open the exchange; whoever was remembered as welcome is forgotten."""
    if verdict == "closed":  # our lease ran out, and the reaper was quicker
        return UpstreamTimeout(retry_after=1)
    if verdict == "busy":
        return TooManyRequests("You have as many requests under way as your trust level allows.", retry_after=1)
    gateway.callers.forget(caller.fingerprint or caller.session_id)
    if verdict == "disabled":
        return UserDisabled()
    if verdict == "silenced":
        return UserSilenced()
    return InvalidApiKey() if caller.fingerprint else NotSignedIn()


def cut_short(cause: str | None) -> ServiceError | None:
    """Return what to say when the exchange was ended from outside before anybody served, if it was."""
    if cause is None:
        return None
    return Interrupted(retry_after=1) if cause == "interrupted" else UpstreamTimeout(retry_after=1)


def explained(gateway: Gateway, opening: Opening, refusals: list[UpstreamRefused], *, short: bool) -> ServiceError:
    """Return why nobody served, and when this very request would."""
    if short:
        shortage = forecast.shortage(opening.caller.user_id, opening.rule.group, opening.estimate)
        return QuotaExhausted(shortage.message, retry_after=shortage.seconds, details={"quota": shortage.details})
    if refusals and all(one.kind == upstream.LIMIT for one in refusals):
        waits = [one.retry_after for one in refusals if one.retry_after is not None]
        return UpstreamLimited(retry_after=math.ceil(min(waits, default=gateway.settings.cooldown_seconds)))
    wait = gateway.supply.cooling_for(opening.caller, opening.model)
    retry_after = math.ceil(wait or 1)
    if refusals:
        timed_out = all(one.timed_out for one in refusals)
        return UpstreamTimeout(retry_after=retry_after) if timed_out else UpstreamFailed(retry_after=retry_after)
    return ModelNotFound() if wait is None else NoAccountAvailable(retry_after=retry_after)
