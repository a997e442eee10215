"""What do statistics, the log's first page and counting an hour cost with millions of lines, and do they grow?

    .venv/bin/python -m bench.usage_seeded [--lines 1000000,10000000] [--days 90] [--users 1000] [--accounts 200]
        [--rounds 5] [--home FOLDER]

With `--home` the databases are kept, brought up to date by migrations, and asked again the next time.
A few people use most, as people do: of a thousand the busiest makes every tenth call. Each has one program, two
keys and two models, and lands on any of four accounts. Medians of what PostgreSQL computes (Linux tells) and of what
we wait; all hours are counted but the one that is not over, which is read from the log.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import flask_migrate
from sqlalchemy import text

from bench.seeded import ROOT, _environment, fill
from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.extensions import db
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from shared_accounts.usage import lines, rollup
from shared_accounts.usage.months import Month
from shared_accounts.usage.stats import DAY, count, stats
from shared_accounts.usage.wanted import Wanted

# A month is filled before it has indexes, and gets them all at once when it becomes a part of the log.
MONTH = "create table {table} (like usage_log including defaults including constraints) with (fillfactor = 80)"
LINES = """
    insert into {table} (id, user_id, api_key_id, account_id, contributor_id, model, model_group, endpoint, stream,
        worker, state, outcome, basis, estimate, cost, charged, prompt_tokens, completion_tokens, cached_tokens,
        first_byte_ms, total_ms, opened_at, closed_at, lease_until, client_app)
    select (left(first_usage_id(at)::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid,
        who, who * 2 + (n % 10 = 0)::int, account, account,
        'model-' || (who + (n % 4 = 0)::int) % 5, 'model', '/v1/chat/completions', n % 3 = 0, 'seed', 'closed',
        case when n % 50 = 0 then 'failed' else 'served' end,
        case when n % 50 = 0 then 'released' else 'measured' end,
        900, 500, 500, 800, 150, 20, 300, 2000 + n % 1000, at, at, at,
        case who % 3 when 0 then 'AntiHub-Web' when 1 then 'cli' end
    from generate_series(1, :lines) n,
        lateral (select :now - (:lines - n) * make_interval(days => :days) / :lines as at) timed,
        lateral (select 1 + floor(:users * power(random(), 3) + n * 0)::bigint as who) someone,
        lateral (select 1 + (who * 7 + floor(4 * random()))::bigint % :accounts as account) seed
    where at >= :start and at < :end"""
ATTACH = """
    alter table usage_log attach partition {table}
    for values from (first_usage_id(:start)) to (first_usage_id(:end))"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", default="1000000,10000000")
    for name, default in (("days", 90), ("users", 1000), ("accounts", 200), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--home", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        home = wanted.home or Path(folder)
        postgres, redis = Postgres(home / "postgres", free_port()), Redis(Path(folder, "redis"), free_port())
        ends.callback(postgres.stop if wanted.home else postgres.destroy)
        postgres.start()
        ends.callback(redis.stop)
        redis.start()
        for lines in map(int, wanted.lines.split(",")):
            create_database(postgres.url("postgres"), f"seeded_{lines}")
            app = create_app(load(_environment(postgres.url(f"seeded_{lines}"), redis.url())))
            with app.app_context():
                flask_migrate.upgrade(directory=str(ROOT / "migrations"))
                run(wanted, lines)
                db.session.remove()
                db.engine.dispose()


def run(wanted: argparse.Namespace, lines: int) -> None:
    """Fill the log, if that was not done before, count its hours, and ask."""
    if not db.session.scalar(text("select exists (select from usage_log)")):
        db.session.rollback()
        seed(lines, days=wanted.days, users=wanted.users, accounts=wanted.accounts)
    started, hours = time.perf_counter(), 0
    while rollup.count_next():
        db.session.commit()
        hours += 1
    seconds = time.perf_counter() - started
    db.session.rollback()  # while the tables are tidied up nobody waits in a transaction
    print(f"{hours} hours counted in {seconds:.1f} s, {1000 * seconds / max(hours, 1):.1f} ms each")
    if hours > 1:
        fill([])
    sizes()
    ask(wanted.rounds)
    print(f"{'hours that are late, in two days':<44}{clocked(late, wanted.rounds)} ms")


def seed(lines: int, **sizes: int) -> None:
    """Fill as many months of the log as there are days, instead of the empty one it begins with."""
    now = datetime.now(UTC)
    month = Month((now - timedelta(days=sizes["days"])).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    fill([f"drop table {Month(now).table}"])
    while month.start < now:
        span = {"start": month.start, "end": month.end}
        steps = [step.format(table=month.table) for step in (MONTH, LINES, ATTACH)]
        fill(steps[:2], lines=lines, now=now, **sizes, **span)
        fill(steps[2:], **span)
        month = Month(month.end)


def ask(rounds: int) -> None:
    """Print the medians of each question; of thirty days and what has gone by of this one, as the console asks."""
    month = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
    people = {
        "her own (busiest)": Wanted(viewer=1, start=month),
        "her own (median)": Wanted(viewer=100, start=month),
        "contributed (busiest)": Wanted(viewer=1, scope="contributed", start=month),
        "everybody's": Wanted(viewer=1, scope="all", start=month),
        "everybody's, one model": Wanted(viewer=1, scope="all", start=month, model="model-1"),
        "everybody's, one account": Wanted(viewer=1, scope="all", start=month, account_id=1),
        "everybody's, one key": Wanted(viewer=1, scope="all", start=month, api_key_id=2),
        "her own, one key": Wanted(viewer=1, start=month, api_key_id=2),
        "her own, one model": Wanted(viewer=1, start=month, model="model-1"),
        "her own, one account": Wanted(viewer=1, start=month, account_id=9),
        "everybody's, failed": Wanted(viewer=1, scope="all", start=month, success=False),
        "everybody's, one program": Wanted(viewer=1, scope="all", start=month, client_app="cli"),
        "everybody's, all time": Wanted(viewer=1, scope="all"),
    }
    for name, one in people.items():
        asked = {
            "stats": lambda one=one: stats(one, DAY),
            "count": lambda one=one: count(one),
            "first page": lambda one=one: lines.page(one, offset=0, limit=50),
            "page 100": lambda one=one: lines.page(one, offset=5000, limit=50),
        }
        taken = "  ".join(f"{step} {clocked(act, rounds)}" for step, act in asked.items())
        print(f"{name:<26} {count(one):>9,} lines  {taken}  ms")


def late() -> None:
    rollup.late_hours(timedelta(days=2))


def clocked(act: Callable[[], object], rounds: int) -> str:
    """Return the medians of what PostgreSQL computes and of what we wait, in milliseconds."""
    taken = []
    for _ in range(rounds):
        backend = db.session.scalar(text("select pg_backend_pid()"))
        busy = Path(f"/proc/{backend}/schedstat")  # nanoseconds, first of three figures
        db.session.execute(text("set local statement_timeout = 0"))
        computed, started = int(busy.read_text().split()[0]), time.perf_counter()
        act()
        waited = 1000 * (time.perf_counter() - started)
        taken.append(((int(busy.read_text().split()[0]) - computed) / 1_000_000, waited))
        db.session.rollback()
    return "{:>6.1f} /{:>6.1f}".format(*map(statistics.median, zip(*taken, strict=True)))


def sizes() -> None:
    found = db.session.execute(
        text("""
        select regexp_replace(relname, '_\\d{4}_\\d\\d', ''), sum(reltuples)::bigint,
            pg_size_pretty(sum(pg_relation_size(oid))), pg_size_pretty(sum(pg_indexes_size(oid)))
        from pg_class where relname ~ '^usage_' and relkind = 'r' and reltuples > 0 group by 1 order by 1""")
    )
    print("; ".join(f"{name} {rows:,} ({size}, indexes {more})" for name, rows, size, more in found))
    db.session.rollback()


if __name__ == "__main__":
    main()
