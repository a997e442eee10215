"""The log added up by hand, and what the roll-ups say: they must be the same."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage import rollup
from shared_accounts.usage.measures import MEASURES
from tests.conftest import rows
from tests.usage.scene import HOUR, THIS_HOUR, by_hand, log_lines


def told(found):
    """Sums as people get them: money by currency."""
    return {name: int(getattr(found, name)) for name in by_hand([]) if name != "money"}, found.costs


def by_hand_with_currencies(lines):
    """The same from the log."""
    sums, currencies = by_hand(lines), currency_of()
    sums.pop("money")
    priced = [one for one in lines if one["state"] == "closed" and one["price_id"]]
    costs = {currencies[one["price_id"]]: 0 for one in priced}
    for one in priced:
        costs[currencies[one["price_id"]]] += one["money"]
    return sums, costs


def currency_of():
    return {price["id"]: price["currency"] for price in rows("model_prices")}


def alike(one):
    names = ("user_id", "api_key_id", "account_id", "contributor_id", "model", "endpoint", "client_app", "outcome")
    currency = one["currency"] if "currency" in one else currency_of().get(one["price_id"], "")
    return (*(one[name] or (0 if name == "api_key_id" else "") for name in names), currency)


def log_by_hour():
    """The counted part of the log, added up by hand: what `usage_hours` must be, row for row."""
    through = rollup.through()
    groups = defaultdict(list)
    for one in log_lines():
        if through is not None and one["opened_at"] < through:
            groups[one["opened_at"].replace(minute=0, second=0, microsecond=0), alike(one)].append(one)
    return {key: sums for key, lines in groups.items() if (sums := by_hand(lines))["calls"]}


def rolled_up():
    return {(row["hour"], alike(row)): {name: row[name] for name in by_hand([])} for row in rows("usage_hours")}


def prices():
    """Versions in two currencies."""
    for currency in ("EUR", "USD") if not rows("model_prices") else ():
        db.session.add(ModelPrice(model="m", currency=currency, prompt=1, completion=1, cached=1))
        db.session.commit()
    return [price["id"] for price in rows("model_prices")]


def by_day(table, time):
    """What a table of roll-ups adds up to for each day before that of the latest counted hour."""
    end = rollup.through() - HOUR
    found = defaultdict(lambda: defaultdict(int))
    for row in rows(table):
        day = row.pop(time).date()
        measures = {name: row.pop(name) for name in MEASURES}
        if day < end.date():
            for name, value in measures.items():
                found[day, tuple(row.values())][name] += value
    return found


def clear_the_last_hours():
    """As when the next hour is over: the run that counts one looks for late lines, too."""
    for table in ("usage_hours", "usage_totals"):
        db.session.execute(text(f"delete from {table} where hour >= :since"), {"since": THIS_HOUR - HOUR})
    db.session.commit()
