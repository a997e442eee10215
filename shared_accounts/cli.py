"""What an operator types: `flask users ...`, `flask quotas ...`."""

from __future__ import annotations

import secrets
import sys

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy import func, select

from shared_accounts.auth import passwords
from shared_accounts.config import Settings
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from shared_accounts.users import roster
from shared_accounts.users.models import User

_BOOTSTRAP_LOCK = 0x5A01  # any number, as long as nobody else locks it

users = AppGroup("users", help="People: the first admin, new users, who is here.")
quotas = AppGroup("quotas", help="Quota pools and the proof of them.")


def register(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(users)
    app.cli.add_command(quotas)


@users.command()
def bootstrap() -> None:
    """Make the first admin from ADMIN_USERNAME and ADMIN_PASSWORD; does nothing once there is one."""
    settings: Settings = current_app.extensions["settings"]
    # Two release steps at once: the second waits here and then finds the admin.
    db.session.execute(select(func.pg_advisory_xact_lock(_BOOTSTRAP_LOCK)))
    if db.session.scalar(select(User.id).where(User.role == "admin").limit(1)) is not None:
        click.echo("There is an admin already; nothing to do.")
        return
    if not settings.admin_username:
        click.echo("No admin was made: set ADMIN_USERNAME and ADMIN_PASSWORD, or run flask users create NAME --admin.")
        return
    if not settings.admin_password:
        raise click.ClickException("ADMIN_USERNAME is set, ADMIN_PASSWORD is not.")
    _register(settings.admin_username, settings.admin_password, role="admin")
    click.echo(f"{settings.admin_username} is the first admin.")


@users.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="May manage everything.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(name: str, *, admin: bool, password_stdin: bool) -> None:
    """Make a user; without --password-stdin a password is generated and printed, this once."""
    given = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    password = secrets.token_urlsafe(15) if given is None else given
    _register(name, password, role="admin" if admin else "user")
    click.echo(f"{name} has been created." if password_stdin else f"{name} has been created, with password {password}")


@users.command("list")
def list_users() -> None:
    """Print everybody: id, state, role, name, last sign-in."""
    for user in roster.all():
        seen = user.last_login_at.isoformat(timespec="minutes") if user.last_login_at else "never"
        click.echo(f"{user.id:>6}  {user.state:<8}  {user.role:<5}  {user.username}  {seen}")


@quotas.command()
def verify() -> None:
    """Prove from the rows that every pool is what its ledger says; exits with 1 when one is not."""
    problems = proof.verify()
    for problem in problems:
        click.echo(problem)
    if problems:
        raise SystemExit(1)
    click.echo(f"{proof.count_pools()} pools, all invariants hold")


def _register(name: str, password: str, *, role: str) -> None:
    try:
        passwords.refuse_weak(password, username=name)
        roster.register(name, password_hash=passwords.hash_password(password), role=role)
    except ServiceError as error:
        raise click.ClickException(error.message) from error
    db.session.commit()
