"""Find an account that serves: open, try, and on a refusal try the next, until the first byte.

The reservation stays with the exchange while it moves from account to account, so however many accounts are
tried there is one reservation, one line and one charge.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.gateway import books, consequences, reading, upstream, verdicts
from shared_accounts.gateway.chat import ChatRequest
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.outbound.wire import Unreachable
from shared_accounts.quotas import forecast, pricing
from shared_accounts.users.roster import Caller

_UNAVAILABLE = "unavailable: "
_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)


def open_exchange(gateway: Gateway, caller: Caller, chat: ChatRequest, endpoint: str, client: object) -> Exchange:
    """Return an exchange whose upstream has begun to answer; raises a `ServiceError` when nobody serves.

    Nothing stays reserved when it raises.
    """
    rule = gateway.rules.of(chat.model)
    chat = chat.asking_for(rule.model)
    opening = _opening(gateway, caller, chat, rule, endpoint)
    exchange = Exchange(gateway, opening, chat)
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


def _opening(gateway: Gateway, caller: Caller, chat: ChatRequest, rule: pricing.Rule, endpoint: str) -> books.Opening:
    tokens = pricing.Tokens(chat.prompt_tokens, chat.most_completion_tokens)
    return books.Opening(
        id=new_id(),
        caller=caller,
        model=chat.model,
        rule=rule,
        estimate=pricing.cost(tokens, rule),
        endpoint=endpoint,
        stream=chat.stream,
        worker=gateway.worker,
        lease_seconds=gateway.settings.lease_seconds,
    )


def _attempt_all(gateway: Gateway, opening: books.Opening, exchange: Exchange) -> None:
    refusals: list[UpstreamRefused] = []
    short = False
    for candidate in _candidates(gateway, opening, exchange):
        if exchange.cause or len(refusals) >= gateway.settings.max_attempts:
            break
        if short and candidate.owner_id != opening.caller.user_id:
            exchange.pass_over(candidate, "your quota does not hold it")
            continue
        verdict = _open(exchange, opening, candidate)
        if verdict == "short":
            short = True
            exchange.pass_over(candidate, "your quota does not hold it")
        elif verdict.startswith(_UNAVAILABLE):
            exchange.pass_over(candidate, verdict.removeprefix(_UNAVAILABLE))
            gateway.supply.forget(opening.model)
        elif verdict == books.OPEN:
            refused = _attempt(gateway, exchange, candidate, opening)
            if refused is None:
                return
            refusals.append(refused)
        else:
            raise verdicts.denied(gateway, opening.caller, verdict)
    raise verdicts.cut_short(exchange.cause) or verdicts.explained(gateway, opening, refusals, short=short)


def _candidates(gateway: Gateway, opening: books.Opening, exchange: Exchange) -> Iterator[Candidate]:
    """Yield who could serve; after the last one whoever the list, which may be old, has not named yet."""
    seen: set[int] = set()
    supply, caller, conversation = gateway.supply, opening.caller, exchange.chat.conversation

    def cooling(candidate: Candidate) -> None:
        exchange.pass_over(candidate, "it is cooling down")

    for candidate in supply.candidates(caller, opening.model, conversation, cooling):
        seen.add(candidate.id)
        yield candidate
    if not seen:
        supply.forget(opening.model)
    yield from (one for one in supply.candidates(caller, opening.model, conversation) if one.id not in seen)


def _open(exchange: Exchange, opening: books.Opening, candidate: Candidate) -> str:
    before, exchange.opened = exchange.opened, True  # what becomes of a statement that is cut off is not known
    verdict = books.open_line(opening, candidate)
    if verdict == "short":
        refilled = forecast.refill_now(opening.caller.user_id, opening.rule.group)
        db.session.commit()  # no transaction stays open while an upstream takes its time
        if refilled:
            verdict = books.open_line(opening, candidate)
    exchange.opened = before or verdict == books.OPEN
    return verdict


def _attempt(
    gateway: Gateway, exchange: Exchange, candidate: Candidate, opening: books.Opening, *, renewed: bool = False
) -> UpstreamRefused | None:
    """Try one account; returns its refusal, or nothing when it serves. A caller's own fault is raised.

    One that is refused its token is tried once more if a fresh one can be had.
    """
    gateway.take(exchange, candidate)
    started = time.monotonic()
    try:
        _begin(gateway, exchange, candidate)
    except UpstreamRefused as refused:
        gateway.release(exchange)
        exchange.note(candidate, refused.reason, started)
        if exchange.cause is None:
            exchange.sent = False
            fresh = None if renewed else consequences.renewed(gateway, opening, candidate, refused)
            if fresh is not None:
                return _attempt(gateway, exchange, fresh, opening, renewed=True)
            consequences.blame(gateway, exchange, candidate, refused)
        return refused
    exchange.serving = True
    exchange.note(candidate, "served", started)
    consequences.believe(gateway, exchange, candidate)
    return None


def _begin(gateway: Gateway, exchange: Exchange, candidate: Candidate) -> None:
    """Send, and read until it is certain that the upstream serves: a first event, or the whole JSON answer."""
    try:
        exchange.answer = upstream.send(gateway.wire, candidate, exchange.chat, hold=exchange.hold)
        error = reading.first_events(exchange) if exchange.chat.stream else reading.whole(exchange)
    except Unreachable as broken:
        raise upstream.unreachable(broken, late=exchange.late) from broken
    if error:
        exchange.answer.close()
        raise error
