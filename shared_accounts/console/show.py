"""How numbers and times look: the only place that knows.

Units always have four decimals, the last two quieter; a minus is U+2212; every time is a `<time>` in the reader's zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from babel.dates import format_date
from markupsafe import Markup

from shared_accounts.config import MICRO
from shared_accounts.console.language import language, say, zone
from shared_accounts.money import amounts

_SHOWN = MICRO // 10_000
_FAR_DAYS = 30
_A_MINUTE, _AN_HOUR = 60, 3600
_A_SECOND = 1000


def plain_units(micro: int, *, sign: bool = False) -> str:
    """Write micro-units as units, cut to four decimals so that nothing is promised twice."""
    tenths = abs(micro) // _SHOWN
    before = "\u2212" if micro < 0 and tenths else "+" if sign and tenths else ""
    return f"{before}{tenths // 10_000:,}.{tenths % 10_000:04d}"


def units(micro: int, *, sign: bool = False) -> Markup:
    """Write units so that the eye stops at the second decimal and the truth is still there."""
    text = plain_units(micro, sign=sign)
    return Markup('<span class="num">{}<span class="num-tail">{}</span></span>').format(text[:-2], text[-2:])


def count(number: int) -> str:
    """Write a number of things."""
    return f"{number:,}"


def percent(part: float, whole: float = 1) -> str:
    """Write a share as SVG takes it for a place or a width."""
    return f"{max(0.0, min(100.0, 100 * part / whole)):.2f}%" if whole else "0%"


def share(part: float) -> str:
    """Write a share for people."""
    return f"{100 * part:.0f}%"


def exactly(micro: int, *, sign: bool = False) -> Markup:
    """Write units to the last digit there is, where a sum has to add up."""
    before = "\u2212" if micro < 0 else "+" if sign and micro else ""
    text = f"{before}{abs(micro) // MICRO:,}.{abs(micro) % MICRO:06d}"
    return Markup('<span class="num">{}<span class="num-tail">{}</span></span>').format(text[:-4], text[-4:])


def seconds(milliseconds: float | None) -> str:
    """Write how long something took."""
    return "\u2013" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def took(milliseconds: int) -> str:
    """Write how long a part of something took: milliseconds where it is short."""
    return f"{milliseconds} ms" if milliseconds < _A_SECOND else f"{milliseconds / 1000:.1f} s"


def price(micro: int) -> str:
    """Write an amount of money exactly, with two decimals at least."""
    whole, _, decimals = amounts.exactly(micro).partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def now() -> datetime:
    """Return the time where the reader is."""
    return datetime.now(zone())


def midnight(of: date) -> datetime:
    """Return when a day begins where the reader is, also on days when clocks change."""
    there, naive = zone(), datetime.combine(of, time())
    localized: datetime = there.localize(naive)  # type: ignore[attr-defined]
    return localized


def local(moment: datetime) -> datetime:
    """Return a moment as the reader's clock shows it."""
    return moment.astimezone(zone())


def clock(moment: datetime) -> str:
    """Write the time of day."""
    return local(moment).strftime("%H:%M")


def when(moment: datetime, *, seconds: bool = False) -> Markup:
    """Write a moment as one would say it today."""
    there, today = local(moment), now().date()
    days, text = (there.date() - today).days, there.strftime("%H:%M:%S" if seconds else "%H:%M")
    if days == -1:
        text = say("yesterday %(time)s", time=text)
    elif days == 1:
        text = say("tomorrow %(time)s", time=text)
    elif days:
        date = day(moment)
        text = say("%(day)s, %(time)s", day=date, time=text) if abs(days) < _FAR_DAYS else date
    return _marked(moment, text)


def day(moment: datetime) -> str:
    """Write a date, its year only when it is another one."""
    there = local(moment)
    chinese = language() == "zh"
    form = "M\u6708d\u65e5" if chinese else "d MMM"
    if there.year != now().year:
        form = f"y\u5e74{form}" if chinese else f"{form} y"
    return format_date(there.date(), form, locale="zh_CN" if chinese else "en")


def date_of(there: date) -> str:
    """Write a day of the reader's calendar, its year only when it is another one."""
    return day(midnight(there))


def iso(moment: datetime) -> str:
    """Write a moment for an address, with its offset."""
    return local(moment).isoformat(timespec="seconds")


def month(day: date) -> str:
    """Write which month a day lies in."""
    chinese = language() == "zh"
    return format_date(day, "y\u5e74M\u6708" if chinese else "MMMM y", locale="zh_CN" if chinese else "en")


def span(moment: datetime) -> str:
    """Write how long it is until a moment, to the minute."""
    left = max(timedelta(), moment - datetime.now(UTC))
    hours, rest = divmod(-(-int(left.total_seconds()) // _A_MINUTE) * _A_MINUTE, _AN_HOUR)
    minutes = rest // _A_MINUTE
    if not hours:
        return say("%(n)s min", n=minutes)
    if not minutes:
        return say("%(n)s h", n=hours)
    return say("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)


def until(moment: datetime) -> str:
    """Write how far ahead a moment is."""
    return say("in %(span)s", span=span(moment))


def timed(moment: datetime) -> Markup:
    """Write the time of day of something that is near."""
    return _marked(moment, clock(moment))


def _marked(moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(moment.astimezone(UTC).isoformat(timespec="seconds"), text)
