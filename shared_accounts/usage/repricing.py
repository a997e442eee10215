"""Recompute what lines cost in money, by the prices as they are laid down now.

Invariant: afterwards each closed line of the time bears the version that counted when the line was opened and what its
tokens cost by it, and the hourly sums say the same; a second time changes nothing. An hour is a transaction, so what
is done when it is interrupted is done whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.money.prices import SQL
from shared_accounts.usage import rollup

_HOURS = text("""
select generate_series(date_trunc('hour', greatest(:since, min(opened_at)), 'UTC'), max(opened_at), interval '1 hour')
from usage_log""")

# A line without a version that counts is compared with nothing, and so becomes unpriced.
_REPRICE = text(f"""
with due as (
    select line.id, line.opened_at, price.id as price_id, {SQL} as money
    from usage_log line left join lateral (
        select * from model_prices where model = line.model and valid_from <= line.opened_at
        order by valid_from desc, id desc limit 1) price on true
    where line.state = 'closed' and line.prompt_tokens is not null
      and line.opened_at >= greatest(:hour, :since) and line.opened_at < :hour + interval '1 hour'
      and (cast(:model as text) is null or line.model = :model))
update usage_log set price_id = due.price_id, money = due.money from due
where usage_log.id = due.id and (usage_log.price_id, usage_log.money) is distinct from (due.price_id, due.money)""")


@dataclass(frozen=True, slots=True)
class Repriced:
    """An hour that was looked through, and how many of its lines changed."""

    hour: datetime
    lines: int


def reprice(since: datetime, model: str | None = None) -> Iterator[Repriced]:
    """Go through the hours from `since` on, for one model or all; commit after each.

    An hour that the log has not all of any more keeps its sums, and so its lines keep what they say.
    """
    for hour in list(db.session.scalars(_HOURS, {"since": since})):
        rollup.alone()
        kept = rollup.kept_since()
        if kept is not None and hour < kept + rollup.HOUR:
            continue
        changed = db.session.execute(_REPRICE, {"since": since, "hour": hour, "model": model}).rowcount  # type: ignore[attr-defined]
        counted = rollup.through()
        if changed and counted is not None and hour < counted:
            rollup.recount(hour)
        yield Repriced(hour, changed)
