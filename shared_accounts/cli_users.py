"""`flask users ...`: people, by an operator who has the machine and needs no account of her own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import func, select

from shared_accounts.admin import acts
from shared_accounts.auth import sessions as sign_ins
from shared_accounts.config import Settings
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.users import invitations, roster, standing
from shared_accounts.users.models import User

_BOOTSTRAP_LOCK = 0x5A01  # any number, as long as nobody else locks it

users = AppGroup("users", help="People: the first admin, new users, who is here, what they may do.")

_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


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
    with _one_act():
        acts.register(settings.admin_username, settings.admin_password, role="admin", how="operator")
    click.echo(f"{settings.admin_username} is the first admin.")


@users.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="May manage everything.")
@_password_stdin
def create(name: str, *, admin: bool, password_stdin: bool) -> None:
    """Make a user; without --password-stdin a password is generated and printed, this once."""
    given = _read_password() if password_stdin else None
    with _one_act():
        _, made_up = acts.register(name, given, role="admin" if admin else "user", how="operator")
    click.echo(f"{name} has been created, with password {made_up}" if made_up else f"{name} has been created.")


@users.command("list")
def list_users() -> None:
    """Print everybody: id, state, role, name, last sign-in."""
    for user in roster.all():
        seen = user.last_login_at.isoformat(timespec="minutes") if user.last_login_at else "never"
        click.echo(f"{user.id:>6}  {user.state:<8}  {user.role:<5}  {user.username}  {seen}")


@users.command()
@click.argument("name")
@_password_stdin
def set_password(name: str, *, password_stdin: bool) -> None:
    """Replace a password and end all sessions; without --password-stdin one is generated and printed, this once."""
    given = _read_password() if password_stdin else None
    with _one_act():
        user = _find(name)
        made_up = acts.set_password(user.id, user.username, given)
    said = f"{name} has a new password" + (f": {made_up}" if made_up else ".")
    click.echo(said)


def _decides(command: str, summary: str, decide: Callable[[User], None], outcome: str) -> None:
    """Add a command that takes a name and does one thing to whoever has it."""

    @users.command(command, help=summary)
    @click.argument("name")
    def act(name: str) -> None:
        with _one_act():
            decide(_find(name))
        click.echo(f"{name} {outcome}.")


_decides("disable", "Shut somebody out.", lambda user: standing.set_state(user, "disabled"), "is disabled")
_decides("silence", "Let somebody read, no more.", lambda user: standing.set_state(user, "silenced"), "is silenced")
_decides("restore", "Undo either.", lambda user: standing.set_state(user, "active"), "is active")
_decides("make-admin", "Let somebody manage all.", lambda user: standing.set_role(user, "admin"), "is an admin")
_decides("make-user", "Undo make-admin.", lambda user: standing.set_role(user, "user"), "is an ordinary user")


@users.command()
@click.argument("name")
@click.option("--end", is_flag=True, help="End them all.")
def sessions(name: str, *, end: bool) -> None:
    """Print where somebody is signed in: session, last seen, address, device."""
    with _one_act():
        user = _find(name)
        if end:
            click.echo(f"{acts.end_sessions(user.id)} sessions have ended.")
        for one in sign_ins.live(user.id):
            seen = one.last_seen_at.isoformat(timespec="minutes")
            click.echo(f"{one.id}  {seen}  {one.address or '-'}  {sign_ins.device(one.user_agent)}")


@users.command()
@click.argument("name")
def reset_second_factor(name: str) -> None:
    """Take a lost second factor away, and end all sessions."""
    with _one_act():
        was_there = acts.reset_second_factor(_find(name).id)
    click.echo(f"{name} has no second factor any more." if was_there else f"{name} had no second factor.")


@users.command()
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many may sign up.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; for ever if left out.")
@click.option("--note", help="What it is for, for yourself.")
def invite(uses: int, days: int | None, note: str | None) -> None:
    """Print a new invitation code, this once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with _one_act():
        _, code = invitations.invite(None, max_uses=uses, expires_at=expires_at, note=note)
    click.echo(code)


@contextmanager
def _one_act() -> Iterator[None]:
    """Commit what was done; a refusal becomes a sentence and leaves nothing behind."""
    try:
        yield
    except ServiceError as error:
        raise click.ClickException(error.message) from error
    db.session.commit()


def _find(name: str) -> User:
    user = roster.find_by_username(name)
    if user is None:
        raise click.ClickException(f"There is no user called {name}.")
    return user


def _read_password() -> str:
    return sys.stdin.readline().rstrip("\r\n")
