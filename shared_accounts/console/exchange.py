"""One exchange: who served it and why she, where the time went, and what it cost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import g, render_template
from sqlalchemy import select

from shared_accounts.console import bill, names, timeline
from shared_accounts.console.door import page
from shared_accounts.console.language import say
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.money.models import ModelPrice
from shared_accounts.quotas import rules
from shared_accounts.requests_in import settings
from shared_accounts.usage.models import UsageLog

_ANSWERED = re.compile(r"answered (\d{3})(.*)")


@dataclass(frozen=True, slots=True)
class Step:
    """An account that was looked at: tried, with the number of the attempt, or passed over; and why."""

    account_id: int
    why: str
    number: int | None = None
    milliseconds: int | None = None
    served: bool = False


@page("/usage/<uuid:exchange_id>")
def exchange(exchange_id: UUID) -> Any:
    """Explain an exchange to whoever made it; to the owner of the account that served it what it took of that."""
    line = visible(exchange_id)
    is_mine = line.user_id == g.person.id
    steps = _steps(line) if is_mine else []
    return render_template(
        "screens/exchange.html",
        line=line,
        is_mine=is_mine,
        key_name=names.keys().get(line.api_key_id or 0) if is_mine else None,
        user=None if is_mine else names.people([line.user_id]).get(line.user_id),
        named=names.accounts({line.account_id, *_ids(steps)}),
        steps=steps,
        parts=timeline.parts(line) if is_mine else [],
        bill=bill_of(line) if line.state == "closed" else None,
        weight=bill.weight,
        currency=_currency(line),
        attempt=sum(step.number is not None for step in steps),
    )


def visible(exchange_id: UUID) -> UsageLog:
    """Return an exchange the reader made, or that her account served; any other looks like none."""
    hers = (UsageLog.user_id == g.person.id) | (UsageLog.contributor_id == g.person.id)
    line: UsageLog | None = db.session.scalar(select(UsageLog).where(UsageLog.id == exchange_id, hers))
    if line is None:
        raise NotFound
    return line


def bill_of(line: UsageLog) -> bill.Bill:
    """Return what an exchange cost, worked out by the rule for its model."""
    return bill.of(line, rules.rule_of(line.model, reference=settings().reference_allowance_tokens))


def _currency(line: UsageLog) -> str | None:
    """Return in which money the exchange is priced, if it is."""
    priced = select(ModelPrice.currency).where(ModelPrice.id == line.price_id)
    return db.session.scalar(priced) if line.money is not None else None


def _steps(line: UsageLog) -> list[Step]:
    """Return the decision in its order: who was passed over, then who was tried."""
    over = [Step(one["account_id"], _told(one["why"])) for one in line.passed_over]
    tried = [
        Step(one["account_id"], _told(one["result"]), number, int(one["ms"]), one["result"] == "served")
        for number, one in enumerate(line.attempts, start=1)
    ]
    return [*over, *tried]


def _ids(steps: Iterable[Step]) -> set[int]:
    return {step.account_id for step in steps}


def _told(why: str) -> str:
    """Say a reason in the reader's language; an upstream's status stands for itself."""
    if found := _ANSWERED.fullmatch(why):
        answered = say("answered %(status)s", status=found[1])
        return answered + (say(found[2]) if found[2] else "")
    return say(why)
