"""The usage log divided into months as a test wants them, and afterwards as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import text

from shared_accounts.extensions import db

PARTS = text("""
select relname, pg_get_expr(relpartbound, part.oid) from pg_inherits join pg_class part on part.oid = inhrelid
where inhparent = 'usage_log'::regclass and relname <> 'usage_log_default' order by relname""")


def month(ago: int) -> datetime:
    """The beginning of the month so many months ago; of one to come, if that is negative."""
    now = datetime.now(UTC)
    years, rest = divmod(now.month - 1 - ago, 12)
    return datetime(now.year + years, rest + 1, 1, tzinfo=UTC)


def name(ago: int) -> str:
    return f"usage_log_{month(ago):%Y_%m}"


def parts() -> dict[str, str]:
    """The months and their bounds as the database has them."""
    found = {row[0]: row[1] for row in db.session.execute(PARTS)}
    db.session.commit()
    return found


@contextmanager
def months(*agos: int) -> Iterator[None]:
    """Divide the empty log into these months; whatever there is afterwards is dropped."""
    before = parts()
    first = "(first_usage_id('{}')) to (first_usage_id('{}'))"
    _become({name(ago): f"for values from {first.format(month(ago), month(ago - 1))}" for ago in agos})
    try:
        yield
    finally:
        db.session.rollback()
        _become(before)


def _become(wanted: dict[str, str]) -> None:
    for there in parts():
        db.session.execute(text(f"drop table {there}"))
    db.session.execute(text("delete from usage_log_default"))
    for there, bounds in wanted.items():
        db.session.execute(text(f"create table {there} partition of usage_log {bounds} with (fillfactor = 80)"))
    db.session.commit()
