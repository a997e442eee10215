"""`flask usage ...`: the usage log's months, and what its lines cost in money, by an operator."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click
from flask import current_app
from flask.cli import AppGroup

from shared_accounts.extensions import db
from shared_accounts.usage import clock_api, months, repricing

usage = AppGroup("usage", help="The usage log: its months, and what its lines cost in money.")

_DAYS = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@usage.command("months")
def list_months() -> None:
    """Print the months of the log: which, about how many lines, how many megabytes."""
    for month in months.known():
        before = " and before" if month.is_first else ""
        click.echo(f"{month.start:%Y-%m}  {month.lines:>12,}  {month.bytes / 1_000_000:>9,.1f} MB{before}")


@usage.command()
def turn() -> None:
    """Make the next months, and drop those older than USAGE_LOG_MONTHS, as the worker does every hour.

    However many lines wait for their month, they move; calls wait meanwhile.
    """
    made, dropped, strays = clock_api.turn(current_app.extensions["settings"].usage_log_months, most_moved=sys.maxsize)
    for month in made:
        click.echo(f"made {month.table}")
    for month in dropped:
        click.echo(f"dropped {month.table}")
    click.echo(f"{strays} lines lie in no month")


@usage.command()
@click.option("--since", required=True, type=_DAYS, help="In UTC; whole exchanges that were opened from then on.")
@click.option("--model", help="Of this model alone.")
def reprice(since: datetime, model: str | None) -> None:
    """Recompute what exchanges cost in money by the prices as they are now; a second time changes nothing."""
    lines = hours = 0
    for done in repricing.reprice(since.replace(tzinfo=UTC), model):
        db.session.commit()
        lines, hours = lines + done.lines, hours + 1
    click.echo(f"{lines} exchanges repriced in {hours} hours.")
