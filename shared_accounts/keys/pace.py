"""How much a key may do in a minute: requests, and tokens by their estimate until the true number is known.

Redis counts for all workers; while it is away each counts for itself, and asks it again every few seconds. The
counters are not flask-limiter's: once two of its limits were used in one view, asking for either counts both.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError

from shared_accounts.errors import TooManyRequests
from shared_accounts.extensions import limiter
from shared_accounts.requests_in import limits_now

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0

Kind = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one limit of one key is counted."""

    kind: Kind
    key_id: int
    per_minute: int

    def hit(self, counter: FixedWindowRateLimiter, amount: int) -> bool:
        """Count so much more, or less; tells whether it is within the limit."""
        return counter.hit(self._limit, *self._name, cost=amount)

    def left(self, counter: FixedWindowRateLimiter) -> tuple[int, float]:
        """Return how much of the minute's limit is left, and when that minute ends."""
        ends, left = counter.get_window_stats(self._limit, *self._name)
        return left, ends

    @property
    def _limit(self) -> RateLimitItemPerMinute:
        return RateLimitItemPerMinute(self.per_minute, namespace="pace")

    @property
    def _name(self) -> tuple[str, str]:
        return self.kind, str(self.key_id)


@dataclass(frozen=True, slots=True)
class Counted:
    """The tokens that a request under way may take, counted until its minute is over."""

    _tokens: int
    _place: _Place
    _counter: FixedWindowRateLimiter
    _until: float

    def settle(self, taken: int) -> None:
        """Count what was taken instead; after that minute there is nothing to correct. Redis may be away."""
        # A second early: what is taken back from the next minute would allow too much in it.
        if taken != self._tokens and time.time() < self._until - 1:
            with suppress(RedisError):
                self._place.hit(self._counter, taken - self._tokens)


class _Counters:
    """Redis, and this worker alone while that is away."""

    def __init__(self) -> None:
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        self._away_until = 0.0

    def count(self, place: _Place, amount: int) -> tuple[bool, int, float, FixedWindowRateLimiter]:
        """Count; returns whether it fits, what is left, when the minute ends, and who counted.

        What is more than one and does not fit is not counted: smaller requests may still fit.
        """
        if time.monotonic() >= self._away_until:
            try:
                return self._count(FixedWindowRateLimiter(limiter.storage), place, amount)
            except RedisError:
                self._away_until = time.monotonic() + _PAUSE_SECONDS
                log.warning("Redis is away: this worker counts the pace of keys for itself")
        return self._count(self._alone, place, amount)

    def left(self, place: _Place) -> tuple[int, float]:
        """Return what is left of a limit and when the minute ends, and count nothing."""
        if time.monotonic() >= self._away_until:
            with suppress(RedisError):
                return place.left(FixedWindowRateLimiter(limiter.storage))
        return place.left(self._alone)

    def _count(
        self, counter: FixedWindowRateLimiter, place: _Place, amount: int
    ) -> tuple[bool, int, float, FixedWindowRateLimiter]:
        fits = place.hit(counter, amount)
        if not fits and amount > 1:
            place.hit(counter, -amount)
        return (fits, *place.left(counter), counter)


_counters = _Counters()


def left(kind: Kind, key_id: int, per_minute: int) -> tuple[int, float]:
    """Return how much a key may still take of this minute, and when it ends, in Unix seconds; nothing is counted."""
    return _counters.left(_Place(kind, key_id, per_minute))


def count_request(key_id: int, per_minute: int) -> None:
    """Count a request; raises `TooManyRequests` when its key has made as many in a minute as it may."""
    _count(_Place("requests", key_id, per_minute), 1)


def count_tokens(key_id: int, per_minute: int, tokens: int) -> Counted:
    """Count what a request may take; raises `TooManyRequests` when its key may not take so much in this minute."""
    if tokens > per_minute:
        message = f"This request may take {tokens} tokens, and this API key only {per_minute} a minute."
        raise TooManyRequests(message, limit={"name": "tokens_per_minute", "limit": per_minute, "needed": tokens})
    return _count(_Place("tokens", key_id, per_minute), tokens)


def _count(place: _Place, amount: int) -> Counted:
    """Count, and have the answer tell how the limit stands, also if that is a refusal."""
    fits, left, ends, counter = _counters.count(place, amount)
    seconds = max(1, int(ends - time.time()) + 1)
    limits_now(place.kind, limit=place.per_minute, remaining=left, seconds=seconds)
    if not fits:
        message = f"This API key may take {place.per_minute} {place.kind} a minute, and {left} are left of this one."
        facts = {"name": f"{place.kind}_per_minute", "limit": place.per_minute, "remaining": left, "needed": amount}
        raise TooManyRequests(message, retry_after=seconds, limit=facts)
    return Counted(amount, place, counter, ends)
