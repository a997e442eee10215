"""How often somebody may try: guesses at passwords and codes, what strangers may begin, and the pace of a key.

Counted before the attempt is made, so that parallel guesses all count, and taken back unless it was wrong.
Redis keeps the counts, so they survive a restart; while it is away each worker counts for itself. No name lies
in Redis, and every spelling of a name counts as one.
"""

from __future__ import annotations

import logging
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from flask import Response, after_this_request, g, request
from flask_limiter import RateLimitExceeded
from limits.strategies import RateLimiter
from redis import RedisError

from shared_accounts.crypto import fingerprint
from shared_accounts.errors import InvalidCredentials, TooManyRequests
from shared_accounts.extensions import limiter
from shared_accounts.requests_in import settings

log = logging.getLogger(__name__)

_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """The tokens that a request under way may take, counted until its minute is over."""

    tokens: int
    _limit: Any
    _place: tuple[str, ...]
    _counter: RateLimiter
    _until: int

    def settle(self, taken: int) -> None:
        """Count what was taken instead; needs no request. After that minute there is nothing to correct."""
        # A second early: to take something back from the next minute would allow too much in it.
        if taken != self.tokens and time.time() < self._until - 1:
            with suppress(RedisError):
                self._counter.hit(self._limit, *self._place, cost=taken - self.tokens)


@contextmanager
def guessing(username: str) -> Iterator[None]:
    """Count a guess at the password of a name, unless `InvalidCredentials` does not come out of the block."""
    g.attempted = fingerprint(unicodedata.normalize("NFKC", username).casefold()).hex()
    with _taken_back_unless_wrong(_count_password):
        yield


@contextmanager
def guessing_code(user_id: int) -> Iterator[None]:
    """Count a guess at the second factor of a user likewise, from wherever it comes."""
    g.attempted = str(user_id)
    with _taken_back_unless_wrong(_count_code):
        yield


def visit() -> None:
    """Count something a stranger begins; raises `RateLimitExceeded` when her address began too much."""
    _count_visit()


def chat(user_id: int, per_minute: int) -> None:
    """Count a chat against what a trust level allows; raises `RateLimitExceeded`."""
    g.chatting = user_id, per_minute
    _count_chat()


def key_request(key_id: int, per_minute: int) -> None:
    """Count a request of a key; raises `TooManyRequests` when it has made as many in a minute as it may."""
    g.paced = key_id, per_minute, 1
    _pace(_count_key_request, "requests")


def key_tokens(key_id: int, per_minute: int, tokens: int) -> Counted:
    """Count what a request of a key may take; raises `TooManyRequests`, and counts nothing, when that is too much."""
    if tokens > per_minute:
        message = f"This request may take {tokens} tokens, and the key may take {per_minute} a minute."
        raise TooManyRequests(message, limit={"name": "tokens_per_minute", "limit": per_minute, "needed": tokens})
    g.paced = key_id, per_minute, tokens
    counter, used, until = _pace(_count_key_tokens, "tokens")
    return Counted(tokens, used.limit, tuple(used.request_args), counter, until)


def _pace(count: Callable[[], None], what: str) -> tuple[RateLimiter, Any, int]:
    """Count, and tell in the answer how the limit stands; a refused request's tokens are taken back."""
    _, per_minute, cost = g.paced
    refused = False
    try:
        count()
    except RateLimitExceeded:
        refused = True
    counter, used = limiter.limiter, limiter.current_limits[-1]
    try:
        if refused and cost > 1:
            counter.hit(used.limit, *used.request_args, cost=-cost)
        left, until = used.remaining, used.reset_at
    except RedisError:  # it has gone since
        left, until = 0, int(time.time()) + _A_MINUTE
    seconds = max(1, until - int(time.time()))
    _tell({"limit": str(per_minute), "remaining": str(left), "reset": f"{seconds}s"}, what)
    if refused:
        about = {"name": f"{what}_per_minute", "limit": per_minute, "remaining": left, "needed": cost}
        message = f"The key may take {per_minute} {what} a minute, and {left} are left of this one."
        raise TooManyRequests(message, retry_after=seconds, limit=about)
    return counter, used, until


def _tell(figures: dict[str, str], what: str) -> None:
    """Put a limit's figures on the answer, whatever it is, by the names OpenAI gave them."""

    @after_this_request
    def add(response: Response) -> Response:
        response.headers.update({f"x-ratelimit-{name}-{what}": value for name, value in figures.items()})
        return response


@contextmanager
def _taken_back_unless_wrong(count: Callable[[], None]) -> Iterator[None]:
    count()
    counted = list(limiter.current_limits)
    wrong = False
    try:
        yield
    except InvalidCredentials:
        wrong = True
        log.warning("sign-in refused", extra={"attempted": g.attempted, "address": request.remote_addr})
        raise
    finally:
        if not wrong:
            _take_back(counted)


def _take_back(counted: list[Any]) -> None:
    try:
        for used in counted:
            limiter.limiter.hit(used.limit, *used.request_args, cost=-1)
    except RedisError:
        log.warning("an attempt could not be taken back; it counts as a wrong one")


@limiter.shared_limit(
    lambda: settings().login_limit_per_address, scope="address", key_func=lambda: str(request.remote_addr)
)
@limiter.shared_limit(lambda: settings().login_limit_per_account, scope="name", key_func=lambda: str(g.attempted))
@limiter.shared_limit(
    lambda: settings().login_limit, scope="guess", key_func=lambda: f"{g.attempted}:{request.remote_addr}"
)
def _count_password() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


@limiter.shared_limit(lambda: settings().login_limit_per_account, scope="code-all", key_func=lambda: str(g.attempted))
@limiter.shared_limit(lambda: settings().login_limit, scope="code", key_func=lambda: str(g.attempted))
def _count_code() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


@limiter.shared_limit(lambda: settings().visit_limit, scope="visit", key_func=lambda: str(request.remote_addr))
def _count_visit() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


@limiter.shared_limit(lambda: f"{g.chatting[1]} per minute", scope="chat", key_func=lambda: str(g.chatting[0]))
def _count_chat() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


@limiter.shared_limit(
    lambda: f"{g.paced[1]} per minute", scope="key-requests", key_func=lambda: str(g.paced[0]), cost=lambda: g.paced[2]
)
def _count_key_request() -> None:
    """Raise `RateLimitExceeded` when there were too many."""


@limiter.shared_limit(
    lambda: f"{g.paced[1]} per minute", scope="key-tokens", key_func=lambda: str(g.paced[0]), cost=lambda: g.paced[2]
)
def _count_key_tokens() -> None:
    """Raise `RateLimitExceeded` when there were too many."""
