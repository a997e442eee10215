"""Find an account that serves: open, try, and on a refusal try the next, until the first byte.

The reservation stays with the exchange while it moves from account to account, so however many accounts are
tried there is one reservation, one line and one charge.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.gateway import books, consequences, key_limits, lacking, reading, upstream, verdicts
from shared_accounts.gateway.calls import Call, Sender
from shared_accounts.gateway.exchange import Exchange
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.gateway.wording import understands
from shared_accounts.outbound.wire import Unreachable
from shared_accounts.quotas import forecast, pricing
from shared_accounts.users.roster import Caller

_SERVED, _UNAVAILABLE = "served", "unavailable: "
_BUSY = f"{_UNAVAILABLE}it is busy"
_SHORT = "your quota does not hold it"
_PAUSES = (0.02, 0.05, 0.1, 0.2)
_RANDOM_BITS = (0xFFF << 64) | ((1 << 62) - 1)


def open_exchange(gateway: Gateway, caller: Caller, call: Call, sender: Sender, *, exchange_id: str = "") -> Exchange:
    """Return an exchange whose upstream has begun to answer; raises a `ServiceError` when nobody serves.

    Nothing stays reserved when it raises. Whoever has to know its id before brings one, made by `new_id`.
    """
    rule = gateway.rules.of(call.model)
    call = call.asking_for(rule.model)
    opening = _opening(gateway, caller, call, rule, sender, exchange_id or new_id())
    exchange = Exchange(gateway, opening, call)
    exchange.watch_client(sender.connection)
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


def _opening(  # noqa: PLR0917 - each of them is a fact of the exchange
    gateway: Gateway, caller: Caller, call: Call, rule: pricing.Rule, sender: Sender, exchange_id: str
) -> books.Opening:
    tokens = pricing.Tokens(call.prompt_tokens, call.most_completion_tokens)
    return books.Opening(
        id=exchange_id,
        caller=caller,
        model=call.model,
        rule=rule,
        estimate=pricing.cost(tokens, rule),
        endpoint=sender.endpoint,
        stream=call.stream,
        worker=gateway.worker,
        lease_seconds=gateway.settings.lease_seconds,
        client_app=sender.app,
        price=gateway.prices.of(call.model),
    )


def _attempt_all(gateway: Gateway, opening: books.Opening, exchange: Exchange) -> None:
    """Go round until somebody serves; while all that is missing is a free slot, a little longer.

    An account's last exchange may still be settling when its client already sends the next.
    """
    refusals: list[UpstreamRefused] = []
    for pause in (*_PAUSES, None):
        exchange.passed_over.clear()
        verdict = _go_round(gateway, opening, exchange, refusals)
        if verdict == _SERVED:
            return
        if verdict != _BUSY or pause is None or refusals or exchange.cause:
            break
        time.sleep(pause)
    if error := verdicts.cut_short(exchange.cause):
        raise error
    raise lacking.explained(gateway, opening, exchange, refusals, short=verdict == "short")


def _go_round(
    gateway: Gateway, opening: books.Opening, exchange: Exchange, refusals: list[UpstreamRefused]
) -> str | None:
    """Try one after the other; returns `served`, `short` (of quota), `busy` when somebody only lacks a slot."""
    seen: set[str] = set()
    for candidate in _candidates(gateway, opening, exchange):
        if exchange.cause or len(refusals) >= gateway.settings.max_attempts:
            break
        if "short" in seen and candidate.owner_id != opening.caller.user_id:
            exchange.pass_over(candidate, _SHORT)
            continue
        verdict = _open(exchange, opening, candidate)
        seen.add(verdict)
        if verdict == "short":
            exchange.pass_over(candidate, _SHORT)
        elif verdict.startswith(_UNAVAILABLE):
            exchange.pass_over(candidate, verdict.removeprefix(_UNAVAILABLE))
            gateway.supply.forget(opening.model)
        elif verdict == books.OPEN:
            refused = _attempt(gateway, exchange, candidate, opening)
            if refused is None:
                return _SERVED
            if refused.kind != upstream.GONE:
                refusals.append(refused)
        else:
            raise key_limits.refused(gateway, opening, verdict) or verdicts.denied(gateway, opening.caller, verdict)
    return next((verdict for verdict in ("short", _BUSY) if verdict in seen), None)


def _candidates(gateway: Gateway, opening: books.Opening, exchange: Exchange) -> Iterator[Candidate]:
    """Yield who could serve; after the last one whoever the list, which may be old, has not named yet."""
    seen: set[int] = set()
    supply, caller, conversation = gateway.supply, opening.caller, exchange.call.conversation
    note = partial(exchange.pass_over, why="it is cooling down")
    for candidate in supply.candidates(caller, opening.model, conversation, note):
        seen.add(candidate.id)
        if understands(candidate, exchange.call):
            yield candidate
        else:
            exchange.pass_over(candidate, "its upstream does not speak this")
    if not seen:
        supply.forget(opening.model)
    for candidate in supply.candidates(replace(caller, has_accounts=True), opening.model, conversation):
        if candidate.id not in seen and understands(candidate, exchange.call):
            yield candidate


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
            if refused.kind != upstream.LACKS:
                consequences.blame(gateway, exchange, candidate, refused)
        return refused
    exchange.serving = True
    exchange.note(candidate, "served", started)
    consequences.believe(gateway, exchange, candidate)
    return None


def _begin(gateway: Gateway, exchange: Exchange, candidate: Candidate) -> None:
    """Send, and read until it is certain that the upstream serves: a first event, or the whole answer."""
    try:
        exchange.answer = upstream.send(gateway.wire, candidate, exchange.call, hold=exchange.hold)
        error = reading.first_events(exchange) if exchange.call.stream else reading.whole(exchange)
    except Unreachable as broken:
        raise upstream.unreachable(broken, lost=exchange.lost) from broken
    if error:
        exchange.answer.close()
        raise error
