"""What the playground says of an answer, and of a refusal, which is an answer too: why, whose limit it is, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from flask import g, url_for

from shared_accounts.console import names, show
from shared_accounts.console.language import say
from shared_accounts.console.playground_models import left
from shared_accounts.errors import ServiceError
from shared_accounts.gateway import upstream
from shared_accounts.gateway.verdicts import CallersFault
from shared_accounts.quotas import ledger
from shared_accounts.usage.models import UsageLog

_SOON = timedelta(minutes=1)
_LONGEST_WORDS = 500


class RefusedUpstream(ServiceError):
    """An upstream found fault with the request, in these words."""

    code = "UPSTREAM_REFUSED"

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__()
        self.status = HTTPStatus(status)
        said = (upstream.parsed(body) or {}).get("error")
        words = said.get("message") if isinstance(said, dict) else said
        self.words = str(words)[:_LONGEST_WORDS] if words else ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal for people; `kind` says who has to act, `links` where to go."""

    status: int
    kind: str
    title: str
    text: str
    links: list[tuple[str, str]] = field(default_factory=list)

    def in_json(self) -> dict[str, Any]:
        """Return it for the page's script."""
        links = [{"href": href, "text": text} for href, text in self.links]
        return {"refusal": {"kind": self.kind, "title": self.title, "text": self.text, "links": links}}


def refused(error: ServiceError) -> Refused:
    """Put a refusal into words."""
    status = int(error.status)
    details = error.details.get("details")
    quota = details.get("quota") if isinstance(details, dict) else None
    if isinstance(quota, dict):
        return _short(status, quota)
    if isinstance(error, CallersFault | RefusedUpstream):
        words = getattr(error, "words", "") or say("It did not say why.")
        return Refused(status, "act", say("The provider refused this request"), words)
    title, whose = _TITLES.get(error.code, (say(error.message), ""))
    when = _again(error.retry_after)
    text = " ".join(part for part in (say(whose) if whose else "", when) if part)
    kind = "wait" if error.retry_after else "act"
    return Refused(status, kind, say(title), text)


_TITLES = {
    "UPSTREAM_LIMITED": (
        "Every account for this model is at its upstream's limit.",
        "It is the provider\u2019s limit, not ours.",
    ),
    "UPSTREAM_FAILED": ("The upstream failed to answer.", "It is the provider\u2019s fault; nothing was charged."),
    "UPSTREAM_TIMEOUT": (
        "The upstream did not answer in time.",
        "It is the provider\u2019s fault; nothing was charged.",
    ),
    "RATE_LIMITED": ("Too many requests.", "It is our limit, not the provider\u2019s."),
}


def after(line: UsageLog) -> dict[str, Any]:
    """Say who answered, how long it took and what it cost, in the reader's words."""
    account = names.accounts([line.account_id]).get(line.account_id)
    own = line.user_id == line.contributor_id
    facts = [account.short if account else f"#{line.account_id}"]
    if line.stream and line.first_byte_ms is not None:
        facts.append(say("first byte %(n)s", n=show.seconds(line.first_byte_ms)))
    if line.total_ms is not None:
        facts.append(say("%(n)s in all", n=show.seconds(line.total_ms)))
    if line.prompt_tokens is not None:
        both = f"{show.count(line.prompt_tokens)} + {show.count(line.completion_tokens or 0)}"
        facts.append(say("%(n)s tokens", n=both))
    basis = {
        "measured": say("measured"),
        "estimated": say("estimated"),
        "partial": say("partial"),
        "released": say("released"),
    }[line.basis or "released"]
    if own:
        facts.append(say("own account, no quota"))
    else:
        facts.append(say("%(n)s units, %(basis)s", n=show.plain_units(line.charged), basis=basis))
    pool = next((one for one in ledger.pools_of(g.person.id) if one.model_group == line.model_group), None)
    return {
        "is_over": True,
        "facts": facts,
        "href": url_for("console.exchange", exchange_id=line.id),
        "text": say("Why this account"),
        "group": line.model_group,
        "left": None if own or pool is None else left(line.model_group, pool.balance - pool.reserved),
    }


def _short(status: int, quota: dict[str, Any]) -> Refused:
    group, needed, free = quota["model_group"], quota["needed"], quota["available"]
    title = say("No quota left for %(group)s", group=group)
    if free.strip("0."):
        title = say("Not enough quota for %(group)s", group=group)
    text = say(
        "This request would have needed %(needed)s units; you have %(free)s. It is our limit, not the provider\u2019s.",
        needed=needed,
        free=free,
    )
    arithmetic = (url_for("console.quota", group=group), say("See the arithmetic"))
    share = (url_for("console.contribute"), say("Contribute an account"))
    if "fits_at" not in quota:
        never = say("You have no quota for this model yet: it comes from sharing an account that serves it.")
        return Refused(status, "act", title, f"{text} {never}", [share])
    if quota["fits_at"] is None:
        return Refused(status, "act", title, f"{text} {_never(group)}", [arithmetic, share])
    fits_at = datetime.fromisoformat(quota["fits_at"])
    when = say("It fits at %(time)s, %(ahead)s.", time=show.clock(fits_at), ahead=show.until(fits_at))
    return Refused(status, "wait", title, f"{text} {when}", [arithmetic])


def _never(group: str) -> str:
    """Say why waiting alone will not do."""
    pool = next((one for one in ledger.pools_of(g.person.id) if one.model_group == group), None)
    if pool is not None and not pool.refill_per_hour and pool.capacity:
        return say("The refill rests: none of the accounts that fill this pool is in service.")
    return say("It is more than your pool can ever hold. Ask for a shorter answer, or share another account.")


def _again(seconds: int | None) -> str:
    if not seconds:
        return ""
    wait = timedelta(seconds=seconds)
    if wait < _SOON:
        return say("It can be tried again in %(n)s s.", n=seconds)
    return say("It can be tried again %(ahead)s.", ahead=show.until(datetime.now(UTC) + wait))
