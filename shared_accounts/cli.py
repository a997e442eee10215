"""What an operator types: `flask users`, `flask plugin`, `flask prices` and `flask usage` (`cli_*`), `flask quotas`."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import AppGroup

from shared_accounts import cli_plugin, cli_prices, cli_usage, cli_users
from shared_accounts.quotas import proof

quotas = AppGroup("quotas", help="Quota pools and the proof of them.")


def register(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(cli_users.users)
    app.cli.add_command(cli_plugin.plugin)
    app.cli.add_command(cli_prices.prices)
    app.cli.add_command(cli_usage.usage)
    app.cli.add_command(quotas)


@quotas.command()
def verify() -> None:
    """Prove from the rows that every pool is what its ledger says; exits with 1 when one is not."""
    proof.take_time()
    problems = proof.verify()
    for problem in problems:
        click.echo(problem)
    if problems:
        raise SystemExit(1)
    click.echo(f"{proof.count_pools()} pools, all invariants hold")
