"""Passwords: hashed exactly as sent, compared in equal time, never on the event loop.

bcrypt reads 72 bytes and no more, so it is given a digest of the password, keyed with its own salt (a leaked
list of plain SHA-256 sums is no use against it). The tag in front lets scheme and cost move later.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hmac
import os
import string
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import TypeVar

import bcrypt
import gevent
from gevent import monkey
from gevent.threadpool import ThreadPool

from shared_accounts.errors import TooManyRequests, Unprocessable

Result = TypeVar("Result")

ROUNDS = 12

_TAG = "$bcrypt-sha256$v=1"
_SALT_LENGTH = 29  # "$2b$12$" and 22 characters
_MOST_BYTES = 1024
FEWEST_CHARACTERS = 8
_THREADS = 3
_MOST_WAITING = 24  # a queue of about two seconds: more would keep people waiting for a time-out
_OURS = frozenset({"shared_accounts", "shared-accounts", "sharedaccounts", "changeme", "administrator"})

_NOBODY = _TAG + "$2b$12$l63PN6xXuLDdvcdBqOHhHObkS/CtL1tXG7p2iZ/xDVoC0X2EzvYG."
"""What an unknown name is compared with, so that it takes as long as a known one."""

_waiting = BoundedSemaphore(_MOST_WAITING)
_pools: dict[tuple[int, int], ThreadPool] = {}


def hash_password(password: str) -> str:
    """Hash a password for keeping; raises `TooManyRequests` when too many wait already."""
    _refuse_long(password)
    return _aside(lambda: _hash(password, ROUNDS))


def verify(password: str, stored: str | None) -> bool:
    """Tell whether this is the password; takes as long when there is none stored, and is then false."""
    _refuse_long(password)
    known = stored is not None and stored.startswith(_TAG)
    kept = stored if known and stored else _NOBODY
    return _aside(lambda: _matches(password, kept)) and known


def needs_rehash(stored: str) -> bool:
    """Tell whether a hash was made at another cost than today's."""
    return not stored.startswith(f"{_TAG}$2b${ROUNDS}$")


def refuse_weak(password: str, *, username: str, field: str = "password") -> None:
    """Raise `Unprocessable` for a new password that would be guessed; any characters will do."""
    if len(password) < FEWEST_CHARACTERS:
        raise Unprocessable(f"A password has at least {FEWEST_CHARACTERS} characters.", field=field)
    _refuse_long(password)
    if password.casefold() in {username.casefold(), *_OURS} or _is_common(password.casefold()):
        raise Unprocessable("This password is among the first that anybody would try.", field=field)


@functools.cache
def _common() -> frozenset[str]:
    """Return thirty thousand passwords everybody uses, read when the first password is set."""
    # Its import builds tables of a few megabytes, which only whoever sets a password needs.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(FREQUENCY_LISTS["passwords"])


def _is_common(password: str) -> bool:
    return (
        password in _common() or password.rstrip(string.digits + string.punctuation) in _OURS or len(set(password)) == 1
    )


def _refuse_long(password: str) -> None:
    if len(password.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        raise Unprocessable(f"A password has at most {_MOST_BYTES} bytes.", field="password")


def _hash(password: str, rounds: int) -> str:
    salt = bcrypt.gensalt(rounds)
    return _TAG + bcrypt.hashpw(_digest(password, salt), salt).decode()


def _matches(password: str, stored: str) -> bool:
    kept = stored.removeprefix(_TAG).encode()
    return bcrypt.checkpw(_digest(password, kept[:_SALT_LENGTH]), kept)


def _digest(password: str, salt: bytes) -> bytes:
    return base64.b64encode(hmac.digest(salt, password.encode("utf-8", "surrogatepass"), "sha256"))


def _aside(work: Callable[[], Result]) -> Result:
    """Run in a thread under gevent, where a quarter of a second of bcrypt would stop every other request."""
    if not _waiting.acquire(blocking=False):
        raise TooManyRequests("Too many people are signing in at once.", retry_after=2)
    try:
        return _threads().apply(work) if monkey.is_module_patched("threading") else work()
    finally:
        _waiting.release()


def _threads() -> ThreadPool:
    """Return this process's own threads; gevent's default pool also resolves names, and must not queue behind us."""
    hub = gevent.get_hub()
    owner = os.getpid(), id(hub)
    if owner not in _pools:
        _pools[owner] = ThreadPool(_THREADS, hub=hub)
        # A process that ends while bcrypt runs in a thread is aborted by the C library, with a core dump.
        atexit.register(_pools[owner].join)
    return _pools[owner]
