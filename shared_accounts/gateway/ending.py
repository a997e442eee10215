"""What an exchange comes to: how it ended, on what basis it is billed, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from shared_accounts.gateway.books import Closing, Opening
from shared_accounts.gateway.voices import Words
from shared_accounts.quotas import pricing
from shared_accounts.quotas.pricing import Tokens

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange


LAST_WORDS = {
    "broken": Words("The upstream broke off.", "upstream_error"),
    "timed_out": Words("The upstream fell silent for too long.", "upstream_timeout"),
    "interrupted": Words("The server is restarting; send the request again.", "server_restarting"),
    "withdrawn": Words("The account that answered was withdrawn; send the request again.", "account_withdrawn"),
    "outgrown": Words("Your quota holds no longer answer than this.", "insufficient_quota", "insufficient_quota"),
}
"""By the cause of the end."""
_OUTCOMES = {"withdrawn": "interrupted"}
"""Causes that are a kind of another outcome; the error's code tells them apart."""


@dataclass(slots=True)
class Timing:
    """When an exchange began, and when its upstream's first byte came."""

    started: float = field(default_factory=monotonic)
    first_byte: float | None = None

    def milliseconds(self, moment: float | None) -> int | None:
        """Return how long after the beginning a moment was."""
        return None if moment is None else round((moment - self.started) * 1000)


def closing(exchange: Exchange, opening: Opening) -> Closing:
    """State an exchange's end in the terms of the books."""
    cause = exchange.outcome if exchange.outcome == "served" else exchange.cause or exchange.outcome
    outcome = _OUTCOMES.get(cause, cause)
    left = outcome == "client_left"  # nobody heard what we may have answered
    basis, tokens = _bill(exchange, outcome)
    price = opening.price
    return Closing(
        outcome=outcome,
        basis=basis,
        cost=pricing.cost(tokens, opening.rule) if tokens else 0,
        http_status=None if left else exchange.status,
        error_code=None if left else exchange.error_code or _code(cause),
        tokens=tokens,
        attempts=exchange.attempts,
        passed_over=exchange.passed_over or None,
        flag=_flag(exchange, basis),
        first_byte_ms=exchange.timing.milliseconds(exchange.timing.first_byte),
        total_ms=exchange.timing.milliseconds(monotonic()),
        price_id=price.id if tokens and price else None,
        money=price.of(tokens.prompt, tokens.completion, tokens.cached) if tokens and price else None,
    )


def _code(cause: str) -> str | None:
    """Return the code of last words that nobody stayed to hear."""
    return LAST_WORDS[cause].code if cause in LAST_WORDS else None


def _flag(exchange: Exchange, basis: str) -> str | None:
    if exchange.meter.unbelieved and basis != "measured":
        return "usage not believed"
    return "heard out after the client had left" if exchange.drained else None


def _bill(exchange: Exchange, outcome: str) -> tuple[str, Tokens | None]:
    """Tell what was consumed and how we know; an answer that never began costs nothing unless its client left it."""
    if outcome == "failed" or not exchange.sent or not (exchange.serving or outcome == "client_left"):
        return "released", None
    said, estimate = exchange.meter.tokens, exchange.meter.completion_estimate()
    if said and exchange.meter.usage_is_final:
        return "measured", said
    # A running total says what was consumed up to it, and never too much.
    tokens = Tokens(said.prompt, max(said.completion, estimate), said.cached) if said else None
    basis = "estimated" if outcome == "served" else "partial"
    return basis, tokens or Tokens(exchange.call.prompt_tokens, estimate)
