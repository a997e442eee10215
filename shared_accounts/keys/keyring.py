"""Keys for tools: issued once, shown once, recognised by fingerprint.

The last six characters are a checksum of the rest, so a typing error or a made-up string is refused without a
query. Only letters and digits are used: a double click selects the whole key, a secret scanner can name it.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, literal_column, select

from shared_accounts import crypto
from shared_accounts.errors import InvalidApiKey, NotFound, Unprocessable
from shared_accounts.extensions import db, statements
from shared_accounts.keys.models import ApiKey
from shared_accounts.users import standing
from shared_accounts.users.models import User
from shared_accounts.users.roster import Caller

_PREFIX = "sk-"
_BODY_LENGTH, _CHECKSUM_LENGTH = 58, 6
_PREVIEW_LENGTH = 8
_ALPHABET = string.digits + string.ascii_letters
_FORMAT = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)

# Not a join: a plan made while the tables are small would begin with the five trust levels.
_PER_MINUTE = "(select requests_per_minute from trust_levels where level = person.trust_level)"

CALLER = """
caller as materialized (
    select person.id as user_id, person.state, person.prefer_shared, person.use_only_dedicated,
        held.id as api_key_id, {per_minute} as requests_per_minute
    from api_keys held join users person on person.id = held.user_id
    where held.fingerprint = {key} and held.is_active and (held.expires_at is null or held.expires_at > now())
    union all
    select person.id, person.state, person.prefer_shared, person.use_only_dedicated, null::bigint,
        {per_minute}
    from sessions join users person on person.id = sessions.user_id
    where sessions.id = {session} and sessions.revoked_at is null and sessions.expires_at > now())""".replace(
    "{per_minute}", _PER_MINUTE
)
"""Whose key or session this is, whatever her state; no row when the credential is not good (any more)."""

KNOWN = f"with {CALLER} select * from caller"

_LAST_USED: ColumnElement[datetime | None] = literal_column(
    "(select max(opened_at) from usage_log where api_key_id = api_keys.id)"
)

statements.register("caller_by_key", ["bytea"], KNOWN.format(key="$1", session="null"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as its owner sees it."""

    key: ApiKey
    last_used_at: datetime | None


def issue(user_id: int, name: str, description: str | None, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which nobody can read again; as many as her trust level allows."""
    # Two requests at once would both count one too few; the user's row makes them take turns.
    db.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    most = standing.allowance(user_id).max_keys
    if _count(user_id) >= most:
        raise Unprocessable(f"You may have {most} keys and have them already; delete one first.")
    secret = _new_secret()
    key = ApiKey(
        user_id=user_id,
        fingerprint=crypto.fingerprint(secret),
        preview=f"{secret[:_PREVIEW_LENGTH]}...",
        name=name,
        description=description,
        expires_at=expires_at,
    )
    db.session.add(key)
    db.session.flush()
    return key, secret


def fingerprint_of(secret: str) -> bytes:
    """Return what a key is recognised by; raises `InvalidApiKey` for a string that never was one."""
    if not _FORMAT.fullmatch(secret) or secret[-_CHECKSUM_LENGTH:] != _checksum(secret[:-_CHECKSUM_LENGTH]):
        raise InvalidApiKey
    return crypto.fingerprint(secret)


def authenticate(fingerprint: bytes) -> Caller | None:
    """Return who holds this key, in whatever state she is; None when it is unknown, switched off or expired."""
    row = statements.row("caller_by_key", fingerprint)
    return to_caller(row, fingerprint=fingerprint)


def to_caller(
    row: tuple[Any, ...] | None, *, fingerprint: bytes | None = None, session_id: UUID | None = None
) -> Caller | None:
    """Make a caller of a row of `KNOWN`."""
    if row is None:
        return None
    user_id, state, prefer_shared, use_only_dedicated, api_key_id, per_minute = row
    return Caller(user_id, state, prefer_shared, use_only_dedicated, api_key_id, fingerprint, session_id, per_minute)


def mine(user_id: int, page: int, page_size: int) -> tuple[list[Entry], int]:
    """Return one page of a user's keys, newest first, and how many there are in all."""
    query = _entries(ApiKey.user_id == user_id).order_by(ApiKey.id.desc())
    rows = db.session.execute(query.limit(page_size).offset((page - 1) * page_size))
    return [Entry(*row) for row in rows], _count(user_id)


def get(user_id: int, key_id: int) -> Entry:
    """Return a user's own key; raises `NotFound`, for somebody else's too."""
    row = db.session.execute(_entries(ApiKey.user_id == user_id, ApiKey.id == key_id)).one_or_none()
    if row is None:
        raise NotFound
    return Entry(*row)


def switch(user_id: int, key_id: int, *, on: bool) -> Entry:
    """Switch a key on or off; it bites on the very next request."""
    entry = get(user_id, key_id)
    entry.key.is_active = on
    db.session.flush()
    return entry


def revoke(user_id: int, key_id: int) -> None:
    """Delete a key for good; what it did stays in the usage log."""
    done = db.session.execute(delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id).returning(ApiKey.id))
    if done.first() is None:
        raise NotFound


def _entries(*conditions: ColumnElement[bool]) -> Select[tuple[ApiKey, datetime | None]]:
    return select(ApiKey, _LAST_USED).where(*conditions)


def _count(user_id: int) -> int:
    return db.session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)) or 0


def _new_secret() -> str:
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH))
    return body + _checksum(body)


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
