"""Which exchanges a reader asks for: a form of filters that is sent by GET, so that every view has an address.

What makes no sense counts as not asked for: an address that was cut or typed by hand still shows a page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from flask import g, request

from shared_accounts.console import show
from shared_accounts.usage.models import OUTCOMES
from shared_accounts.usage.wanted import CONTRIBUTED, MINE, Wanted

PERIODS = ("today", "7d", "30d", "all")
UNFINISHED = "unfinished"

_DAYS = {"today": 0, "7d": 6, "30d": 29}
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_LONGEST_NUMBER, _LONGEST_MODEL = 15, 200
_FILTERS = ("model", "key", "account", "outcome")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted, and how the form said it; `kept` is what every link of the page has to carry."""

    period: str
    wanted: Wanted
    kept: dict[str, str]

    @property
    def everything(self) -> Wanted:
        """The same time without any filter: what the form offers to choose from."""
        return replace(self.wanted, model=None, api_key_id=None, account_id=None, outcome=None, success=None)

    @property
    def is_filtered(self) -> bool:
        """Whether there is less than the time holds."""
        return any(name in self.kept for name in _FILTERS)

    @property
    def others(self) -> bool:
        """Whether it is about what others used of one's own accounts."""
        return self.wanted.scope == CONTRIBUTED


def read() -> Asked:
    """Return what the address of this page asks for."""
    given = {name: text for name in (*_FILTERS, "whose", "day", "from", "to", "period") if (text := _text(name))}
    scope = CONTRIBUTED if given.get("whose") == "others" else MINE
    period, start, end = _time(given)
    kept = {name: text for name, text in given.items() if name in _FILTERS or (name, text) == ("whose", "others")}
    kept |= {name: given[name] for name in {"day": ["day"], "span": ["from", "to"]}.get(period, [])}
    if period in PERIODS[1:]:
        kept["period"] = period
    if scope == CONTRIBUTED:
        kept.pop("key", None)
    if kept.get("outcome", UNFINISHED) not in {*OUTCOMES, UNFINISHED}:
        kept.pop("outcome")
    outcome = kept.get("outcome")
    wanted = Wanted(
        viewer=g.person.id,
        scope=scope,
        start=start,
        end=end,
        model=kept.get("model"),
        api_key_id=_number(kept, "key"),
        account_id=_number(kept, "account"),
        outcome=outcome if outcome in OUTCOMES else None,
        success=False if outcome == UNFINISHED else None,
    )
    return Asked(period, wanted, kept)


def day(text: str | None) -> date | None:
    """Read a day of the calendar; what is none is nothing."""
    try:
        found = date.fromisoformat(text or "")
    except ValueError:
        return None
    return found if _FIRST_YEAR <= found.year <= _LAST_YEAR else None


def _time(given: dict[str, str]) -> tuple[str, datetime | None, datetime | None]:
    start, end = _moment(given.get("from")), _moment(given.get("to"))
    if start and end and start < end:
        return "span", start, end
    if chosen := day(given.get("day")):
        return "day", show.midnight(chosen), show.midnight(chosen + _DAY)
    period = given.get("period", "today")
    if period not in PERIODS or period == "all":
        return ("all", None, None) if period == "all" else _time({})
    return period, show.midnight(show.now().date() - timedelta(days=_DAYS[period])), None


def _text(name: str) -> str:
    text = request.args.get(name, "").strip()
    return text if len(text) <= _LONGEST_MODEL and text.isprintable() else ""


def _number(given: dict[str, str], name: str) -> int | None:
    text = given.get(name, "")
    if text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER:
        return int(text)
    given.pop(name, None)
    return None


def _moment(text: str | None) -> datetime | None:
    try:
        # An unescaped + arrives as a space.
        found = datetime.fromisoformat((text or "").replace(" ", "+"))
    except ValueError:
        return None
    return found if found.tzinfo and _FIRST_YEAR < found.year <= _LAST_YEAR else None
