"""Rows by the million, through ordinary inserts, for databases to measure on.

Whoever is seeded is numbered, and her key follows from her number, so that no secret need be kept.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extras import execute_values

from shared_accounts.config import MICRO
from shared_accounts.crypto import Vault, fingerprint
from shared_accounts.keys import keyring

BALANCE = 1_000_000 * MICRO
_AT_ONCE = 250_000
_BYTES_PER_LINE, _BYTES_PER_MEMBER = 1_400, 1_600
"""A usage line with its ledger entry and reservation, a member with her key and pool; indexes and WAL included."""

_OWNERS = "insert into users (username) select 'owner-' || n from generate_series(%s, %s) n returning id"
_ACCOUNTS = """
    insert into accounts (owner_id, name, base_url, sealed_credential, fingerprint, sharing, models, allowance_tokens,
        window_hours) values %s returning id"""
_SEAL = "update accounts set sealed_credential = seal.it from (values %s) seal (id, it) where accounts.id = seal.id"

_MEMBERS = (
    "create temporary table seed (n bigint, fingerprint bytea, preview text) on commit drop",
    "insert into users (username) select 'member-' || n from seed",
    """create temporary table people on commit drop as
    select users.id, seed.* from seed join users on users.username = 'member-' || n""",
    """insert into api_keys (user_id, fingerprint, preview, name, last_used_at)
    select id, fingerprint, preview, 'bench', now() - interval '1 hour' from people order by n""",
    """insert into quota_pools (user_id, model_group, balance, capacity)
    select people.id, unnest(%(models)s), %(balance)s, %(balance)s from people order by n""",
    """insert into ledger_entries (pool_id, kind, amount, balance_after, note)
    select pool.id, 'correction', balance, balance, 'bench' from people join quota_pools pool on user_id = people.id""",
)

# The id of a usage line begins with its time; the same id stands in the ledger and on the reservation.
_LINES = (
    """create temporary table seed on commit drop as
    select uuidv7(- ago) as id, now() - ago as at, n,
        (select min(id) from quota_pools) + floor(random() * (select count(*) from quota_pools))::bigint as pool_id
    from generate_series(%(first)s, %(last)s) n,
        lateral (select (%(lines)s - n + 1) * interval '90 days' / %(lines)s as ago) age""",
    """insert into reservations (id, pool_id, amount, state) select id, pool_id, 900, 'settled' from seed order by n""",
    """insert into ledger_entries (pool_id, kind, amount, balance_after, at, exchange_id)
    select pool_id, 'spend', 0, balance, at, seed.id from seed join quota_pools pool on pool.id = pool_id order by n""",
    """insert into usage_log (id, user_id, api_key_id, account_id, contributor_id, model, model_group, endpoint, stream,
        worker, state, outcome, basis, estimate, cost, charged, prompt_tokens, completion_tokens, cached_tokens,
        first_byte_ms, total_ms, opened_at, closed_at, lease_until, client_app)
    select seed.id, user_id, (select min(id) from api_keys where api_keys.user_id = pool.user_id),
        1 + n %% 10, 1, 'mock', 'mock', '/v1/chat/completions', n %% 3 = 0, 'seed', 'closed', 'served', 'measured',
        900, 0, 0, 800, 150, 20, 300, 2000 + n %% 1000, at, at, at, 'cli'
    from seed join quota_pools pool on pool.id = pool_id order by n""",
)


def secret(number: int) -> str:
    """Return the API key of a seeded member."""
    body = "sk-" + blake2b(b"%d" % number, digest_size=29).hexdigest()
    return body + keyring._checksum(body)  # noqa: SLF001 - a key without its checksum is refused before the database


def add_accounts(connection: Connection, vault: Vault, numbers: range, *, models: Iterable[str], upstream: str) -> None:
    """Contribute shared accounts with allowance to spare, ten to an owner."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_OWNERS, (numbers.start, numbers.start + (len(numbers) - 1) // 10))
        owners = [one for (one,) in cursor.fetchall()]
        rows = [
            (owners[place // 10], f"bench-{n}", upstream, b"", vault.fingerprint(f"sk-{n}"), "shared", list(models),
             10**12, 5)
            for place, n in enumerate(numbers)
        ]  # fmt: skip
        ids = [one for (one,) in execute_values(cursor, _ACCOUNTS, rows, fetch=True)]
        sealed = [(one, vault.seal(f"sk-{n}", purpose=f"account:{one}")) for one, n in zip(ids, numbers, strict=True)]
        execute_values(cursor, _SEAL, sealed)


def point(connection: Connection, upstream: str) -> None:
    """Let all accounts lead to the upstream of this run."""
    with connection, connection.cursor() as cursor:
        cursor.execute("set local statement_timeout = 0")
        cursor.execute("update accounts set base_url = %s", (upstream,))


def add_members(connection: Connection, numbers: range, *, models: Iterable[str]) -> None:
    """Add members, each with a key, and with a pool of quota to spare for every model."""
    for some in _batches(numbers):
        keys = io.StringIO("".join(f"{n}\t\\\\x{fingerprint(secret(n)).hex()}\t{secret(n)[:8]}...\n" for n in some))
        with connection, connection.cursor() as cursor:
            cursor.execute("set local statement_timeout = 0")
            cursor.execute(_MEMBERS[0])
            cursor.copy_expert("copy seed from stdin", keys)
            for statement in _MEMBERS[1:]:
                cursor.execute(statement, {"models": list(models), "balance": BALANCE})


def add_lines(connection: Connection, numbers: range) -> None:
    """Write closed exchanges of the last ninety days: usage line, ledger entry and settled reservation of each."""
    for some in _batches(numbers):
        with connection, connection.cursor() as cursor:
            cursor.execute("set local statement_timeout = 0")
            for statement in _LINES:
                cursor.execute(statement, {"first": some.start, "last": some.stop - 1, "lines": numbers.stop})


def tidy(connection: Connection) -> None:
    """Leave the tables as after a quiet hour."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("set statement_timeout = 0")
        cursor.execute("vacuum analyze")
        cursor.execute("checkpoint")
    connection.autocommit = False


def check_space(folder: Path, *, lines: int, members: int) -> None:
    """Refuse to fill a disk: half of what is free must remain."""
    needed = lines * _BYTES_PER_LINE + members * _BYTES_PER_MEMBER
    free = shutil.disk_usage(folder).free
    if 2 * needed > free:
        raise SystemExit(
            f"{lines:,} lines and {members:,} members need {needed / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB"
            " free. Ask for fewer: half of it should remain."
        )


def _batches(numbers: range) -> Iterable[range]:
    for first in range(numbers.start, numbers.stop, _AT_ONCE):
        yield range(first, min(first + _AT_ONCE, numbers.stop))
