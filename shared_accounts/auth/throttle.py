"""How often somebody may try: guesses at passwords and codes, and what strangers may begin.

Counted before the attempt is made, so that parallel guesses all count, and taken back unless it was wrong.
Redis keeps the counts, so they survive a restart; while it is away each worker counts for itself. No name lies
in Redis, and every spelling of a name counts as one.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import current_app, g, request
from limits import RateLimitItemPerMinute
from redis import RedisError

from shared_accounts.crypto import fingerprint
from shared_accounts.errors import InvalidCredentials
from shared_accounts.extensions import limiter
from shared_accounts.requests_in import settings

log = logging.getLogger(__name__)

_CHAT = "chat"


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


def chats_left(user_id: int, per_minute: int) -> tuple[int, float]:
    """Return how many chats of this minute a user has left, and when it ends, in Unix seconds; nothing is counted.

    Raises `RedisError` while Redis is away.
    """
    ends, left = limiter.limiter.get_window_stats(
        RateLimitItemPerMinute(per_minute), current_app.config["RATELIMIT_KEY_PREFIX"], str(user_id), _CHAT
    )
    return left, ends


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


@limiter.shared_limit(lambda: f"{g.chatting[1]} per minute", scope=_CHAT, key_func=lambda: str(g.chatting[0]))
def _count_chat() -> None:
    """Raise `RateLimitExceeded` when there were too many."""
