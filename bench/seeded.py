"""Does choosing an account, opening and closing an exchange cost the same with 10 accounts as with 10,000?

    .venv/bin/python -m bench.seeded [--accounts 10,100,1000,10000] [--entries 1000000] [--rounds 400]

Measures the prepared statements over one connection, with ever more accounts serving one model, and at last with a
full ledger and usage log: medians of what PostgreSQL computes (Linux tells), and of what we wait.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text

from shared_accounts import create_app
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.ring import LOTS
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
RULE = Rule("m", "m", 1_000_000)
USERS = 1000
statements.register("backend", (), "select pg_backend_pid()")

PEOPLE = [
    "insert into users (username) select 'seed-' || n from generate_series(1, :users) n",
    """insert into api_keys (user_id, fingerprint, preview, name)
    select id, decode(md5(id::text) || md5('x' || id), 'hex'), 'sk-', 'seed' from users where username like 'seed-%'""",
    """insert into quota_pools (user_id, model_group, balance, capacity)
    select id, 'm', 1000000000, 2000000000 from users where username like 'seed-%'""",
]
ACCOUNTS = [
    """insert into accounts (owner_id, name, base_url, sealed_credential, fingerprint, sharing, models,
        allowance_tokens, window_hours)
    select (select min(id) from users where username like 'seed-%') + n % :users, 'seed', 'http://127.0.0.1:9/v1',
        sealed.it, decode(md5(n::text), 'hex'), 'shared', array['m', 'model-' || n % 50], 1000000000, 5
    from (select count(*) as there from accounts) counted, generate_series(there + 1, :accounts) n,
        (select sealed_credential as it from accounts limit 1) sealed""",
    """insert into account_windows (account_id, model_group, used, resets_at)
    select id, 'm', id % 1000, now() + interval '1 hour' from accounts on conflict do nothing""",
]
ENTRIES = [
    """insert into ledger_entries (pool_id, kind, amount, balance_after)
    select (select min(id) from quota_pools) + n % :users, 'correction', 0, 1000000000
    from generate_series(1, :entries) n""",
    """insert into usage_log (id, user_id, account_id, contributor_id, model, model_group, endpoint, stream, worker,
        state, outcome, basis, estimate, cost, opened_at, closed_at, lease_until)
    select uuidv7(- n * interval '1 second'), n % :users, 1 + n % 10000, 1, 'm', 'm', '/v1/chat/completions', false,
        'seed', 'closed', 'served', 'measured', 1, 1, now() - n * interval '1 second', now(), now()
    from generate_series(1, :entries) n""",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("accounts", "10,100,1000,10000"), ("entries", 1_000_000), ("rounds", 400)):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        postgres, redis = Postgres(Path(folder, "postgres"), free_port()), Redis(Path(folder, "redis"), free_port())
        ends.callback(postgres.destroy)
        postgres.start()
        ends.callback(redis.stop)
        redis.start()
        create_database(postgres.url("postgres"), "seeded")
        run(wanted, postgres.url("seeded"), redis.url())


def run(wanted: argparse.Namespace, database_url: str, redis_url: str) -> None:
    """Measure, add accounts, measure again; then fill the books, and measure a last time."""
    app = create_app(load(_environment(database_url, redis_url)))
    columns: dict[str, dict[str, tuple[float, ...]]] = {}
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        account, caller = prepare()
        fill(PEOPLE)
        for count in map(int, wanted.accounts.split(",")):
            fill(ACCOUNTS, accounts=count)
            columns[f"{count:,}"] = measure(app, account, caller, wanted.rounds)
        fill(ENTRIES, entries=wanted.entries)
        columns["full books"] = measure(app, account, caller, wanted.rounds)
    print(f"{'ms computed / waited, by accounts':<34}" + "".join(f"{name:>16}" for name in columns))
    for step in next(iter(columns.values())):
        print(f"{step:<34}" + "".join("{:>8.3f} /{:>6.2f}".format(*found[step]) for found in columns.values()))


def prepare() -> tuple[Account, Caller]:
    """Make one account, and one caller with quota and three accounts of her own."""
    account = factories.account(factories.user(), allowance_tokens=10**12)
    user = factories.user()
    for _ in range(3):
        factories.account(user, sharing="dedicated")
    key, _ = factories.api_key(user)
    factories.quota_pool(user, balance=1000 * MICRO)
    caller = Caller(user.id, "active", False, False, key.id, key.fingerprint, None)
    db.session.refresh(account)
    db.session.expunge(account)  # or asking for its id would leave a transaction open while we measure
    return account, caller


def fill(with_these: list[str], **sizes: Any) -> None:
    """Run statements that take their time, and leave the tables as after a quiet hour."""
    for statement in with_these:
        db.session.execute(text("set local statement_timeout = 0"))
        db.session.execute(text(statement), {"users": USERS, **sizes})
        db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("set statement_timeout = 0")
        connection.exec_driver_sql("vacuum analyze")


class Clock:
    """Takes, in milliseconds, what PostgreSQL computes and how long we wait."""

    def __init__(self) -> None:
        (backend,) = statements.row("backend") or ()
        self._computed = Path(f"/proc/{backend}/schedstat")  # nanoseconds, first of three figures
        self.taken: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        computed, started = self._now(), time.perf_counter()
        yield
        waited = 1000 * (time.perf_counter() - started)
        self.taken.setdefault(step, []).append((self._now() - computed, waited))

    def _now(self) -> float:
        return int(self._computed.read_text().split()[0]) / 1_000_000


def measure(app: Flask, account: Account, caller: Caller, rounds: int) -> dict[str, tuple[float, ...]]:
    """Return the medians of each step."""
    clock = Clock()
    for _ in range(rounds):
        exchange(clock, app, account, caller)
        supply(clock, app, caller)
    return {step: tuple(map(statistics.median, zip(*taken, strict=True))) for step, taken in clock.taken.items()}


def exchange(clock: Clock, app: Flask, account: Account, caller: Caller) -> None:
    """The three statements of every exchange."""
    candidate = Candidate(account.id, account.owner_id, "shared", None, b"", app.extensions["vault"], 0, 0.0)  # type: ignore[arg-type]
    opening = Opening(
        id=new_id(), caller=caller, model="m", rule=RULE, estimate=100, endpoint="/v1/chat/completions", stream=False,
        worker="bench", lease_seconds=90,
    )  # fmt: skip
    with clock("recognise the caller"):
        statements.row("caller_by_key", caller.fingerprint)
    with clock("open"):
        assert books.open_line(opening, candidate) == books.OPEN
    with clock("close"):
        assert books.close_line(opening.id, Closing("served", "measured", cost=50, tokens=Tokens(10, 10)))


def supply(clock: Clock, app: Flask, caller: Caller) -> None:
    """What a worker reads at most once in two seconds; and a choice with nothing known, then with all known."""
    lot = random.randrange(LOTS)
    clockwise = ("m", RULE.reference, lot, LOTS, lot)
    with clock("read a page of shared accounts"):
        statements.rows("shared_clockwise", *clockwise, 65)
    with clock("read her own (three)"):
        statements.rows("own_clockwise", *clockwise, 65, caller.user_id, False)
    with clock("read a conversation's home"):
        statements.rows("shared_clockwise", *clockwise, 5)
    (known := app.extensions["gateway"].supply).forget("m")
    for step in ("choose, nothing known", "choose, all known"):
        with clock(step):
            list(zip(range(4), known.candidates(caller, "m"), strict=False))


def _environment(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "APP_ENV": "development", "DATABASE_URL": database_url, "REDIS_URL": redis_url,
        "SECRET_KEY": "bench" * 10, "JWT_SECRET_KEY": "seeded" * 10,
        "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "ERROR",
    }  # fmt: skip


if __name__ == "__main__":
    main()
