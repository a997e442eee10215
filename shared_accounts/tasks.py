"""Every Celery task, thin, and the timetable: all the clocks on one page.

Invariant: a task may run twice, late, or beside itself, and the result is the same as once and on time. What
is due is read from the rows, never from the fact that a task was called.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from celery.schedules import crontab
from flask import current_app
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared_accounts import live_settings
from shared_accounts.accounts import earnings, health, tally, withdrawal
from shared_accounts.accounts.refresher import Refresher
from shared_accounts.accounts.trial import Trial
from shared_accounts.alerts import inbox
from shared_accounts.auth import sessions, tickets
from shared_accounts.clockwork import soon, task
from shared_accounts.extensions import db
from shared_accounts.gateway import books, idempotency
from shared_accounts.plugin import bindings, provisioning
from shared_accounts.quotas import refill
from shared_accounts.users import roster

log = logging.getLogger(__name__)

_ATTEMPTS_IN_A_ROW = 6  # further ones are the timetable's: a message must not wait longer than it is visible

TIMETABLE: dict[str, dict[str, Any]] = {
    # The first run after the hour pays, the others find nothing due; a missed one is made up in five minutes.
    "refill quotas": {"task": "shared_accounts.refill_quotas", "schedule": crontab(minute="0-59/5")},
    "finish draining": {"task": "shared_accounts.finish_draining", "schedule": 15.0},
    "probe accounts": {"task": "shared_accounts.probe_accounts", "schedule": 60.0},
    "recount windows": {"task": "shared_accounts.recount_windows", "schedule": crontab(minute="3-59/5")},
    "close abandoned exchanges": {"task": "shared_accounts.close_abandoned_exchanges", "schedule": 20.0},
    "refresh upstream tokens": {"task": "shared_accounts.refresh_upstream_tokens", "schedule": 60.0},
    "regroup accounts": {"task": "shared_accounts.regroup_accounts", "schedule": crontab(minute="37")},
    "look after plug-in users": {"task": "shared_accounts.sweep_plugin_users", "schedule": crontab(minute="4-59/10")},
    "forget what is over": {"task": "shared_accounts.forget_what_is_over", "schedule": crontab(minute="23")},
    "roll up usage": {"task": "shared_accounts.roll_up_usage", "schedule": crontab(minute="2-59/5")},
    "turn usage months": {"task": "shared_accounts.turn_usage_months", "schedule": crontab(minute="41")},
    "prove the ledger": {"task": "shared_accounts.prove_ledger", "schedule": crontab(minute="7")},
    "watch for alerts": {"task": "shared_accounts.watch_for_alerts", "schedule": 60.0},
    "deliver alerts": {"task": "shared_accounts.deliver_alerts", "schedule": 30.0},
}


@event.listens_for(db.session, "after_commit")
def _welcome(session: Session) -> None:
    """Have whoever was let in by this transaction provided for, by whichever door she came: none can forget it."""
    if session.in_nested_transaction():
        return
    for user_id in session.info.pop(roster.NEWCOMERS, ()):
        if current_app.extensions["plugin"] is not None:
            soon(provision_plugin_user, user_id)


@event.listens_for(db.session, "after_rollback")
def _forget(session: Session) -> None:
    """Send for nobody: who was to be let in was not."""
    if not session.in_nested_transaction():
        session.info.pop(roster.NEWCOMERS, None)


@task("refill_quotas")
def refill_quotas() -> None:
    """Give every pool the full hours it has not received yet."""
    moved = refill.refill()
    db.session.commit()
    log.info("quotas refilled", extra={"pools": moved})


@task("close_abandoned_exchanges")
def close_abandoned_exchanges() -> None:
    """Settle what workers that died have left open, and count what they left uncounted."""
    closed = books.close_abandoned()
    _one_by_one(idempotency.count_next)
    if closed:
        log.warning("abandoned exchanges closed", extra={"exchanges": closed})


@task("refresh_upstream_tokens")
def refresh_upstream_tokens() -> None:
    """Exchange the upstream tokens that end soon for fresh ones, an account at a time."""
    parts = current_app.extensions
    seen: Counter[str] = Counter()
    for outcome in Refresher(parts["settings"].upstream_oauth_providers, parts["vault"]).refresh_due():
        db.session.commit()
        seen[outcome.value] += 1
    if seen:
        log.info("upstream tokens refreshed", extra={"accounts": dict(seen)})


@task("finish_draining")
def finish_draining() -> None:
    """Withdraw for good the accounts whose last exchange has ended."""
    done = _one_by_one(withdrawal.finish_draining)
    if done:
        log.info("accounts withdrawn", extra={"accounts": done})


@task("probe_accounts")
def probe_accounts() -> None:
    """Give up on accounts that only fail, and ask those whose turn it is whether they work."""
    broken = _one_by_one(health.give_up_on)
    parts = current_app.extensions
    trial = Trial(parts["wire"], parts["guard"], parts["vault"], parts["gateway"].refresher)
    for due in health.take_turns():
        db.session.commit()  # no transaction waits for an upstream
        health.conclude(due, trial.run(due.id))
        db.session.commit()
    if broken:
        log.warning("accounts broken", extra={"accounts": broken})


@task("recount_windows")
def recount_windows() -> None:
    """Mend the windows that a dying worker had not finished counting."""
    wrong = tally.recount()
    db.session.commit()
    if wrong:
        log.info("windows recounted", extra={"windows": wrong})


@task("regroup_accounts")
def regroup_accounts() -> None:
    """Let what accounts earn their owners follow the rules for models, an account at a time."""
    settings = live_settings.current(current_app.extensions["settings"])
    moved = 0
    for account_id in earnings.outdated(settings):
        moved += earnings.bring_up_to_date(account_id, settings)
        db.session.commit()
    if moved:
        log.info("accounts regrouped", extra={"accounts": moved})


@task("provision_plugin_user")
def provision_plugin_user(user_id: int) -> None:
    """Give a user her counterpart at the Plug-in API; while that fails, try again, more and more seldom."""
    was_our_turn = _provision(user_id)
    binding = bindings.of(user_id) if was_our_turn else None
    if binding is not None and binding.problem is not None and binding.attempts <= _ATTEMPTS_IN_A_ROW:
        soon(provision_plugin_user, user_id, countdown=bindings.wait(binding.attempts))


@task("sweep_plugin_users")
def sweep_plugin_users() -> None:
    """Look after everybody whose counterpart at the Plug-in API is missing, or due to be looked at."""
    for user_id in bindings.due() if current_app.extensions["plugin"] else ():
        soon(look_after_plugin_user, user_id)


@task("look_after_plugin_user")
def look_after_plugin_user(user_id: int) -> None:
    """See that a user's counterpart is there, her key good and her models known."""
    _provision(user_id, again=True)


def _provision(user_id: int, *, again: bool = False) -> bool:
    """Tell whether it was our turn: who finds somebody else at it, or nothing to do, leaves what follows to her."""
    plugin, steps = current_app.extensions["plugin"], 0
    for _ in provisioning.provision(plugin, user_id, again=again) if plugin else ():
        db.session.commit()
        steps += 1
    return steps > 0


@task("forget_what_is_over")
def forget_what_is_over() -> None:
    """Delete tickets that have expired, sessions over for a month, keys of calls a day old, alerts of last quarter."""
    gone = {"tickets": tickets.forget_expired(), "sessions": sessions.forget_old(), "calls": idempotency.forget_old()}
    gone["alerts"] = inbox.forget_old()
    db.session.commit()
    log.info("forgot what is over", extra=gone)


def _one_by_one(act: Callable[[], bool]) -> int:
    """Do it until there is nothing left to do, each time in a transaction of its own; returns how often there was."""
    count = 0
    while act():
        db.session.commit()
        count += 1
    db.session.commit()
    return count
