"""Find an account that serves: open, try, and on a refusal try the next, until the first byte.

The reservation stays with the exchange while it moves from account to account, so however many accounts are
tried there is one reservation, one line and one charge.
"""

from __future__ import annotations

import math
import os
import time
from http import HTTPStatus

from shared_accounts.accounts import standing
from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import (
    InvalidApiKey,
    ModelNotFound,
    NoAccountAvailable,
    NotSignedIn,
    QuotaExhausted,
    ServiceError,
    UpstreamFailed,
    UpstreamLimited,
    UpstreamTimeout,
    UserDisabled,
    UserSilenced,
)
from shared_accounts.extensions import db
from shared_accounts.gateway import books, upstream
from shared_accounts.gateway.chat import ChatRequest
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.outbound.wire import Unreachable
from shared_accounts.quotas import forecast, pricing
from shared_accounts.users.roster import Caller

_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)


class CallersFault(ServiceError):
    """The upstream refused the request itself; its words go back as they are."""

    def __init__(self, refused: UpstreamRefused) -> None:
        super().__init__("The upstream refused the request.")
        self.status = HTTPStatus(refused.status or HTTPStatus.BAD_REQUEST)
        self.body = refused.body


def open_exchange(gateway: Gateway, caller: Caller, chat: ChatRequest, endpoint: str, client: object) -> Exchange:
    """Return an exchange whose upstream has begun to answer; raises a `ServiceError` when nobody serves.

    Nothing stays reserved when it raises.
    """
    opening = _opening(gateway, caller, chat, endpoint)
    exchange = Exchange(gateway, opening.id, chat)
    exchange.watch_client(client)
    try:
        _attempt_all(gateway, opening, exchange)
    except ServiceError as error:
        exchange.finish("failed", status=int(error.status), error_code=error.code)
        exchange.close()
        raise
    except BaseException:
        exchange.close()
        raise
    return exchange


def new_id() -> str:
    """Return a time-ordered UUID (RFC 9562, version 7): log rows land beside their neighbours."""
    moment = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10)) & _RANDOM_BITS
    return f"{(moment << 80) | (0x7 << 76) | (0b10 << 62) | random:032x}"


def _opening(gateway: Gateway, caller: Caller, chat: ChatRequest, endpoint: str) -> books.Opening:
    tokens = pricing.Tokens(chat.prompt_tokens, chat.most_completion_tokens)
    return books.Opening(
        id=new_id(),
        caller=caller,
        model=chat.model,
        model_group=pricing.model_group(chat.model),
        estimate=pricing.cost(tokens, gateway.settings.reference_allowance_tokens),
        endpoint=endpoint,
        stream=chat.stream,
        worker=gateway.worker,
        lease_seconds=gateway.settings.lease_seconds,
    )


def _attempt_all(gateway: Gateway, opening: books.Opening, exchange: Exchange) -> None:
    refusals: list[UpstreamRefused] = []
    short = False
    for candidate in gateway.supply.candidates(opening.caller, opening.model):
        if short and candidate.owner_id != opening.caller.user_id:
            continue
        verdict = _open(opening, candidate)
        if verdict == "short":
            short = True
        elif verdict == "unavailable":
            gateway.supply.forget(opening.model)
        elif verdict == books.OPEN:
            refused = _attempt(gateway, exchange, candidate)
            if refused is None:
                return
            refusals.append(refused)
            if len(refusals) >= gateway.settings.max_attempts or exchange.cause:
                break
        else:
            raise _denied(gateway, opening.caller, verdict)
    raise _explain(gateway, opening, refusals, short=short)


def _open(opening: books.Opening, candidate: Candidate) -> str:
    verdict = books.open_line(opening, candidate)
    if verdict == "short" and forecast.refill_now(opening.caller.user_id, opening.model_group):
        db.session.commit()
        verdict = books.open_line(opening, candidate)
    return verdict


def _attempt(gateway: Gateway, exchange: Exchange, candidate: Candidate) -> UpstreamRefused | None:
    """Try one account; returns its refusal, or nothing when it serves. A caller's own fault is raised."""
    gateway.take(candidate)
    started = time.monotonic()
    try:
        _begin(gateway, exchange, candidate)
    except UpstreamRefused as refused:
        gateway.let_go(candidate)
        exchange.note(candidate, refused.reason, started)
        if refused.kind == upstream.CALLER:
            raise CallersFault(refused) from None
        if exchange.cause is None:
            _blame(gateway, exchange.chat.model, candidate, refused)
        return refused
    exchange.candidate = candidate
    exchange.note(candidate, "served", started)
    return None


def _begin(gateway: Gateway, exchange: Exchange, candidate: Candidate) -> None:
    """Send, and read until it is certain that the upstream serves: a first event, or the whole JSON answer."""
    exchange.answer = upstream.send(gateway.wire, candidate, exchange.chat, hold=exchange.hold)
    try:
        error = exchange.read_first_events() if exchange.chat.stream else exchange.read_whole()
    except Unreachable as broken:
        raise upstream.unreachable(broken, late=exchange.late) from broken
    if error:
        exchange.answer.close()
        raise error


def _blame(gateway: Gateway, model: str, candidate: Candidate, refused: UpstreamRefused) -> None:
    default = gateway.settings.cooldown_seconds
    if refused.kind == upstream.CREDENTIAL:
        standing.take_out(candidate.id, "needs_sign_in", f"the upstream {refused.reason}")
        db.session.commit()
    elif refused.kind == upstream.LIMIT:
        standing.cool(candidate.id, seconds=refused.retry_after, default=default, reason=refused.reason)
    else:
        standing.strike(candidate.id, default=default, reason=refused.reason)
    gateway.supply.forget(model)


def _denied(gateway: Gateway, caller: Caller, verdict: str) -> ServiceError:
    gateway.callers.forget(caller.fingerprint or caller.session_id)
    if verdict == "disabled":
        return UserDisabled()
    if verdict == "silenced":
        return UserSilenced()
    return InvalidApiKey() if caller.fingerprint else NotSignedIn()


def _explain(
    gateway: Gateway, opening: books.Opening, refusals: list[UpstreamRefused], *, short: bool
) -> ServiceError:
    if short:
        shortage = forecast.shortage(opening.caller.user_id, opening.model_group, opening.estimate)
        return QuotaExhausted(shortage.message, retry_after=shortage.seconds, details={"quota": shortage.details})
    if refusals and all(one.kind == upstream.LIMIT for one in refusals):
        waits = [one.retry_after for one in refusals if one.retry_after is not None]
        return UpstreamLimited(retry_after=math.ceil(min(waits, default=gateway.settings.cooldown_seconds)))
    if refusals:
        return UpstreamTimeout() if all(one.timed_out for one in refusals) else UpstreamFailed()
    wait = gateway.supply.cooling_for(opening.caller, opening.model)
    return ModelNotFound() if wait is None else NoAccountAvailable(retry_after=math.ceil(wait))
