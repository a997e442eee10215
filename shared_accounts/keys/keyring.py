"""Keys for tools: issued once, shown once, recognised by fingerprint.

The last six characters are a checksum of the rest, so a typing error or a made-up string is refused without a
query. Only letters and digits are used: a double click selects the whole key, a secret scanner can name it.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select

from shared_accounts import crypto
from shared_accounts.errors import DatabaseUnavailable, InvalidApiKey, NotFound, Unprocessable
from shared_accounts.extensions import db, statements
from shared_accounts.group_commit import GroupCommit
from shared_accounts.keys import limits
from shared_accounts.keys.limits import KeyHolder
from shared_accounts.keys.models import ApiKey, ApiKeySpend
from shared_accounts.users import standing
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller

_PREFIX = "sk-"
_BODY_LENGTH, _CHECKSUM_LENGTH = 58, 6
_PREVIEW_LENGTH = 8
_ALPHABET = string.digits + string.ascii_letters
_FORMAT = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)

# SKIP LOCKED: two requests on one key must not queue for a time that nobody reads to the second.
_SEEN = """
update api_keys set last_used_at = now() where id = (
    select id from api_keys where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)
    for no key update skip locked)
returning id"""

statements.register("key_seen", ["bigint"], _SEEN)


def issue(
    user_id: int, name: str, description: str | None, expires_at: datetime | None = None, **laid_down: Any
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which nobody can read again; as many as her trust level allows.

    What is laid down for it from the beginning are columns of `ApiKey`.
    """
    # Two requests at once would both count one too few; the user's row makes them take turns.
    db.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    most = standing.allowance(user_id).max_keys
    if _count(user_id) >= most:
        raise Unprocessable(f"You may have {most} keys and have them already; delete one first.")
    key = ApiKey(user_id=user_id, name=name, description=description, expires_at=expires_at, **laid_down)
    secret = _give_secret(key)
    db.session.add(key)
    db.session.flush()
    return key, secret


def fingerprint_of(secret: str) -> bytes:
    """Return what a key is recognised by; raises `InvalidApiKey` for a string that never was one."""
    if not _FORMAT.fullmatch(secret) or secret[-_CHECKSUM_LENGTH:] != _checksum(secret[:-_CHECKSUM_LENGTH]):
        raise InvalidApiKey
    return crypto.fingerprint(secret)


def authenticate(fingerprint: bytes) -> Caller | None:
    """Return who holds this key, in whatever state she is; None when it is unknown, switched off or expired.

    That the key was used is noted, once a minute at most.
    """
    row = _found.ask(fingerprint)
    if row and row[-1]:
        with suppress(DatabaseUnavailable):
            statements.row("key_seen", row[6])
    return to_caller(row, fingerprint=fingerprint)


def to_caller(
    row: tuple[Any, ...] | None, *, fingerprint: bytes | None = None, session_id: UUID | None = None
) -> Caller | None:
    """Make a caller of a row of `KNOWN`."""
    if not row:
        return None
    user_id, state, prefer_shared, use_only_dedicated, per_minute, has_accounts, api_key_id, *key, _ = row
    credential = (api_key_id, fingerprint, session_id)
    who = (user_id, state, prefer_shared, use_only_dedicated, *credential, per_minute, has_accounts)
    return Caller(*who) if api_key_id is None else KeyHolder(*who, limits.read(*key))


def mine(user_id: int, page: int, page_size: int) -> tuple[list[ApiKey], int]:
    """Return one page of a user's keys, newest first, and how many there are in all."""
    query = select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc())
    rows = db.session.scalars(query.limit(page_size).offset((page - 1) * page_size))
    return list(rows), _count(user_id)


def get(user_id: int, key_id: int, *, to_change: bool = False) -> ApiKey:
    """Return a user's own key, locked if it is to be changed; raises `NotFound`, for somebody else's too."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id)
    if to_change:
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    key = db.session.scalar(query)
    if key is None:
        raise NotFound
    return key


def switch(user_id: int, key_id: int, *, on: bool) -> ApiKey:
    """Switch a key on or off; it bites on the very next request."""
    key = get(user_id, key_id)
    key.is_active = on
    db.session.flush()
    return key


def rotate(user_id: int, key_id: int, grace: timedelta) -> tuple[ApiKey, str]:
    """Give a key another secret and return both; the one it had until now is good for as long as `grace`.

    Only that one: what a still earlier rotation had left over ends at once.
    """
    key = get(user_id, key_id, to_change=True)
    key.former_fingerprint = key.fingerprint if grace else None
    key.former_until = db.session.scalar(select(func.now() + grace)) if grace else None
    secret = _give_secret(key)
    db.session.flush()
    return key, secret


def revoke(user_id: int, key_id: int) -> None:
    """Delete a key for good; what it did stays in the usage log."""
    done = db.session.execute(delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id).returning(ApiKey.id))
    if done.first() is None:
        raise NotFound
    db.session.execute(delete(ApiKeySpend).where(ApiKeySpend.api_key_id == key_id))


def _find(fingerprints: Sequence[bytes]) -> list[tuple[Any, ...]]:
    rows = {place: row for place, *row in statements.rows("callers_by_keys", list(fingerprints))}
    return [tuple(rows.get(place, ())) for place in range(1, len(fingerprints) + 1)]


# Many who come at the same moment are looked up together, as their exchanges are opened.
_found = GroupCommit(lambda fingerprint: _find([fingerprint])[0], _find)


def _count(user_id: int) -> int:
    return db.session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)) or 0


def _give_secret(key: ApiKey) -> str:
    secret = _new_secret()
    key.fingerprint, key.preview = crypto.fingerprint(secret), f"{secret[:_PREVIEW_LENGTH]}..."
    return secret


def _new_secret() -> str:
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH))
    return body + _checksum(body)


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
