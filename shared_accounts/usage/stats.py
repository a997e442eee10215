"""What lines add up to: the counted hours from the roll-ups, all other lines from the log itself.

With and without a time, for whoever asks, these are the sums over exactly the lines that the log shows her.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Row,
    Subquery,
    cast,
    func,
    literal_column,
    select,
    text,
    tuple_,
    union_all,
)

from shared_accounts.extensions import db
from shared_accounts.usage import rollup
from shared_accounts.usage.measures import MEASURES
from shared_accounts.usage.parts import HOUR, parts
from shared_accounts.usage.rollup import Reach
from shared_accounts.usage.wanted import ALL, CONTRIBUTED, MINE, Wanted

DAY = "day"
CURRENCY = "currency"

_GROUPINGS = {
    MINE: ("model", "own", "outcome", "client_app", "api_key_id"),
    CONTRIBUTED: ("model", "outcome", "user_id", "account_id"),
    ALL: ("model", "own", "outcome", "client_app"),
}


@dataclass(frozen=True, slots=True)
class Stats:
    """The sums in all, and by the values of each dimension, the most used first; by time, if asked for, under `at`.

    Sums have `MEASURES`, but for `money` instead `costs`, micro-units by currency; `served`; and what they have in
    common, under the dimension's name.
    """

    total: SimpleNamespace
    by: dict[str, list[SimpleNamespace]]


def stats(wanted: Wanted, interval: str | None = None, reach: Reach | None = None) -> Stats:
    """Add up, by `HOUR` or `DAY` (UTC) too if that is given; one statement, so that all the sums agree.

    Whoever asks several questions brings the `reach` of the roll-ups that they share.
    """
    alike = _alike(wanted, interval, reach or rollup.reach())
    groups = {name: column for name, column in alike.c.items() if name not in {*MEASURES, CURRENCY}}
    currency = alike.c[CURRENCY]
    sums = [_sum(alike.c[name]).label(name) for name in MEASURES]
    sums.append(_sum(alike.c.calls, alike.c.outcome == "served").label("served"))
    left_out = func.grouping(*groups.values(), currency).label("left_out")
    sets = func.grouping_sets(*(tuple_(column, currency) for column in groups.values()), tuple_(currency))
    rows = db.session.execute(select(*groups.values(), currency, left_out, *sums).group_by(sets)).all()
    places = {_all_but(place, len(groups)): name for place, name in enumerate(groups)}
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[places.get(row.left_out, "")].append(row)
    return Stats(_merged(found[""]), {name: _by(name, found[name]) for name in groups})


def _by(name: str, rows: list[Row[Any]]) -> list[SimpleNamespace]:
    """Make one of the rows that have a value in common and differ in their currency; the most used first."""
    alike: defaultdict[Any, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        alike[getattr(row, name)].append(row)
    merged = [_merged(those, **{name: value}) for value, those in alike.items()]
    return sorted(merged, key=lambda sums: -sums.calls)


def _merged(rows: list[Row[Any]], **common: Any) -> SimpleNamespace:
    counts = {name: sum(getattr(row, name) for row in rows) for name in (*MEASURES, "served") if name != "money"}
    return SimpleNamespace(**common, **counts, costs={row.currency: row.money for row in rows if row.currency})


def _alike(wanted: Wanted, interval: str | None, reach: Reach) -> Subquery:
    """Return the sums of lines that are alike in every dimension: few rows, so that each grouping is cheap."""
    names = (*_GROUPINGS[wanted.scope], CURRENCY)
    part = union_all(*parts(wanted, names, reach.through, finest=interval)).subquery("part")
    columns: list[ColumnElement[Any]] = [part.c[name] for name in names]
    if interval is not None:
        columns.append(
            literal_column(f"date_trunc('{interval}', part.hour, 'UTC')", DateTime(timezone=True)).label("at")
        )
    sums = [_sum(part.c[name]).label(name) for name in MEASURES]
    return select(*columns, *sums).group_by(*(text(str(place + 1)) for place in range(len(columns)))).subquery("alike")


def _sum(column: ColumnElement[int], where: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    total = func.sum(column)
    return cast(func.coalesce(total if where is None else total.filter(where), 0), BigInteger)


def series(
    wanted: Wanted, name: str, interval: str | None = None, zone: str = "UTC", reach: Reach | None = None
) -> list[Row[Any]]:
    """Add up calls and costs by one dimension, under `value`, and, if one is given, by interval, under `at`.

    Intervals are those of a zone's clock. Counted hours stay whole: where a day begins at half past by UTC, the hour
    that holds its midnight belongs to the day before.
    """
    finest = interval if interval is None or zone == "UTC" else HOUR
    through = (reach or rollup.reach()).through
    part = union_all(*parts(wanted, (name,), through, finest=finest)).subquery("part")
    columns: list[ColumnElement[Any]] = [part.c[name].label("value")]
    if interval is not None:
        columns.append(func.date_trunc(interval, part.c.hour, zone, type_=DateTime(timezone=True)).label("at"))
    sums = [_sum(part.c[measure]).label(measure) for measure in ("calls", "cost", "charged")]
    places = (text(str(place + 1)) for place in range(len(columns)))
    return list(db.session.execute(select(*columns, *sums).group_by(*places).order_by(sums[0].desc())))


def count(wanted: Wanted, summed: int | None = None, reach: Reach | None = None) -> int:
    """Return how many lines the log lists: of months that are gone, none.

    Whoever has just `summed` them up knows, as long as nothing of their time is gone.
    """
    reach = reach or rollup.reach()
    # An hour at the edge has lost the lines whose ids were made before the month began: it is counted line by line.
    earliest = reach.kept_since and reach.kept_since + rollup.HOUR
    is_whole = earliest is None or (wanted.start is not None and wanted.start >= earliest)
    if is_whole and summed is not None:
        return summed
    part = union_all(*parts(wanted, (), reach.through, earliest=earliest)).subquery()
    return int(db.session.scalar(select(func.coalesce(func.sum(part.c.calls), 0))) or 0)


def _all_but(place: int, count: int) -> int:
    """Return what GROUPING() says of a set of this column and the currency, which is the last one and has no bit set.

    It has a bit for each column that is left out, the last one's lowest.
    """
    return (1 << (count + 1)) - 2 - (1 << (count - place))
