"""Send what is due, a letter at a time.

Invariant: a letter is taken by a statement that also says when its next turn is, before anything is sent; so no two
workers send it at once, and what fails comes again, later and later, eight times. A worker that dies between sending
and marking leaves a letter that is sent a second time (at least once, never lost): its id stays the same, so that a
receiver can tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from shared_accounts.alerts import mail, preferences, webhook, wording
from shared_accounts.alerts.failures import Undelivered
from shared_accounts.alerts.models import EMAIL, Alert, AlertPreference
from shared_accounts.config import Settings
from shared_accounts.crypto import Vault
from shared_accounts.errors import CredentialUnreadable, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users.models import User

_MOST_ATTEMPTS = 8

# Two minutes are longer than a letter takes; then four, eight, and so on: eight attempts are eight hours. The part that
# locks stands before the update: within it PostgreSQL may run it once per row, and take a different one each time.
_TAKE = text("""
with due as materialized (
    select alert_id, channel from alert_deliveries where state = 'due' and due_at <= now()
    order by due_at, alert_id limit 1 for update skip locked)
update alert_deliveries letter
set attempts = attempts + 1, due_at = now() + interval '2 minutes' * 2 ^ least(attempts, 8)
from due
where letter.alert_id = due.alert_id and letter.channel = due.channel
returning letter.alert_id, letter.channel, letter.attempts""")

_MARK = text("""
update alert_deliveries set state = :state, problem = :problem,
    finished_at = case when :state = 'due' then null else now() end
where alert_id = :alert and channel = :channel and state = 'due'""")


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """What is to be sent, and where; `secret` signs it if it is a webhook."""

    alert_id: int
    channel: str
    attempts: int
    to: str | None
    secret: str
    kind: str
    details: dict[str, Any]
    raised_at: str
    username: str | None


def letters(settings: Settings, vault: Vault) -> Iterator[Letter]:
    """Take the letters that are due, one at a time; commit after each before it is sent."""
    while (taken := db.session.execute(_TAKE).one_or_none()) is not None:
        yield _written(*taken, settings=settings, vault=vault)


def deliver(letter: Letter, settings: Settings) -> None:
    """Send a letter and mark what became of it; no transaction is open while it is sent. The caller commits."""
    state, problem = "sent", None
    try:
        _send(letter, settings)
    except Undelivered as failure:
        problem = failure.reason
        state = "given_up" if failure.for_good or letter.attempts >= _MOST_ATTEMPTS else "due"
    facts = {"alert": letter.alert_id, "channel": letter.channel, "state": state, "problem": problem}
    db.session.execute(_MARK, facts)


def _written(alert_id: int, channel: str, attempts: int, *, settings: Settings, vault: Vault) -> Letter:
    alert = db.session.get_one(Alert, alert_id)
    to, secret = _address(alert.user_id, channel, settings, vault)
    return Letter(
        alert_id=alert_id,
        channel=channel,
        attempts=attempts,
        to=to,
        secret=secret,
        kind=alert.kind,
        details=alert.details,
        raised_at=alert.raised_at.isoformat(),
        username=db.session.query(User.username).where(User.id == alert.user_id).scalar(),
    )


def _address(user_id: int | None, channel: str, settings: Settings, vault: Vault) -> tuple[str | None, str]:
    """Return where a letter goes now, and what it is signed with; an address may have been withdrawn meanwhile."""
    if user_id is None:
        by_mail = channel == EMAIL
        found = settings.alert_email if by_mail else settings.alert_webhook_url
        return found or None, "" if by_mail else settings.alert_webhook_secret
    wish = db.session.get(AlertPreference, user_id)
    if wish is None or channel == EMAIL:
        return wish and wish.email, ""
    try:
        return wish.webhook_url, preferences.secret_of(wish, vault) if wish.webhook_url else ""
    except CredentialUnreadable:
        return None, ""


def _send(letter: Letter, settings: Settings) -> None:
    if letter.attempts > _MOST_ATTEMPTS:
        raise Undelivered("it was never answered for", for_good=True)
    if letter.to is None:
        raise Undelivered("there is no address any more", for_good=True)
    message_id, title = f"alert-{letter.alert_id}", wording.title(letter.kind, letter.details)
    if letter.channel == EMAIL:
        said = [say(letter.kind, letter.details) for say in (wording.sentence, wording.in_chinese)] + [
            settings.public_url
        ]
        mail.send(settings, to=letter.to, subject=title, text="\n\n".join((title, *said)), message_id=message_id)
        return
    try:
        webhook.send(
            letter.to, letter.secret, message_id, int(time.time()), _body(letter, title, settings),
            allowed=settings.webhook_allowed_hosts,
        )  # fmt: skip
    except Unprocessable:
        raise Undelivered("the address may not be used any more", for_good=True) from None


def _body(letter: Letter, title: str, settings: Settings) -> bytes:
    data = {
        "id": letter.alert_id,
        "kind": letter.kind,
        "title": title,
        "text": wording.sentence(letter.kind, letter.details),
        "details": letter.details,
        "user": letter.username,
        "url": settings.public_url,
    }
    return orjson.dumps({"type": f"alert.{letter.kind}", "timestamp": letter.raised_at, "data": data})
