"""Find what is worth an alert, and write each event down once, with what is to be sent of it.

Invariant: an alert and its deliveries are written by one statement, and an event has one row by a unique index: two
watchers, a task delivered twice or one that dies leave as many letters to send as one watcher would have.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text

from shared_accounts.alerts import events
from shared_accounts.alerts.models import EMAIL, WEBHOOK, Alert
from shared_accounts.config import Settings
from shared_accounts.errors import TooManyRequests
from shared_accounts.extensions import db
from shared_accounts.users.models import User

_AN_HOUR = timedelta(hours=1)
_MOST_TESTS = 5

_ALONE = text("select pg_try_advisory_xact_lock(hashtextextended('alerts', 0))")

_RAISE = """
with found as ({found}), fresh as (
    insert into alerts (kind, user_id, subject, episode, details)
    select kind, user_id, subject, episode, details from found
    on conflict (kind, subject, episode) do nothing returning id, kind, user_id),
letters as (
    insert into alert_deliveries (alert_id, channel)
    select fresh.id, channel
    from fresh left join alert_preferences wish on wish.user_id = fresh.user_id,
        unnest(cast(:channels as text[])) as channel
    where case when fresh.user_id is null then channel = any(cast(:operators as text[]))
        when channel = 'email' then wish.email is not null and fresh.kind = any(wish.by_email || '{{test}}'::text[])
        else wish.webhook_url is not null and fresh.kind = any(wish.by_webhook || '{{test}}'::text[]) end)
select count(*) from fresh"""

_OVER = """
update alerts set over_at = now() where kind = :kind and over_at is null and not exists ({still})"""


def watch(settings: Settings) -> int:
    """Write down what has happened since the last look, and what is over; returns how many alerts are new.

    Beside another watcher it leaves everything to that.
    """
    if not db.session.scalar(_ALONE):
        return 0
    facts = {"share": settings.alert_quota_low_share, "days": settings.alert_expiry_days}
    new = 0
    for kind, found in events.LASTING.items():
        same = f"select from ({found}) known where (known.subject, known.episode) = (alerts.subject, alerts.episode)"
        _over(kind, same, facts)
        new += _raise(found, settings, facts)
    _over("quota_low", events.QUOTA_RECOVERED, facts)
    _over("job_failing", events.JOB_STILL_FAILS, facts)
    return new + _raise(events.QUOTA_LOW, settings, facts) + _raise(events.JOB_FAILING, settings, facts)


def ledger_was_proved(settings: Settings, problems: int) -> int:
    """Write down what a proof of the ledger has come to: one alert from the first that fails to the next that holds."""
    facts = {"problems": problems}
    _over("ledger_broken", "select where :problems > 0", facts)
    return _raise(events.LEDGER_BROKEN, settings, facts)


def test(settings: Settings, user_id: int) -> int:
    """Write an alert down that only tries whether a user's letters arrive; returns 1.

    Raises `TooManyRequests` for more than a few in an hour: the address is hers only if what she typed is true.
    """
    db.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    lately = (Alert.kind == "test") & (Alert.user_id == user_id) & (Alert.raised_at > func.now() - _AN_HOUR)
    if (db.session.scalar(select(func.count()).where(lately)) or 0) >= _MOST_TESTS:
        raise TooManyRequests(f"You may send {_MOST_TESTS} tests an hour.", retry_after=int(_AN_HOUR.total_seconds()))
    return _raise(events.TEST, settings, {"user": user_id})


def _raise(found: str, settings: Settings, facts: dict[str, Any]) -> int:
    mail = [EMAIL] if settings.smtp_host else []
    operators = [*(mail if settings.alert_email else []), *([WEBHOOK] if settings.alert_webhook_url else [])]
    where = {"channels": [*mail, WEBHOOK], "operators": operators}
    return int(db.session.execute(text(_RAISE.format(found=found)), {**facts, **where}).scalar_one())


def _over(kind: str, still: str, facts: dict[str, Any]) -> None:
    db.session.execute(text(_OVER.format(still=still)), {**facts, "kind": kind})
