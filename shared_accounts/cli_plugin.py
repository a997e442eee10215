"""`flask plugin ...`: our users' counterparts at the Plug-in API, by an operator."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.plugin import bindings, parts, provisioning
from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable
from shared_accounts.plugin.parts import Plugin
from shared_accounts.plugin.provisioning import Order
from shared_accounts.users import roster

plugin = AppGroup("plugin", help="The Plug-in API: who has a user there, and her key.")


@plugin.command("list")
def list_bindings() -> None:
    """Print everybody: id, how far it is, account here, name, what is wrong."""
    for one in db.session.execute(bindings.seen()):
        problem = f"  {one.problem} ({one.attempts} attempts)" if one.problem else ""
        click.echo(f"{one.user_id:>6}  {one.state:<7}  {one.account_id or '-':>6}  {one.username}{problem}")


@plugin.command()
@click.argument("name", required=False)
def provision(name: str | None) -> None:
    """Give NAME, or everybody who has none, a user there; exits with 1 when somebody has none yet."""
    found = _plugin()
    names = [name] if name else [user.username for user in roster.all() if _is_missing(user.id, user.state)]
    done = [_has_done(found, Order.PROVISION, one) for one in names]
    if not all(done):
        raise SystemExit(1)


@plugin.command()
@click.argument("name")
def resync(name: str) -> None:
    """See that NAME's key is good, her preference set and her models known."""
    if not _has_done(_plugin(), Order.RESYNC, name):
        raise SystemExit(1)


@plugin.command()
@click.argument("name")
def rotate_key(name: str) -> None:
    """Replace NAME's key there; the old one dies at once."""
    if not _has_done(_plugin(), Order.ROTATE_KEY, name):
        raise SystemExit(1)


@plugin.command()
def orphans() -> None:
    """Print the users there that we made and lost, by id and name: each may be deleted there."""
    try:
        found = provisioning.orphans(_plugin())
    except (PluginRefused, PluginUnreachable) as failure:
        raise click.ClickException(str(failure)) from None
    click.echo("\n".join(f"{there_id}  {name}" for there_id, name in found) or "There is none.")


def _has_done(found: Plugin, order: Order, name: str) -> bool:
    """Carry an order out and say what came of it."""
    user = roster.find_by_username(name)
    if user is None:
        raise click.ClickException(f"There is no user {name}.")
    try:
        for _ in provisioning.insist(found, user.id, order):
            db.session.commit()
    except (PluginRefused, PluginUnreachable, ServiceError) as failure:
        db.session.rollback()
        click.echo(f"{name}: {failure}", err=True)
        return False
    binding = bindings.of(user.id)
    served = "" if binding and binding.account_id else " There is no model to ask for yet."
    click.echo(f"{name} is there.{served}")
    return True


def _is_missing(user_id: int, state: str) -> bool:
    return state != "disabled" and not bindings.is_ready(user_id)


def _plugin() -> Plugin:
    try:
        return parts.required(current_app.extensions["plugin"])
    except parts.NotSetUp as refusal:
        raise click.ClickException(refusal.message) from None
