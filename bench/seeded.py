"""Does choosing an account, opening and closing an exchange cost the same in a full database as in an empty one?

    .venv/bin/python -m bench.seeded [--accounts 10000] [--users 1000] [--entries 1000000] [--rounds 400]

Measures the two prepared statements over one connection, first with one account and one user, then after the tables
have been filled. Times are PostgreSQL's and the round trip's, medians in milliseconds; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import flask_migrate
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text

from shared_accounts import create_app
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.selection import Candidate
from shared_accounts.config import MICRO, load
from shared_accounts.extensions import db, statements
from shared_accounts.gateway import books
from shared_accounts.gateway.attempts import new_id
from shared_accounts.gateway.books import Closing, Opening
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from shared_accounts.quotas.pricing import Rule, Tokens
from shared_accounts.users.roster import Caller
from tests import factories

ROOT = Path(__file__).parent.parent

SEED = [
    "insert into users (username) select 'seed-' || n from generate_series(1, :users) n",
    """insert into api_keys (user_id, fingerprint, preview, name)
    select id, decode(md5(id::text) || md5('x' || id), 'hex'), 'sk-', 'seed' from users where username like 'seed-%'""",
    """insert into quota_pools (user_id, model_group, balance, capacity)
    select id, 'm', 1000000000, 2000000000 from users where username like 'seed-%'""",
    """insert into accounts (owner_id, name, base_url, sealed_credential, fingerprint, sharing, models,
        allowance_tokens, window_hours)
    select (select min(id) from users) + n % :users, 'seed', 'http://127.0.0.1:9/v1', sealed.it,
        decode(md5(n::text), 'hex'), 'shared', array['m', 'model-' || n % 50], 1000000000, 5
    from generate_series(1, :accounts) n, (select sealed_credential as it from accounts limit 1) sealed""",
    """insert into ledger_entries (pool_id, kind, amount, balance_after)
    select (select min(id) from quota_pools) + n % :users, 'correction', 0, 1000000000
    from generate_series(1, :entries) n""",
    """insert into usage_log (id, user_id, account_id, contributor_id, model, model_group, endpoint, stream, worker,
        state, outcome, basis, estimate, cost, opened_at, closed_at, lease_until)
    select gen_random_uuid(), n % :users, 1 + n % :accounts, 1, 'm', 'm', '/v1/chat/completions', false, 'seed',
        'closed', 'served', 'measured', 1, 1, now() - n * interval '1 second', now(), now()
    from generate_series(1, :entries) n""",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("accounts", 10_000), ("users", 1000), ("entries", 1_000_000), ("rounds", 400)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = Postgres(Path(folder, "postgres"), free_port()), Redis(Path(folder, "redis"), free_port())
        try:
            postgres.start()
            redis.start()
            create_database(postgres.url("postgres"), "seeded")
            run(wanted, postgres.url("seeded"), redis.url())
        finally:
            redis.stop()
            postgres.destroy()


def run(wanted: argparse.Namespace, database_url: str, redis_url: str) -> None:
    """Measure, fill, and measure again."""
    app = create_app(load(_environment(database_url, redis_url)))
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        account, caller = prepare()
        small = measure(app, account, caller, wanted.rounds)
        filling = time.perf_counter()
        sizes = {"accounts": wanted.accounts, "users": wanted.users, "entries": wanted.entries}
        for statement in SEED:
            db.session.execute(text("set local statement_timeout = 0"))
            db.session.execute(text(statement), {name: n for name, n in sizes.items() if f":{name}" in statement})
            db.session.commit()
        print(f"filled in {time.perf_counter() - filling:.0f} s: {sizes}")
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("set statement_timeout = 0")
            connection.exec_driver_sql("vacuum analyze")
        large = measure(app, account, caller, wanted.rounds)
    for name, before in small.items():
        after = large[name]
        print(f"{name:<28} {before:7.3f} ms empty   {after:7.3f} ms full   {after / before:5.2f} x")


def prepare() -> tuple[Account, Caller]:
    """Make one account and one caller with quota."""
    account = factories.account(factories.user(), allowance_tokens=10**12)
    user = factories.user()
    key, _ = factories.api_key(user)
    factories.quota_pool(user, balance=1000 * MICRO)
    return account, Caller(user.id, "active", False, False, key.id, key.fingerprint, None)


def measure(app: Flask, account: Account, caller: Caller, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each step."""
    candidate = Candidate(account.id, account.owner_id, "shared", None, b"", app.extensions["vault"], 0, 0.0)  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {"recognise the caller": [], "open": [], "close": []}
    for _ in range(rounds):
        opening = Opening(
            id=new_id(), caller=caller, model="m", rule=Rule("m", "m", 1_000_000), estimate=100, endpoint="/v1/chat/completions",
            stream=False, worker="bench", lease_seconds=90,
        )  # fmt: skip
        moments = [time.perf_counter()]
        statements.row("caller_by_key", caller.fingerprint)
        moments.append(time.perf_counter())
        assert books.open_line(opening, candidate) == books.OPEN
        moments.append(time.perf_counter())
        assert books.close_line(opening.id, Closing("served", "measured", cost=50, tokens=Tokens(10, 10)))
        moments.append(time.perf_counter())
        for name, start, end in zip(seconds, moments, moments[1:], strict=False):
            seconds[name].append(end - start)
    supply = app.extensions["gateway"].supply
    seconds["read the supply (each 2 s)"] = []
    for _ in range(5):
        supply.forget("m")
        start = time.perf_counter()
        supply.serving("m")
        seconds["read the supply (each 2 s)"].append(time.perf_counter() - start)
    seconds["pick from it, no database"] = []
    for _ in range(rounds):
        start = time.perf_counter()
        next(supply.candidates(caller, "m"))
        seconds["pick from it, no database"].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(taken) for name, taken in seconds.items()}


def _environment(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "APP_ENV": "development",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "bench" * 10,
        "JWT_SECRET_KEY": "seeded" * 10,
        "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
    }


if __name__ == "__main__":
    main()
