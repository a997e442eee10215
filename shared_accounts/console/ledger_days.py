"""A pool's ledger as a day's story: folded by the hour, and as the course of its balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, Row, Select, case, func, select
from sqlalchemy.orm import aliased

from shared_accounts.console import show
from shared_accounts.console.language import zone
from shared_accounts.console.pools import Pool
from shared_accounts.extensions import db
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.users.models import User

_FOLDED = ("spend", "refill")
_A_DAY, _AN_HOUR = timedelta(days=1), timedelta(hours=1)
_POINT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Day:
    """A day's lines in a pool, the newest first: those that are alike within an hour are one."""

    day: date
    rows: list[Row[Any]]
    lines: int
    opening: int
    before: date | None
    """The last day before it on which the pool moved."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a balance went today and where it will go, for a drawing a thousand wide; micro-units below."""

    start: datetime
    end: datetime
    past: list[tuple[float, int]]
    ahead: list[tuple[float, int]]
    now: float
    marks: list[tuple[float, datetime]]


def of(pool: Pool, day: date | None) -> Day:
    """Return a day's lines; today's if none is asked for."""
    day = day or show.now().date()
    start, end = show.midnight(day), show.midnight(day + _A_DAY)
    rows = list(db.session.execute(_folded(pool.group, start, end)))
    before = select(func.max(LedgerEntry.at)).where(*_mine(pool.group), LedgerEntry.at < start)
    both = select(_moved_since(pool, start).scalar_subquery(), before.scalar_subquery())
    moved, last = db.session.execute(both).tuples().one()
    previous = show.local(last).date() if last else None
    return Day(day, rows, sum(int(row.lines) for row in rows), pool.balance - int(moved), previous)


def course(pool: Pool, at_midnight: int) -> Course:
    """Return how a balance went since midnight, and how it will go until the day is over or the pool is full."""
    now = show.now()
    start = show.midnight(now.date())
    last = pool.steps[-1][0] if pool.steps else now
    end = min(max(show.local(last) + _AN_HOUR, show.midnight(now.date() + _A_DAY)), start + 2 * _A_DAY)
    width = (end - start).total_seconds()

    def place(moment: datetime) -> float:
        return max(0.0, min(1000.0, (moment - start).total_seconds() / width * 1000))

    points = [(place(at), balance) for at, balance in _points(pool.group, start)]
    every = 6 if end - start <= _A_DAY else 12
    marks = [start + timedelta(hours=hour) for hour in range(0, (end - start) // _AN_HOUR + 1, every)]
    return Course(
        start=start,
        end=end,
        past=[(0.0, at_midnight), *points],
        ahead=[(place(moment), balance) for moment, balance in pool.steps if moment <= end],
        now=place(now),
        marks=[(place(mark), mark) for mark in marks],
    )


def opening(pool: Pool, start: datetime) -> int:
    """Return what the pool held at a moment: what it holds now without what has moved it since."""
    return pool.balance - int(db.session.scalar(_moved_since(pool, start)) or 0)


def _moved_since(pool: Pool, start: datetime) -> Select[tuple[Any]]:
    return select(func.coalesce(func.sum(LedgerEntry.amount), 0)).where(*_mine(pool.group), LedgerEntry.at >= start)


def _mine(group: str) -> list[ColumnElement[bool]]:
    hers = select(QuotaPool.id).where(QuotaPool.user_id == g.person.id, QuotaPool.model_group == group)
    return [LedgerEntry.pool_id == hers.scalar_subquery()]


def _folded(group: str, start: datetime, end: datetime) -> Any:
    hour = func.date_trunc("hour", LedgerEntry.at, str(zone()))
    alone = case((LedgerEntry.kind.in_(_FOLDED), None), else_=LedgerEntry.id)
    last = func.max(LedgerEntry.id)
    parts = (
        select(
            hour.label("hour"),
            LedgerEntry.kind,
            func.count().label("lines"),
            func.sum(LedgerEntry.amount).label("total"),
            func.min(LedgerEntry.amount).label("largest"),
            func.min(LedgerEntry.at).label("first_at"),
            last.label("last_id"),
        )
        .where(*_mine(group), LedgerEntry.at >= start, LedgerEntry.at < end)
        .group_by(hour, LedgerEntry.kind, alone)
        .subquery()
    )
    entry, counterpart = aliased(LedgerEntry), aliased(User)
    query = select(
        parts,
        entry.balance_after,
        entry.amount.label("last_amount"),
        entry.at,
        entry.note,
        entry.account_id,
        counterpart.username,
    ).join(entry, entry.id == parts.c.last_id)
    return query.outerjoin(counterpart, counterpart.id == entry.counterpart_id).order_by(parts.c.last_id.desc())


def _points(group: str, start: datetime) -> list[tuple[datetime, int]]:
    """Return the last balance of each ten minutes: more than that nobody can tell apart."""
    part = func.date_bin(_POINT, LedgerEntry.at, start)
    newest = func.max(LedgerEntry.id).label("id")
    ids = select(newest).where(*_mine(group), LedgerEntry.at >= start).group_by(part).subquery()
    query = select(LedgerEntry.at, LedgerEntry.balance_after).join(ids, ids.c.id == LedgerEntry.id)
    return list(db.session.execute(query.order_by(LedgerEntry.id)).tuples())
